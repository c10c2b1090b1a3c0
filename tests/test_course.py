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
