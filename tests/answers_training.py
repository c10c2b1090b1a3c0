"""Answers to the exercises of notebooks 04 and 05, right and wrong."""

import random

import numpy as np
import torch
from answers import solution, wrong
from torch.nn import functional as F

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
@wrong("soft_targets", "part of a name", "not with `in`")
def _(categories):
    rows = torch.tensor([[float(a in b) for b in categories] for a in categories])
    return rows / rows.sum(1, keepdim=True)


@wrong("soft_targets", "begin alike")
def _(categories):
    rows = torch.tensor([[float(a[:1] == b[:1]) for b in categories] for a in categories])
    return rows / rows.sum(1, keepdim=True)


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
wrong("soft_clip_loss", "not the gradient of image", "in one of its terms")(
    lambda V, T, s, Y: 0.5 * (rows_cross_entropy(s * V @ T.t(), Y) + rows_cross_entropy(s * T @ V.detach().t(), Y))
)
wrong("soft_clip_loss", "not the gradient of text", "in one of its terms")(
    lambda V, T, s, Y: 0.5 * (rows_cross_entropy(s * V @ T.detach().t(), Y) + rows_cross_entropy(s * T @ V.t(), Y))
)
wrong("soft_clip_loss", "not the gradient of image", "in one of its terms")(
    lambda V, T, s, Y: 0.5 * (rows_cross_entropy(s * V @ T.data.t(), Y) + rows_cross_entropy(s * T @ V.data.t(), Y))
)
wrong("soft_clip_loss", "without a gradient", ".item()")(lambda V, T, s, Y: both_ways(s * V @ T.t(), Y).item())


@solution
def revision_loss(R, T):
    return torch.mean((R - T) ** 2)


wrong("revision_loss", "Summed, not averaged")(lambda R, T: torch.sum((R - T) ** 2))
wrong("revision_loss", "D times too large")(lambda R, T: torch.linalg.norm(R - T, dim=1).square().mean())
wrong("revision_loss", "no gradient reaches R", "no .detach()")(lambda R, T: F.mse_loss(R.detach(), T))
wrong("revision_loss", "no gradient reaches T", "no .detach()")(lambda R, T: F.mse_loss(R, T.data))
wrong("revision_loss", "not the gradient of R", "teaches nothing")(
    lambda R, T: 0.5 * F.mse_loss(R.detach(), T) + 0.5 * F.mse_loss(R, T.detach())
)
wrong("revision_loss", "without a gradient")(lambda R, T: F.mse_loss(R.detach(), T.detach()))
wrong("revision_loss", "absolute")(lambda R, T: F.l1_loss(R, T))


@solution
def total_loss(public, expert, revision, weight):
    return sum([public, expert, revision * weight])


wrong("total_loss", "weight is forgotten")(lambda public, expert, revision, weight: revision + expert + public)
wrong("total_loss", "not the gradient of revision", "revision: gave 1", "expected 100")(
    lambda public, expert, revision, weight: public + expert + revision + (weight - 1) * revision.detach()
)
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


def passes_of(following):
    """Batches of a first order, and of what `following` makes of it pass by pass."""

    def batches(n_expert, batch, steps, seed):
        chance, rows = random.Random(seed), []
        order = chance.sample(range(n_expert), n_expert)
        while len(rows) < batch * steps:
            rows += order
            order = following(order, chance, len(rows) // n_expert)
        return [rows[i * batch : (i + 1) * batch] for i in range(steps)]

    return batches


wrong("expert_batches", "same order each pass", "pass 2", "rolled on")(passes_of(lambda order, chance, n: order[1:] + order[:1]))
wrong("expert_batches", "same order each pass", "pass 2", "backwards")(passes_of(lambda order, chance, n: order[::-1]))
wrong("expert_batches", "same order each pass", "pass 3 has the order of pass 2")(
    passes_of(lambda order, chance, n: chance.sample(order, len(order)) if n == 1 else order)
)
wrong("expert_batches", "same order each pass", "pass 3 has the order of pass 1")(
    passes_of(lambda order, chance, n: random.Random(n % 2).sample(range(len(order)), len(order)))
)


@wrong("expert_batches", "case 3", "Whole batches", "in every pass")
def _(n_expert, batch, steps, seed):
    if n_expert % batch:
        return expert_batches(n_expert, batch, steps, seed)
    chance, out = random.Random(seed), []
    fixed = np.array(chance.sample(range(n_expert), n_expert)).reshape(-1, batch).tolist()
    while len(out) < steps:
        out += chance.sample(fixed, len(fixed))
    return out[:steps]


@wrong("expert_batches", "shape (1000, 4)", "expected shape (12, 4)")
def _(n_expert, batch, steps, seed):
    while True:
        yield from expert_batches(n_expert, batch, steps, seed)
