"""Manifests: a CSV with one row an image -> a frame that has been checked (paper section 3.1, "data").

A manifest has `image` (path beside the CSV), `modality`, `label` (categories joined by ;), `text`, ...
The authors' frames (`image, atributes, categories` as list literals; `image, caption`) read as well, without eval.
A million rows read in seconds: each different cell is parsed once. Not about: what is in the pictures (pictures.py).
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .config import InputError
from .prompts import is_excluded


def read_manifest(path: str | Path, need: str | None = None) -> pd.DataFrame:
    """CSV -> frame with image (full path), modality, labels (list), attributes (list), text, file, row.

    need  "label" or "text": a row without it is refused; None: one of the two columns must exist.
    row counts as a spreadsheet does: the header is row 1. InputError names file, row and mend.
    """
    path = Path(path)
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
    frame["row"] = range(2, len(frame) + 2)
    frame = frame[(frame.drop(columns="row") != "").any(axis=1)].reset_index(drop=True)  # blank lines count, but hold nothing
    if frame.empty:
        raise InputError("the header has no rows under it: add a row an image", path)
    frame = frame.rename(columns={"caption": "text"} if "text" not in frame else {})
    rows = frame["row"].tolist()
    if "categories" in frame and "label" not in frame:
        frame["labels"] = [literal_list(v, path, row) for v, row in zip(frame["categories"], rows, strict=True)]
        if "text" not in frame:  # their expert frames keep the caption there
            frame["text"] = [", ".join(labels) for labels in frame["labels"]]
    elif "label" in frame:
        frame["labels"] = [[part.strip() for part in value.split(";") if part.strip()] for value in frame["label"]]
    elif "text" in frame:
        frame["labels"] = [[] for _ in rows]
    else:
        raise InputError(f"no column `label` or `text` (found: {found}): name one of them in the header", path)
    attributes = frame["atributes"] if "atributes" in frame else ["[]"] * len(frame)
    frame["attributes"] = [literal_list(v, path, row) for v, row in zip(attributes, rows, strict=True)]
    frame["file"] = str(path)
    for name, default in (("text", ""), ("modality", "CFP")):
        frame[name] = frame[name].str.strip().replace("", default) if name in frame else default
    for image, labels, text, row in zip(frame["image"], frame["labels"], frame["text"], rows, strict=True):
        if not image.strip():
            raise InputError("the image cell is empty: give the picture's path or delete the row", path, row)
        if need == "label" and not labels:
            raise InputError("no label: the public side needs one in every row; add it or delete the row", path, row)
        if need == "text" and not text:
            raise InputError("no text: the expert side needs a caption in every row; add it or delete the row", path, row)
    frame["image"] = [str(path.parent / image.strip()) for image in frame["image"]]
    for image, row in zip(frame["image"], rows, strict=True):
        if not is_file(image):
            raise InputError(f"picture {image[:200]} is missing: mend the path or delete the row", path, row)
    return frame[["image", "modality", "labels", "attributes", "text", "file", "row"]]


def is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or no path at all: a caption in the image column, say
        return False


def literal_list(text: str, path: Path, row: int) -> list[str]:
    """A Python list literal of strings, as the authors' frames hold; parsed, never evaluated."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{text[:40]!r} is not a list like ['glaucoma']: mend the cell", path, row)
    return [item.strip() for item in value if item.strip()]


def read_manifests(paths: Sequence[str | Path] | str | Path, need: str | None = None) -> pd.DataFrame:
    """Several manifests as one frame; each row remembers its file and row."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    return pd.concat([read_manifest(path, need) for path in paths], ignore_index=True)


def exclude_categories(frame: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """Leave out rows one of whose categories contains one of the words, and say how many (paper section 3.1).

    InputError: a word with a comma that matches nothing, which was meant to be several.
    """
    for word in words:
        count = sum(is_excluded(labels, [word]) for labels in frame["labels"])
        if not count and "," in word:
            raise InputError(f"--exclude-categories {word!r} matches no label: put spaces between words, not commas")
        what = (
            f"left out: {count} public rows whose label contains {word!r}"
            if count
            else f"WARNING: no public label contains {word!r}"
        )
        print(what, file=sys.stderr)
    keep = [not is_excluded(labels, list(words)) for labels in frame["labels"]]
    return frame[keep].reset_index(drop=True)


def fingerprint(frame: pd.DataFrame | None) -> str:
    """Changes with the pictures' names, labels or texts, so that a resume with other data is noticed."""
    if frame is None:
        return ""
    rows = zip(frame["image"].map(lambda path: Path(path).name), frame["labels"], frame["text"], strict=True)
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()


def keep_share(frame: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """A share of the rows in their old order, at least two; the same for the same seed, and 10% lie within 25%."""
    if share == 1:
        return frame
    chosen = np.random.default_rng([seed, 2]).permutation(len(frame))[: max(2, round(share * len(frame)))]
    return frame.iloc[np.sort(chosen)].reset_index(drop=True)
