"""The exercises of notebook 10: teacher forcing, the loss of the next word, beams, findings. A table, read by checks.py.

Each row gives the fields of checks.Exercise. Not about: how an answer is compared (checks.py).

Symbols: N reports of L words, W words in the vocabulary, B beams.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from .checks_encoders import learnt, numbers
from .report_findings import ratios

# -------------------------------------------------------------------------------- where a function is not one expression


def word_loss(logits, targets, pad, **settings):
    return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad, **settings)


def loss_by_report(logits, targets, pad):
    return torch.stack([cross_entropy(*one, ignore_index=pad) for one in zip(logits, targets, strict=True)]).mean()


def micro(written, true):
    rows = [(len(w & t), len(w - t), len(t - w)) for w, t in zip(written, true, strict=True)]
    found = ratios({"all": np.array(rows).T})
    return np.array([found["all_precision"], found["all_recall"]])


def macro(written, true):
    return np.mean([micro([w], [t]) for w, t in zip(written, true, strict=True)], axis=0)


def macro_of_written(written, true):
    """Precision over the studies that wrote something, recall over those that have something to write."""
    pairs = list(zip(written, true, strict=True))
    precision = np.mean([len(w & t) / len(w) for w, t in pairs if w])
    return np.array([precision, np.mean([len(w & t) / len(t) for w, t in pairs if t])])


def best_pairs(total, width):
    """Totals (B,W) -> the (beam, word) of the highest `width`, best first."""
    best = total.flatten().topk(width).indices
    return torch.stack([best // total.shape[1], best % total.shape[1]], dim=1).numpy()


def best_of_each(scores, log_probs, width):
    value, word = (scores[:, None] + log_probs).max(1)
    order = value.argsort(descending=True)[:width]
    return torch.stack([order, word[order]], dim=1).numpy()


# --------------------------------------------------------------------------------------------------- what the cases need

TARGETS = torch.tensor([[5, 6, 2, 0, 0], [4, 5, 6, 7, 2], [7, 2, 0, 0, 0]])  # (N, L), 0 is <pad>, 2 the end
STUDIES = [([{"leak", "drusen"}, {"leak"}, set()], [{"leak"}, {"leak", "atrophy", "drusen"}, {"oedema"}]),
           ([{"a", "b", "c", "d"}, {"a"}], [{"a"}, {"a", "b"}])]  # fmt: skip
NEXT = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.9, 0.05, 0.04, 0.01], [0.4, 0.3, 0.2, 0.1]]).log()
BEAMS = [(torch.tensor([-0.5, -2.5, -6.0]), NEXT, 3),
         (torch.tensor([-1.0, -1.2]), torch.tensor([[0.4, 0.35, 0.25], [0.6, 0.3, 0.1]]).log(), 2),
         (torch.tensor([-1.6, -3.0, -0.4, -2.9]), NEXT[[0, 1, 2, 1]], 2),  # both best are of the third beam
         (torch.tensor([-0.5]), NEXT[:1], 3),  # one beginning, as a search begins
         (torch.tensor([-111.0, -110.0, -112.0]), NEXT, 3)]  # long reports, whose probabilities are 0 in float32

REPORTS = {
    "shift": {
        "title": "Teacher forcing", "notebook": "10", "minutes": 5, "difficulty": 1,
        "task": "shift(words (N,L)) -> (inputs, targets), each (N,L-1): the word to be said at each place is the next one",
        "cases": [(torch.tensor([[1, 5, 6, 2, 0], [1, 4, 7, 8, 2]]),), (torch.tensor([[1, 9, 2]]),)],
        "answer": lambda words: (words[:, :-1], words[:, 1:]),
        "mistakes": {
            "The targets are not shifted: the model learns to copy its input.": lambda w: (w[:, :-1], w[:, :-1]),
            "Not shifted: inputs must lose the last word, targets the first. Here each word answers itself.": lambda w: (w, w),
            "Shifted the wrong way: a report is written forwards, the target is the word after.": lambda w: (w[:, 1:], w[:, :-1]),
        },
    },
    "next_word_loss": {
        "title": "The loss of the next word", "notebook": "10", "minutes": 10, "difficulty": 2,
        "task": "next_word_loss(logits (N,L,W), targets (N,L), pad) -> scalar: mean cross-entropy over all targets but pad",
        "cases": [(learnt(numbers(3, 5, 8)), TARGETS, 0), (learnt(numbers(2, 5, 9, seed=1)), TARGETS[:2] + 1, 1),
                  (learnt(numbers(3, 5, 8, seed=2)), TARGETS.where(TARGETS > 0, 3), 3)],
        "answer": word_loss,
        "mistakes": {
            "Padding is counted: short reports would mostly teach to say <pad>.": lambda x, y, pad: word_loss(x, y, -100),
            "A mean of each report's mean: a word of a short report would weigh more than one of a long one.": loss_by_report,
            "That is the sum: it grows with the batch.": lambda x, y, pad: word_loss(x, y, pad, reduction="sum"),
            "Divided by N L, padding included: divide by the number of real words.":
                lambda x, y, pad: word_loss(x, y, pad, reduction="sum") / y.numel(),
            "Words before <pad> in the vocabulary are left out, here the end of each report: ask for != pad, not for > pad.":
                lambda x, y, pad: word_loss(x, y.where(y > pad, pad), pad),
            "Shifted again: targets are the next words already, `shift` saw to that.":
                lambda x, y, pad: word_loss(x[:, :-1], y[:, 1:], pad),
        },
    },
    "precision_recall": {
        "title": "Findings written, findings true", "notebook": "10", "minutes": 10, "difficulty": 2,
        "task": "precision_recall(written, true: a set of findings a study) -> (precision, recall), micro-averaged: hits of all "
                "studies over all findings written, over all true",
        "cases": STUDIES,
        "answer": micro,
        "mistakes": {
            "Precision and recall are swapped: precision asks how many of the written are true.": lambda w, t: micro(t, w),
            "That is the macro average: a study with one finding would count as much as one with ten.": macro,
            "All studies in one pot: a finding written for one patient would be right because another one has it.":
                lambda w, t: micro([set().union(*w)], [set().union(*t)]),
            "A macro average over the studies that are not empty: who writes nothing is not counted at all. Sum hits first.":
                macro_of_written,
        },
    },
    "beam_step": {
        "title": "One step of beam search", "notebook": "10", "minutes": 15, "difficulty": 3,
        "task": "beam_step(scores (B,) sums of log-probabilities, log_probs (B,W) of the next word, width) -> the `width` best "
                "(beam, word) pairs over all beams, best first: whole numbers, a tensor, an array or a list",
        "cases": BEAMS,
        "answer": lambda scores, log_probs, width: best_pairs(scores[:, None] + log_probs, width),
        "mistakes": {
            "The best word of each beam only: a strong beam may go on in several ways, a weak one must be able to die.":
                best_of_each,
            "The best word of each beam, in the order of the beams: rank all B W continuations together.":
                lambda s, p, n: torch.stack([torch.arange(len(s)), p.argmax(1)], dim=1)[:n].numpy(),
            "Multiplied: logarithms are added; a product favours the unlikely.": lambda s, p, n: best_pairs(s[:, None] * p, n),
            "The beams' own scores are forgotten: a bad beginning would cost nothing.": lambda s, p, n: best_pairs(p, n),
            "Only the first `width` beams are looked at: there may be fewer, as at the beginning, or more. Take len(scores).":
                lambda s, p, n: best_pairs(torch.stack([s[b] + p[b] for b in range(n)]), n),
            "Only the first two beams are looked at: a continuation of the third may be the best.":
                lambda s, p, n: best_pairs((s[:, None] + p)[:2], n),
            "Probabilities of long reports are 0 in float32: add logarithms, take no exp.":
                lambda s, p, n: best_pairs((s[:, None] + p).exp(), n),
            "A log-probability plus a probability: take logarithms of both.": lambda s, p, n: best_pairs(s[:, None] + p.exp(), n),
        },
    },
}  # fmt: skip
