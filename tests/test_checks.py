"""Exercise checks: solutions as a student would write them pass, plausible wrong answers are refused with a telling word."""

import math
import random
import time
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from keepfit_mini import metrics
from keepfit_mini.checks import EXERCISES, Wrong, attempt, check, without_gradient
from keepfit_mini.config import InputError

SOLUTIONS, WRONG = {}, []


def solution(function):
    SOLUTIONS[function.__name__] = function
    return function


def wrong(exercise, *telling):
    """The wrong answer that follows; words of its message."""

    def keep(function):
        WRONG.append(pytest.param(exercise, function, telling, id=f"{exercise}: {telling[0]}"))
        return function

    return keep


# ------------------------------------------------------------------------------------------------------ notebooks 00, 01


@solution
def cosine(a, b):
    out = torch.zeros(len(a), len(b))
    for i in range(len(a)):
        for j in range(len(b)):
            out[i, j] = a[i].dot(b[j]) / (a[i].norm() * b[j].norm())
    return out


wrong("cosine", "no normalisation")(lambda a, b: torch.einsum("id,jd->ij", a, b))


@wrong("cosine", "wrong axis")
def _(a, b):
    a, b = a / a.norm(dim=0), b / b.norm(dim=0)
    return a @ b.T


wrong("cosine", "Transposed")(lambda a, b: F.normalize(b, dim=-1) @ F.normalize(a, dim=-1).T)
wrong("cosine", "gave an array (3, 3)", "expected a tensor (3, 3) of float32: stay in torch")(lambda a, b: cosine(a, b).numpy())
wrong("cosine", "Only a has length one")(lambda a, b: F.normalize(a, dim=-1) @ b.T)


@solution
def split_by_patient(patients, share, seed):
    chance = random.Random(seed)
    unique = sorted(set(patients))
    chance.shuffle(unique)
    held = unique[: int(len(unique) * share)]
    return np.isin(patients, held)


wrong("split_by_patient", "leak", "both sides")(
    lambda patients, share, seed: np.random.RandomState(seed).rand(len(patients)) < share
)


@wrong("split_by_patient", "share", "not about 20%")
def _(patients, share, seed):
    unique = sorted(set(patients))
    return np.isin(patients, random.Random(seed).sample(unique, 5))


@wrong("split_by_patient", "seed", "different answers")
def _(patients, share, seed):
    unique = sorted(set(patients))
    return np.isin(patients, random.sample(unique, int(share * len(unique))))


@wrong("split_by_patient", "seed is not used")
def _(patients, share, seed):
    unique = sorted(set(patients))
    return np.isin(patients, unique[: int(share * len(unique))])


wrong("split_by_patient", "expected an array", "of bool")(
    lambda patients, share, seed: np.isin(patients, sorted(set(patients))[:40]).astype(int)
)


@solution
def pair_letters(caption, panels):
    starts = [caption.index(letter + ", ") for letter in panels] + [len(caption)]
    return {letter: caption[starts[i] + 3 : starts[i + 1]].strip() for i, letter in enumerate(panels)}


wrong("pair_letters", "whole caption")(lambda caption, panels: dict.fromkeys(panels, caption))


@wrong("pair_letters", "letter is still")
def _(caption, panels):
    starts = [caption.index(letter + ", ") for letter in panels] + [len(caption)]
    return {letter: caption[starts[i] : starts[i + 1]].strip() for i, letter in enumerate(panels)}


wrong("pair_letters", "a dict of A")(lambda caption, panels: caption.split(". "))


# ---------------------------------------------------------------------------------------------------------- notebook 02


@solution
def mean_pool(hidden, mask):
    rows = []
    for h, m in zip(hidden, mask, strict=True):
        rows.append(h[m.bool()].mean(0))
    return torch.stack(rows)


wrong("mean_pool", "padding")(lambda hidden, mask: hidden.sum(dim=1) / hidden.shape[1])
wrong("mean_pool", "whole batch")(lambda hidden, mask: torch.einsum("bld,bl->bd", hidden, mask.float()) / mask.sum())
wrong("mean_pool", "maximum")(
    lambda hidden, mask: torch.stack([h[m.bool()].max(0).values for h, m in zip(hidden, mask, strict=True)])
)
wrong("mean_pool", "Divided by L")(lambda hidden, mask: torch.einsum("bld,bl->bd", hidden, mask.float()) / hidden.size(1))


