"""data_scripts/course.py does on tiny notebooks what it says, its setup cell works in three places, and check_environment warns.

Not about: the notebooks that are there (test_course.py).
"""

import copy
import json
import os
import platform
import re
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import matplotlib
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import keepfit_mini
from keepfit_mini import course as environment
from keepfit_mini.checks import EXERCISES

sys.path.insert(0, str(Path(__file__).parents[1] / "data_scripts"))
import course  # noqa: E402
from student_versions import mistakes, student  # noqa: E402

ROOT = Path(__file__).parents[1]
CHECKED = "# NBVAL_CHECK_OUTPUT"
AIM = "**Aim.** None: it means the outputs\nbelow."
TEXT = f"# 3. Tiny\n\n{AIM}\n\n**Needs** a minute on two cores. No GPU, no download. Not for clinical use.\n\nMore."
EXERCISE = "### Exercise 3.1 Halves\n\nDifficulty: ●●○ · about 1 minute\n\nHalve `x`."
CODE = f"""{CHECKED}
def half(x):
    ### BEGIN SOLUTION
    y = x / 2

    return y
    ### END SOLUTION


check("half", half)"""
HINT = "<details><summary>Hint</summary>\n\nDivide.\n\n</details>"


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder of one notebook with an exercise that has been run."""
    monkeypatch.setitem(EXERCISES, "half", SimpleNamespace(difficulty=2, minutes=1))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    run = {"execution_count": 1, "outputs": [new_output("stream", name="stdout", text="right\n")]}
    cells = [new_markdown_cell(TEXT), new_code_cell("x = 1", execution_count=2, metadata={"collapsed": True}),
             new_markdown_cell(EXERCISE), new_code_cell(CODE, **run), new_markdown_cell(HINT)]  # fmt: skip
    nbformat.write(new_notebook(cells=cells), folder / "03_tiny.ipynb")
    return folder


def call(command: str, folder: Path, *more: str) -> int:
    return course.main([command, "--notebooks", str(folder), *more])


def change(folder: Path, cell: int, old: str, new: str) -> None:
    path = folder / "03_tiny.ipynb"
    notebook = nbformat.read(path, 4)
    assert old in notebook.cells[cell].source
    notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)
    nbformat.write(notebook, path)


def test_form_is_written_once_and_check_writes_nothing(tiny, capsys):
    path = tiny / "03_tiny.ipynb"
    before = path.read_bytes()
    assert call("form", tiny, "--check") == 1
    assert len(capsys.readouterr().out.splitlines()) == 3 and path.read_bytes() == before
    assert call("form", tiny) == 0
    assert call("form", tiny, "--check") == 0
    formed = path.read_bytes()
    assert call("form", tiny) == 0 and path.read_bytes() == formed
    first, setup, old = nbformat.read(path, 4).cells[:3]
    lines = first.source.splitlines()
    assert lines[0].endswith("/OWNER/keepfit_mini/blob/main/notebooks/03_tiny.ipynb)") or "OWNER" not in course.address()
    assert lines[2] == "# 3. Tiny" and "not measured" in first.source
    assert first.source.endswith("none after the installation. Not for clinical use.\n\nMore.")
    assert 'NOTEBOOK, ADDRESS = "03", "https://github.com/' in setup.source and old.source == "x = 1"
    assert len(setup.source.splitlines()) <= 25


@pytest.mark.parametrize(
    ("cell", "old", "new", "what"),
    [(0, "blob/main/notebooks", "blob/main/notebook", "badge line"), (0, "on a T4", "on a T5", "**Needs**"),
     (1, "dpi\"] = 80", "dpi\"] = 90", "setup cell")],
)  # fmt: skip
def test_form_sees_one_change_and_mends_it(tiny, capsys, cell, old, new, what):
    call("form", tiny)
    whole = (tiny / "03_tiny.ipynb").read_bytes()
    change(tiny, cell, old, new)
    capsys.readouterr()
    assert call("form", tiny, "--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and what in said[0]
    call("form", tiny)
    assert (tiny / "03_tiny.ipynb").read_bytes() == whole


def test_needs_are_the_measured_ones(tiny):
    row = {"minutes_two_cores": 1.26, "minutes_fast": 0.02, "memory_mb": 912, "downloads_mb": 0, "t4_minutes": None}
    course.write_aside(tiny.parent / "results" / "runtimes.json", json.dumps({"03_tiny": row, "machine": {}}))
    call("form", tiny)
    text = " ".join(nbformat.read(tiny / "03_tiny.ipynb", 4).cells[0].source.split())
    assert "two CPU cores: 1.3 minutes, with `KEEPFIT_FAST=1` 0.1 minutes; on a T4: not measured; memory: 0.9 GB;" in text


def test_a_notebook_that_begins_with_code_is_refused(tiny, capsys):
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tiny / "04_code.ipynb")
    assert call("form", tiny) == 2
    assert "04_code.ipynb: begin with a markdown cell" in capsys.readouterr().err


def test_student_version(tiny):
    call("form", tiny)
    assert call("exercises", tiny) == 0
    notebook = nbformat.read(tiny.parent / "exercises" / "03_tiny.ipynb", 4)
    nbformat.validate(notebook)
    first, setup, other, title, code, hint, solution = notebook.cells
    lines = first.source.splitlines()
    assert lines[0].endswith("/blob/main/exercises/03_tiny.ipynb)") and first.source.count("Open in Colab") == 1
    assert lines[2].startswith("This is the student version of `notebooks/03_tiny.ipynb`,")
    assert "**How to work:**" in lines[2] and lines[7] == "# 3. Tiny"
    assert "it means the outputs\nof the solved notebook." in first.source and "](../notebooks" not in first.source
    assert code.source == 'def half(x):\n    raise NotImplementedError("your turn")\n\n\ncheck("half", half)'
    assert title.source == EXERCISE and hint.source == HINT and other.metadata == {}
    answer = "def half(x):\n    y = x / 2\n\n    return y"
    assert solution.source == f"<details><summary>Solution</summary>\n\n```python\n{answer}\n```\n\n</details>"
    assert all(cell.execution_count is None and not cell.outputs for cell in (setup, other, code))


def test_student_version_is_deterministic_and_an_unchanged_cell_keeps_its_id(tiny):
    call("exercises", tiny)
    path = tiny.parent / "exercises" / "03_tiny.ipynb"
    before, ids = path.read_bytes(), [cell.id for cell in nbformat.read(path, 4).cells]
    source = nbformat.read(tiny / "03_tiny.ipynb", 4)
    for i, cell in enumerate(source.cells):
        cell.id = f"other-{i}"
    nbformat.write(source, tiny / "03_tiny.ipynb")
    call("exercises", tiny)
    assert path.read_bytes() == before
    change(tiny, 1, "x = 1", "x = 2")
    call("exercises", tiny)
    assert [a == b.id for a, b in zip(ids, nbformat.read(path, 4).cells, strict=True)] == [True, False, True, True, True, True]


def test_two_answers_in_one_cell_and_cells_that_are_equal(tiny):
    path = tiny / "03_tiny.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[3].source = CODE.replace("def half", "### BEGIN SOLUTION\nz = 1\n### END SOLUTION\n\n\ndef half")
    notebook.cells += [copy.deepcopy(notebook.cells[1]), copy.deepcopy(notebook.cells[1])]
    version = student(notebook, path.name, "[badge]")
    assert len({cell.id for cell in version.cells}) == len(version.cells)
    assert version.cells[3].source.startswith('raise NotImplementedError("your turn")\n\n\ndef half(x):\n    raise Not')
    assert "SOLUTION" not in version.cells[3].source + version.cells[5].source and "z = 1" in version.cells[5].source


@pytest.mark.parametrize("hint", [HINT, f"{HINT}\n\n{HINT.replace('Hint', 'Hint 2')}", f"Before.\n\n{HINT}"])
@pytest.mark.parametrize("after", ["", "## 4. After\n\n<details><summary>Other</summary>\n\nText.\n\n</details>"])
def test_the_solution_stands_between_the_last_hint_and_the_text_below_it(tiny, hint, after):
    path = tiny / "03_tiny.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[4].source = f"{hint}\n\n{after}".rstrip()
    before = copy.deepcopy(notebook)
    first, solution, *rest = student(notebook, path.name, "[badge]").cells[4:]
    assert first.source == hint and solution.source.startswith("<details><summary>Solution</summary>\n\n```python\n")
    assert [cell.source for cell in rest] == [after] * bool(after) and notebook == before


@pytest.mark.parametrize("path", [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*.ipynb")],
                         ids=lambda path: f"{path.parent.name}-{path.name[:2]}")  # fmt: skip
def test_what_is_folded_is_rendered(path):
    """Behind </summary> Markdown is taken for HTML up to the next blank line: *words* and $x$ would be shown as typed."""
    text = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    assert not [found for source in text for found in re.findall(r"</summary>(?!\n\n).*\n.*", source)]


def test_stale_student_versions_are_named_then_removed(tiny, capsys):
    call("exercises", tiny)
    stale = tiny.parent / "exercises" / "02_gone.ipynb"
    stale.write_text("{}")
    change(tiny, 1, "x = 1", "x = 2")
    capsys.readouterr()
    assert call("exercises", tiny, "--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["exercises/03_tiny.ipynb", "exercises/02_gone.ipynb"] and stale.exists()
    call("exercises", tiny)
    assert not stale.exists() and call("exercises", tiny, "--check") == 0


@pytest.mark.parametrize(
    ("cell", "old", "new", "what"),
    [(2, "3.1", "3.2", "title"), (2, "3.1", "4.1", "title"), (2, "●●○", "●●", "Difficulty"), (2, "●●○", "○○○", "Difficulty"),
     (2, "about 1", "1", "Difficulty"), (3, "### END SOLUTION", "", "BEGIN SOLUTION"),
     (3, 'check("half", half)', "half(1)", "check"), (4, "Hint", "Help", "Hint"),
     (4, "</details>", "", "Hint"),
     (1, "x = 1", "### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "outside an exercise")],
)  # fmt: skip
def test_a_mistake_in_an_exercise_is_named_and_nothing_is_written(tiny, capsys, cell, old, new, what):
    assert call("exercises", tiny) == 0
    before = (tiny.parent / "exercises" / "03_tiny.ipynb").read_bytes()
    change(tiny, cell, old, new)
    assert call("exercises", tiny) == 2
    said = capsys.readouterr().err
    assert what in said and "notebooks/03_tiny.ipynb" in said
    assert call("exercises", tiny, "--check") == 1
    assert what in capsys.readouterr().out
    assert (tiny.parent / "exercises" / "03_tiny.ipynb").read_bytes() == before


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ({"half": SimpleNamespace(difficulty=2, minutes=1)}, ""),
        ({"half": SimpleNamespace(difficulty=1, minutes=1)}, "difficulty 1"),
        ({"half": SimpleNamespace(difficulty=2, minutes=9)}, "9 minutes"),
        ({"third": None}, "knows no 'half'"),
    ],
)
def test_difficulty_and_minutes_are_those_of_the_checks(tiny, table, wrong):
    found = mistakes(nbformat.read(tiny / "03_tiny.ipynb", 4), 3, table)
    assert wrong in found[0] if wrong else found == []


def test_exercises_are_counted(tiny):
    notebook = nbformat.read(tiny / "03_tiny.ipynb", 4)
    notebook.cells += copy.deepcopy(notebook.cells[2:])
    assert mistakes(notebook, 3) == ["exercise 3.2: its title begins otherwise than `### Exercise 3.2`"]
    notebook.cells[5].source = EXERCISE.replace("3.1", "3.2")
    assert mistakes(notebook, 3) == []


def test_run_times_of_a_fresh_kernel_in_an_empty_folder(tiny, monkeypatch, capsys):
    """The setup cell is accepted by a kernel, and what the notebook finds is a project in which nothing has run."""
    monkeypatch.setattr(course, "usable_cores", lambda: 2)
    monkeypatch.setenv("KEEPFIT_DATA", str(tiny))
    call("form", tiny)
    change(tiny, 2, "x = 1", "assert FAST and HERE and FOLDER.parts[-2:] == ('runs', 'notebooks-03-fast')\n"
                             "assert not FOLDER.parent.exists() and 'KEEPFIT_DATA' not in os.environ\n"
                             "assert (HERE[0] / 'results/runs').is_dir() and (HERE[0] / 'tests/data').is_dir()\n"
                             "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
                             "import time\nx = bytearray(400_000_000)\ntime.sleep(2)")  # fmt: skip
    change(tiny, 4, 'check("half", half)', "")
    assert call("runtimes", tiny, "03", "--fast-only") == 0
    table = json.loads((tiny.parent / "results" / "runtimes.json").read_text())
    row = table["03_tiny"]
    assert list(row) == ["minutes_two_cores", "minutes_fast", "memory_mb", "downloads_mb", "t4_minutes"]
    assert 0 < row["minutes_fast"] < 5 and 500 < row["memory_mb"] < 3000 and row["downloads_mb"] == 0
    assert row["minutes_two_cores"] is None and row["t4_minutes"] is None
    assert table["machine"]["cores"] == 2 and table["machine"]["torch"]
    capsys.readouterr()
    assert call("runtimes", tiny, "--check") == 1
    assert "03_tiny.ipynb: not measured both" in capsys.readouterr().out


def test_memory_is_that_of_all_processes_below():
    """Two of 150 MB each, a child and its child; this process's own does not count."""
    mine = bytearray(500_000_000)
    code = "import subprocess, sys, time\nx = bytearray(150_000_000)\n"
    inner = repr(code + "time.sleep(1)")
    with course.peak_memory(0.1) as peak:
        subprocess.run([sys.executable, "-c", f"{code}subprocess.run([sys.executable, '-c', {inner}])"], check=True)
    assert 280 < peak[0] < 450 and len(mine)


