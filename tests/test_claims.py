"""Verdicts: effects and intervals on made-up runs whose truth is known; the committed verdicts follow from the runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from keepfit_mini import claims
from keepfit_mini.config import InputError
from keepfit_mini.few_shot import split
from keepfit_mini.reproduce import FOLDS, digits

RESULTS = Path(__file__).parent.parent / "results"
TRUTH = np.repeat([0, 1, 2], 60)


def made_up(chance, ability, task="odir/zero-shot/both", hardness=None):
    """A run that is right with probability `ability` + the picture's hardness."""
    tests = [np.arange(180)] if "zero-shot" in task else [np.array(split(TRUTH, 5, f)[1]) for f in range(FOLDS)]
    shares = np.clip(ability + (0 if hardness is None else hardness), 0, 1) * np.ones(180)
    right = chance.random(180) < shares
    guess = [digits(np.where(right, TRUTH, (TRUTH + 1) % 3)[rows]) for rows in tests]
    scores = {task: {"guess": guess if len(guess) > 1 else guess[0]}}
    return {"truth": {"odir": digits(TRUTH)}, "scores": scores, "variant": "mixed"}, guess


@pytest.mark.parametrize("task", ["odir/zero-shot/both", "odir/clip-adapter/5"])
def test_shares_sum_to_aca(task):
    run, _ = made_up(np.random.default_rng(0), 0.7, task)
    right, truth = claims.right_per_picture(run, task)
    tests = [np.arange(180)] if "zero-shot" in task else [split(TRUTH, 5, f)[1] for f in range(FOLDS)]
    guesses = run["scores"][task]["guess"]
    for fold, (rows, guess) in enumerate(zip(tests, guesses if "adapter" in task else [guesses], strict=True)):
        hit = np.array([int(g) for g in guess]) == truth[rows]
        assert right[fold].sum() == pytest.approx(np.mean([hit[truth[rows] == c].mean() for c in range(3)]))


def test_effect_is_the_mean_difference_and_a_model_against_itself_is_nothing():
    chance, task = np.random.default_rng(1), "odir/zero-shot/both"
    a, b = ({seed: made_up(chance, p)[0] for seed in range(5)} for p in (0.9, 0.6))
    found = claims.effect(a, b, task)
    acas = [[claims.right_per_picture(run, task)[0].sum() for run in side.values()] for side in (a, b)]
    assert found["effect"] == pytest.approx(np.mean(acas[0]) - np.mean(acas[1])) and found["seeds"] == [0, 1, 2, 3, 4]
    assert 0.2 < found["interval"][0] < found["effect"] < found["interval"][1] < 0.4
    assert claims.verdict(found) == "confirmed" and claims.verdict(claims.effect(b, a, task)) == "refuted"
    same = claims.effect(a, a, task)
    assert same["effect"] == 0 and same["interval"] == [0, 0] and claims.verdict(same) == "refuted"
    few = [{seed: side[seed] for seed in range(4)} for side in (a, b)]
    assert claims.verdict(claims.effect(*few, task)) == "cannot tell"  # four seeds
    assert claims.effect(a, {}, task) is None


def test_an_untrained_model_stands_for_every_seed():
    chance, task = np.random.default_rng(2), "odir/zero-shot/both"
    a, fixed = {s: made_up(chance, 0.9)[0] for s in range(4)}, made_up(chance, 0.5)[0] | {"variant": ""}
    assert claims.effect(a, {0: fixed}, task)["seeds"] == [0, 1, 2, 3]
    assert claims.effect(a, {0: fixed, 3: fixed}, task)["seeds"] == [0, 1, 2, 3]
    assert claims.effect(a, {0: fixed | {"variant": "mixed"}}, task)["seeds"] == [0]
    other = {0: a[0] | {"truth": {"odir": digits(TRUTH[::-1])}}}
    with pytest.raises(InputError, match="other pictures"):
        claims.effect(a, other, task)


def test_nothing_is_refuted_that_may_be_as_the_paper_has_it():
    found = {"interval": [-0.02, 0.008], "seeds": [0, 1, 2, 3, 4]}
    assert claims.verdict(found) == "refuted" and claims.verdict(found, paper=0.004) == "cannot tell"


def test_the_interval_covers_as_often_as_it_says():
    """Abilities vary with the seed, pictures in hardness, the two means are one: 0 must be held about 95 times of 100."""
    chance, held, trials, task = np.random.default_rng(3), 0, 200, "odir/zero-shot/both"
    for _ in range(trials):
        sides = []
        for _ in range(2):
            hardness = chance.normal(0, 0.2, 180)  # each model has pictures of its own that suit it
            sides.append({seed: made_up(chance, 0.7 + chance.normal(0, 0.05), hardness=hardness)[0] for seed in range(5)})
        low, high = claims.effect(*sides, task)["interval"]
        held += low <= 0 <= high
    assert 0.9 <= held / trials <= 1


def test_committed_verdicts_follow_from_the_committed_runs():
    """Without the package's arithmetic: the effect of each claim from the runs' own metrics, the verdict from its interval."""
    rows = json.loads((RESULTS / "claims.json").read_text())
    assert len(rows) > 20
    for row in rows:
        (better, task), (worse, other) = row["better"].split(), row["worse"].split()
        values = []
        for seed in row["seeds"]:
            a, b = (RESULTS / "runs" / f"{row['data']}-{model}-seed{seed}.json" for model in (better, worse))
            b = b if b.is_file() else b.with_name(f"{row['data']}-{worse}-seed0.json")
            a, b = json.loads(a.read_text()), json.loads(b.read_text())
            values.append(a["scores"][task]["metrics"]["aca"] - b["scores"][other]["metrics"]["aca"])
        assert row["effect"] == pytest.approx(np.mean(values), abs=1e-4), row["name"]
        low, high = row["interval"]
        want = "confirmed" if low > 0 else "refuted" if high < min(claims.MARGIN, row.get("paper", 1)) else "cannot tell"
        assert row["verdict"] == (want if len(row["seeds"]) >= claims.LEAST_SEEDS else "cannot tell")
