"""Scores of a classifier from its probabilities, with bootstrap intervals; scikit-learn underneath.

ACA (mean of per-class recall) is the paper's headline figure. Not about: where probabilities come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import (
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    precision_recall_curve,
    recall_score,
    roc_auc_score,
)

METRICS = ("aca", "auc", "f1", "kappa", "kappa_quadratic", "accuracy", "specificity", "calibration_error")
CALIBRATION_BINS = 15


# ----------------------------------------------------------------------------------------------------- known by name


def macro_auc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve: of class 1 for two classes, the mean of one-vs-rest for more; nan if one is absent."""
    classes = probabilities.shape[1]
    if len(np.unique(truth)) < classes:
        return float("nan")
    if classes == 2:
        return float(roc_auc_score(truth, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(truth == c, probabilities[:, c]) for c in range(classes)]))


def score(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Class numbers (N,) and probabilities (N,C) -> METRICS; F1 and specificity are macro, kappa unweighted."""
    guess, labels = probabilities.argmax(1), list(range(probabilities.shape[1]))
    return {
        "aca": float(balanced_accuracy_score(truth, guess)),
        "auc": macro_auc(truth, probabilities),
        "f1": float(f1_score(truth, guess, labels=labels, average="macro", zero_division=0)),
        "kappa": float(cohen_kappa_score(truth, guess, labels=labels)),
        "kappa_quadratic": float(cohen_kappa_score(truth, guess, labels=labels, weights="quadratic")),
        "accuracy": float((truth == guess).mean()),
        "specificity": float(np.mean(sensitivity_specificity(truth, probabilities)[1])),
        "calibration_error": calibration_error(truth, probabilities),
    }


def class_recall(truth: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Share of each class's rows that got their class, (C,)."""
    labels = list(range(probabilities.shape[1]))
    return recall_score(truth, probabilities.argmax(1), labels=labels, average=None, zero_division=0).tolist()


def sensitivity_specificity(truth: np.ndarray, probabilities: np.ndarray) -> tuple[list[float], list[float]]:
    """Each class against the rest: share of its rows that got it, share of the other rows that did not; (C,) and (C,)."""
    guess = probabilities.argmax(1)
    kept_out = [recall_score(truth != c, guess != c, zero_division=0) for c in range(probabilities.shape[1])]
    return class_recall(truth, probabilities), [float(share) for share in kept_out]


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error: |share that is right - mean top probability| in 15 equal bins, weighted by rows."""
    top, right, bins = probabilities.max(1), truth == probabilities.argmax(1), calibration_bins(probabilities)
    gaps = [abs(right[bins == b].mean() - top[bins == b].mean()) * np.mean(bins == b) for b in np.unique(bins)]
    return float(np.sum(gaps))


def calibration_bins(probabilities: np.ndarray) -> np.ndarray:
    """The bin (low, high] of each row's top probability, (N,)."""
    return np.digitize(probabilities.max(1), np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1], right=True)


def amd_f1(truth: np.ndarray, probabilities: np.ndarray, published: bool = False) -> dict[str, float]:
    """F1 and kappa of column 1 of two classes, and the threshold they hold at -> {"f1", "kappa", "threshold"}.

    published  the threshold is the one that is best, by kappa + F1, on these very scores, as the authors chose it for the
               set AMD: what comes out is better than what a new patient would see. False: .5.
    """
    scores = probabilities[:, 1]
    thresholds = precision_recall_curve(truth, scores)[2] if published else [0.5]

    def at(threshold: float) -> dict[str, float]:
        guess = scores >= threshold
        kappa = cohen_kappa_score(truth, guess) if len({*truth, *guess}) > 1 else 0.0
        return {"f1": float(f1_score(truth, guess, zero_division=0)), "kappa": float(kappa), "threshold": float(threshold)}

    return max((at(threshold) for threshold in thresholds), key=lambda found: found["f1"] + found["kappa"])


# -------------------------------------------------------------------------------------------- many samples at a time