@pytest.mark.parametrize("old", ["downloads: none.", "downloads:\nnone.", "downloads: none after\nthe installation.",
                                 "No download."])  # fmt: skip
def test_an_older_sentence_is_replaced_up_to_its_downloads(old):
    source = f"**Needs** a minute. {old} Then more.\n\nEnd."
    assert course.with_needs(source, "**Needs** new.") == "**Needs** new. Then more.\n\nEnd."


def test_a_full_run_can_be_kept_with_its_outputs(tiny):
    call("form", tiny)
    change(tiny, 2, "x = 1", "print(6 * 7)")
    change(tiny, 4, 'check("half", half)', "")
    path = tiny / "03_tiny.ipynb"
    course.measure(path, False, tiny.parent / "executed")
    before, after = course.read(path), course.read(tiny.parent / "executed" / path.name)
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
    assert "42" in after.cells[2].outputs[0].text and not any("execution" in cell.metadata for cell in after.cells)


def test_both_run_times_are_kept_and_what_is_gone_is_not(tiny, monkeypatch, capsys):
    monkeypatch.setattr(course, "usable_cores", lambda: 2)
    monkeypatch.setattr(course, "measure", lambda path, fast, executed: (0.5, 300) if fast else (2.0, 900))
    course.write_aside(tiny.parent / "results" / "runtimes.json", json.dumps({"02_gone": {}, "03_tiny": {"t4_minutes": 1.5}}))
    assert call("runtimes", tiny, "--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["notebooks/03_tiny.ipynb", "results/runtimes.json"]
    assert call("runtimes", tiny) == 0
    table = json.loads((tiny.parent / "results" / "runtimes.json").read_text())
    row = {"minutes_two_cores": 2.0, "minutes_fast": 0.5, "memory_mb": 900, "downloads_mb": 0, "t4_minutes": 1.5}
    assert set(table) == {"03_tiny", "machine"} and table["03_tiny"] == row
    assert call("runtimes", tiny, "--check") == 0


def test_run_times_refuse_another_machine_another_notebook_and_a_broken_one(tiny, monkeypatch, capsys):
    monkeypatch.setattr(course, "usable_cores", lambda: 8)
    assert call("runtimes", tiny) == 2 and "taskset" in capsys.readouterr().err
    monkeypatch.setattr(course, "usable_cores", lambda: 2)
    assert call("runtimes", tiny, "07") == 2 and "begins with 07" in capsys.readouterr().err
    assert call("runtimes", tiny) == 2 and "03_tiny.ipynb: NameError: name 'check'" in capsys.readouterr().err
    assert not (tiny.parent / "results").exists()


# ------------------------------------------------------------------------------------------------ the setup cell


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """Run the setup cell of notebook 03 in an empty folder, away from a clone; magics are written down."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("KEEPFIT_FAST", raising=False)
    magics, found = [], util.find_spec

    def magic(name: str, words: str) -> None:
        magics.append((name, words, os.environ.get("HF_HUB_OFFLINE")))
        monkeypatch.setattr(util, "find_spec", found)

    def run() -> dict:
        source = course.SETUP.replace("<number>", "03").replace("<address>", course.address())
        names = {"get_ipython": lambda: SimpleNamespace(run_line_magic=magic)}
        with matplotlib.rc_context():  # the cell sets the size of figures
            exec(TransformerManager().transform_cell(source), names)
        return {**names, "magics": magics}

    return run


def test_setup_where_the_package_is_installed(setup, tmp_path, capsys):
    names = setup()
    assert names["kf"] is keepfit_mini and names["FOLDER"] == tmp_path / "runs" / "notebooks-03" and not names["FAST"]
    assert [name for name, *_ in names["magics"]] == ["matplotlib"] and os.environ["HF_HUB_OFFLINE"] == "1"
    assert "torch" in capsys.readouterr().out


def test_setup_in_a_clone(setup, tmp_path, monkeypatch):
    (tmp_path / "keepfit_mini").mkdir()
    (tmp_path / "keepfit_mini" / "model.py").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("KEEPFIT_FAST", "1")
    names = setup()
    assert sys.path[0] == str(tmp_path) and names["FOLDER"] == tmp_path / "runs" / "notebooks-03-fast" and names["FAST"]


def test_setup_in_colab_installs_without_touching_torch(setup, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    assert [name for name, *_ in setup()["magics"]] == ["matplotlib"]  # it is there already
    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "keepfit_mini" else find(name))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    _, (name, words, offline), _ = setup()["magics"]
    assert (name, offline) == ("pip", None) and os.environ["HF_HUB_OFFLINE"] == "1"
    assert "--constraint kept.txt" in words and '"keepfit_mini[cpu] @ git+{ADDRESS}"' in words
    assert re.fullmatch(r"torch==\S+\ntorchvision==\S+\nnumpy==\S+\n", (tmp_path / "kept.txt").read_text())


def test_setup_says_how_to_install(setup, monkeypatch):
    monkeypatch.setitem(sys.modules, "keepfit_mini.course", None)
    with pytest.raises(ImportError, match="in a clone of https://github.com/"):
        setup()


# ------------------------------------------------------------------------------------------------ check_environment


@pytest.fixture
def fine(monkeypatch):
    """A machine with nothing to mend, whatever this one is."""
    monkeypatch.setattr(environment.psutil, "virtual_memory", lambda: SimpleNamespace(available=3.04e9))
    monkeypatch.delenv("KEEPFIT_FAST", raising=False)
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)


def test_environment_is_told_in_four_lines(fine, monkeypatch, tmp_path, capsys):
    environment.check_environment()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Python {platform.python_version()}, torch ") and keepfit_mini.__version__ in lines[0]
    assert lines[1].startswith("device: ") and f"{environment.usable_cores()} cores, 3.0 GB of memory free" in lines[2]
    assert lines[3:] == ["KEEPFIT_FAST: not set; KEEPFIT_DATA: not set, so drawn data"]
    monkeypatch.setenv("KEEPFIT_FAST", "1")
    monkeypatch.setenv("KEEPFIT_DATA", str(tmp_path))
    environment.check_environment()
    said = capsys.readouterr().out
    assert said.splitlines()[3:] == ["KEEPFIT_FAST: set, so less work; KEEPFIT_DATA: set"] and str(tmp_path) not in said


@pytest.mark.parametrize("what", ["Python 3.10.2 is too old", "no ipywidgets", "less than 2 GB", "KEEPFIT_DATA names no"])
def test_each_thing_to_mend_is_one_line(fine, monkeypatch, tmp_path, capsys, what):
    if "Python" in what:
        monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    elif "ipywidgets" in what:
        monkeypatch.setattr(environment, "find_spec", lambda name: None)
    elif "GB" in what:
        monkeypatch.setattr(environment.psutil, "virtual_memory", lambda: SimpleNamespace(available=1.9e9))
    else:
        monkeypatch.setenv("KEEPFIT_DATA", str(tmp_path / "absent"))
    environment.check_environment()
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and what in warnings[0] and str(tmp_path) not in warnings[0]
