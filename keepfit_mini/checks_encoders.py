"""The exercises of notebooks 00 to 03: cosines, pairs of an atlas, encoders, text revision. A table, read by checks.py.

Each row gives the fields of checks.Exercise. Not about: how an answer is compared (checks.py); the
other tables are checks_training.py, checks_scores.py and checks_reports.py.

Symbols: V image (B,D), T text (B,D), V' expert_image (M,D), T' expert_text (M,D), R revised (B,D).
"""

from __future__ import annotations

import math
import re
from types import FunctionType

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import normalize

from .atlas_captions import split_caption
from .encoders import Projection
from .text_revision import TextRevision


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> Tensor:
    return normalize(numbers(*shape, seed=seed), dim=-1)


def learnt(x: Tensor | float) -> Tensor:
    return torch.as_tensor(x).requires_grad_()


# -------------------------------------------------------------------------------- where a function is not one expression


def of_patients(patients, share, seed):
    names = sorted(set(patients))
    held = set(np.random.default_rng(seed).permutation(names)[: round(share * len(names))].tolist())
    return np.array([name in held for name in patients])


def on_both_sides(held, patients, share, seed) -> str:
    both = side_of(held, patients) & side_of(~held, patients)
    return f"{len(both)} patients are on both sides, such as {min(both)}" if both else ""


def far_from_share(held, patients, share, seed) -> str:
    got = len(side_of(held, patients)) / len(set(patients))
    fits = min(abs(got - share), abs(held.mean() - share)) < 0.1
    return "" if fits else f"{got:.0%} of the patients ({held.mean():.0%} of the rows) are held out, not about {share:.0%}"


def one_block(split, held, patients, share, seed) -> str:
    """Do most of the held out stand side by side, by name or as they are met first?"""
    out = side_of(held, patients)
    for order in (sorted(set(patients)), list(dict.fromkeys(patients))):
        longest = max("".join("x" if name in out else " " for name in order).split(), key=len)
        if len(longest) > len(out) / 2:
            return f"{len(longest)} of the {len(out)} patients that are held out stand side by side"
    return ""


def by_hash(split, held, patients, share, seed) -> str:
    """Asks the function itself, with the `hash` that another start of Python would have; that of a number is always the same."""
    if not isinstance(split, FunctionType) or "hash" in split.__globals__:
        return ""
    salted = {**split.__globals__, "hash": lambda value: hash(("salt", value) if "'" in repr(value) else value)}
    again = FunctionType(split.__code__, salted, split.__name__, split.__defaults__, split.__closure__)
    again.__kwdefaults__ = split.__kwdefaults__
    odd = np.flatnonzero(np.array(list(again(list(patients), share, seed))) != held)
    return f"started anew, Python puts row {odd[0]} on the other side" if len(odd) else ""


def by_order(split, held, patients, share, seed) -> str:
    """The same rows in three other orders. Many of 200 names share a place in a set, and stand there in the order they came."""
    out, shuffled = side_of(held, patients), np.random.default_rng(2).permutation(patients).tolist()
    for how, rows in (("backwards", patients[::-1]), ("sorted", sorted(patients)), ("shuffled", shuffled)):
        if odd := out ^ side_of(split(list(rows), share, seed), rows):
            return f"the same rows {how}: {len(odd)} patients change sides, such as {min(odd)}"
    return ""


def too_alike(split, held, patients, share, seed) -> str:
    """Two draws of a share p of n have n p p in common, with an sd of p (1 - p) sqrt(n). Five sd are not chance."""
    n = len(set(patients))
    both = len(side_of(held, patients) & side_of(split(list(patients), share, seed + 1), patients))
    chance = abs(both - n * share**2) <= 5 * share * (1 - share) * n**0.5
    return "" if chance else f"{both} patients are held out by seeds {seed} and {seed + 1}, by chance about {n * share**2:.0f}"


def side_of(held, patients) -> set[str]:
    return {p for p, h in zip(patients, held, strict=True) if h}


def rows_of_patients(seed: int) -> list[str]:
    """One to four rows each of 200 patients, in any order."""
    chance = np.random.default_rng(seed)
    return chance.permutation(np.repeat([f"p{i:03d}" for i in range(200)], chance.integers(1, 5, 200))).tolist()


def split_at(mark, caption, panels):
    return dict(zip(panels, map(str.strip, re.split(mark, caption)[1:]), strict=False))


def from_the_beginning(caption, panels):
    begins = [caption.index(f"{letter}, ") for letter in panels]
    ends = [*begins[1:], len(caption)]
    return {x: caption[begin + 3 : end].strip() for x, begin, end in zip(panels, begins, ends, strict=True)}


