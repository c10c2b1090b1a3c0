"""Manifests: a CSV with one row an image -> a frame that has been checked (paper section 3.1, "data").

A manifest has `image` (path beside the CSV), `modality`, `label` (categories joined by ;), `text`, ...
The authors' frames (`image, atributes, categories` as list literals; `image, caption`) read as well, without eval.
A manifest is a stranger's: its pictures must lie in its own folder, or in one that the user named. A million rows read in
seconds: each different cell is parsed once, each folder resolved once. Not about: what is in the pictures (pictures.py).
"""

from __future__ import annotations

import ast
import hashlib
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .config import InputError
from .prompts import is_excluded

COLUMNS = ("image", "label", "text", "modality", "caption", "atributes", "categories")  # the last three are the authors'


def read_manifest(path: str | Path, need: str | None = None, root: str | Path | None = None) -> pd.DataFrame:
    """CSV -> frame with image (full path), modality, labels (list), attributes (list), text, file, row.

    need  "label" or "text": a row without it is refused; None: one of the two columns must exist.
    root  a folder under which pictures may lie, beside the manifest's own and the one that KEEPFIT_DATA names
    row counts as a spreadsheet does: the header is row 1. Rows whose cells are equal share one list.
    InputError names file, row and mend.
    """
    path = Path(path)
    frame, found = read_cells(path)
    rows = frame["row"].tolist()

    def lists(column: str) -> list[list[str]]:
        return parsed(frame[column], rows, lambda text, row: literal_list(text, path, row))

    if "categories" in frame and "label" not in frame:
        frame["labels"] = lists("categories")
        if "text" not in frame:  # their expert frames keep the caption there
            frame["text"] = [", ".join(labels) for labels in frame["labels"]]
    elif "label" in frame:
        frame["labels"] = parsed(frame["label"], rows, lambda text, _: [part.strip() for part in text.split(";") if part.strip()])
    elif "text" in frame:
        frame["labels"] = [[]] * len(frame)
    else:
        raise InputError(f"no column `label` or `text` (found: {found}): name one of them in the header", path)
    frame["attributes"] = lists("atributes") if "atributes" in frame else [[]] * len(frame)
    frame["file"] = str(path)
    for name, default in (("text", ""), ("modality", "CFP")):
        frame[name] = frame[name].str.strip().replace("", default) if name in frame else default
    frame["image"] = frame["image"].str.strip()
    for image, labels, text, row in zip(frame["image"], frame["labels"], frame["text"], rows, strict=True):
        if not image:
            raise InputError("the image cell is empty: give the picture's path or delete the row", path, row)
        if need == "label" and not labels:
            raise InputError("no label: the public side needs one in every row; add it or delete the row", path, row)
        if need == "text" and not text:
            raise InputError("no text: the expert side needs a caption in every row; add it or delete the row", path, row)
    frame["image"] = picture_paths(frame["image"], rows, path, root)
    return frame[["image", "modality", "labels", "attributes", "text", "file", "row"]]


def read_cells(path: Path) -> tuple[pd.DataFrame, str]:
    """CSV -> those of COLUMNS that it has (strings) and row; and its header, for messages. InputError: none, not one, empty."""
    if not path.is_file():
        raise InputError("no such manifest: give the path of a CSV file", path)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except pd.errors.EmptyDataError as error:
        raise InputError("the file is empty: write a header line `image,label,text` and a row an image", path) from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8 ({' '.join(str(error).split())}): save it as one", path) from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus cells for an index
        raise InputError("a row has more cells than the header: put quotes around cells that hold commas", path)
    found = ", ".join(map(str, frame.columns))[:80]
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    if "image" not in frame:
        raise InputError(f"no column `image` (found: {found}): name it in the header, with commas between columns", path)
    for name in COLUMNS:
        if (frame.columns == name).sum() > 1:
            raise InputError(f"two columns are named `{name}`: rename one of them in the header", path)
    holds = (frame != "").any(axis=1)  # blank lines count, but hold nothing
    if not holds.any():
        raise InputError("the header has no rows under it: add a row an image", path)
    frame = frame[[name for name in COLUMNS if name in frame]]
    frame = frame.assign(row=range(2, len(frame) + 2))[holds].reset_index(drop=True)
    return frame.rename(columns={"caption": "text"} if "text" not in frame else {}), found


def parsed(cells: Iterable[str], rows: Sequence[int], parse: Callable[[str, int], list[str]]) -> list[list[str]]:
    """parse(cell, row) of each cell, called once for each different one."""
    known: dict[str, list[str]] = {}
    for cell, row in zip(cells, rows, strict=True):
        if cell not in known:
            known[cell] = parse(cell, row)
    return [known[cell] for cell in cells]


