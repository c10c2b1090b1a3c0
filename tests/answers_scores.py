"""Answers to the exercises of notebooks 06 to 09, right and wrong."""

import math
import random
from collections import defaultdict

import numpy as np
import torch
from answers import solution, wrong
from torch.nn import functional as F

# ---------------------------------------------------------------------------------------------------------- notebook 06


@solution
def class_vectors(prompt_vectors):
    return torch.stack([sum(p) / len(p) for p in prompt_vectors])


wrong("class_vectors", "sum")(lambda prompt_vectors: torch.stack([sum(p) for p in prompt_vectors]))


@wrong("class_vectors", "Normalised again")
def _(prompt_vectors):
    W = torch.stack([torch.mean(p, dim=0) for p in prompt_vectors])
    return W / W.norm(dim=1, keepdim=True)


wrong("class_vectors", "first prompt")(lambda prompt_vectors: torch.vstack([p[:1] for p in prompt_vectors]))


@solution
def probabilities(V, W, s):
    logits = s * (V @ W.t())
    e = torch.exp(logits - logits.max(1, keepdim=True).values)
    return e / e.sum(1, keepdim=True)


@wrong("probabilities", "case 2", "gave nan", "exp overflows")
def _(V, W, s):
    e = torch.exp(s * (V @ W.t()))
    return e / e.sum(1, keepdim=True)


@wrong("probabilities", "case 3", "gave nan", "of all pictures")
def _(V, W, s):
    logits = s * (V @ W.t())
    e = torch.exp(logits - logits.max())
    return e / e.sum(1, keepdim=True)


@wrong("probabilities", "case 3", "cut off", "limit")
def _(V, W, s):
    e = torch.exp(torch.clamp(s * (V @ W.t()), max=80))
    return e / e.sum(1, keepdim=True)


wrong("probabilities", "W is not brought back to length one, as published")(
    lambda V, W, s: F.softmax(s * F.normalize(V, dim=1) @ F.normalize(W, dim=1).T, dim=1)
)
wrong("probabilities", "an array (3, 3) of float32", "stay in torch")(lambda V, W, s: probabilities(V, W, s).numpy())
wrong("probabilities", "s is forgotten")(lambda V, W, s: F.softmax(V @ W.t(), dim=-1))
wrong("probabilities", "over the pictures")(lambda V, W, s: F.softmax(s * V @ W.t(), dim=0))


@solution
def aca(truth, guess):
    return np.mean([(guess[truth == c] == c).mean() for c in set(truth)])


wrong("aca", "not in truth has no recall")(
    lambda truth, guess: np.mean([sum((truth == c) & (guess == c)) / max(1, sum(truth == c)) for c in range(max(truth) + 1)])
)
wrong("aca", "case 2", "gave nan")(
    lambda truth, guess: torch.stack([torch.tensor(guess == c)[truth == c].float().mean() for c in range(3)]).mean()
)
wrong("aca", "accuracy")(lambda truth, guess: sum(truth == guess) / len(truth))
wrong("aca", "precision")(
    lambda truth, guess: np.mean([(truth[guess == c] == c).mean() if (guess == c).any() else 0 for c in set(truth)])
)


def bins_of(truth, P, bins):
    top, right = P.max(1), P.argmax(1) == truth
    for b in range(bins):
        inside = (top > b / bins) & (top <= (b + 1) / bins)
        if inside.any():
            yield inside.mean(), right[inside].mean() - top[inside].mean()


@solution
def calibration_error(truth, P, bins=15):
    return sum(share * abs(gap) for share, gap in bins_of(truth, P, bins))


wrong("calibration_error", "P (5, 3), bins 4", "bins is not used")(lambda truth, P, bins=15: calibration_error(truth, P))


@wrong("calibration_error", "case 2", "floor")
def _(truth, P, bins=15):
    top, right = P.max(1), P.argmax(1) == truth
    number = (top * bins).astype(int)
    return sum((number == b).mean() * abs((right - top)[number == b].mean()) for b in set(number))


@wrong("calibration_error", "case 2", "Bins are [low, high) there:")
def _(truth, P, bins=15):
    top, right = P.max(1), P.argmax(1) == truth
    number = np.digitize(top, np.linspace(0, 1, bins + 1)[1:-1])
    return sum((number == b).mean() * abs((right - top)[number == b].mean()) for b in set(number))