def quick_score(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """What `score` gives, from counts instead of scikit-learn."""
    found = weighted_scores(truth, probabilities, np.ones((1, len(truth))))
    return {name: float(values[0]) for name, values in found.items()}


def weighted_scores(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """`score` of R samples at once: weights (R,N) say how often each row stands in each sample -> {metric: (R,)}.

    Counts come from the confusion matrix, AUC from ranks (Mann and Whitney's U). A metric that a sample does not have is nan.
    """
    classes, total = probabilities.shape[1], weights.sum(1)  # (R,)
    guess = probabilities.argmax(1)
    cells = np.eye(classes**2)[truth * classes + guess]  # (N, C*C): the cell that a row falls into
    confusion = (weights @ cells).reshape(-1, classes, classes)  # (R, C, C), rows are truth
    rows, columns, right = confusion.sum(2), confusion.sum(1), np.einsum("rcc->rc", confusion)  # (R, C) each
    steps = np.subtract.outer(np.arange(classes), np.arange(classes))
    bins = np.eye(CALIBRATION_BINS)[calibration_bins(probabilities)]  # (N, bins)
    gaps = weights @ (bins * ((truth == guess) - probabilities.max(1))[:, None])  # (R, bins)

    def kappa(cost: np.ndarray) -> np.ndarray:
        by_chance = np.einsum("ij,ri,rj->r", cost, rows, columns)
        return 1 - (confusion * cost).sum((1, 2)) * total / by_chance

    with np.errstate(divide="ignore", invalid="ignore"):
        each_auc = [auc(truth == c, probabilities[:, c], weights) for c in ([1] if classes == 2 else range(classes))]
        return {
            "aca": np.where(rows > 0, right / np.maximum(rows, 1), 0).sum(1) / (rows > 0).sum(1),
            "auc": np.where((rows > 0).all(1), np.mean(each_auc, axis=0), np.nan),
            "f1": (2 * right / np.maximum(rows + columns, 1)).mean(1),
            "kappa": kappa(steps != 0),
            "kappa_quadratic": kappa(steps**2),
            "accuracy": right.sum(1) / total,
            "specificity": ((total[:, None] - rows - columns + right) / np.maximum(total[:, None] - rows, 1)).mean(1),
            "calibration_error": np.abs(gaps).sum(1) / total,
        }


def auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for R weightings (R,N) of the same rows: (R,); a tie counts one half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where a new score begins
    won, lost = (np.add.reduceat(weights[:, order] * side[order], starts, axis=1) for side in (positive, ~positive))
    below = lost.cumsum(1) - lost / 2  # (R, scores): weight of negatives under a score
    return (won * below).sum(1) / (won.sum(1) * lost.sum(1))


# --------------------------------------------------------------------------------------------------------- intervals


def draw_samples(truth: np.ndarray, seed: int, times: int) -> np.ndarray:
    """How often each row is drawn in each of `times` bootstrap samples, (times, N).

    Drawn within each class, so that a sample holds as many rows of a class as there are.
    """
    generator, counts = np.random.default_rng(seed), np.zeros((times, len(truth)))
    groups = [np.flatnonzero(truth == c) for c in np.unique(truth)]
    for sample in counts:
        for group in groups:
            sample += np.bincount(generator.choice(group, len(group)), minlength=len(truth))
    return counts


def interval(values: np.ndarray, level: float) -> list[float]:
    """Samples (R,) -> [low, high] that hold the middle `level` of them."""
    tails = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    return np.nanpercentile(values, tails).tolist() if np.isfinite(values).any() else [float("nan")] * 2


def bootstrap(
    truth: np.ndarray, probabilities: np.ndarray, seed: int = 0, times: int = 500, level: float = 0.95
) -> dict[str, list[float]]:
    """95% percentile intervals over images -> {metric: [low, high]}."""
    return bootstrap_folds(truth, [np.arange(len(truth))], [probabilities], seed, times, level)


def bootstrap_folds(
    truth: np.ndarray,
    tests: Sequence[Sequence[int]],
    probabilities: Sequence[np.ndarray],
    seed: int = 0,
    times: int = 200,
    level: float = 0.95,
) -> dict[str, list[float]]:
    """Intervals of a mean over folds: truth (N,) of all images, each fold's test rows (n,) and probabilities (n,C).

    An image is drawn once for all folds: tested in three of them, it is still one image. The shots stay as they were drawn.
    """
    counts = draw_samples(truth, seed, times)  # (R, N)
    folds = [weighted_scores(truth[rows], p, counts[:, rows]) for rows, p in zip(tests, probabilities, strict=True)]
    return {name: interval(mean_over(np.stack([f[name] for f in folds])), level) for name in METRICS}


def mean_over(folds: np.ndarray) -> np.ndarray:
    """(F,R) -> (R,): the mean over the folds that have a value; nan where none has."""
    there = np.isfinite(folds)
    return np.where(there, folds, 0).sum(0) / np.where(there.any(0), there.sum(0), np.nan)


def paired_bootstrap(
    truth: np.ndarray,
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    seed: int = 0,
    times: int = 500,
    level: float = 0.95,
) -> dict[str, tuple[float, float, float]]:
    """Model a less model b on the same images, the same samples drawn for both -> {metric: (difference, low, high)}."""
    counts = draw_samples(truth, seed, times)  # (R, N)
    a, b = (weighted_scores(truth, p, counts) for p in (probabilities_a, probabilities_b))
    value_a, value_b = quick_score(truth, probabilities_a), quick_score(truth, probabilities_b)
    return {name: (value_a[name] - value_b[name], *interval(a[name] - b[name], level)) for name in METRICS}