def literal_list(text: str, path: Path, row: int) -> list[str]:
    """A Python list literal of strings, as the authors' frames hold; parsed, never evaluated."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backslash in a cell is no news
            value = ast.literal_eval(text) if len(text) < 100_000 else None
        "".join(value).encode()  # nothing but strings, none of them half a character ('\ud800')
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise InputError(f"{text[:40]!r} is not a list like ['glaucoma']: mend the cell", path, row)
    return [item.strip() for item in value if item.strip()]


def picture_paths(images: Iterable[str], rows: Sequence[int], path: Path, root: str | Path | None) -> list[str]:
    """The cells of a manifest -> full paths of files that may be opened. InputError: missing, or outside allowed folders.

    A folder is resolved once; of each picture the kind is asked, and only where that is "a link", where it leads.
    """
    named = [path.parent, root, os.environ.get("KEEPFIT_DATA")]
    allowed = tuple(os.path.join(os.path.realpath(folder), "") for folder in named if folder)  # noqa: PTH118
    folders: dict[str, tuple[str, bool]] = {}  # as a cell has it -> path that ends in a slash, whether it is allowed
    full = []
    for image, row in zip(images, rows, strict=True):
        folder, name = os.path.split(image)
        try:
            if folder not in folders:
                place = str(path.parent / folder / "x")[:-1]
                folders[folder] = place, os.path.join(os.path.realpath(place), "").startswith(allowed)  # noqa: PTH118
            place, inside = folders[folder]
            kind = os.lstat(place + name).st_mode if inside else 0
            if stat.S_ISLNK(kind):
                inside = os.path.realpath(place + name).startswith(allowed)
                kind = os.stat(place + name).st_mode if inside else 0  # noqa: PTH116
        except (OSError, ValueError):  # nothing there, or no path at all: a caption in the image column, say
            inside, kind = True, 0
        if not inside:
            mend = "move it there, or allow its folder with --root or KEEPFIT_DATA"
            raise InputError(f"picture {image[:200]} lies outside the manifest's folder: {mend}", path, row)
        if not stat.S_ISREG(kind):
            raise InputError(f"picture {str(path.parent / image)[:200]} is missing: mend the path or delete the row", path, row)
        full.append(place + name)
    return full


def read_manifests(
    paths: Sequence[str | Path] | str | Path, need: str | None = None, root: str | Path | None = None
) -> pd.DataFrame:
    """Several manifests as one frame; each row remembers its file and row. need, root: as in read_manifest."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    return pd.concat([read_manifest(path, need, root) for path in paths], ignore_index=True)


def exclude_categories(frame: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """Leave out rows one of whose categories contains one of the words, and say how many (paper section 3.1).

    InputError: a word with a comma that matches nothing, which was meant to be several.
    """
    rows = [tuple(labels) for labels in frame["labels"]]
    hit = {labels: [is_excluded(list(labels), [word]) for word in words] for labels in set(rows)}  # different ones are few
    for i, word in enumerate(words):
        count = sum(hit[labels][i] for labels in rows)
        if not count and "," in word:
            raise InputError(f"--exclude-categories {word!r} matches no label: put spaces between words, not commas")
        what = (
            f"left out: {count} public rows whose label contains {word!r}"
            if count
            else f"WARNING: no public label contains {word!r}"
        )
        print(what, file=sys.stderr)
    return frame[[not any(hit[labels]) for labels in rows]].reset_index(drop=True)


def fingerprint(frame: pd.DataFrame | None) -> str:
    """Changes with the pictures' names, labels or texts, so that a resume with other data is noticed."""
    if frame is None:
        return ""
    digest, before = hashlib.sha256(), "["
    for image, labels, text in zip(frame["image"], frame["labels"], frame["text"], strict=True):
        digest.update(f"{before}{(os.path.basename(image), labels, text)!r}".encode())  # noqa: PTH119
        before = ", "
    digest.update(b"]")  # together the repr of a list of rows, which need not be held in memory
    return digest.hexdigest()


def keep_share(frame: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """A share of the rows in their old order, at least two; the same for the same seed, and 10% lie within 25%."""
    if share == 1:
        return frame
    chosen = np.random.default_rng([seed, 2]).permutation(len(frame))[: max(2, round(share * len(frame)))]
    return frame.iloc[np.sort(chosen)].reset_index(drop=True)
