"""Answers to the exercises of notebook 10, right and wrong."""


import numpy as np
import torch
from answers import solution, wrong


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


wrong("next_word_loss", "case 3", "not for > pad")(
    lambda logits, targets, pad: -logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0][targets > pad].mean()
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


def ranked(total, beams, width):
    every = [(-float(total[b, w]), b, w) for b in beams for w in range(total.shape[1])]
    return [(b, w) for _, b, w in sorted(every)[:width]]


wrong("beam_step", "case 3", "Only the first `width` beams")(
    lambda scores, log_probs, width: ranked(scores[:, None] + log_probs, range(width), width)
)
wrong("beam_step", "case 4", "IndexError")(  # two beams where there is one
    lambda scores, log_probs, width: ranked(scores[:, None] + log_probs, range(max(2, len(scores))), width)
)
wrong("beam_step", "case 3", "first two beams", "third")(
    lambda scores, log_probs, width: ranked(scores[:, None] + log_probs, range(min(2, len(scores))), width)
)
@wrong("beam_step", "case 5", "take no exp")
def _(scores, log_probs, width):
    best = (scores.exp()[:, None] * log_probs.exp()).flatten().topk(width).indices
    return torch.stack([best // log_probs.shape[1], best % log_probs.shape[1]], dim=1)


wrong("beam_step", "case 5")(
    lambda scores, log_probs, width: ranked(scores.exp()[:, None] * log_probs.exp(), range(len(scores)), width)
)
