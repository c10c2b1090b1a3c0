"""One form for the course's notebooks: badges, needs and setup cells; student versions; run times.

    python data_scripts/course.py form                        # after [project.urls] or results/runtimes.json has changed
    python data_scripts/course.py exercises                   # notebooks/NN_*.ipynb -> exercises/NN_*.ipynb
    python data_scripts/course.py runtimes 06 07 --fast-only  # on two cores, into results/runtimes.json
    python data_scripts/course.py form --check                # one line a difference, exit code 1; nothing is written

With --notebooks DIR, exercises/ and results/ are those beside DIR. Only the badge line, the sentence that begins with **Needs**
and the cell that begins with `# setup:` are rewritten. Not about: what the notebooks say, and whether their outputs are still
true (pytest --nbval-lax).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import textwrap
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from student_versions import mistakes, student

from keepfit_mini.config import InputError, script, write_aside
from keepfit_mini.course import usable_cores
from keepfit_mini.memory import tree_mb

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com"
SETUP = r"""# setup: one text for all notebooks, written by `make form`; works in Colab, in a clone and installed
import os
import sys
from importlib import metadata, util
from pathlib import Path

NOTEBOOK, ADDRESS = "<number>", "<address>"
HERE = [folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "keepfit_mini/model.py").is_file()]
sys.path[:0] = [str(folder) for folder in HERE[:1]]  # a clone works without being installed
if "google.colab" in sys.modules and not getattr(util.find_spec("keepfit_mini"), "origin", None):
    Path("kept.txt").write_text("".join(f"{name}=={metadata.version(name)}\n" for name in ("torch", "torchvision", "numpy")))
    %pip install --quiet --constraint kept.txt "keepfit_mini[cpu] @ git+{ADDRESS}"
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here is fetched; set before the package is imported
try:
    import matplotlib.pyplot as plt

    import keepfit_mini as kf
    from keepfit_mini.course import check_environment
except ImportError as error:
    raise ImportError(f"{error}: run `pip install -e '.[cpu,notebooks]'` in a clone of {ADDRESS}") from None
FAST = os.environ.get("KEEPFIT_FAST") == "1"  # less work, for a quick check
FOLDER = (HERE or [Path.cwd()])[0] / "runs" / ("notebooks-" + NOTEBOOK + "-fast" * FAST)  # what this notebook writes
%matplotlib inline
plt.rcParams["figure.dpi"] = 80
check_environment()"""


# ------------------------------------------------------------------------------------------------ notebooks as files


def notebooks(folder: Path) -> list[Path]:
    """The notebooks NN_name.ipynb of a folder, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> NotebookNode:
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise InputError("is no notebook: save it again from Jupyter", path) from error


def as_text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


def run_times(folder: Path) -> dict:
    """results/runtimes.json beside a folder of notebooks; {} as long as nothing has been measured."""
    path = folder.parent / "results" / "runtimes.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def address() -> str:
    """The repository's public address: [project.urls] in pyproject.toml."""
    url = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise InputError(f"Repository is {url!r}: Colab opens https://github.com/OWNER/NAME only", ROOT / "pyproject.toml")
    return url


# ------------------------------------------------------------------------------------------------ form


def badge(folder: str, name: str) -> str:
    place = address().removeprefix("https://github.com")
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github{place}/blob/main/{folder}/{name})"


def with_badge(source: str, line: str) -> str:
    rest = re.sub(r"\A\[!\[Open in Colab\].*\n*", "", source)
    return f"{line}\n\n{rest}"


def in_minutes(value: float | None) -> str:
    return "not measured" if value is None else f"{max(value, 0.1):.1f} minutes"


def needs(times: dict) -> str:
    """The sentence of one notebook from its entry in runtimes.json; {} if it has none."""
    memory, downloads = times.get("memory_mb"), times.get("downloads_mb", 0)
    sentence = (
        f"**Needs** on two CPU cores: {in_minutes(times.get('minutes_two_cores'))}, with `KEEPFIT_FAST=1` "
        f"{in_minutes(times.get('minutes_fast'))}; on a T4: {in_minutes(times.get('t4_minutes'))}; "
        f"memory: {f'{memory / 1000:.1f} GB' if memory else 'not measured'}; "
        f"downloads: {f'{downloads} MB' if downloads else 'none'} after the installation."
    )
    return textwrap.fill(sentence, 130, break_on_hyphens=False, break_long_words=False)


