"""Scores: known values, the authors' values, the quick path equal to scikit-learn's, intervals that behave."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit_mini.metrics import (
    METRICS,
    amd_f1,
    bootstrap,
    bootstrap_folds,
    calibration_error,
    class_recall,
    draw_samples,
    paired_bootstrap,
    quick_score,
    score,
    sensitivity_specificity,
    weighted_scores,
)

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
    sensitivity, specificity = sensitivity_specificity(truth, probabilities)
    assert sensitivity == pytest.approx(theirs["sensitivity_class"])
    assert specificity == pytest.approx(theirs["specificity_class"])
    assert ours["specificity"] == pytest.approx(theirs["specificity_avg"])
    by_class = [score(np.abs(truth - c), probabilities[:, [c, 1 - c]])["auc"] for c in (1, 0)]
    assert by_class == pytest.approx(theirs["auc_class"], abs=1e-3)
    amd = amd_f1(truth, probabilities, published=True)
    assert amd["f1"] == pytest.approx(theirs["AMD_f1"]) and amd["kappa"] == pytest.approx(theirs["AMD_kappa"])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_the_quick_path_is_scikit_learns(seed, classes):
    case = random_case(seed, classes)
    assert quick_score(*case) == pytest.approx(score(*case))
    weights = np.random.default_rng(seed).integers(3, size=len(case[0]))
    weights[:classes] = 1  # none is absent
    drawn = np.repeat(np.arange(len(weights)), weights)
    found = weighted_scores(*case, weights[None].astype(float))  # a weight is a row that stands there as often
    assert {name: values[0] for name, values in found.items()} == pytest.approx(score(case[0][drawn], case[1][drawn]))


def test_a_perfect_and_a_constant_guess():
    truth = np.array([0, 0, 1, 2])
    perfect = score(truth, np.eye(3)[truth])
    assert perfect.pop("calibration_error") == 0 and all(value == pytest.approx(1) for value in perfect.values())
    constant = score(truth, np.tile([0.6, 0.2, 0.2], (4, 1)))
    assert constant["aca"] == pytest.approx(1 / 3) and constant["auc"] == 0.5 and constant["accuracy"] == 0.5
    assert constant["kappa"] == 0 and constant["specificity"] == pytest.approx(2 / 3)
    assert constant["calibration_error"] == pytest.approx(0.1)  # says .6, is right half of the time


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


def test_calibration_error_by_hand():
    """Two bins: four rows sure to .9 of which three are right, two rows sure to .55 of which none is."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.45, 0.55]] * 2)
    truth = np.array([0, 0, 0, 1, 0, 0])
    assert calibration_error(truth, probabilities) == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.55)
    edge = np.linspace(0, 1, 16)[10]  # belongs to the bin below it: one wrong and one right row there cancel out
    probabilities = np.array([[edge, 1 - edge], [edge - 0.01, 1.01 - edge]])
    assert calibration_error(np.array([1, 0]), probabilities) == pytest.approx(abs(0.5 - edge + 0.005))


def test_the_published_threshold_flatters():
    """Scores that know nothing: chosen on the test set itself, kappa + F1 is better than at .5, never worse."""
    chance, gains = np.random.default_rng(0), []
    for _ in range(8):
        truth, scores = chance.integers(2, size=30), chance.random(30)
        sound, theirs = (amd_f1(truth, np.stack([1 - scores, scores], 1), published) for published in (False, True))
        assert sound["threshold"] == 0.5 and theirs["threshold"] in scores
        gains.append(theirs["f1"] + theirs["kappa"] - sound["f1"] - sound["kappa"])
    assert min(gains) > -1e-12 and np.mean(gains) > 0.1


def test_an_image_tested_in_several_folds_is_one_image():
    """The same rows tested five times over say no more than once; five different fifths say what the whole says."""
    truth, probabilities = random_case(1, 3, 200)
    once = bootstrap(truth, probabilities, times=300)
    again = bootstrap_folds(truth, [np.arange(len(truth))] * 5, [probabilities] * 5, times=300)
    assert all(again[name] == pytest.approx(once[name]) for name in METRICS)
    fifths = [np.arange(f, len(truth), 5) for f in range(5)]
    apart = bootstrap_folds(truth, fifths, [probabilities[rows] for rows in fifths], times=300)
    assert np.diff(apart["accuracy"])[0] == pytest.approx(np.diff(once["accuracy"])[0], rel=0.2)
    counts = draw_samples(truth, 0, 20)
    assert all((counts[:, truth == c].sum(1) == (truth == c).sum()).all() for c in range(3))


def test_paired_differences():
    truth, a = random_case(2, 3, 150)
    b = np.random.default_rng(5).dirichlet(np.ones(3), len(truth))  # knows nothing
    assert all(values == (0, 0, 0) for values in paired_bootstrap(truth, a, a, times=50).values())
    there, back = paired_bootstrap(truth, a, b, times=200), paired_bootstrap(truth, b, a, times=200)
    for name, (difference, low, high) in there.items():
        assert difference == pytest.approx(score(truth, a)[name] - score(truth, b)[name])
        assert low <= high and back[name] == pytest.approx((-difference, -high, -low))
    assert there["aca"][1] > 0
    nearly = a.copy()
    nearly[:3] = nearly[:3].mean(0)  # two models that differ in three pictures: the pictures they share cancel out
    both = np.diff(bootstrap(truth, a, times=200)["accuracy"])[0]
    assert np.diff(paired_bootstrap(truth, a, nearly, times=200)["accuracy"][1:])[0] < both / 2