@wrong("mean_pool", "changed its input hidden in place")
def _(hidden, mask):
    hidden[mask == 0] = 0
    return hidden.sum(1) / mask.sum(1, keepdim=True)


@solution
def project(x, weight):
    x = x / x.norm(dim=-1, keepdim=True)
    x = F.linear(x, weight)
    return x / x.norm(dim=-1, keepdim=True)


wrong("project", "No second normalisation")(lambda x, weight: F.linear(x / x.norm(dim=-1, keepdim=True), weight))


@wrong("project", "transposed")
def _(x, weight):
    out = x / x.norm(dim=-1, keepdim=True) @ weight
    return out / out.norm(dim=-1, keepdim=True)


@wrong("project", "changed its input x in place")
def _(x, weight):
    x /= x.norm(dim=-1, keepdim=True)
    return F.normalize(x @ weight.T, dim=-1)


@solution
def recall_at_1(similarity):
    return sum(int(row.argmax()) == i for i, row in enumerate(similarity)) / len(similarity)


wrong("recall_at_1", "wrong axis")(
    lambda similarity: sum(int(column.argmax()) == i for i, column in enumerate(similarity.T)) / len(similarity)
)
wrong("recall_at_1", "Ties")(lambda similarity: (similarity.max(dim=1).values == torch.diag(similarity)).float().mean())


# ---------------------------------------------------------------------------------------------------------- notebook 03


@solution
def expert_attention(V, expert_V, expert_T):
    scores = torch.matmul(V, expert_V.transpose(0, 1)) / math.sqrt(V.size(1))
    weights = torch.exp(scores) / torch.exp(scores).sum(dim=1, keepdim=True)
    return weights @ expert_T, weights


@wrong("expert_attention", "over the pictures", "heads")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_V.T / math.sqrt(V.size(1)), dim=0)
    return weights @ expert_T, weights


@wrong("expert_attention", "sqrt(D) is missing")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_V.T, dim=-1)
    return weights @ expert_T, weights


@wrong("expert_attention", "values are the pictures")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_V.T / V.size(1) ** 0.5, dim=-1)
    return weights @ expert_V, weights


@wrong("expert_attention", "keys are the captions", "in the first of the two returned, at [0, 0]")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_T.T / math.sqrt(V.size(1)), dim=-1)
    return weights @ expert_T, weights


wrong("expert_attention", "a tuple of 2")(lambda V, expert_V, expert_T: F.scaled_dot_product_attention(V, expert_V, expert_T))


@solution
def attention_entropy(weights):
    return -(weights * weights.clamp(min=1e-12).log()).sum(-1)


wrong("attention_entropy", "wrong axis")(lambda weights: -(weights * (weights + 1e-12).log()).sum(0))
wrong("attention_entropy", "an array (4,)", "stay in torch")(lambda weights: attention_entropy(weights).numpy())
wrong("attention_entropy", "log2", "nats")(lambda weights: -(weights * torch.log2(weights + 1e-12)).sum(1))
wrong("attention_entropy", "NaN", "0 log 0")(lambda weights: torch.sum(-weights * torch.log(weights), dim=-1))


@solution
def top_captions(weights, captions, k):
    out = []
    for row in weights.tolist():
        order = sorted(range(len(row)), key=lambda i: row[i], reverse=True)
        out.append([captions[i] for i in order[:k]])
    return out


wrong("top_captions", "Smallest first")(
    lambda weights, captions, k: [[captions[i] for i in np.argsort(row)[:k]] for row in weights.numpy()]
)
wrong("top_captions", "most weight last")(
    lambda weights, captions, k: [[captions[i] for i in np.argsort(row)[-k:]] for row in weights.numpy()]
)


# ---------------------------------------------------------------------------------------------------------- notebook 04


@solution
def soft_targets(categories):
    rows = [[float(a == b) for b in categories] for a in categories]
    return torch.tensor([[value / sum(row) for value in row] for row in rows])


wrong("soft_targets", "identity", "cataracts")(lambda categories: torch.diag(torch.ones(len(categories))))
wrong("soft_targets", "an array (4, 4)", "stay in torch")(lambda categories: soft_targets(categories).numpy())
wrong("soft_targets", "not normalised")(
    lambda categories: torch.tensor([[float(a == b) for b in categories] for a in categories])
)
wrong("soft_targets", "a list of 4", "a tensor (4, 4)")(
    lambda categories: [[float(a == b) for b in categories] for a in categories]
)


