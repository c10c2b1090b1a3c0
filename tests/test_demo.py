"""The demo end to end, made tiny: files as the contract has them, one self-contained page, nothing of others touched."""

import json
import re
import sys

import pandas as pd
import pytest

from keepfit_mini import __main__, demo, metrics
from keepfit_mini.config import InputError

zero_shot = sys.modules["keepfit_mini.zero_shot"]  # the package gives this name to the function

METRICS = {"aca", "auc", "f1", "kappa", "accuracy"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny demo in a folder that holds a person's file and an earlier demo's leftovers -> folder, result, words printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    (out / "runs" / "public-only").mkdir(parents=True)
    (out / "runs" / "public-only" / "config.json").write_text("{}")
    (out / "runs" / "mine").mkdir()
    (out / "runs" / "mine" / "notes.txt").write_text("keep")
    (out / "results.json").write_text("old")
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("IMAGES", 100), ("SIZE", 48), ("EPOCHS", 1)):
            patch.setattr(demo, name, value)
        patch.setattr(zero_shot, "bootstrap", lambda *given: metrics.bootstrap(*given, times=10))
        patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(map(str, words))))
        result = demo.run_demo(out, seed=3, progress=False)
    return out, result, "\n".join(printed)


def test_results_have_the_shape_of_the_contract(made):
    out, result, _ = made
    saved = json.loads((out / "results.json").read_text())
    assert saved == json.loads(json.dumps(result))
    assert saved["seconds"] > 0
    pairs = {(row["model"], row["dataset"]) for row in saved["rows"]}
    assert pairs == {(model, dataset) for model in demo.MODELS for dataset in demo.UNSEEN}
    assert {"public-only", "revision+mixed"} < {model for model, _ in pairs}
    for row in saved["rows"]:
        assert set(row["metrics"]) >= METRICS
        assert row["classes"] == list(demo.UNSEEN[row["dataset"]][0])
        assert row["n"] == 24
        assert set(row["recall"]) == set(row["classes"])
        for name, (low, high) in row["ci95"].items():
            assert low <= high, name
    assert not list(out.rglob("*.part"))
    assert (out / "report.html").stat().st_mtime_ns <= (out / "results.json").stat().st_mtime_ns  # results come last


def test_report_is_self_contained_and_says_drawn(made):
    out, result, _ = made
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "All pictures on this page, and all that the models learned from, are drawn" in page
    assert "not for clinical use" in page.lower()
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert len(sources) == 13
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    text = re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    assert not re.search(r"<script|<link|@import|url\(|https?://", text)
    assert "{{" not in text and "{%" not in text and "nan" not in re.findall(r"\b\w+\b", text)
    for number in ("0.926", "0.670", "0.403", "0.941", "0.731", "0.812"):  # the paper's
        assert number in text
    for row in result["rows"]:
        assert f"{row['metrics']['aca']:.2f} <small>" in text
    for category in demo.WITHHELD:
        assert category in text.lower()


def test_terminal_shows_the_table_and_a_sentence(made):
    _, result, printed = made
    for row in result["rows"]:
        start = rf"{row['dataset']} +{re.escape(row['model'])} +"
        low, high = row["ci95"]["auc"]
        auc = re.escape(f"{row['metrics']['auc']:.2f} [{low:.2f}, {high:.2f}]")
        assert re.search(rf"{start}{row['metrics']['aca']:.2f} .* {auc}", printed)
    assert "no label named myopia or cataract" in printed


def test_the_expert_set_went_through_the_book(made):
    out, _, _ = made
    built, shuffled = (pd.read_csv(out / "atlas" / f"{n}.csv", keep_default_na=False) for n in ("expert", "expert_shuffled"))
    drawn = pd.read_csv(out / "data" / "expert.csv", keep_default_na=False)
    assert len(built) == len(drawn) == 40
    assert set(built["drawn_category"]) == set(drawn["drawn_category"])
    assert sorted(shuffled["text"]) == sorted(built["text"]) and (shuffled["text"] != built["text"]).mean() > 0.9
    assert (out / "atlas.pdf").stat().st_size > 10_000 and (out / "atlas" / "review.html").is_file()
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "40 of 40 pictures came back with the right figure" in " ".join(text.split())


def test_what_is_not_the_demos_stays(made):
    out, _, _ = made
    assert (out / "runs" / "mine" / "notes.txt").read_text() == "keep"
    assert (out / "runs" / "public-only" / "model.safetensors").is_file()


def rows(baseline, keepfit, control):
    """Rows with the given ACA intervals, the same on every set."""
    return [
        {"model": model, "dataset": dataset, "metrics": {"aca": sum(ends) / 2}, "ci95": {"aca": list(ends)}}
        for model, ends in zip(demo.MODELS, (baseline, keepfit, control), strict=True)
        for dataset in demo.UNSEEN
    ]


def test_conclusions_claim_only_what_the_intervals_carry():
    unseen, named = demo.conclusions(rows((0.3, 0.4), (0.7, 0.8), (0.3, 0.5)))
    assert unseen.count("better than") == 2
    assert named.count("better than") == 2
    unseen, named = demo.conclusions(rows((0.3, 0.6), (0.5, 0.8), (0.9, 1.0)))
    assert "not surely different from labels only" in unseen and "worse than KeepFIT with shuffled captions" in unseen
    assert "better" not in unseen + named


@pytest.mark.parametrize("place", [".", "data", "runs"])
def test_a_file_in_the_way_is_refused(tmp_path, place, capsys):
    out = tmp_path / "out"
    path = out / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert __main__.main(["demo", "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and str(path) in error[0] and "give --out a folder" in error[0]
    assert path.read_text() == "mine"


def test_a_folder_that_is_not_a_run_is_not_removed(tmp_path):
    mine = tmp_path / "runs" / "public-only" / "thesis.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(InputError, match="not a run"):
        demo.run_demo(tmp_path, progress=False)
    assert mine.read_text() == "years of work"
    assert not (tmp_path / "data").exists()
