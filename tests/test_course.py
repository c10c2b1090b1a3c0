"""The course's notebooks have one form, hold what they show and cannot rot unseen.

Not about: whether their outputs are still true (pytest --nbval-lax), and the tool that writes the form (test_course_tool.py).
"""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "data_scripts"))
import course  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STUDENT = sorted((ROOT / "exercises").glob("*.ipynb"))
CHECKED = "# NBVAL_CHECK_OUTPUT"
MARKERS = {CHECKED, "# NBVAL_IGNORE_OUTPUT", "# NBVAL_RAISES_EXCEPTION"}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
each_of_both = pytest.mark.parametrize("path", NOTEBOOKS + STUDENT, ids=lambda path: f"{path.parent.name}-{path.name[:2]}")


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def compared(path: Path) -> list:
    return [cell for cell in code_cells(path) if CHECKED in map(str.strip, cell.source.splitlines())]


def words(cell) -> str:
    """A cell's source and what of its outputs can be read; pictures are left out."""
    parts = [cell.source]
    for output in cell.get("outputs", []):
        parts += [output.get("text", ""), *output.get("traceback", [])]
        parts += [str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join(parts)


def test_form(capsys):
    status = course.main(["form", "--check"])
    assert status == 0, capsys.readouterr().out


def test_student_versions_are_those_of_the_notebooks(capsys):
    status = course.main(["exercises", "--check"])
    assert status == 0, capsys.readouterr().out


@each_of_both
def test_badge_opens_this_very_file(path):
    first = nbformat.read(path, 4).cells[0].source.splitlines()[0]
    assert first.endswith(f"/keepfit_mini/blob/main/{path.parent.name}/{path.name})") and first.startswith("[![Open in Colab]")


@each_of_both
def test_setup_cell_is_the_same_but_for_its_number(path):
    wanted = course.SETUP.replace("<number>", path.name[:2]).replace("<address>", course.address())
    assert code_cells(path)[0].source == wanted


def test_at_least_sixty_cells_are_compared():
    assert sum(len(compared(path)) for path in NOTEBOOKS) >= 60


@each
def test_every_cell_was_run_in_order(path):
    """nbval compares no cell without a count: a stripped notebook would be green and empty."""
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each_of_both
def test_file_is_small_and_holds_no_widget_state(path):
    notebook = nbformat.read(path, 4)
    assert path.stat().st_size < 1e6
    assert notebook.nbformat_minor >= 5 and "widgets" not in notebook.metadata
    assert all("widgets" not in cell.metadata for cell in notebook.cells)


@each
def test_markers_are_known_and_the_whole_comment(path):
    """nbval passes over a misspelt one in silence."""
    lines = [line.strip() for cell in code_cells(path) for line in cell.source.splitlines() if re.search("nbval", line, re.I)]
    assert set(lines) <= MARKERS


@each
def test_what_is_compared_is_there_and_can_be_compared(path):
    for cell in compared(path):
        assert cell.outputs, cell.source
        assert not re.search(r"%\||\d(?:it/s|s/it)\b|\r", words(cell)), f"a progress bar: {cell.source}"
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        assert not [kind for kind in kinds if kind.startswith("image/") or "widget" in kind], f"a picture: {cell.source}"


@each_of_both
def test_nothing_tells_whose_machine_it_was(path):
    paths = r"(?<![\w.:/])/(?:home|Users|root|tmp|work|content|mnt|opt|usr|var|private)/\S*|[A-Z]:\\\\?\w+|site-packages\S*"
    names = [name for name in (os.environ.get("USER", ""), platform.node()) if len(name) > 3 and name != "root"]
    found = []
    for cell in nbformat.read(path, 4).cells:
        found += re.findall(paths, words(cell))
        found += [name for name in names if re.search(rf"\b{re.escape(name)}\b", words(cell))]
    assert not found


@each_of_both
def test_cells_are_short(path):
    long = {i: len(cell.source.splitlines()) for i, cell in enumerate(code_cells(path), 1)}
    assert not {i: lines for i, lines in long.items() if lines > 25}


@each_of_both
def test_only_the_setup_cell_installs(path):
    for cell in code_cells(path)[1:]:
        assert not re.search(r"^\s*[!%]{1,2}\s*(?:pip|conda|mamba|uv)\b", cell.source, re.MULTILINE), cell.source


# ------------------------------------------------------------------------------------------ what the text points at


def prose(path: Path) -> list[str]:
    """The markdown cells, each on one line, so that a reference is found wherever its lines break."""
    return [" ".join(cell.source.split()) for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]


FOLDERS = "keepfit_mini|results|docs|tests|data_scripts|notebooks|exercises"
PLACES = ("", "keepfit_mini", "data_scripts", "tests")  # where a bare name.py, or the name of a folder in them, may be
MADE = {"results/runtimes.json"}  # by `make runtimes`, which takes long: not in every clone
ARXIV = re.compile(r"(?:arxiv\.org/\w+/|arXiv[: ]\s*)(\d[\w.]*\d)")


def missing_files(text: str) -> list[str]:
    names = re.findall(rf"`((?:(?:{FOLDERS})/|experiments/)[\w./*-]*|\w+\.py)`", text)
    return [name for name in names if name not in MADE and not any([*(ROOT / place).glob(name)] for place in PLACES)]


def sections() -> dict[int, set[int]]:
    """Notebook number -> the numbers of its section headings."""
    found = {}
    for path in NOTEBOOKS:
        text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
        found[int(path.name[:2])] = set(map(int, re.findall(r"^## (\d+)\.", text, re.MULTILINE)))
    return found


def missing_sections(text: str, own: int, known: dict[int, set[int]]) -> list[str]:
    """References to sections, and to notebooks, that are not there; sections of papers are left out."""
    text = re.sub(r"\)\),? sections? [\d.]+(?: and [\d.]+)?", "", text)  # behind an address: the paper's
    numbers = r"\d+(?:(?:, | and | or | to )\d+)*(?![.]?\d)"
    form = rf"(?:notebook (\d+), )?\bsections? ({numbers})(?! of the paper)(?: of notebook (\d+))?"
    wrong = []
    for before, found, after in re.findall(form, text, re.IGNORECASE):
        where = int(before or after or own)
        wrong += [f"{where} §{section}" for section in re.findall(r"\d+", found) if int(section) not in known.get(where, set())]
    for found in re.findall(rf"notebooks? ({numbers})", text, re.IGNORECASE):
        wrong += [f"notebook {where}" for where in re.findall(r"\d+", found) if int(where) not in known]
    return wrong


@each
def test_files_that_the_text_names_exist(path):
    assert [name for text in prose(path) for name in missing_files(text)] == []


@each
def test_sections_that_the_text_names_exist(path):
    known = sections()
    assert [name for text in prose(path) for name in missing_sections(text, int(path.name[:2]), known)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("see section 2 and sections 1 to 3", []), ("Section 4 shows", ["1 §4"]),
     ("notebook 2, section 1, or section 5 of notebook 2", ["2 §5"]), ("notebook 3", ["notebook 3"]),
     ("section 2.4 of the paper, section 9 of the paper", []),
     ("([arXiv 1](https://arxiv.org/abs/1)), section 8, on that", []), ("sections 2 and 7", ["1 §7"])],
)  # fmt: skip
def test_a_section_that_is_not_there_is_seen(text, wrong):
    assert missing_sections(text, 1, {1: {1, 2, 3}, 2: {1}}) == wrong