def from_the_end(caption, panels):
    texts = {}
    for letter in reversed(panels):
        caption, _, texts[letter] = caption.rpartition(f"{letter}, ")
    return {letter: texts[letter].strip() for letter in panels}


def projected(x, weight):
    with torch.device("meta"):  # weights come with the call, so none are drawn
        return functional_call(Projection(x.shape[1], len(weight)), {"projection.weight": weight}, (x,))


def attended(V, expert_V, expert_T):
    one = torch.eye(V.shape[1])
    with torch.device("meta"):
        module = TextRevision(V.shape[1], heads=1, dropout=0.0)
    revised, weights = functional_call(module, {f"W_{name}.weight": one for name in "qkvo"}, (V, expert_V, expert_T))
    return revised, weights[0]


def plain_attention(V, expert_V, values, axis=1, root=None):
    weights = (V @ expert_V.T / (V.shape[1] ** 0.5 if root is None else root)).softmax(axis)
    return weights @ values, weights


# --------------------------------------------------------------------------------------------------- what the cases need

PADDED = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])  # (B, L)
LN2 = math.log(2)
WEIGHTS = numbers(4, 4, seed=5).mul(2).softmax(1)

ENCODERS = {
    "cosine": {
        "title": "A matrix of cosines", "notebook": "00", "minutes": 5, "difficulty": 1,
        "task": "cosine(a (B,D), b (C,D)) -> (B,C): the cosine of every row of a with every row of b; lengths are not one",
        "cases": [(3 * numbers(3, 4), numbers(3, 4, seed=1)), (numbers(3, 4), 5 * numbers(2, 4, seed=2)),
                  (9 * numbers(1, 6), numbers(4, 6, seed=3))],
        "answer": lambda a, b: normalize(a, dim=1) @ normalize(b, dim=1).T,
        "mistakes": {
            "That is the dot product, no normalisation: a long vector beats a near one, and s is no longer a temperature.":
                lambda a, b: a @ b.T,
            "Normalised over the wrong axis: each column has length one, not each row, so a picture depends on its batch.":
                lambda a, b: normalize(a, dim=0) @ normalize(b, dim=0).T,
            "Only a has length one: one long row of b may win everywhere.": lambda a, b: normalize(a, dim=1) @ b.T,
            "Transposed: a has the rows, b the columns; cells below look along rows.":
                lambda a, b: normalize(b, dim=1) @ normalize(a, dim=1).T,
        },
    },
    "split_by_patient": {
        "title": "Hold out patients, not rows", "notebook": "01", "minutes": 10, "difficulty": 2,
        "task": "split_by_patient(patients, share, seed) -> boolean array (N,), True = held out: all rows of a patient on one "
                "side, about `share` of the patients held out; patients is a list of N names, in any order",
        "cases": [(rows_of_patients(0), 0.2, 0), (rows_of_patients(1), 0.5, 1)],
        "answer": of_patients,
        "rules": {
            "That leaks: an eye is tested whose fellow eye was trained on. Deal patients, not rows.": on_both_sides,
            "Hold out the share of all patients: too few and the score is chance, too many and little is left.": far_from_share,
        },
        "calls": {
            "Each start of Python has another hash() of a string: draw from a generator of the seed.": by_hash,
            "That is a window, not a draw: neighbours in a list are of one clinic or year. Shuffle the names.": one_block,
            "The split hangs on the order of rows or of a set, which changes with each start of Python: sort the names first.":
                by_order,
            "Seeds must be draws of their own: a window or a comb that moves on by one is none. Shuffle the names.": too_alike,
        },
    },
    "pair_letters": {
        "title": "A text for each panel", "notebook": "01", "minutes": 15, "difficulty": 2,
        "task": 'pair_letters(caption, panels) -> {letter: text}. "A, first. B, second." and "AB" -> {"A": "first.", "B": '
                '"second."}: a mark is a letter of panels and a comma, letters come in order, the full stop stays',
        "cases": [("A, Early phase. B, Late phase.", "AB"),
                  ("A, Drusen at the macula, soft. B, A normal eye. The fellow eye. C, Optic disc, pale.", "ABC"),
                  ("A, Colour photograph. B, FFA, early phase.", "AB"),
                  ("A, Many dots. B, The same eye after vitamin A, with fewer dots.", "AB"),
                  ("A, Hepatitis C, treated. B, The disc. N, nasal; T, temporal. C, Hepatitis C, untreated. D, OCT.", "ABCD")],
        "answer": lambda caption, panels: split_caption(caption, len(panels)).texts,
        "mistakes": {
            "Every panel got the whole caption, its neighbours' findings with it.": lambda c, p: dict.fromkeys(p, c),
            "The letter is still in the text: it says where a picture stood on a page, nothing about the eye.":
                lambda c, p: {x: f"{x}, {t}" for x, t in split_caption(c, len(p)).texts.items()},
            "A panel's text goes on to the end of the caption: stop where the next letter begins.":
                lambda c, p: {x: c.split(f"{x}, ", 1)[1] for x in p},
            "Cut at the first full stop: a panel's text may have several sentences, and loses its later findings.":
                lambda c, p: {x: c.split(f"{x}, ", 1)[1].split(".")[0] + "." for x in p},
            "Any capital and a comma was taken for a mark (N, nasal): only the letters of panels are, each once and in order.":
                lambda c, p: split_at("[A-Z], ", c, p),
            "The end of a word was taken for a mark (FFA, early): each letter is a mark once, behind the one before.":
                lambda c, p: split_at(f"[{p}], ", c, p),
            "A letter in a sentence was taken for a mark (vitamin A, with): each is a mark once, behind the one before.":
                lambda c, p: split_at(rf"\b[{p}], ", c, p),
            "The last place of each letter was taken (hepatitis C, untreated): a mark is the first behind the one before.":
                from_the_end,
            "Each letter was sought from the beginning (Hepatitis C, treated): marks come in order, each behind the one before.":
                from_the_beginning,
        },
    },
    "mean_pool": {
        "title": "The mean over real tokens", "notebook": "02", "minutes": 10, "difficulty": 1,
        "task": "mean_pool(hidden (B,L,D), mask (B,L) of 1 and 0) -> (B,D): the mean over the tokens whose mask is 1",
        "cases": [(numbers(3, 5, 4), PADDED), (numbers(2, 3, 6, seed=1), torch.tensor([[1, 1, 0], [1, 1, 1]])),
                  (numbers(2, 4, 3, seed=2), torch.tensor([[0, 0, 1, 1], [1, 0, 1, 1]]))],
        "answer": lambda hidden, mask: (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True),
        "mistakes": {
            "The mean runs over padding too, as in the published code: a text changes with its batch.": lambda h, m: h.mean(1),
            "That is the maximum over tokens, not their mean.": lambda h, m: h.masked_fill(m[:, :, None] == 0, -99).amax(1),
            "Divided by L, not by the real tokens: padding shrinks a text.": lambda h, m: (h * m[:, :, None]).mean(1),
            "Divided by the real tokens of the whole batch: sum the mask of each text (dim=1, keepdim=True).":
                lambda h, m: (h * m[:, :, None]).sum(1) / m.sum(),
            "The first tokens, as many as are real: where a text is padded on the left, these are padding. Look at the mask.":
                lambda h, m: torch.stack([x[: y.sum()].mean(0) for x, y in zip(h, m, strict=True)]),
        },
    },
    "project": {
        "title": "Into the shared space", "notebook": "02", "minutes": 5, "difficulty": 1,
        "task": "project(x (B,W), weight (D,W)) -> (B,D): rows to length one, the linear map, length one again",
        "cases": [(4 * numbers(3, 4), numbers(4, 4, seed=1)), (numbers(2, 5, seed=2), numbers(3, 5, seed=3))],
        "answer": projected,
        "mistakes": {
            "No second normalisation: V T^T is then no cosine, and the loss can be lowered by longer vectors alone.":
                lambda x, W: normalize(x, dim=1) @ W.T,
            "The weight is transposed: nn.Linear keeps (out, in) and computes x W^T; a square W hides it.":
                lambda x, W: normalize(normalize(x, dim=1) @ W, dim=1),
            "The second normalisation runs over the batch axis: a picture's vector must not depend on its neighbours.":
                lambda x, W: normalize(normalize(x, dim=1) @ W.T, dim=0),
        },
    },
    "recall_at_1": {
        "title": "Is the right text the nearest?", "notebook": "02", "minutes": 5, "difficulty": 1,
        "task": "recall_at_1(similarity (N,N)) -> the share of pictures (rows) whose nearest text (columns) is the one on the "
                "diagonal; of equal cosines the first text is taken, as argmax does",
        "cases": [(torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.7, 0.2, 0.1]]),), (numbers(6, 6) + torch.eye(6),),
                  (torch.full((4, 4), 0.5),), (torch.tensor([[0.5, 0.5, 0.1], [0.2, 0.6, 0.6], [0.4, 0.3, 0.1]]),)],
        "answer": lambda similarity: float((similarity.argmax(1) == torch.arange(len(similarity))).float().mean()),
        "mistakes": {
            "The wrong axis: that looks for the nearest picture of each text; asked was the nearest text of each picture.":
                lambda S: float((S.argmax(0) == torch.arange(len(S))).float().mean()),
            "Ties count as hits: a collapsed model, all of whose cosines are equal, would score 1.":
                lambda S: float((S.diagonal() >= S.amax(1)).float().mean()),
            "Of equal cosines the last text was taken: take the first, as argmax does, or two programs disagree.":
                lambda S: float((len(S) - 1 - S.flip(1).argmax(1) == torch.arange(len(S))).float().mean()),
            "A tie counts as a miss: of equal cosines the first text is taken, which may be the right one.":
                lambda S: float((S.diagonal()[:, None] > S).sum(1).eq(len(S) - 1).float().mean()),
            "That is the number of hits, not their share: sets of different sizes could not be compared.":
                lambda S: (S.argmax(1) == torch.arange(len(S))).sum(),
        },
    },
    "expert_attention": {
        "title": "What the expert pairs say", "notebook": "03", "minutes": 15, "difficulty": 2,
        "task": "expert_attention(V (B,D), expert_V (M,D), expert_T (M,D)) -> (R (B,D), weights (B,M)): one head without learned "
                "matrices, weights = softmax(V V'^T / sqrt(D)) over the M pairs, R = weights T'",
        "cases": [(2 * numbers(4, 8), 2 * numbers(4, 8, seed=1), numbers(4, 8, seed=2)),
                  (unit(2, 6), unit(5, 6, seed=1), unit(5, 6, seed=2))],
        "answer": attended,
        "mistakes": {
            "Softmax over the pictures, not over the expert pairs. The published code errs alike, over the heads.":
                lambda V, K, T: plain_attention(V, K, T, axis=0),
            "The division by sqrt(D) is missing: scores spread with D, and the softmax would soon pick one pair alone.":
                lambda V, K, T: plain_attention(V, K, T, root=1),
            "Divided by D, not by its root: weights get more even, R nearer to the mean caption.":
                lambda V, K, T: plain_attention(V, K, T, root=V.shape[1]),
            "The keys are the captions T': a picture is compared with the expert pictures V', and takes their captions.":
                lambda V, K, T: plain_attention(V, T, T),
            "The values are the pictures V': R comes from the captions T'.": lambda V, K, T: plain_attention(V, K, K),
        },
    },
    "attention_entropy": {
        "title": "Does the attention choose?", "notebook": "03", "minutes": 10, "difficulty": 2,
        "task": "attention_entropy(weights (B,M)) -> (B,): - sum over the pairs of w ln w, in nats; a weight of 0 adds nothing",
        "cases": [(WEIGHTS,), (torch.full((2, 5), 0.2),), (torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]),)],
        "answer": lambda weights: torch.special.entr(weights).sum(1),
        "mistakes": {
            "Summed over the wrong axis: that is one number a pair, not one a picture.": lambda w: torch.special.entr(w).sum(0),
            "In bits (log2): even attention over M pairs should give ln M, in nats.": lambda w: -torch.xlogy(w, w).sum(1) / LN2,
            "The sign is missing: logarithms of weights are negative, an entropy is not.": lambda w: torch.xlogy(w, w).sum(1),
            "0 log 0 became NaN: a pair without weight adds nothing. torch.special.entr knows.": lambda w: -(w * w.log()).sum(1),
            "That is the mean over the pairs, not the sum.": lambda w: torch.special.entr(w).mean(1),
        },
    },
    "top_captions": {
        "title": "Which captions a picture asked", "notebook": "03", "minutes": 5, "difficulty": 1,
        "task": "top_captions(weights (B,M), captions, k) -> B lists of k captions, most weight first",
        "cases": [(WEIGHTS, ["drusen", "pale disc", "opaque lens", "normal"], 2), (WEIGHTS[:2], list("abcd"), 1),
                  (torch.tensor([[0.1, 0.15, 0.3, 0.2, 0.25], [0.3, 0.25, 0.2, 0.15, 0.1]]), list("dbeac"), 3)],
        "answer": lambda weights, captions, k: [[captions[i] for i in row] for row in weights.topk(k).indices.tolist()],
        "mistakes": {
            "Smallest first: argsort goes upwards, so these are the captions that the picture ignored.":
                lambda w, captions, k: [[captions[i] for i in row] for row in w.argsort(1)[:, :k].tolist()],
            "The right captions, but the one with the most weight last: it is the first that readers look at.":
                lambda w, captions, k: [[captions[i] for i in row] for row in w.argsort(1)[:, -k:].tolist()],
            "The right captions, but as they stand in the list: most weight first, for readers look at the first.":
                lambda w, captions, k: [[captions[i] for i in sorted(row)] for row in w.topk(k).indices.tolist()],
            "The right captions, but by the alphabet: most weight first, for readers look at the first.":
                lambda w, captions, k: [sorted(captions[i] for i in row) for row in w.topk(k).indices.tolist()],
        },
    },
}  # fmt: skip
