"""The exercises of notebooks 04 and 05: losses, learning rate, expert batches. A table, read by checks.py.

Each row gives the fields of checks.Exercise. Not about: how an answer is compared (checks.py).

Symbols: V image (B,D), T text (B,D), R revised (B,D); s scale, Y targets (B,B).
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss

from .checks_encoders import learnt, numbers, unit
from .mixed_loss import mixed_loss, soft_clip_loss, soft_targets
from .schedule import warmup_cosine

# -------------------------------------------------------------------------------- where a function is not one expression


def same(categories):
    return (soft_targets(categories) > 0).float()


def soft_by(categories, alike):
    Y = torch.tensor([[float(alike(a, b)) for b in categories] for a in categories])
    return Y / Y.sum(1, keepdim=True)


def revision_part(R, T):
    """What mixed_loss calls L_rev, with a text revision that answers R."""
    return mixed_loss("revision", T, T, None, None, 1.0, torch.eye(len(T)), lambda *_: (R, None))[1]["revision"]


def factor(step, warmup, total):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    return float(warmup_cosine(optimizer, 1, warmup, total).lr_lambdas[0](step))


def cosine_of(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def passes(n_expert, batch, steps, seed):
    chance = np.random.default_rng(seed)
    rows = np.concatenate([chance.permutation(n_expert) for _ in range(-(-batch * steps // n_expert))])
    return rows[: batch * steps].reshape(steps, batch)


def no_row(batches, n_expert, batch, steps, seed) -> str:
    odd = [row for row in batches.ravel().tolist() if not 0 <= row < n_expert]
    return f"{odd[0]} is no row" if odd else ""


def twice_in_a_pass(batches, n_expert, batch, steps, seed) -> str:
    rows = batches.ravel().tolist()
    for begin in range(0, len(rows), n_expert):
        row, count = Counter(rows[begin : begin + n_expert]).most_common(1)[0]
        if count > 1:
            return f"pass {begin // n_expert + 1} (rows {begin} to {begin + n_expert - 1} of all) has row {row} {count} times"
    return ""


def same_order(batches, n_expert, batch, steps, seed) -> str:
    """Every pass against every one before it, also from another row on and backwards."""
    complete = batches.size // n_expert
    orders = batches.ravel()[: complete * n_expert].reshape(complete, n_expert).tolist()
    for a, b in combinations(range(complete), 2):
        begin = orders[a].index(orders[b][0])
        on = orders[a][begin:] + orders[a][:begin]
        if orders[b] in (on, [on[0], *on[:0:-1]]):
            how = "" if orders[b] == orders[a] else ", rolled on" if orders[b] == on else ", backwards"
            return f"pass {b + 1} has the order of pass {a + 1}{how}"
    return ""


def same_company(batches, n_expert, batch, steps, seed) -> str:
    """Are the batches the same in all passes, whatever their order? Asked only where none is in two passes."""
    passes_of = batches.reshape(-1, n_expert // batch, batch).tolist() if n_expert % batch == 0 else []
    alike = len({frozenset(frozenset(rows) for rows in one) for one in passes_of}) == 1
    return f"row {passes_of[0][0][0]} is with {', '.join(map(str, passes_of[0][0][1:]))} in every pass" if alike else ""


# --------------------------------------------------------------------------------------------------- what the cases need

FOUR = ["cataract", "normal", "cataract", "glaucoma"]
UNEVEN = torch.tensor([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0.25, 0.25, 0.5]])  # Y is not Y^T
SIDES = [[learnt(unit(4, 8, seed=i)), learnt(unit(4, 8, seed=i + 1))] for i in (0, 2, 4)]  # V and T

TRAINING = {
    "soft_targets": {
        "title": "Same category, positive pair", "notebook": "04", "minutes": 5, "difficulty": 1,
        "task": "soft_targets(categories: B names) -> Y (B,B): Y_ij = 1[c_i = c_j] / sum over j of 1[c_i = c_j]",
        "cases": [(FOUR,), (["a", "b", "c"],), (["a", "a", "a", "b", "b"],),
                  (["glaucoma", "suspected glaucoma", "glaucoma suspect"],)],
        "answer": soft_targets,
        "mistakes": {
            "That is the identity, CLIP's target: two cataracts of a batch would be pushed apart.": lambda c: torch.eye(len(c)),
            "Rows are not normalised: each must sum to one, or a frequent category pulls more than a rare one.": same,
            "Divided by the sum of all: each row is a distribution and sums to one.": lambda c: same(c) / same(c).sum(),
            "A softmax gives weight to other categories too: they must get exactly 0.": lambda c: same(c).softmax(1),
            "A part of a name is not the name: a suspected glaucoma is a category of its own. Compare with ==, not with `in`.":
                lambda c: soft_by(c, lambda a, b: a in b),
            "Names that begin alike are not equal: compare all of both.": lambda c: soft_by(c, lambda a, b: a[0] == b[0]),
        },
    },
    "soft_clip_loss": {
        "title": "The contrastive loss", "notebook": "04", "minutes": 15, "difficulty": 2,
        "task": "soft_clip_loss(image V (B,D), text T (B,D), scale s, targets Y (B,B)) -> scalar: "
                "1/2 [CE(s T V^T, Y) + CE(s V T^T, Y)], each the mean over rows",
        "cases": [(*SIDES[0], 5.0, soft_targets(FOUR)), (*SIDES[1], 14.3, torch.eye(4)), (*SIDES[2], 2.0, UNEVEN)],
        "answer": soft_clip_loss,
        "mistakes": {
            "One direction only (texts look for pictures): zero-shot asks for the other, pictures that find their text.":
                lambda V, T, s, Y: cross_entropy(s * T @ V.T, Y),
            "One direction only: pictures look for texts, texts for nobody.": lambda V, T, s, Y: cross_entropy(s * V @ T.T, Y),
            "The temperature is forgotten: bare cosines give even softmaxes.": lambda V, T, s, Y: soft_clip_loss(V, T, 1.0, Y),
            "Divided by the scale: s = 1 / temperature multiplies cosines.": lambda V, T, s, Y: soft_clip_loss(V, T, 1 / s, Y),
            "A softmax of the targets: Y is a distribution already.": lambda V, T, s, Y: soft_clip_loss(V, T, s, Y.softmax(1)),
            "The two directions are averaged (the 1/2); added, the loss is twice as large beside L_rev.":
                lambda V, T, s, Y: 2 * soft_clip_loss(V, T, s, Y),
            "A mean over B B numbers is B times too small: sum over each row, then the mean over rows.":
                lambda V, T, s, Y: soft_clip_loss(V, T, s, Y) / len(Y),
            "Y is transposed for V T^T (a softmax over dim 0 does it too): Y itself stands in both, row by row.":
                lambda V, T, s, Y: (cross_entropy(s * T @ V.T, Y) + cross_entropy(s * V @ T.T, Y.T)) / 2,
            "Y is transposed for T V^T (a softmax over dim 0 does it too): Y itself stands in both, row by row.":
                lambda V, T, s, Y: (cross_entropy(s * T @ V.T, Y.T) + cross_entropy(s * V @ T.T, Y)) / 2,
            "Targets unused: one category's pairs are pushed apart.": lambda V, T, s, Y: soft_clip_loss(V, T, s, torch.eye(4)),
        },
    },
    "revision_loss": {
        "title": "Text against revised text", "notebook": "04", "minutes": 5, "difficulty": 1,
        "task": "revision_loss(R (B,D), T (B,D)) -> scalar L_rev: the mean squared error over all B D numbers",
        "cases": [(learnt(numbers(3, 4)), learnt(unit(3, 4, seed=1))), (learnt(unit(5, 8)), learnt(unit(5, 8, seed=1)))],
        "answer": revision_part,
        "mistakes": {
            "Summed, not averaged: 100 L_rev would grow with batch and D, and drown the rest.": lambda R, T: ((R - T) ** 2).sum(),
            "Summed over D, then averaged: D times too large, weighed 100 times.": lambda R, T: ((R - T) ** 2).sum(1).mean(),
            "That is the absolute difference: the paper squares it.": lambda R, T: (R - T).abs().mean(),
            "No root: the paper's weight of 100 belongs to the squared error.": lambda R, T: mse_loss(R, T).sqrt(),
        },
    },
    "total_loss": {
        "title": "The mixed loss", "notebook": "04", "minutes": 3, "difficulty": 1,
        "task": "total_loss(public, expert, revision, weight) -> L_pub + L_exp + weight L_rev",
        "cases": [(*map(learnt, (0.9, 1.3, 0.02)), 100.0), (*map(learnt, (2.1, 0.4, 0.5)), 1.0)],
        "answer": lambda public, expert, revision, weight: public + expert + weight * revision,
        "mistakes": {
            "The weight is forgotten: a mean of tiny squares needs the paper's 100 to be heard.": lambda p, e, r, w: p + e + r,
            "The weight is on the expert loss: it belongs to the revision alone.": lambda p, e, r, w: p + w * e + r,
            "The expert loss is missing: it brings the captions in; revision alone hardly does.": lambda p, e, r, w: p + w * r,
            "That is the mean of the three: the paper adds them.": lambda p, e, r, w: (p + e + w * r) / 3,
        },
    },
    "warmup_cosine": {
        "title": "The learning rate over a run", "notebook": "05", "minutes": 10, "difficulty": 2,
        "task": "warmup_cosine(step, warmup, total) -> factor: (step + 1) / warmup while step < warmup, then a cosine from 1 to "
                "0 at step `total`, and 0 after it",
        "cases": [(step, 4, 20) for step in (0, 2, 3, 4, 8, 12, 20, 26)] + [(0, 0, 10), (5, 0, 10)],
        "answer": factor,
        "mistakes": {
            "No warm-up: the first steps, when Adam knows little, would be full ones.": lambda i, w, n: cosine_of(min(1, i / n)),
            "The cosine starts at 0 and rises: it must start at 1, where the warm-up ends, and fall.":
                lambda i, w, n: factor(i, w, n) if i < w else 1 - factor(i, w, n),
            "After the end the cosine rises again: a restart. A run that goes on would undo what it has learnt.":
                lambda i, w, n: (i + 1) / w if i < w else cosine_of((i - w) / (n - w)),
            "The warm-up starts at 0: the first step, a whole batch encoded, would change nothing.":
                lambda i, w, n: i / w if i < w else factor(i, w, n),
            "The cosine counts from step 0, so the rate drops where the warm-up ends: count from there.":
                lambda i, w, n: (i + 1) / w if i < w else cosine_of(min(1, i / n)),
        },
    },
    "expert_batches": {
        "title": "Few pairs, many steps", "notebook": "05", "minutes": 15, "difficulty": 2,
        "task": "expert_batches(n_expert, batch, steps, seed) -> steps lists of `batch` row numbers, in passes: each pass takes "
                "every pair once, in a new order; a batch may begin in one pass and end in the next",
        "cases": [(10, 4, 12, 0), (11, 3, 30, 1), (12, 3, 16, 2)],
        "answer": passes,
        "rules": {
            "Rows are counted from 0 to n_expert - 1.": no_row,
            "Drawn with replacement, as published, or a pass was cut short: by chance some of the few pairs are missed.":
                twice_in_a_pass,
            "The same order each pass: a pair always meets the same others to be told from. Shuffle anew.": same_order,
            "Whole batches are shuffled, not rows: a pair always meets the same others to be told from. Shuffle the rows.":
                same_company,
        },
    },
}  # fmt: skip