def rows_cross_entropy(logits, targets):
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def both_ways(logits, targets):
    return 0.5 * (rows_cross_entropy(logits, targets) + rows_cross_entropy(logits.t(), targets))


@solution
def soft_clip_loss(image, text, scale, targets):
    logits = scale * image @ text.t()
    return 0.5 * (rows_cross_entropy(logits, targets) + rows_cross_entropy(logits.t(), targets))


wrong("soft_clip_loss", "One direction only")(
    lambda image, text, scale, targets: rows_cross_entropy(scale * image @ text.t(), targets)
)
wrong("soft_clip_loss", "temperature is forgotten")(lambda V, T, s, Y: both_ways(V @ T.t(), Y))
wrong("soft_clip_loss", "Divided by the scale")(lambda V, T, s, Y: both_ways(V @ T.t() / s, Y))
wrong("soft_clip_loss", "softmax of the targets")(lambda V, T, s, Y: both_ways(s * V @ T.t(), torch.softmax(Y, dim=-1)))
wrong("soft_clip_loss", "averaged (the 1/2)")(lambda V, T, s, Y: 2 * both_ways(s * V @ T.t(), Y))


@wrong("soft_clip_loss", "B times too small")
def _(V, T, s, Y):
    L = s * V @ T.t()
    return -((Y * L.log_softmax(1)).mean() + (Y * L.t().log_softmax(1)).mean()) / 2


@wrong("soft_clip_loss", "case 3", "Y is transposed for T V^T")
def _(V, T, s, Y):
    L = s * V @ T.t()
    return -((Y * L.log_softmax(1)).sum() + (Y * L.log_softmax(0)).sum()) / (2 * len(Y))


@wrong("soft_clip_loss", "case 3", "Y is transposed for V T^T")
def _(V, T, s, Y):
    L = s * T @ V.t()
    return -((Y * L.log_softmax(1)).sum() + (Y * L.log_softmax(0)).sum()) / (2 * len(Y))


wrong("soft_clip_loss", "no gradient reaches text")(lambda V, T, s, Y: both_ways(s * V @ T.detach().t(), Y))
wrong("soft_clip_loss", "without a gradient", ".item()")(lambda V, T, s, Y: both_ways(s * V @ T.t(), Y).item())


@solution
def revision_loss(R, T):
    return torch.mean((R - T) ** 2)


wrong("revision_loss", "Summed, not averaged")(lambda R, T: torch.sum((R - T) ** 2))
wrong("revision_loss", "D times too large")(lambda R, T: torch.linalg.norm(R - T, dim=1).square().mean())
wrong("revision_loss", "no gradient reaches R", "no .detach()")(lambda R, T: F.mse_loss(R.detach(), T))
wrong("revision_loss", "no gradient reaches T", "no .detach()")(lambda R, T: F.mse_loss(R, T.data))
wrong("revision_loss", "without a gradient")(lambda R, T: F.mse_loss(R.detach(), T.detach()))
wrong("revision_loss", "absolute")(lambda R, T: F.l1_loss(R, T))


@solution
def total_loss(public, expert, revision, weight):
    return sum([public, expert, revision * weight])


wrong("total_loss", "weight is forgotten")(lambda public, expert, revision, weight: revision + expert + public)
wrong("total_loss", "expert loss is missing")(lambda public, expert, revision, weight: public + revision * weight)


# ---------------------------------------------------------------------------------------------------------- notebook 05


@solution
def warmup_cosine(step, warmup, total):
    if step < warmup:
        return (step + 1) / warmup
    if step >= total:
        return 0
    return 0.5 + 0.5 * np.cos(np.pi * (step - warmup) / (total - warmup))


wrong("warmup_cosine", "No warm-up")(lambda step, warmup, total: 0.5 + 0.5 * np.cos(np.pi * min(step, total) / total))


@wrong("warmup_cosine", "starts at 0 and rises")
def _(step, warmup, total):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 - 0.5 * np.cos(np.pi * min(1, (step - warmup) / (total - warmup)))


@wrong("warmup_cosine", "restart")
def _(step, warmup, total):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * np.cos(np.pi * (step - warmup) / (total - warmup))


