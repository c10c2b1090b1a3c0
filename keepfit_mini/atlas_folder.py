"""The folder of a build: whether it may be written, which of its tables a person corrected, and its exchange for a new one.

Not about: what the steps write into it (atlas.py).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from .atlas_tables import CAPTIONS, MODALITIES, PAIRS, PICTURES
from .config import InputError, file_sha256, write_aside

STEPS = ("collect", "align", "modality", "clean")
WRITES = {"collect": (PICTURES, CAPTIONS), "align": (PAIRS,), "modality": (MODALITIES,), "clean": ()}
BOOK = "book.json"


def digest(path: Path) -> str:
    return file_sha256(path) if path.is_file() else ""


def keep_corrected(out: Path, folder: Path, start: str) -> None:
    """Copy into `folder` each table of `out` that is about to be written anew and is not as it was written."""
    signed = about(out).get("written", {})
    for step in STEPS[STEPS.index(start) :]:
        for name in WRITES[step]:
            if name in signed and digest(out / name) not in ("", signed[name]):
                kept = name.replace(".csv", ".corrected.csv")
                shutil.copy(out / name, folder / kept)
                print(f"{out / name} was corrected and is written anew: your version is kept as {kept}", file=sys.stderr)


def sign(folder: Path, start: str) -> None:
    """Note in book.json what the tables were when they were written, so that a person's corrections are noticed."""
    known = about(folder)
    written = [name for step in STEPS[STEPS.index(start) :] for name in WRITES[step]]
    signed = {**known.get("written", {}), **{name: digest(folder / name) for name in written}}
    write_aside(folder / BOOK, json.dumps({**known, "written": signed}, indent=2) + "\n")


def about(folder: Path) -> dict:
    """book.json of a build; {} where there is none, or it is none."""
    try:
        known = json.loads((folder / BOOK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def check_out(out: Path, start: str, book: Path) -> None:
    """InputError: `out` is a file, the working folder, holds something that is no build, or lacks a table that `start` reads."""
    if out.exists() and not out.is_dir():
        raise InputError("is a file: give --out a folder", out)
    if out == Path.cwd() or out in Path.cwd().parents:
        raise InputError("is the folder that you are in, and cannot be replaced: go to another one first", out)
    built = about(out).get("book", book.name)
    if start != "collect" and built != book.name:
        print(f"{out} was built from {built}: its tables are read, not {book.name}", file=sys.stderr)
    if start != "collect":
        needed = {"align": (PICTURES, CAPTIONS), "modality": (PAIRS,), "clean": (MODALITIES,)}[start]
        for name in needed:
            if not (out / name).is_file():
                raise InputError(f"is not there: build the atlas from the start first, without --start {start}", out / name)
    elif out.exists() and any(out.iterdir()) and not (out / BOOK).is_file():
        raise InputError("is there and holds no earlier build of an atlas: give --out another folder", out)


def replace(folder: Path, out: Path) -> None:
    """Put the finished folder where the old one stood."""
    folder.chmod(0o755)
    old = None
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent)) / "old"
        try:
            out.rename(old)
        except OSError:
            old.parent.rmdir()
            raise
    folder.rename(out)
    if old:
        shutil.rmtree(old.parent, ignore_errors=True)