@wrong("calibration_error", "case 2", "1.0 is in none")
def _(truth, P, bins=15):
    top, right, error = P.max(1), P.argmax(1) == truth, 0.0
    for b in range(bins):
        inside = (top >= b / bins) & (top < (b + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    return error


wrong("calibration_error", "not weighted")(lambda truth, P, bins=15: np.mean([abs(gap) for _, gap in bins_of(truth, P, bins)]))
wrong("calibration_error", "absolute")(lambda truth, P, bins=15: sum(share * gap for share, gap in bins_of(truth, P, bins)))


# ---------------------------------------------------------------------------------------------------------- notebook 07


@solution
def support_set(labels, shots, seed):
    chance, rows = random.Random(seed), defaultdict(list)
    for row, label in enumerate(labels):
        rows[label].append(row)
    return [row for label in sorted(rows) for row in chance.sample(rows[label], shots)]


wrong("support_set", "per class", "got")(
    lambda labels, shots, seed: random.Random(seed).sample(range(len(labels)), shots * len(set(labels)))
)


@wrong("support_set", "with replacement", "times")
def _(labels, shots, seed):
    chance = random.Random(seed)
    return [row for c in sorted(set(labels)) for row in chance.choices([i for i, x in enumerate(labels) if x == c], k=shots)]


def shots_of(classes, labels, shots, seed):
    chance = random.Random(seed)
    return [row for c in classes for row in chance.sample([i for i, x in enumerate(labels) if x == c], shots)]


wrong("support_set", "case 3 of 4", "ValueError", "class without a row", "not 0, 1, 2")(
    lambda labels, shots, seed: shots_of(range(3), labels, shots, seed)
)
wrong("support_set", "case 3 of 4", "ValueError", "class without a row")(
    lambda labels, shots, seed: shots_of(range(len(set(labels))), labels, shots, seed)
)


def first_shuffled(classes, labels, shots, seed):
    chance, labels = np.random.RandomState(seed), np.array(labels)
    return np.concatenate([chance.permutation(np.where(labels == c)[0])[:shots] for c in classes])


wrong("support_set", "case 4 of 4", "shape (6,)", "here not 0, 1, 2")(
    lambda labels, shots, seed: first_shuffled(range(3), labels, shots, seed)
)
wrong("support_set", "case 3 of 4", "shape (5,)", "does not say which")(
    lambda labels, shots, seed: first_shuffled(range(len(set(labels))), labels, shots, seed)
)
wrong("support_set", "case 4 of 4", "begins anew for each class", "every class gave its rows number")(
    lambda labels, shots, seed: [row for c in sorted(set(labels)) for row in shots_of([c], labels, shots, seed)]
)


@wrong("support_set", "begins anew for each class")
def _(labels, shots, seed):
    order = np.concatenate([first_shuffled([c], labels, shots, seed) for c in np.unique(labels)])
    return np.sort(order)


@solution
def tip_adapter(features, keys, values, zero_shot_logits, alpha, beta):
    out = zero_shot_logits.clone()
    for n in range(len(features)):
        for k in range(len(keys)):
            out[n] = out[n] + alpha * math.exp(-beta * (1 - float(features[n] @ keys[k]))) * values[k]
    return out


@wrong("tip_adapter", "sign of the distance")
def _(features, keys, values, zero_shot_logits, alpha, beta):
    return zero_shot_logits + alpha * torch.exp(beta * (1 - features @ keys.T)) @ values


@wrong("tip_adapter", "beta is forgotten")
def _(features, keys, values, zero_shot_logits, alpha, beta):
    return zero_shot_logits + alpha * torch.exp(features @ keys.T - 1) @ values


@wrong("tip_adapter", "class numbers")
def _(features, keys, values, zero_shot_logits, alpha, beta):
    numbers = values @ torch.arange(values.shape[1]).float()
    return zero_shot_logits + alpha * (torch.exp(-beta * (1 - features @ keys.T)) @ numbers)[:, None]


@wrong("tip_adapter", "case 3", "its place among the shots")
def _(features, keys, values, zero_shot_logits, alpha, beta):
    affinity, counts = torch.exp(-beta * (1 - features @ keys.T)), values.sum(0).int().tolist()
    memory = torch.stack([part.sum(1) for part in affinity.split(counts, dim=1)], dim=1)
    return zero_shot_logits + alpha * memory


@wrong("tip_adapter", "changed its input zero_shot_logits in place")
def _(features, keys, values, zero_shot_logits, alpha, beta):
    zero_shot_logits += alpha * torch.exp(-beta * (1 - features @ keys.T)) @ values
    return zero_shot_logits


@solution
def honest_choice(val_scores, test_scores):
    return val_scores.index(max(val_scores))


wrong("honest_choice", "test scores: a leak")(lambda val_scores, test_scores: test_scores.index(max(test_scores)))
wrong("honest_choice", "case 4", "a small weight")(
    lambda val_scores, test_scores: int(np.argmax(2 * np.array(val_scores) + 0.1 * np.array(test_scores)))
)
wrong("honest_choice", "case 4", "or a rank")(
    lambda val_scores, test_scores: int(np.argmax(10 * np.argsort(np.argsort(val_scores)) + np.argsort(np.argsort(test_scores))))
)
wrong("honest_choice", "case 5", "subtracted")(
    lambda val_scores, test_scores: int(np.argmax(np.array(val_scores) - np.array(test_scores)))
)
wrong("honest_choice", "lowest")(lambda val_scores, test_scores: val_scores.index(min(val_scores)))


# ------------------------------------------------------------------------------------------------------ notebooks 08, 09

T95 = {2: 4.303, 3: 3.182, 4: 2.776}  # Student's t by degrees of freedom, from a printed table


@solution
def paired_interval(a, b):
    d = [x - y for x, y in zip(a, b, strict=True)]
    middle, n = sum(d) / len(d), len(d)
    sd = math.sqrt(sum((x - middle) ** 2 for x in d) / (n - 1))
    return middle - T95[n - 1] * sd / math.sqrt(n), middle + T95[n - 1] * sd / math.sqrt(n)


@wrong("paired_interval", "Unpaired")
def _(a, b):
    n, middle = len(a), np.mean(a) - np.mean(b)
    half = {4: 2.776, 6: 2.447, 8: 2.306}[2 * n - 2] * math.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / n)
    return [middle - half, middle + half]


@wrong("paired_interval", "ddof=0")
def _(a, b):
    d = np.array(a) - np.array(b)
    half = T95[len(d) - 1] * d.std() / np.sqrt(len(d))
    return d.mean() - half, d.mean() + half


@wrong("paired_interval", "1.96")
def _(a, b):
    d = np.array(a) - np.array(b)
    half = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    return d.mean() - half, d.mean() + half


@solution
def mean_sd(values):
    middle = sum(values) / len(values)
    return middle, math.sqrt(sum((x - middle) ** 2 for x in values) / (len(values) - 1))


@wrong("mean_sd", "ddof=0")
def _(values):
    values = torch.tensor(values)
    return values.mean(), values.std(unbiased=False)


@wrong("mean_sd", "standard error")
def _(values):
    values = torch.tensor(values)
    return values.mean(), values.std() / math.sqrt(len(values))


wrong("mean_sd", "shape (2,)")(lambda values: sum(values) / len(values))


@solution
def softmax_axis(weights):
    for axis in (0, 1, 2):
        if ((weights.sum(axis) - 1).abs() < 1e-5).all():
            return axis
    raise ValueError("no softmax")


wrong("softmax_axis", "paper")(lambda weights: weights.ndim - 1)
wrong("softmax_axis", "Counted from the end")(
    lambda weights: next(axis for axis in (-1, -2, -3) if torch.allclose(weights.sum(axis), torch.tensor(1.0)))
)


def first_axis(weights, close):
    return next(axis for axis in range(3) if close((weights.sum(axis) - 1).abs() < 1e-4))


wrong("softmax_axis", "The first sum of an axis")(lambda weights: first_axis(weights, lambda close: close[0, 0]))
wrong("softmax_axis", ".all(), not .any()")(lambda weights: first_axis(weights, torch.any))
wrong("softmax_axis", "The mean of the sums", "H = B = M")(
    lambda weights: next(axis for axis in (0, 1, 2) if abs(float(weights.sum(axis).mean()) - 1) < 1e-5)
)
wrong("softmax_axis", "case 4", "gave 2")(  # from the last axis on
    lambda weights: next(axis for axis in (2, 1, 0) if torch.isclose(weights.sum(axis), torch.tensor(1.0)).any())
)


@wrong("softmax_axis", "The first sum of an axis")
def _(weights):
    sums = weights[:, 0, 0].sum(), weights[0, :, 0].sum(), weights[0, 0].sum()
    return next(axis for axis, total in enumerate(sums) if abs(float(total) - 1) < 1e-5)


@wrong("softmax_axis", "One row is not enough")
def _(weights):
    sums = weights[0, 0].sum(), weights[0, :, 0].sum(), weights[:, 0, 0].sum()
    return next(axis for axis, total in zip((2, 1, 0), sums, strict=True) if abs(float(total) - 1) < 1e-5)