wrong("warmup_cosine", "The warm-up starts at 0")(
    lambda step, warmup, total: step / warmup if step < warmup else warmup_cosine(step, warmup, total)
)


@wrong("warmup_cosine", "warmup 0", "ZeroDivisionError", "rising = ")
def _(step, warmup, total):
    rising = (step + 1) / warmup
    return min(rising, warmup_cosine(max(step, warmup), warmup, total))


@solution
def expert_batches(n_expert, batch, steps, seed):
    chance, waiting = random.Random(seed), []
    for _ in range(steps):
        while len(waiting) < batch:
            order = list(range(n_expert))
            chance.shuffle(order)
            waiting += order
        yield waiting[:batch]
        waiting = waiting[batch:]


wrong("expert_batches", "with replacement", "times")(
    lambda n_expert, batch, steps, seed: np.random.default_rng(seed).integers(n_expert, size=(steps, batch))
)


@wrong("expert_batches", "same order")
def _(n_expert, batch, steps, seed):
    order = random.Random(seed).sample(range(n_expert), n_expert)
    return [[order[(step * batch + i) % n_expert] for i in range(batch)] for step in range(steps)]


@wrong("expert_batches", "shape (1000, 4)", "expected shape (12, 4)")
def _(n_expert, batch, steps, seed):
    while True:
        yield from expert_batches(n_expert, batch, steps, seed)


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


@wrong("tip_adapter", "changed its input zero_shot_logits in place")
def _(features, keys, values, zero_shot_logits, alpha, beta):
    zero_shot_logits += alpha * torch.exp(-beta * (1 - features @ keys.T)) @ values
    return zero_shot_logits


@solution
def honest_choice(val_scores, test_scores):
    return val_scores.index(max(val_scores))


wrong("honest_choice", "test scores: a leak")(lambda val_scores, test_scores: test_scores.index(max(test_scores)))
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


@wrong("softmax_axis", "One row is not enough")
def _(weights):
    sums = weights[0, 0].sum(), weights[0, :, 0].sum(), weights[:, 0, 0].sum()
    return next(axis for axis, total in zip((2, 1, 0), sums, strict=True) if abs(float(total) - 1) < 1e-5)


# ---------------------------------------------------------------------------------------------------------- notebook 10


@solution
def shift(words):
    length = words.shape[1]
    return words.narrow(1, 0, length - 1), words.narrow(1, 1, length - 1)


@wrong("shift", "copy its input")
def _(words):
    words = words[:, : words.shape[1] - 1]
    return words, words.clone()


wrong("shift", "forwards")(lambda words: (torch.roll(words, -1, 1)[:, :-1], words[:, :-1]))


@solution
def next_word_loss(logits, targets, pad):
    likely = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    return -likely[targets != pad].mean()


wrong("next_word_loss", "Padding is counted")(
    lambda logits, targets, pad: -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()
)


wrong("next_word_loss", "Shifted again")(lambda logits, targets, pad: next_word_loss(logits[:, :-1], targets[:, 1:], pad))


@wrong("next_word_loss", "Divided by N L")
def _(logits, targets, pad):
    likely = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    return -(likely * (targets != pad)).mean()


@wrong("next_word_loss", "each report's mean")
def _(logits, targets, pad):
    likely = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    real = (targets != pad).float()
    return -((likely * real).sum(1) / real.sum(1)).mean()


@solution
def precision_recall(written, true):
    hits = sum(len(w & t) for w, t in zip(written, true, strict=True))
    return hits / sum(map(len, written)), hits / sum(map(len, true))


wrong("precision_recall", "swapped")(lambda written, true: precision_recall(written, true)[::-1])


@wrong("precision_recall", "macro")
def _(written, true):
    pairs = list(zip(written, true, strict=True))
    precision = [len(w & t) / len(w) if w else 0 for w, t in pairs]
    return np.mean(precision), np.mean([len(w & t) / len(t) for w, t in pairs])


@wrong("precision_recall", "not empty")
def _(written, true):
    pairs = list(zip(written, true, strict=True))
    return np.mean([len(w & t) / len(w) for w, t in pairs if w]), np.mean([len(w & t) / len(t) for w, t in pairs if t])


