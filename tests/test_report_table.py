"""Table 2b: its rows, its controls, its intervals; runs that are there are not made again."""

import json
from pathlib import Path

import pytest

from keepfit_mini import report_table
from keepfit_mini.__main__ import main
from keepfit_mini.config import InputError
from keepfit_mini.report_findings import read_findings
from keepfit_mini.report_scores import SCORES
from keepfit_mini.report_search import Written
from keepfit_mini.report_table import CHECKS, CLINICAL, Size, differences, reproduce_reports, writers_in_short
from keepfit_mini.studies import Study

SMALL = Size(studies=40, pixels=32, pretrain_epochs=1, epochs=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("table")
    return reproduce_reports(out, fast=True, progress=False, size=SMALL), out


def test_rows_hold_what_is_promised(table):
    rows, out = table
    saved = json.loads((out / "reports.json").read_text())
    assert saved["rows"] == rows
    assert [row["variant"] for row in rows] == ["none", "public-only", "revision+mixed", "shuffled reports"]
    for row in rows:
        assert {"variant", "seed", *SCORES, *CLINICAL, *CHECKS, "cache_speedup", "train_seconds"} <= set(row)
        assert row["test_studies"] == 4


def test_the_page_names_every_score(table):
    page = (table[1] / "reports.md").read_text()
    for name in (*SCORES, *CLINICAL, "FFA reports + atlas (KeepFIT)", "*paper: FFA-IR + MM*", "one seed"):
        assert name in page
    assert "METEOR: version 1.5" in page


def test_what_is_there_is_not_run_again(table, monkeypatch):
    rows, out = table
    monkeypatch.setattr("keepfit_mini.report_table.one_run", lambda *arguments: pytest.fail("ran again"))
    assert reproduce_reports(out, fast=True, progress=False, size=SMALL) == rows
    with pytest.raises(pytest.fail.Exception):  # other settings: another run
        reproduce_reports(out, fast=True, progress=False, size=Size(studies=40, pixels=32, pretrain_epochs=1, epochs=2))


def test_differences_are_paired_by_seed():
    def row(variant, seed, value):
        return {"variant": variant, "seed": seed, **dict.fromkeys((*SCORES, *CLINICAL), value)}

    rows = [row("public-only", 0, 0.1), row("public-only", 1, 0.5), row("revision+mixed", 1, 0.62), row("revision+mixed", 0, 0.2),
            row("none", 0, 0.9)]  # fmt: skip
    found = differences(rows)["bleu4"]
    assert found["by_seed"] == [0.1, 0.12] and found["effect"] == pytest.approx(0.11)
    half = 12.706 * 0.0141421 / 2**0.5  # Student's t of one degree of freedom
    assert found["interval"] == pytest.approx([0.11 - half, 0.11 + half], abs=1e-3)
    assert "interval" not in differences(rows[:1] + rows[3:])["bleu4"]
    assert differences(rows, "revision+mixed", "none")["bleu4"]["effect"] == pytest.approx(-0.7)


def test_what_is_measured_of_a_writer(monkeypatch):
    """A writer that knows each picture's report: swapped ones are another study's, beam and greedy are not exchanged."""
    said = {"a": "Severe leakage in the macula.", "b": "Mild staining in the macula.", "c": "Few microaneurysms in the macula."}
    likely = {("a", 3): -1.0, ("b", 3): -2.0, ("c", 3): -4.0, ("a", 1): -1.5, ("b", 1): -2.0, ("c", 1): -3.0}  # c: greedy wins

    def write(model, images, width=3, progress=True):
        names = [one[0].name for one in images]
        return [said[name] for name in names], [Written((), likely[name, width], True) for name in names]

    monkeypatch.setattr(report_table, "write_reports", write)
    monkeypatch.setattr(report_table, "cache_speedup", lambda model, images: 2.0)
    studies = [Study(name, (Path(name),), text, "", "test", read_findings(text)) for name, text in said.items()]
    row = report_table.measured(None, studies, False)
    assert row["finding_precision"] == row["exact_recall"] == 1 and row["another_patient_finding_f1"] == 0
    assert row["beam_log_likelihood"] == pytest.approx(-7 / 3, abs=1e-4)
    assert row["greedy_log_likelihood"] == pytest.approx(-6.5 / 3, abs=1e-4)
    assert row["beam_worse"] == 1 and row["different_reports"] == row["test_studies"] == 3
    assert row["all_listed_finding_f1"] == pytest.approx(2 * 0.2 / 1.2, abs=1e-4)


def test_the_table_of_writers_has_a_row_an_arm_and_split():
    one = {"finding_precision": 0.9, "finding_recall": 0.8, "exact_precision": 0.7, "exact_recall": 0.6}
    other = dict.fromkeys(one, 0.7)
    rows = [{"arm": "en", "seed": 0, "val": one, "test": other}, {"arm": "en", "seed": 1, "val": other, "test": one},
            {"arm": "block 3", "seed": 0, "val": other}]  # fmt: skip
    lines = writers_in_short({"rows": rows}).splitlines()[2:]
    assert lines == [
        "| val | the defaults | 0 | .900 | .800 | .700 | .600 |",
        "| val | the defaults' writer, no trigram twice (as published) | 0 | .700 | .700 | .700 | .700 |",
        "| test | the defaults | 0 1 | .800 ± .141 | .750 ± .071 | .700 ± .000 | .650 ± .071 |",
    ]


def test_refusals(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        reproduce_reports(tmp_path / "file")
    assert main(["reproduce", "reports", "--data", "real", "--out", str(tmp_path / "out")]) == 2
    assert "drawn studies: leave --data away" in capsys.readouterr().err
