"""Table 2b: its rows, its controls, its intervals; runs that are there are not made again."""

import json

import pytest

from keepfit_mini.__main__ import main
from keepfit_mini.config import InputError
from keepfit_mini.report_scores import SCORES
from keepfit_mini.report_table import CHECKS, CLINICAL, Size, differences, reproduce_reports

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


def test_refusals(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        reproduce_reports(tmp_path / "file")
    assert main(["reproduce", "reports", "--data", "real", "--out", str(tmp_path / "out")]) == 2
    assert "drawn studies: leave --data away" in capsys.readouterr().err