@wrong("precision_recall", "changed its input written in place")
def _(written, true):
    for w, t in zip(written, true, strict=True):
        w &= t
    return precision_recall(written, true)


@solution
def beam_step(scores, log_probs, width):
    every = [(-float(scores[b] + log_probs[b, w]), b, w) for b in range(len(scores)) for w in range(log_probs.shape[1])]
    return [(b, w) for _, b, w in sorted(every)[:width]]


@wrong("beam_step", "each beam only")
def _(scores, log_probs, width):
    best = [(-float(scores[b] + row.max()), b, int(row.argmax())) for b, row in enumerate(log_probs)]
    return [(b, w) for _, b, w in sorted(best)[:width]]


wrong("beam_step", "in the order of the beams")(
    lambda scores, log_probs, width: [(b, int(row.argmax())) for b, row in enumerate(log_probs)][:width]
)


@wrong("beam_step", "Multiplied")
def _(scores, log_probs, width):
    every = [(-float(scores[b] * log_probs[b, w]), b, w) for b in range(len(scores)) for w in range(log_probs.shape[1])]
    return [(b, w) for _, b, w in sorted(every)[:width]]


# ----------------------------------------------------------------------------------------------------- every exercise


@pytest.mark.parametrize("exercise", EXERCISES)
def test_solution_passes(exercise, capsys):
    check(exercise, SOLUTIONS[exercise])
    assert capsys.readouterr().out == f"right: {len(EXERCISES[exercise].cases)} cases\n"


@pytest.mark.parametrize("exercise, function, telling", WRONG)
def test_wrong_answer_is_named(exercise, function, telling):
    with pytest.raises(Wrong) as caught:
        check(exercise, function)
    message = str(caught.value)
    assert all(word in message for word in telling), message
    assert len(message.splitlines()) <= 3


@pytest.mark.parametrize("exercise", EXERCISES)
def test_two_wrong_answers_or_more_here_and_in_the_table(exercise):
    assert sum(param.values[0] == exercise for param in WRONG) >= 2
    row = EXERCISES[exercise]
    assert len(row.mistakes) >= 2 or len(row.rules) >= 2
    assert row.notebook in {f"{n:02}" for n in range(11)} and row.difficulty in (1, 2, 3) and row.minutes > 0
    assert row.task.startswith(f"{exercise}(")


@pytest.mark.parametrize("exercise, message", [(name, m) for name, row in EXERCISES.items() for m in row.mistakes])
def test_each_known_mistake_is_refused_in_its_own_words(exercise, message):
    with pytest.raises(Wrong) as caught:
        check(exercise, EXERCISES[exercise].mistakes[message])
    assert str(caught.value).splitlines()[-1] == message


def test_cases_are_left_alone_and_all_checks_are_quick():
    before, start = {name: repr(row.cases) for name, row in EXERCISES.items()}, time.perf_counter()
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    for name, function in SOLUTIONS.items():
        check(name, function)
    assert time.perf_counter() - start < 5
    assert {name: repr(row.cases) for name, row in EXERCISES.items()} == before
    assert torch.equal(torch.get_rng_state(), state[0]) and np.random.get_state()[1].tolist() == state[1]
    assert random.getstate() == state[2]


# -------------------------------------------------------------------------------------------------------- the machinery


def refused(exercise, function):
    with pytest.raises(Wrong) as caught:
        check(exercise, function)
    return str(caught.value)


def test_what_a_refusal_says():
    half = refused("aca", lambda truth, guess: 0.5)
    assert half.splitlines() == ["aca(truth (9,), guess (9,)), case 1 of 2: gave 0.5", "expected 0.4444"]
    first, second = refused("cosine", lambda a, b: cosine(a, b) + torch.tensor([0, 0, 1])[:, None]).splitlines()
    assert first.startswith("cosine(a (3, 4), b (3, 4)), case 1 of 3: gave ") and first.endswith("at [2, 0]")
    assert second.endswith("there; 3 of 9 values differ")


def test_no_answer():
    def stub(a, b):
        raise NotImplementedError

    def broken(a, b):
        rows = len(a)
        return rows["first"]

    assert "gave None" in refused("cosine", lambda a, b: None)
    assert "not written yet" in refused("cosine", stub)
    message = refused("cosine", broken)
    assert "TypeError: 'int' object" in message and 'in line 3: return rows["first"]' in message
    assert "TypeError" in refused("cosine", lambda a: a)
    assert "not a function" in refused("cosine", cosine(torch.eye(2), torch.eye(2)))