def test_a_file_that_is_not_there_is_seen():
    text = "`keepfit_mini/trainer.py`, `trainer.py`, `results/` and `gone.py`, `docs/gone.md`, `runs/gone.py`, `out.csv`"
    assert missing_files(text) == ["gone.py", "docs/gone.md"]


@each
def test_papers_have_an_address_and_one_author(path):
    """Where README, docs or the package name the same paper, the author that the notebook names stands there too."""
    others = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("keepfit_mini/*.py"), *ROOT.glob("keepfit_mini/*.json")]
    others = [" ".join(file.read_text(encoding="utf-8").split()) for file in others]
    for text in prose(path):
        links = re.findall(r"\((\S*arxiv\S*?)\)", text, re.IGNORECASE)
        assert all(re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", link) for link in links), links
        assert all(shown == link for shown, link in re.findall(r"\[arXiv (\S+)\]\(https://arxiv\.org/abs/(\S+?)\)", text))
        for found in ARXIV.finditer(text):
            authors = re.findall(r"([A-Z][\w-]+)(?: and [A-Z]\w+| et al\.) \d{4}", text[: found.start()])
            for other in others:
                for same in ARXIV.finditer(other):
                    near = other[max(0, same.start() - 250) : same.end()]
                    assert same[1] != found[1] or not authors or authors[-1] in near, (found[1], authors[-1], near)


def test_a_changed_number_turns_the_notebooks_red(tmp_path):
    """What `make notebooks` does, on one number that is right and on one that somebody changed."""
    source = f"{CHECKED}\nprint(3 / 4)"
    for name, text in (("right", "0.75\n"), ("changed", "0.76\n")):
        cell = new_code_cell(source, execution_count=1, outputs=[new_output("stream", name="stdout", text=text)])
        nbformat.write(new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:xdist", "--nbval-lax", "--nbval-current-env", "."]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "PASSED right.ipynb::Cell 0" in said
    assert "FAILED changed.ipynb::Cell 0" in said
