"""README says what is true: its tables come from results/, its commands parse, its files exist."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import keepfit_mini as kf
from keepfit_mini import results
from keepfit_mini.__main__ import main, parser
from keepfit_mini.reproduce import digits

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_tables_are_fresh():
    results.check(ROOT / "README.md")


def test_nothing_is_left_to_fill_in():
    assert not re.search(r"<!-- table [\w-]+ -->\n<!-- end -->|FILL[ _]ME|TBD|XXX", README)


def test_every_command_parses():
    commands = re.findall(r"^    python -m keepfit_mini ([^#\n]+)", README, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        parser().parse_args(shlex.split(command))


def test_make_targets_and_files_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for name in re.findall(r"`((?:tests/|data_scripts/|results/)[\w./]+)`|\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
    for name in re.findall(r"`(\w+\.(?:py|json))`", README):
        assert (ROOT / "keepfit_mini" / name).exists(), name


def test_numbers_in_prose():
    from keepfit_mini.prompts import conditions

    assert f"{len(conditions())} conditions" in README
    speed = json.loads((ROOT / "results" / "few_shot_speed.json").read_text())
    assert f"{speed['ours_seconds']:.0f} seconds where" in " ".join(README.split())
    assert f"would take {speed['theirs_seconds']:.0f}," in " ".join(README.split())


def test_numbers_of_the_report_notebook():
    """README quotes the outputs that notebook 10 keeps."""
    notebook = json.loads((ROOT / "notebooks" / "10_reports.ipynb").read_text(encoding="utf-8"))
    printed = "".join("".join(out.get("text", "")) for cell in notebook["cells"] for out in cell.get("outputs", []))
    said = " ".join(README.split())

    def percent(line):  # precision and recall of a printed line
        return [f"{float(n):.0%}" for n in re.search(rf"{line}.*?precision ([\d.]+), recall ([\d.]+)", printed).groups()]

    found, exact, other, listed = map(percent, (r"\nfinding ", r"\nexact ", "another patient's", "everything listed"))
    assert f"{found[0]} of the findings written were there and {found[1]} of those there were written" in said
    assert f"with place and severity right, {exact[0]} and {exact[1]}." in said
    assert f"From another patient's pictures it is {other[0]} and {other[1]}, and naming every" in said
    assert f"gives {listed[0]} and {listed[1]}." in said


def test_numbers_of_the_report_writers():
    """The bar of .9 on every seed's test studies, and what notebook 10 quotes."""
    rows = json.loads((ROOT / "results" / "report_writers.json").read_text())["rows"]
    tested = [row["test"] for row in rows if row["arm"] == "en"]
    assert len(tested) >= 3 and min(row[f"finding_{what}"] for row in tested for what in ("precision", "recall")) > 0.9
    notebook = json.loads((ROOT / "notebooks" / "10_reports.ipynb").read_text(encoding="utf-8"))
    said = " ".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")

    def two(arm, kind):  # precision and recall of seed 0's val studies
        row = next(row["val"] for row in rows if row["arm"] == arm and row["seed"] == 0)
        return [f"{row[f'{kind}_{what}']:.2f}"[1:] for what in ("precision", "recall")]

    for name, arm, epochs in (("words alone", "words only", 24), ("words and tags", "en", 16)):
        assert f"| {name} | {epochs} | {', '.join(two(arm, 'finding'))} | {', '.join(two(arm, 'exact'))} |" in said
    (before, then), (after, now) = two("en", "finding"), two("block 3", "finding")
    assert f"precision from {before} to {after} and their recall from {then} to {now} (" in said


def test_numbers_lose_their_first_nought_alone():
    assert [results.spread([value]) for value in (0.5, -0.25, 10.5, 420.8)] == [".500", "-.250", "10.500", "420.800"]
    assert results.spread([10.0, 20.0]) == "15.000 ± 7.071"


def fake(guess, truth):
    aca = float(np.mean([(guess[truth == c] == c).mean() for c in range(3)]))
    return {"metrics": {"aca": aca}, "ci95": {"aca": [aca - 0.1, aca + 0.1]}, "guess": digits(guess)}


@pytest.fixture
def folder(tmp_path):
    """A README and runs of two invented models: flair guesses by chance, keepfit is right 9 times in 10."""
    chance, truth = np.random.default_rng(0), np.repeat([0, 1, 2], 60)
    for model, share in (("flair", 0.0), ("keepfit", 0.85)):
        for seed in range(5):
            guess = np.where(chance.random(180) < share, truth, chance.integers(3, size=180))
            scores = {f"odir/zero-shot/{prompts}": fake(guess, truth) for prompts in ("names", "descriptions", "both")}
            run = {"data": "real", "model": model, "seed": seed, "variant": "mixed", "pretrain_seconds": 60,
                   "truth": {"odir": digits(truth)}, "scores": scores}  # fmt: skip
            path = tmp_path / "results" / "runs" / f"real-{model}-seed{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run))
    (tmp_path / "README.md").write_text("x\n<!-- table real -->\nold\n<!-- end -->\n<!-- table claims -->\n<!-- end -->\ny\n")
    return tmp_path


def test_results_fill_the_tables_and_check_finds_a_changed_number(folder, capsys):
    readme = folder / "README.md"
    assert main(["results", "--readme", str(readme), "--check"]) == 2
    assert "README.md, row 3" in capsys.readouterr().err
    assert main(["results", "--readme", str(readme)]) == 0
    text = readme.read_text()
    assert "a. labels only | 5 |" in text and "confirmed (+0." in text
    assert text.startswith("x\n") and text.endswith("y\n")
    for name in ("few-zero-shot.json", "few-zero-shot.md", "claims.md", "claims.json"):
        assert (folder / "results" / name).is_file()
    assert main(["results", "--readme", str(readme), "--check"]) == 0
    readme.write_text(re.sub(r"\+0\.\d", "+0.9", text, count=1))
    assert main(["results", "--readme", str(readme), "--check"]) == 2


@pytest.mark.parametrize("name", ["claims.md", "few-zero-shot.json"])
def test_a_falsified_table_or_verdict_is_found(folder, name, capsys):
    readme = folder / "README.md"
    assert main(["results", "--readme", str(readme)]) == 0
    path = folder / "results" / name
    path.write_text(re.sub(r"(0\.\d)(\d)", lambda m: f"{m[1]}{(int(m[2]) + 1) % 10}", path.read_text(), count=1))
    assert main(["results", "--readme", str(readme), "--check"]) == 2
    assert name in capsys.readouterr().err


def test_a_broken_json_is_named(folder):
    (folder / "results" / "runs" / "real-flair-seed0.json").write_text("{")
    with pytest.raises(kf.InputError, match="real-flair-seed0.json"):
        results.rendered(folder / "README.md")
