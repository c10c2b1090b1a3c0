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


def fake(guess, truth):
    recall = {c: float((guess[truth == i] == i).mean()) for i, c in enumerate(results.CLASSES)}
    aca = float(np.mean(list(recall.values())))
    return {"metrics": {"aca": aca}, "ci95": {"aca": [aca - 0.1, aca + 0.1]}, "recall": recall,
            "truth": truth.tolist(), "guess": guess.tolist()}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A README and results of two invented arms: a guesses by chance, c is right 9 times in 10."""
    chance, truth = np.random.default_rng(0), np.repeat([0, 1, 2], 60)
    for arm, share in (("a", 0.0), ("c", 0.85)):
        for seed in range(3):
            guess = np.where(chance.random(180) < share, truth, chance.integers(3, size=180))
            scores = {p: fake(guess, truth) for p in ("names", "descriptions", "both")}
            path = tmp_path / "results" / "real" / f"{arm}-seed{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"zero_shot": scores, "pretrain_seconds": 60}))
    (tmp_path / "README.md").write_text("x\n<!-- table real -->\nold\n<!-- end -->\n<!-- table gains -->\n<!-- end -->\ny\n")
    return tmp_path


def test_results_fill_the_tables_and_check_finds_a_changed_number(folder, capsys):
    readme = folder / "README.md"
    assert main(["results", "--readme", str(readme), "--check"]) == 2
    assert "README.md, row 3" in capsys.readouterr().err
    assert main(["results", "--readme", str(readme)]) == 0
    text = readme.read_text()
    assert (
        "a. labels only | 3 |" in text
        and "c by findings - a by findings | +" in text
        and text.startswith("x\n")
        and text.endswith("y\n")
    )
    assert main(["results", "--readme", str(readme), "--check"]) == 0
    readme.write_text(re.sub(r"\+\.?0?\.?\d", "+.9", text, count=1))
    assert main(["results", "--readme", str(readme), "--check"]) == 2


def test_paired_gain_finds_a_true_difference_and_none_where_there_is_none(folder):
    runs = {
        arm: [json.loads(p.read_text())["zero_shot"]["names"] for p in sorted(folder.glob(f"results/real/{arm}-*"))]
        for arm in "ac"
    }
    gain, low, high = results.paired_gain(runs["c"], runs["a"])
    want = np.mean([s["metrics"]["aca"] for s in runs["c"]]) - np.mean([s["metrics"]["aca"] for s in runs["a"]])
    assert gain == pytest.approx(want) and 0.3 < low < gain < high
    assert results.paired_gain(runs["a"], runs["a"]) == (0, 0, 0)


def test_a_broken_json_is_named(folder):
    (folder / "results" / "real" / "a-seed0.json").write_text("{")
    with pytest.raises(kf.InputError, match="a-seed0.json"):
        results.rendered(folder / "README.md")
