"""The exercises of notebooks 06 to 09: zero-shot, few-shot, verdicts, the published code. A table, read by checks.py.

Each row gives the fields of checks.Exercise. Not about: how an answer is compared (checks.py).

Symbols: V pictures (N,D), W class vectors (C,D), P probabilities (N,C), s scale; K shots a class.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from scipy.stats import t as student
from scipy.stats import ttest_ind, ttest_rel
from sklearn.metrics import precision_score, recall_score
from torch.nn.functional import normalize, one_hot

from .adapters import recalled
from .checks_encoders import numbers, unit
from .metrics import CALIBRATION_BINS
from .zero_shot import probabilities as shares

# -------------------------------------------------------------------------------- where a function is not one expression


def probabilities(V, W, s):
    return shares(SimpleNamespace(scale=torch.tensor(s)), V, W).clone()


def shares_of(numbers):
    return numbers / numbers.sum(1, keepdim=True)


def in_bins(truth, P, bins=CALIBRATION_BINS, sure=None, rounded=np.ceil):
    """Of each bin: its share of the rows, the share that is right, the mean of `sure`, (N,), the top probability if None."""
    right, sure = P.argmax(1) == truth, P.max(1) if sure is None else sure
    bin_of = rounded(sure * bins)  # ceil: (low, high]
    return np.array([[np.mean(bin_of == b), right[bin_of == b].mean(), sure[bin_of == b].mean()] for b in np.unique(bin_of)]).T


def gap(shares_of_rows, right, sure):
    return float(np.sum(shares_of_rows * abs(right - sure)))


def calibration_error(truth, P, bins=CALIBRATION_BINS):
    """metrics.calibration_error for any number of bins."""
    return gap(*in_bins(truth, P, bins))


def without_one(truth, P, bins=CALIBRATION_BINS):
    kept = P.max(1) < 1
    return kept.mean() * gap(*in_bins(truth[kept], P[kept], bins, rounded=np.floor))


def shots_of_each(labels, shots, seed):
    return shots_among(np.unique(labels), labels, shots, seed)


def shots_among(classes, labels, shots, seed, fewer=False):
    """fewer: of a class that has not so many rows all of them, otherwise a ValueError."""
    chance, of_each = np.random.default_rng(seed), [np.flatnonzero(np.asarray(labels) == c) for c in classes]
    return np.concatenate([chance.choice(rows, min(shots, len(rows)) if fewer else shots, replace=False) for rows in of_each])


def no_row(rows, labels, shots, seed) -> str:
    odd = [row for row in rows.tolist() if not 0 <= row < len(labels)]
    return f"{odd[0]} is no row of {len(labels)}" if odd else ""


def uneven(rows, labels, shots, seed) -> str:
    got = {c: sum(labels[row] == c for row in rows.tolist()) for c in sorted(set(labels))}
    return next((f"class {c} got {n} shots, not {shots}" for c, n in got.items() if n != shots), "")


def twice(rows, labels, shots, seed) -> str:
    values, counts = np.unique(rows, return_counts=True)
    return f"row {values[counts.argmax()]} is there {counts.max()} times" if counts.max() > 1 else ""


def same_places(rows, labels, shots, seed) -> str:
    """Do all classes give the same of their rows, in the same order? Asked only where they have equally many."""
    of_each = {c: [i for i, label in enumerate(labels) if label == c] for c in sorted(set(labels))}
    places = {tuple(own.index(row) for row in rows.tolist() if row in own) for own in of_each.values()}
    alike = len({len(own) for own in of_each.values()}) == 1 == len(places)
    return f"every class gave its rows number {', '.join(map(str, min(places)))}" if alike and min(places) else ""


def in_turn(values):
    """One-hot classes of as many shots, as if those of class 0 came first, then those of class 1, and so on."""
    return values[values.argmax(1).argsort(stable=True)]


def paired(a, b, test=ttest_rel):
    found = test(a, b).confidence_interval(0.95)
    return np.array([found.low, found.high])


def around_mean(a, b, t, ddof=1, root=True):
    z = np.subtract(a, b)
    half = t * z.std(ddof=ddof) / (len(z) ** 0.5 if root else 1)
    return np.array([z.mean() - half, z.mean() + half])


def t_of(a) -> float:
    return float(student.ppf(0.975, len(a) - 1))


def summing_axis(weights):
    ones = [axis for axis in range(3) if torch.allclose(weights.sum(axis), torch.ones(()), atol=1e-4)]
    return ones[0]


# --------------------------------------------------------------------------------------------------- what the cases need

OPPOSITE = unit(1, 6, seed=5) * torch.tensor([[1.0], [-1.0]])  # two pictures: cosines of 1 and of -1 with one text
SHORT = torch.tensor([1.0, 0.7, 0.4])  # lengths of class vectors whose prompts agree, and do not
TOP = np.array([0.5, 0.6, 0.75, 0.9, 1.0])  # .5, .75 and 1.0 are edges of four bins
ON_EDGES = np.array([0, 1, 0, 0, 1]), np.stack([TOP, 0.6 * (1 - TOP), 0.4 * (1 - TOP)], axis=1)


def answers(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers, and probabilities that often agree with them and are too sure."""
    truth = np.random.default_rng(seed).integers(0, classes, n)
    logits = numbers(n, classes, seed=seed) * 2 + one_hot(torch.tensor(truth), classes) * 1.5
    return truth, logits.softmax(1).double().numpy()