def test_the_cause_of_an_error_is_kept():
    with pytest.raises(Wrong) as caught:
        check("cosine", lambda a, b: a / 0 @ b)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_wrong_kinds_and_shapes():
    shapes = refused("cosine", lambda a, b: a[:, :1])
    assert "gave shape (3, 1)" in shapes and "expected shape (3, 3)" in shapes
    assert "gave a str" in refused("cosine", lambda a, b: "0.5")
    assert "gave a list of 2" in refused("cosine", lambda a, b: [[1.0], [1.0, 2.0]])
    assert "a tuple of 3" in refused("shift", lambda words: (words, words, words))
    assert "gave a bool" in refused("softmax_axis", lambda weights: False)
    assert "a dict of B" in refused("pair_letters", lambda caption, panels: {"B": caption})
    assert "at ['B']" in refused("pair_letters", lambda c, p: {**pair_letters(c, p), "B": "no"})
    second = refused("expert_attention", lambda V, K, T: (expert_attention(V, K, T)[0], V @ K.T))
    assert "in the second of the two returned, at [0, 0]" in second
    assert "an array (4, 4) of float32 in the second of the two returned" in refused(
        "expert_attention", lambda V, K, T: (expert_attention(V, K, T)[0], expert_attention(V, K, T)[1].numpy())
    )
    assert "'no' at [0][1]" in refused("top_captions", lambda w, c, k: [[row[0], "no"] for row in top_captions(w, c, 2)])


def test_not_a_number():
    message = refused("mean_pool", lambda hidden, mask: mean_pool(hidden, mask) / torch.tensor([1.0, 0.0, 1.0])[:, None] * 0)
    assert "gave nan at [1, 0]" in message
    assert "gave nan" in refused("aca", lambda truth, guess: float("nan"))
    assert "an array (12, 4) of float64" in refused("expert_batches", lambda n, b, s, seed: np.full((s, b), np.nan))


def test_other_kinds_that_will_do(capsys):
    """A number of any library, numpy's strings, and where no tensor is expected tensor, array and list."""
    check("recall_at_1", lambda similarity: torch.tensor(recall_at_1(similarity)))
    check("recall_at_1", lambda similarity: np.float32(recall_at_1(similarity)))
    assert capsys.readouterr().out == "right: 3 cases\nright: 3 cases\n"
    check("top_captions", lambda w, c, k: [[np.str_(caption) for caption in row] for row in top_captions(w, c, k)])
    check("top_captions", lambda w, c, k: [list(np.array(c)[row.argsort(descending=True)[:k].numpy()]) for row in w])
    check("beam_step", lambda *case: torch.tensor(beam_step(*case)))
    check("beam_step", lambda *case: np.array(beam_step(*case)))
    assert capsys.readouterr().out == "right: 2 cases\n" * 4
    assert "gave 'no'" in refused("top_captions", lambda w, c, k: [[np.str_("no")] * k] * len(w))


def test_the_calibration_error_of_the_table_is_the_package_s():
    for case in EXERCISES["calibration_error"].cases:
        assert EXERCISES["calibration_error"].answer(*case[:2]) == pytest.approx(metrics.calibration_error(*case[:2]))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_loss_of_the_table_moves_all_that_is_learnt(exercise):
    row = EXERCISES[exercise]
    for case in row.cases:
        if any(getattr(value, "requires_grad", False) for value in case):
            assert not without_gradient(row.answer, row.answer, case, row.answer(*case))


def test_unknown_exercise():
    with pytest.raises(InputError, match="'cosines' is unknown: give one of cosine"):
        check("cosines", cosine)


def test_a_call_gets_copies():
    case = (torch.ones(2), ["a"])
    assert "changed its input names in place" in str(attempt(lambda x, names: names.append("b"), case))
    assert case[1] == ["a"]


def test_a_notebook_shows_the_lines_alone():
    """IPython asks an exception for these lines in place of a traceback."""
    with pytest.raises(Wrong) as caught:
        check("cosine", lambda a, b: a @ b.T)
    lines = caught.value._render_traceback_()
    assert len(lines) == 3 and lines[0].startswith("cosine(") and "no normalisation" in lines[2]