def with_needs(source: str, sentence: str) -> str:
    """An older sentence ends with its downloads, or with its paragraph; what follows it stays."""
    words = r"(?:(?!\n\n).)*"
    old = re.compile(rf"^\*\*Needs\.?\*\*(?:{words}?(?:no download|downloads:[\w \n]+)\.|{words})", re.S | re.M | re.I)
    if not old.search(source):
        return f"{source.rstrip()}\n\n{sentence}"
    return old.sub(lambda _: sentence, source, count=1)


def formed(path: Path, times: dict) -> tuple[NotebookNode, list[str]]:
    """The notebook in the one form, and what differed."""
    notebook = read(path)
    if not notebook.cells or notebook.cells[0].cell_type != "markdown":
        raise InputError("begin with a markdown cell: title, aim, needs", path)
    first = notebook.cells[0]
    parts = {"the badge line": with_badge(first.source, badge("notebooks", path.name))}
    parts["the sentence of **Needs**"] = with_needs(first.source, needs(times))
    differs = [what for what, source in parts.items() if source != first.source]
    first.source = with_needs(parts["the badge line"], needs(times))
    setup = SETUP.replace("<number>", path.name[:2]).replace("<address>", address())
    place = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), len(notebook.cells))
    if not "".join(cell.source for cell in notebook.cells[place : place + 1]).startswith("# setup:"):
        notebook.cells.insert(place, new_code_cell(id="setup"))
    if notebook.cells[place].source != setup:
        differs.append("the setup cell")
        notebook.cells[place].source = setup
    return notebook, differs


def form(folder: Path, check: bool) -> list[str]:
    """Write the three places of every notebook, or with `check` nothing; one line a difference."""
    times = run_times(folder)
    done = [(path, *formed(path, times.get(path.stem, {}))) for path in notebooks(folder)]
    for path, notebook, differs in done:
        if differs and not check:
            write_aside(path, as_text(notebook))
    end = "differs: run `make form`" if check else "written"
    return [f"notebooks/{path.name}: {what} {end}" for path, _, differs in done for what in differs]


# ------------------------------------------------------------------------------------------------ student versions


def exercises(folder: Path, check: bool) -> list[str]:
    """Write the student version of every notebook beside `folder` and remove the stale; one line a difference, or a mistake."""
    out = folder.parent / "exercises"
    sources = {path.name: read(path) for path in notebooks(folder)}
    wrong = [f"notebooks/{name}: {line}" for name, source in sources.items() for line in mistakes(source, int(name[:2]))]
    if wrong and not check:
        raise InputError(f"{wrong[0]} ({len(wrong)} in all, see --check): nothing is written")
    for name, source in sources.items():
        text = as_text(student(source, name, badge("exercises", name)))
        if not (out / name).is_file() or (out / name).read_text(encoding="utf-8") != text:
            wrong.append(f"exercises/{name}: {'differs from its notebook: run `make exercises`' if check else 'written'}")
            if not check:
                write_aside(out / name, text)
    for path in notebooks(out):
        if path.name not in sources:
            wrong.append(f"exercises/{path.name}: {'has no notebook any more: run `make exercises`' if check else 'removed'}")
            if not check:
                path.unlink()
    return wrong


# ------------------------------------------------------------------------------------------------ run times

LEFT_OUT = {ROOT / name for name in ("notebooks", "exercises", "runs", "demo", "results/models", "results/data", "results/fast")}


def left_out(folder: str, names: list[str]) -> set[str]:
    """Of a copy of the project: what is hidden, what notebooks write, what earlier runs left."""
    return {name for name in names if name.startswith((".", "__pycache__")) or Path(folder, name) in LEFT_OUT}


