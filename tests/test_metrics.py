"""Scores: known values, the authors' values, the quick path equal to scikit-learn's, intervals that behave."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit_mini.metrics import METRICS, bootstrap, class_recall, quick_score, score

DATA = Path(__file__).parent / "data"


def random_case(seed, classes, n=60):
    chance = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), chance.integers(classes, size=n)])
    probabilities = chance.dirichlet(np.ones(classes), len(truth)).round(2)  # rounded, so that there are ties
    probabilities[np.arange(len(truth)), truth] += 0.2
    return truth, probabilities


def test_the_authors_values():
    arrays = np.load(DATA / "official_values.npz")
    theirs = json.loads((DATA / "official_values.json").read_text())["metrics"]["binary"]
    truth, probabilities = arrays["metrics/binary_refs"], arrays["metrics/binary_preds"]
    ours = score(truth, probabilities)
    assert ours["aca"] == pytest.approx(theirs["aca"]) and ours["accuracy"] == pytest.approx(theirs["TAOP_acc"])
    assert ours["auc"] == pytest.approx(theirs["AMD_auc"]) and ours["f1"] == pytest.approx(theirs["f1_avg"], abs=1e-3)
    assert ours["kappa_quadratic"] == pytest.approx(theirs["kappa"])
    assert class_recall(truth, probabilities) == pytest.approx(theirs["acc_class"])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_the_quick_path_is_scikit_learns(seed, classes):
    case = random_case(seed, classes)
    assert quick_score(*case) == pytest.approx(score(*case))


def test_a_perfect_and_a_constant_guess():
    truth = np.array([0, 0, 1, 2])
    assert all(value == pytest.approx(1) for value in score(truth, np.eye(3)[truth]).values())
    constant = score(truth, np.tile([0.6, 0.2, 0.2], (4, 1)))
    assert constant["aca"] == pytest.approx(1 / 3) and constant["auc"] == 0.5 and constant["accuracy"] == 0.5
    assert constant["kappa"] == 0


def test_intervals_hold_the_value_narrow_with_images_and_repeat():
    small, large = random_case(0, 3, 40), random_case(0, 3, 4000)
    width = {}
    for name, case in (("small", small), ("large", large)):
        intervals, values = bootstrap(*case), score(*case)
        assert set(intervals) == set(METRICS)
        assert all(low <= values[m] <= high for m, (low, high) in intervals.items())
        width[name] = np.diff(intervals["aca"])[0]
    assert width["large"] < width["small"] / 5
    assert bootstrap(*small, seed=1) == bootstrap(*small, seed=1) != bootstrap(*small, seed=2)


def test_the_interval_covers_as_often_as_it_says():
    """Accuracy of a coin of .7 over 100 images: about 95 of 100 intervals must hold .7."""
    chance, held = np.random.default_rng(0), 0
    for trial in range(100):
        truth = np.repeat([0, 1], 50)
        guess = np.where(chance.random(100) < 0.7, truth, 1 - truth)
        low, high = bootstrap(truth, np.eye(2)[guess], seed=trial, times=200)["accuracy"]
        held += low <= 0.7 <= high
    assert held >= 88