KEYS = (unit(6, 8, seed=1), one_hot(torch.tensor([0, 0, 1, 1, 2, 2]), 3).float())
TIP_CASES = [(unit(4, 8), *KEYS, numbers(4, 3, seed=2), 1.0, 5.0), (unit(5, 8, seed=3), *KEYS, numbers(5, 3, seed=4), 3.0, 2.0),
             (unit(2, 8, seed=5), KEYS[0][:4], one_hot(torch.tensor([2, 0, 1, 0]), 3).float(), numbers(2, 3, seed=6), 1.0, 5.0)]
SEEDS = [([0.835, 0.842, 0.811, 0.860, 0.829], [0.801, 0.822, 0.785, 0.819, 0.806]),
         ([0.71, 0.64, 0.77, 0.69], [0.72, 0.61, 0.70, 0.70]), ([0.5, 0.6, 0.9], [0.3, 0.5, 0.6])]  # fmt: skip
BY_CHANCE = torch.tensor([[[0.3, 0.7], [0.9, 0.8]], [[0.7, 0.3], [0.1, 0.2]]])  # over the heads; one row adds up to 1 as well
OVER_PAIRS = torch.tensor([[[0.3, 0.6, 0.1], [0.7, 0.2, 0.1]], [[0.7, 0.1, 0.2], [0.5, 0.1, 0.4]]])  # the first sums of 0, 1 too
OVER_PICTURES = torch.tensor([[[0.3, 0.7], [0.5, 0.1], [0.2, 0.2]], [[0.7, 0.6], [0.2, 0.3], [0.1, 0.1]]])  # those of 0, 2
LAST_SUM = torch.tensor([[[0.3, 0.6, 0.1], [0.6, 0.2, 0.2]], [[0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]])  # a later sum of 0 too
NEAR = np.random.default_rng(0).permutation(30)  # 30 settings, .001 apart on validation
NEAR_VAL, NEAR_TEST = (0.7 + NEAR / 1000).tolist(), np.where(NEAR == 29, 0.3, 0.8 + NEAR / 1000)  # the best is the worst on test

SCORES = {
    "class_vectors": {
        "title": "A class is the mean of its prompts", "notebook": "06", "minutes": 5, "difficulty": 1,
        "task": "class_vectors(prompt_vectors: C tensors (P_c,D)) -> W (C,D): each class's mean prompt, not normalised again",
        "cases": [([unit(3, 6), unit(1, 6, seed=1), unit(5, 6, seed=2)],), ([unit(2, 4, seed=3), unit(7, 4, seed=4)],)],
        "answer": lambda prompt_vectors: torch.stack([p.mean(0) for p in prompt_vectors]),
        "mistakes": {
            "That is the sum: a class with many descriptions would get a longer vector, and more pictures.":
                lambda c: torch.stack([p.sum(0) for p in c]),
            "Normalised again: the published W is not; a class whose prompts disagree keeps a shorter vector.":
                lambda c: normalize(torch.stack([p.mean(0) for p in c]), dim=1),
            "Only the first prompt of each class: the descriptions, which find the unseen diseases, are left out.":
                lambda c: torch.stack([p[0] for p in c]),
        },
    },
    "probabilities": {
        "title": "The zero-shot classifier", "notebook": "06", "minutes": 5, "difficulty": 1,
        "task": "probabilities(V (N,D), W (C,D), s) -> P (N,C) = softmax(s V W^T) over the classes",
        "cases": [(unit(3, 6), SHORT[:, None] * unit(3, 6, seed=1), 14.3),
                  (unit(4, 6, seed=2), SHORT[:, None] * unit(4, 6, seed=2)[[0, 2, 3]], 100.0),  # picture 0 is class vector 0
                  (OPPOSITE, torch.stack([OPPOSITE[0], 0.98 * OPPOSITE[0], 0.95 * OPPOSITE[0]]), 100.0)],
        "answer": probabilities,
        "mistakes": {
            "s is forgotten: cosines differ by little, so all classes get nearly the same.": lambda V, W, s: (V @ W.T).softmax(1),
            "The softmax runs over the pictures: a picture's classes must sum to one.": lambda V, W, s: (s * V @ W.T).softmax(0),
            "Divided by s: it is the multiplier exp(logit_scale), one over the temperature.":
                lambda V, W, s: (V @ W.T / s).softmax(1),
            "Those are the logits: the softmax is missing, so rows do not sum to one.": lambda V, W, s: s * V @ W.T,
            "W is not brought back to length one, as published: a class whose prompts disagree gets smaller logits.":
                lambda V, W, s: (s * V @ normalize(W, dim=1).T).softmax(1),
            "exp overflows where s is 100 (inf / inf is nan): softmax first takes the row's highest logit off.":
                lambda V, W, s: (s * V @ W.T).exp() / (s * V @ W.T).exp().sum(1, keepdim=True),
            "The highest logit of all pictures was taken off: exp of a picture far below is 0 (0 / 0 is nan). Take each row's.":
                lambda V, W, s: shares_of((s * V @ W.T - (s * V @ W.T).max()).exp()),
            "Logits are cut off, against overflow: two classes above the limit get the same. Take the row's highest logit off.":
                lambda V, W, s: shares_of((s * V @ W.T).clamp(max=80).exp()),
        },
    },
    "aca": {
        "title": "The mean of the recalls", "notebook": "06", "minutes": 5, "difficulty": 1,
        "task": "aca(truth (N,), guess (N,)) -> mean over the classes in truth of the share of their rows that got their class",
        "cases": [(np.array([0, 0, 0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 0, 0, 1, 1, 0, 0])),
                  (np.array([0, 0, 2]), np.array([0, 1, 2]))],
        "answer": lambda truth, guess: float(recall_score(truth, guess, labels=np.unique(truth), average="macro")),
        "mistakes": {
            "That is accuracy: who calls every eye normal does well where most are. ACA weighs all classes alike.":
                lambda t, g: float((t == g).mean()),
            "That is the mean precision, shares of the *guesses*: ACA asks how much of each true class was found.":
                lambda t, g: float(precision_score(t, g, labels=np.unique(t), average="macro", zero_division=0)),
            "A class that is not in truth has no recall: leave it out, a 0 for it would lower the mean.":
                lambda t, g: float(recall_score(t, g, average="macro", zero_division=0)),
        },
    },
    "calibration_error": {
        "title": "Is 90% right nine times in ten?", "notebook": "06", "minutes": 20, "difficulty": 3,
        "task": "calibration_error(truth (N,), P (N,C), bins=15) -> sum over equal bins (low, high] of the top probability: "
                "share of the rows in the bin x |share that is right - mean top probability|",
        "cases": [answers(0, 60, 3), (*ON_EDGES, 4), answers(2, 200, 4)],
        "answer": calibration_error,
        "mistakes": {
            "The bins are not weighted by their rows: a bin with one picture would count as much as one with a hundred.":
                lambda t, P, bins=15: gap(1 / in_bins(t, P, bins).shape[1], *in_bins(t, P, bins)[1:]),
            "The weights are missing from the sum: a calibration error cannot be larger than 1, this one can.":
                lambda t, P, bins=15: gap(1, *in_bins(t, P, bins)[1:]),
            "No absolute value: too sure in one bin and too shy in another would cancel out.":
                lambda t, P, bins=15: float((P.argmax(1) == t).mean() - P.max(1).mean()),  # what the bins' gaps add up to
            "That is one bin: mean confidence against accuracy. Errors of opposite sign cancel out in it.":
                lambda t, P, bins=15: calibration_error(t, P, 1),
            "That takes the probability of the true class: how sure a model is, is said by its highest probability.":
                lambda t, P, bins=15: gap(*in_bins(t, P, bins, P[np.arange(len(P)), t])),
            "bins is not used: 15 is only its default.": lambda t, P, bins=15: calibration_error(t, P),
            "floor puts a probability on an edge one bin too high, and 1.0 beyond the last: (low, high] is ceil.":
                lambda t, P, bins=15: gap(*in_bins(t, P, bins, rounded=np.floor)),
            "Bins are [low, high) there: a probability on an edge belongs to the bin that ends with it, (low, high].":
                lambda t, P, bins=15: gap(*in_bins(t, P, bins, rounded=lambda x: np.minimum(np.floor(x), bins - 1))),
            "Bins are [low, high) there, so 1.0 is in none: (low, high] keeps it in the last.": without_one,
        },
    },
    "support_set": {
        "title": "K shots of each class", "notebook": "07", "minutes": 10, "difficulty": 2,
        "task": "support_set(labels, shots, seed) -> row numbers, `shots` of each class, none twice, drawn by the seed",
        "cases": [([0] * 30 + [1] * 12 + [2] * 6, 5, 0), ([2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 0, 2, 1, 0] * 2, 7, 3),
                  ([0, 2, 2, 0, 2] * 6, 5, 1), ([4, 1, 1, 4] * 10, 6, 2)],
        "answer": shots_of_each,
        "mistakes": {
            "The classes are those in labels, here not 0, 1, 2: a part of the data may lack one. Take set(labels).":
                lambda labels, shots, seed: shots_among(range(3), labels, shots, seed, fewer=True),
            "How many classes there are does not say which: numbers may be missing. Take set(labels), not range(len(...)).":
                lambda labels, shots, seed: shots_among(range(len(set(labels))), labels, shots, seed, fewer=True),
            "A class without a row was asked for: the classes are those in labels, not 0, 1, 2. Take set(labels).":
                lambda labels, shots, seed: shots_among(range(3), labels, shots, seed),
        },
        "rules": {
            "Rows are counted from 0 to len(labels) - 1.": no_row,
            "Shots are counted per class: drawn from all rows, a rare disease may get none.": uneven,
            "A row twice is drawn with replacement: five shots would then be fewer pictures than five.": twice,
            "The generator begins anew for each class, so the draws are one draw. Make it once, before the loop.": same_places,
        },
    },
    "tip_adapter": {
        "title": "A memory instead of training", "notebook": "07", "minutes": 15, "difficulty": 2,
        "task": "tip_adapter(features (n,D), keys (N,D), values (N,C) one-hot, zero_shot_logits (n,C), alpha, beta) -> logits "
                "(n,C) = zero_shot_logits + alpha exp(-beta (1 - features keys^T)) values",
        "cases": TIP_CASES,
        "answer": lambda features, keys, values, zero_shot_logits, alpha, beta:
            zero_shot_logits + alpha * recalled(features @ keys.T, values, beta),
        "mistakes": {
            "The sign of the distance: exp(+beta (1 - cosine)) lets the shot that is least alike speak loudest.":
                lambda x, K, Y, z, a, b: z + a * recalled(x @ K.T, Y, -b),
            "beta is forgotten: it makes near shots louder than far ones; with 1 they all say nearly the same.":
                lambda x, K, Y, z, a, b: z + a * recalled(x @ K.T, Y, 1.0),
            "alpha is forgotten: it weighs the shots against the texts.": lambda x, K, Y, z, a, b: z + recalled(x @ K.T, Y, b),
            "The zero-shot logits are missing: five shots must know everything.":
                lambda x, K, Y, z, a, b: a * recalled(x @ K.T, Y, b),
            "The class of a shot was taken from its place among the shots: they come in any order, values says which class.":
                lambda x, K, Y, z, a, b: z + a * recalled(x @ K.T, in_turn(Y), b),
            "The values are class numbers, not one-hot: class 2 then counts twice class 1, and class 0 nothing.":
                lambda x, K, Y, z, a, b: z + a * recalled(x @ K.T, Y.argmax(1, keepdim=True).float(), b),
        },
    },
    "honest_choice": {
        "title": "Choose before you look", "notebook": "07", "minutes": 3, "difficulty": 1,
        "task": "honest_choice(val_scores, test_scores) -> the index of the setting to report: the best on validation",
        "cases": [([0.71, 0.78, 0.74], [0.80, 0.72, 0.69]), ([0.6, 0.5, 0.55, 0.4], [0.5, 0.4, 0.7, 0.9]),
                  ([0.3, 0.4, 0.9], [0.2, 0.9, 0.6]), (NEAR_VAL, NEAR_TEST.tolist()), (NEAR_VAL, (1.1 - NEAR_TEST).tolist())],
        "answer": lambda val_scores, test_scores: int(np.argmax(val_scores)),
        "mistakes": {
            "Chosen on the test scores: a leak. The published AMD F1 picks its threshold so, and random scores gain too.":
                lambda val, test: int(np.argmax(test)),
            "The test scores have a say in the choice: a mean leaks too, only less.":
                lambda val, test: int(np.argmax(np.add(val, test))),
            "The test scores have a say in the choice: a small weight, or a rank, decides where settings are near each other.":
                lambda val, test: int(np.argmax(np.add(val, np.multiply(test, 0.05)))),
            "The test scores are subtracted: that too chooses with what may only be reported, and prefers what fails on test.":
                lambda val, test: int(np.argmax(np.subtract(val, test))),
            "That is the lowest validation score: a score is no loss.": lambda val, test: int(np.argmin(val)),
        },
    },
    "paired_interval": {
        "title": "A difference over seeds", "notebook": "08", "minutes": 15, "difficulty": 2,
        "task": "paired_interval(a, b) -> (low, high): Student-t 95% interval of the mean of a - b; a[i] and b[i] share a seed",
        "cases": SEEDS, "tolerance": 2e-4,
        "answer": paired,
        "mistakes": {
            "Unpaired: the luck of a seed, which both models share, falls out of a - b.": lambda a, b: paired(a, b, ttest_ind),
            "The population's sd (ddof=0): with five seeds 11% too narrow.": lambda a, b: around_mean(a, b, t_of(a), ddof=0),
            "1.96 is the normal's: with five seeds Student's t is 2.78. An effect would be confirmed too soon.":
                lambda a, b: around_mean(a, b, float(student.ppf(0.975, 1e9))),
            "Not divided by the root of the number of seeds: that is the spread of single seeds, not of their mean.":
                lambda a, b: around_mean(a, b, t_of(a), root=False),
            "That is b - a: the sign says which model is better.": lambda a, b: paired(b, a),
        },
    },
    "mean_sd": {
        "title": "A cell of the table", "notebook": "08", "minutes": 3, "difficulty": 1,
        "task": "mean_sd(values) -> (mean, standard deviation of the sample) over seeds",
        "cases": [(SEEDS[0][0],), (SEEDS[1][1],), ([0.5, 0.7],)],
        "answer": lambda values: np.array([np.mean(values), np.std(values, ddof=1)]),
        "mistakes": {
            "The population's (ddof=0, numpy's default): a sample divides by n - 1.": lambda v: np.array([np.mean(v), np.std(v)]),
            "That is the standard error of the mean: the tables say by how much one seed differs from another.":
                lambda v: np.array([np.mean(v), np.std(v, ddof=1) / len(v) ** 0.5]),
            "That is the variance: its root has the unit of the score.": lambda v: np.array([np.mean(v), np.var(v, ddof=1)]),
        },
    },
    "softmax_axis": {
        "title": "Over which axis was the softmax?", "notebook": "09", "minutes": 5, "difficulty": 2,
        "task": "softmax_axis(weights (H,B,M)) -> 0, 1 or 2: the axis over which all weights sum to one",
        "cases": [(numbers(2, 4, 6).softmax(2),), (numbers(2, 4, 6).softmax(0),), (numbers(2, 4, 6).softmax(1),), (BY_CHANCE,),
                  (torch.full((2, 3, 4), 0.25),), (OVER_PAIRS,), (OVER_PICTURES,), (LAST_SUM,), (numbers(3, 3, 3).softmax(2),)],
        "answer": summing_axis,
        "mistakes": {
            "Always the last axis: so says the paper. The published code's softmax runs over the heads; measure it.": lambda w: 2,
            "Always the heads: so softmax chooses if it is not told the axis. Ours runs over the pairs; measure it.": lambda w: 0,
            "One row is not enough: by chance a row sums to one where the softmax ran over the heads. Look at all sums.":
                lambda w: min(range(3), key=lambda axis: (abs(w.sum(axis).flatten()[0] - 1).item() > 1e-4, -axis)),
            "The first sum of an axis is not enough: by chance it is one over the heads or pictures too. Look at all sums.":
                lambda w: min(range(3), key=lambda axis: abs(w.sum(axis).flatten()[0] - 1).item() > 1e-4),
            "That any sum is one is not enough: by chance one is, over the heads too. .all(), not .any().":
                lambda w: min(range(3), key=lambda axis: bool(((w.sum(axis) - 1).abs() > 1e-4).all())),
            "The mean of the sums is one over every axis where H = B = M: look at all sums, each must be one.":
                lambda w: min(range(3), key=lambda axis: abs(w.sum(axis).mean() - 1).item() > 1e-4),
            "Counted from the end: write -1 as 2, as the three axes (H,B,M) are 0, 1, 2.": lambda w: summing_axis(w) - 3,
        },
    },
}  # fmt: skip