def private_mb() -> float:
    """What this process has for itself alone (Linux only)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


@contextmanager
def peak_memory(seconds: float = 1.0) -> Iterator[list[float]]:
    """[MB]: the most that all processes below this one took together, looked at every so many seconds; what several share counts
    once, also what they share with this one (Linux only)."""
    peak, done = [0.0], threading.Event()

    def look() -> None:
        while not done.wait(seconds):
            peak[0] = max(peak[0], tree_mb() - private_mb())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def measure(path: Path, fast: bool, executed: Path | None = None) -> tuple[float, float]:
    """Minutes and MB (peak of the kernel and all processes that it starts) of a notebook in a fresh kernel, on drawn data, in a
    copy of the project where nothing has run yet. executed: folder to keep it with its outputs in.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "project"
        shutil.copytree(ROOT, place, ignore=left_out)
        (place / "notebooks").mkdir()
        notebook = read(path)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEEPFIT_")}
        if fast:
            environment["KEEPFIT_FAST"] = "1"
        resources = {"metadata": {"path": str(place / "notebooks")}}
        begin = time.perf_counter()
        try:
            client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources)
            with peak_memory() as peak:
                client.execute(env=environment)
        except CellExecutionError as error:
            raise InputError(f"{error.ename}: {error.evalue}: mend the notebook first", path) from error
        minutes = (time.perf_counter() - begin) / 60
    if executed:
        notebook.metadata.pop("widgets", None)  # a slider's state, megabytes that no reader sees
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        write_aside(executed / path.name, as_text(notebook))
    return minutes, peak[0]


def runtimes(folder: Path, numbers: list[str], fast_only: bool, executed: Path | None = None) -> None:
    """Measure, one after the other, and write after each; the entries of notebooks that are gone are removed."""
    if usable_cores() != 2:
        raise InputError(f"{usable_cores()} cores are usable, the table is about two: run it under `taskset --cpu-list 0,1`")
    paths, known = notebooks(folder), run_times(folder)
    if absent := set(numbers) - {path.name[:2] for path in paths}:
        raise InputError(f"no notebook begins with {', '.join(sorted(absent))}", folder)
    blank = {"minutes_two_cores": None, "minutes_fast": None, "memory_mb": None, "downloads_mb": 0, "t4_minutes": None}
    table = {path.stem: {**blank, **known[path.stem]} for path in paths if path.stem in known}
    machine = {"cores": usable_cores(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    for path in paths:
        if numbers and path.name[:2] not in numbers:
            continue
        row = table.setdefault(path.stem, dict(blank))
        for fast in (True,) if fast_only else (True, False):
            minutes, memory = measure(path, fast, None if fast else executed)
            row["minutes_fast" if fast else "minutes_two_cores"] = round(minutes, 2)
            if not fast or row["minutes_two_cores"] is None:  # the full run's, where there has been one
                row["memory_mb"] = round(memory)
            print(f"{path.stem}{' (fast)' * fast}: {minutes:.2f} minutes, {memory:.0f} MB", flush=True)
        text = json.dumps({**dict(sorted(table.items())), "machine": machine}, indent=1)
        write_aside(folder.parent / "results" / "runtimes.json", text + "\n")


def unmeasured(folder: Path) -> list[str]:
    """Where results/runtimes.json and the notebooks do not match, one line each; nothing is run."""
    known, names = run_times(folder), [path.stem for path in notebooks(folder)]
    missing = [name for name in names if None in [known.get(name, {}).get(f"minutes_{kind}") for kind in ("two_cores", "fast")]]
    return [
        *(f"notebooks/{name}.ipynb: not measured both full and fast: run `make runtimes`" for name in missing),
        *(f"results/runtimes.json: there is no {name} any more" for name in sorted({*known} - {*names, "machine"})),
    ]


@script
def main(arguments: list[str] | None = None) -> int | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("form", "badge line, needs and setup cell of every notebook"),
        ("exercises", "the student versions"),
        ("runtimes", "minutes and memory of every notebook, measured"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--check", action="store_true", help="write nothing: one line a difference, exit code 1")
        command.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", metavar="DIR", help="default notebooks/")
    command.add_argument("numbers", nargs="*", metavar="NN", help="notebooks to run, like 06 (default: all)")
    command.add_argument("--fast-only", action="store_true", help="measure with KEEPFIT_FAST=1 only")
    command.add_argument("--executed", type=Path, metavar="DIR", help="keep the full runs and their outputs there")
    args = parser.parse_args(arguments)
    folder = args.notebooks.resolve()
    if not notebooks(folder):
        raise InputError("holds no notebook NN_name.ipynb", args.notebooks)
    if args.command == "runtimes" and not args.check:
        return runtimes(folder, args.numbers, args.fast_only, args.executed)
    if args.command == "runtimes":
        lines = unmeasured(folder)
    else:
        lines = {"form": form, "exercises": exercises}[args.command](folder, args.check)
    print(*lines, sep="\n", end="\n" * bool(lines))
    return int(args.check and bool(lines))


if __name__ == "__main__":
    sys.exit(main())
