"""The documents beside README say what is true: commands parse, files and links exist, numbers are those of results/.

Not about: README itself (test_readme.py).
"""

import contextlib
import io
import json
import os
import re
import shlex
import statistics
import tomllib
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from keepfit_mini import results
from keepfit_mini.__main__ import parser
from keepfit_mini.checks import EXERCISES
from keepfit_mini.checks_scores import paired
from keepfit_mini.drawn_sets import WITHHELD, plan
from keepfit_mini.phantom import CAMERAS
from keepfit_mini.phantom_findings import REGISTRY
from keepfit_mini.prompts import conditions

ROOT = Path(__file__).parent.parent
TEACHING, MODEL, DATA, CONTRIBUTING = NAMES = ("docs/teaching.md", "MODEL_CARD.md", "DATA_CARD.md", "CONTRIBUTING.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
LISTS = ("08_ODIR", "08_ODIR200x3")  # the authors' own
MADE = {"results/runtimes.json"}  # by `make runtimes`, which takes long: not in every clone
each = pytest.mark.parametrize("name", NAMES)


def words(name: str) -> str:
    """A document on one line, so that a sentence is found wherever its lines break."""
    return " ".join(TEXTS[name].split())


def commands(text: str, program: str) -> list[list[str]]:
    """The arguments of every command of a program, in indented lines and in `code`; settings before it do not count."""
    lines = re.findall(rf"^ {{4,}}(?:[A-Z_]+=\S+ )*{program} (.+)$", text, re.MULTILINE)
    return [shlex.split(line) for line in lines + re.findall(rf"`{program} ([^`]+)`", text)]


def read(name: str):
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


def table(text: str, header: str) -> list[list[str]]:
    """The cells of the table whose first line begins with `header`."""
    body = text.split(f"\n| {header}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in body]


# --------------------------------------------------------------------------------------------- commands, files, links


def test_every_command_of_the_package_parses():
    found = [command for text in TEXTS.values() for command in commands(text, "python -m keepfit_mini")]
    assert len(found) >= 10
    for command in found:
        parser().parse_args(command)


def test_every_command_of_the_course_tool_parses(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "data_scripts")
    import course
    found = [command for text in TEXTS.values() for command in commands(text, "python data_scripts/course.py")]
    assert found
    for command in found:
        with pytest.raises(SystemExit) as end:
            course.main([*command, "--help"])
        assert end.value.code == 0 and set(command[1:]) <= {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}


@each
def test_make_targets_exist(name):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for targets in commands(TEXTS[name], "make"):
        for target in targets:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_project_has_the_extras_that_are_installed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = set(re.findall(r"\"[\w.]+\[([\w,]+)\]\"", TEXTS[TEACHING]))
    assert asked == {"cpu,notebooks"} and {"cpu", "notebooks"} <= set(extras)


@each
def test_files_exist(name):
    parts = r"`((?:tests|data_scripts|results|keepfit_mini|notebooks|docs)/[\w./*]*)`"
    for file in re.findall(parts, TEXTS[name]):
        assert [*ROOT.glob(file)] or file in MADE, file
    for file in re.findall(r"`([\w*]+\.(?:py|json|toml))`", TEXTS[name]):
        known = [*(ROOT / "keepfit_mini").glob(file), *(ROOT / "keepfit_mini/experiments").glob(file), *ROOT.glob(file)]
        assert known or file in {"config.json"}, file


@each
def test_links_are_relative_and_resolve(name):
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        assert not re.match(r"\w+:|/", target), target
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.is_file(), target
        heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}, target


@each
def test_nothing_is_left_to_fill_in_and_no_machine_is_named(name):
    assert not re.search(r"FILL[ _]ME|TBD|XXX|TODO|TIMES\b|<!-- table [\w-]+ -->\n<!-- end -->", TEXTS[name])
    assert not re.search(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|opt|usr)/", TEXTS[name])
    assert max(map(len, (line for line in TEXTS[name].splitlines() if line[:1] not in "| "))) <= 150


# ------------------------------------------------------------------------------------------------------- the sessions


def sessions() -> list[list[list[str]]]:
    return [table(part, "minutes |") for part in re.split(r"^## Session", TEXTS[TEACHING], flags=re.MULTILINE)[1:]]


def test_four_sessions_of_45_minutes_without_a_gap():
    assert len(sessions()) == 4
    for rows in sessions():
        times = [tuple(map(int, row[0].split("-"))) for row in rows]
        assert times[0][0] == 0 and times[-1][1] == 45
        assert all(begin == end for (_, end), (begin, _) in zip(times, times[1:], strict=False))


def test_exercises_fit_their_minutes_and_notebook():
    """In class there is the time that checks.py gives; class and homework together give every exercise once."""
    given = []
    for begin_end, _, where, names in (row for rows in sessions() for row in rows):
        begin, end = map(int, begin_end.split("-"))
        found = re.findall(r"`(\w+)`", names)
        assert sum(EXERCISES[name].minutes for name in found) <= end - begin
        assert all(EXERCISES[name].notebook in where for name in found), found
        given += found
    plans = TEXTS[TEACHING].split("## Session 1", 1)[1].split("## Questions", 1)[0]
    homework = " ".join(re.findall(r"(?:[Hh]omework|fifth session)([^|]+)", plans))
    assert Counter([*given, *re.findall(r"`(\w+)`", homework)]) == Counter(dict.fromkeys(EXERCISES, 1))


def sections_of_exercises() -> dict[str, list[tuple[str, int]]]:
    """Notebook number -> its exercises in order, each with the section that it stands in."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        section, found[path.name[:2]] = 0, []
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                section = int((re.findall(r"^## (\d+)\.", cell.source, re.MULTILINE) or [section])[-1])
            found[path.name[:2]] += [(name, section) for name in re.findall(r"^check\(\"(\w+)\"", cell.source, re.MULTILINE)]
    return found


def out_of_order(plan: list[list[list[str]]]) -> list[str]:
    """Exercises that a row stands on and that no row or homework before it gives, one line each.

    A row with an exercise stands on those before it in its notebook; a row that students run (not a "Picture"), on those in the
    sections before its last one. What is homework "for the quick" may stay undone."""
    known, wrong, done = sections_of_exercises(), [], set()
    quick = {name for rows in plan for row in rows for name in re.findall(r"`(\w+)`", row[1].partition("for the quick")[2])}
    for rows in plan:
        for _, what, where, names in rows:
            given, number = re.findall(r"`(\w+)`", names), where[:2]
            order = known.get(number, [])
            last = max(map(int, re.findall(r"§(\d+)", where)), default=0)
            needed = {name for name, section in order if section < last and not what.startswith("Picture")}
            for name in given:
                assert name in EXERCISES, name
                needed |= set([other for other, _ in order][: [other for other, _ in order].index(name)])
            wrong += [f"{what}: needs {name}" for name in sorted(needed - done - set(given) - quick)]
            done |= set(given) | set(re.findall(r"`(\w+)`", what.partition("Homework:")[2]))
    return wrong


def test_no_row_stands_on_an_exercise_that_comes_later():
    assert out_of_order(sessions()) == []


@pytest.mark.parametrize(("session", "row"), [(0, 1), (2, 1)])
def test_two_rows_in_the_wrong_order_are_seen(session, row):
    plan = sessions()
    rows = plan[session]
    rows[row], rows[row + 1] = rows[row + 1], rows[row]
    assert len(out_of_order(plan)) >= 1


def test_a_homework_that_comes_too_late_is_seen():
    plan = sessions()
    plan[2][-1][1] = plan[2][-1][1].replace("`tip_adapter`", "")
    assert len(out_of_order(plan)) == 1


def test_homework_is_about_an_hour():
    for rows in sessions():
        names = re.findall(r"`(\w+)`", rows[-1][1].partition("Homework:")[2])
        assert sum(EXERCISES[name].minutes for name in names) <= 65


def test_marking_guide_has_the_minutes_and_difficulties_of_the_checks():
    rows = {row[0].strip("`"): row for row in table(TEXTS[TEACHING], "exercise |")}
    assert list(rows) == list(EXERCISES)
    for name, (_, notebook, difficulty, minutes, points, wrong) in rows.items():
        known = EXERCISES[name]
        assert (notebook, difficulty, minutes) == (known.notebook, str(known.difficulty), str(known.minutes)), name
        assert int(points) == 2 * known.difficulty and wrong
    assert f"{2 * sum(known.difficulty for known in EXERCISES.values())} points in all" in words(TEACHING)


def test_notebooks_and_sections_exist():
    wrong = []
    for cells in (row for rows in sessions() for row in rows if row[2][:2].isdigit()):
        number = cells[2][:2]
        files = list((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
        heads = [cell.source for file in files for cell in nbformat.read(file, 4).cells if cell.cell_type == "markdown"]
        sections = re.findall(r"^## (\d+)\.", "\n".join(heads), re.MULTILINE)
        wrong += [number] * (len(files) != 1)
        wrong += [f"{number} §{section}" for section in re.findall(r"§(\d+)", cells[2]) if section not in sections]
    assert not wrong


def test_the_class_has_the_settings_of_the_drawn_tables():
    drawn = tomllib.loads((ROOT / "keepfit_mini/experiments/data.toml").read_text(encoding="utf-8"))["drawn"]
    found = [parser().parse_args(command) for command in commands(TEXTS[TEACHING], "python -m keepfit_mini")]
    draw, runs = found[0], [args for args in found if args.command == "pretrain"]
    assert (draw.images, draw.size, draw.seed) == tuple(drawn["draw"][name] for name in ("images", "size", "seed"))
    assert [args.variant for args in runs] == ["public-only", "revision+mixed"] and {args.seed for args in runs} == {7}
    wanted = (drawn["preset"], drawn["train"]["epochs"], drawn["model"]["image_size"])
    assert {(args.preset, args.epochs, args.image_size) for args in runs} == {wanted}


def test_the_class_is_pooled(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", TEXTS[TEACHING], re.DOTALL)[1]
    chance = np.random.default_rng(0)
    a, b = 0.8 + chance.normal(size=20) * 0.05, 0.5 + chance.normal(size=20) * 0.05
    (tmp_path / "pool").mkdir()
    for i in range(20):
        for name, values in (("keepfit", a), ("labels", b)):
            (tmp_path / f"pool/{name}-{i + 1:02d}.json").write_text(json.dumps({"metrics": {"aca": values[i]}}))
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    low, high = paired(a, b)
    assert said.getvalue() == f"20 pairs, gain in ACA between {low:+.3f} and {high:+.3f}\n"


# -------------------------------------------------------------------------------------------------- numbers and claims


def test_tables_of_the_model_card_are_fresh():
    assert TEXTS[MODEL] == results.rendered(ROOT / MODEL)


def verdict(name: str, data: str) -> dict:
    return next(row for row in read("claims.json") if (row["name"], row["data"]) == (name, data))


def gain(name: str, data: str) -> str:
    row = verdict(name, data)
    return f"{row['effect']:+.3f} [{row['interval'][0]:+.3f}, {row['interval'][1]:+.3f}]"


def cells(model: str, data: str, column: str) -> list[float]:
    return [r[column] for r in read("few-zero-shot.json")["rows"] + read("knowledge.json")["rows"]
            if (r["model"], r["data"]) == (model, data) and column in r]  # fmt: skip


def short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def test_numbers_of_the_model_card():
    said, runs = words(MODEL), [read(f"runs/{path.name}") for path in (ROOT / "results/runs").glob("*.json")]
    demo, drawn = read("demo.json"), cells("keepfit", "drawn", "odir/zero-shot/both")
    errors = [short(row["metrics"]["calibration_error"]) for row in demo["rows"] if row["model"] == "revision+mixed"]
    assert f"runs from {short(min(drawn))} to {short(max(drawn))}" in said
    assert f"labels only is {gain('other-hospital', 'real')}, on a set where guessing gives .333" in said
    assert f"KeepFIT itself {short(statistics.mean(cells('keepfit', 'real', 'hospital/zero-shot/both')))}:" in said
    assert f"is {errors[0]}, {errors[1]} and {errors[2]} on its three sets" in said
    assert f"the demo {demo['seconds']:.0f} seconds" in said
    minutes = [run["pretrain_seconds"] / 60 for run in runs if run["data"] == "real" and run["pretrain_seconds"]]
    assert f"{statistics.mean(minutes):.0f} minutes on average" in said
    hours = sum(run.get("pretrain_seconds") or 0 for run in runs) / 3600
    assert f"The {len(runs)} committed runs (`results/runs/`) took {hours:.1f} hours" in said
    pictures = {len(run["truth"]["odir"]) for run in runs if run["data"] == "real"}
    assert pictures == {565} and "565 pictures" in said


def test_numbers_of_the_questions():
    said, expert = words(TEACHING), verdict("expert-text", "drawn")
    by = {(model, how): short(statistics.mean(cells(model, "real", f"odir/zero-shot/{how}")))
          for model in ("keepfit", "named") for how in ("names", "descriptions")}  # fmt: skip
    assert f"{by['keepfit', 'descriptions']} by findings, {by['keepfit', 'names']} by name; with bare names" in said
    assert f"as captions {by['named', 'names']} by name" in said
    assert f"the gain is {gain('expert-text', 'drawn')}" in said
    assert f"single seeds go from {min(expert['by_seed']):+.3f} to {max(expert['by_seed']):+.3f}" in said
    assert f"seeds 0 to 4 gained {min(expert['by_seed']):+.3f} to {max(expert['by_seed']):+.3f}" in said
    files = [f"runs/drawn-{name}-seed{seed}.json" for name in ("flair", "keepfit") for seed in range(5)]
    seconds = [read(file)["pretrain_seconds"] for file in files]
    assert f"took {min(seconds):.0f} to {max(seconds):.0f} seconds" in said
    count = Counter(row["verdict"] for row in read("claims.json"))
    assert (f"Of {sum(count.values())} verdicts here {count['confirmed']} are confirmed, {count['refuted']} refuted and "
            f"{count['cannot tell']} cannot be told") in said  # fmt: skip
    assert f"the gain is {gain('other-hospital', 'real')}" in said


def test_numbers_of_the_data_card():
    said, count = words(DATA), Counter(row["set"] for row in plan())
    for row in table(TEXTS[DATA], "set (`drawn_sets.py`)"):
        for name in row[0].split(", "):
            assert int(row[1].split()[0]) == count.pop(name)
    assert not count and all(name in said for name in WITHHELD)
    assert f"in {len(CAMERAS)} camera styles, with {len(REGISTRY)} named findings" in said
    assert f"{len(conditions())} conditions" in said
    sets = json.loads((ROOT / "keepfit_mini/data_sets.json").read_text(encoding="utf-8"))
    unknown = [row["name"] for row in sets if row["license"] is None]
    unstated = [row["name"] for row in sets if row["license"] == "not stated"]
    assert f"Of the {len(sets)} sets in `data_sets.json`, {len(unknown)} have no terms that are known here, and one" in said
    assert unstated == ["MM-Retinal v1"] and "and one (MM-Retinal) has a page that states none" in said
    terms = {row["name"]: row["license"] for row in sets}
    assert f"| {terms['APTOS 2019 Blindness Detection']} |" in TEXTS[DATA] and f"| {terms['ODIR-5K']} |" in TEXTS[DATA]


@pytest.mark.real
@pytest.mark.skipif(not os.environ.get("KEEPFIT_DATA"), reason="KEEPFIT_DATA is not set")
def test_counts_of_photographs():
    folder, said = Path(os.environ["KEEPFIT_DATA"]), TEXTS[DATA]

    def column(name: str, what: str) -> list[str]:
        return pd.read_csv(folder / f"{name}.csv", keep_default_na=False)[what].tolist()

    for line in ("odir_pretrain colour", "odir200x3 of them", "csdi colour", "ffa_huapu angiograms", "retina_dataset colour",
                 "aptos_sub colour", "eyepacs_sub and", "diaretdb1 colour"):  # fmt: skip
        name, after = line.split(" ", 1)
        assert f"{len(column(name, 'image')):,} {after}" in said, name
    shared = {*column("csdi", "orig_name")} & {*column("retina_dataset", "orig_name")} - {""}
    assert f"**{len(shared)} pictures**" in said
    train, test = ({Path(image).name for image in column(f"authors_frames/{name}", "image")} for name in LISTS)
    assert f"**{len(train & test)} file names**" in said


@each
def test_not_for_clinical_use(name):
    assert name == CONTRIBUTING or "ot for clinical use" in words(name)


def test_load_and_save(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", TEXTS[MODEL], re.DOTALL)[1], {})
    assert {path.name for path in Path("my_model").iterdir()} >= {"config.json", "model.safetensors"}


# ----------------------------------------------------------------------------------------------------------- citation


def test_citation():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)
    assert cited["cff-version"] == "1.2.0" and cited["authors"] == [{"name": "keepfit_mini contributors"}]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (str(cited["version"]), cited["license"]) == (project["version"], project["license"]["text"])
    (paper,) = cited["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Wu", "Zhang", "Zhang", "Zhou", "Zhou", "Fu"]
    assert all(set(author) == {"family-names"} for author in paper["authors"])
    assert paper["type"] == "conference-paper" and paper["year"] == 2024 and paper["url"].endswith("2405.11793")
    sets = json.loads((ROOT / "keepfit_mini/data_sets.json").read_text(encoding="utf-8"))
    assert paper["title"] in next(row["citation"] for row in sets if row["name"] == "MM-Retinal v1")
