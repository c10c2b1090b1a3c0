"""Rows of a manifest with all their columns, and who is on the picture: patients, and figures of a book.

Manifests of strangers do not always have a `patient` column, but a name like 123_left.jpg says it as well. Numbers of different
data sets are different people: where rows have a `source`, it belongs to the patient. Not about: pixels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .config import InputError
from .manifests import read_cells

PATTERN = r"^(\d+)_(?:left|right|od|os|l|r)\b"  # 123_left.jpg of ODIR-5K, 10003_right.jpeg of EyePACS


def read_rows(path: str | Path) -> pd.DataFrame:
    """CSV -> frame of strings with every column (names in lower case) and row (the header is row 1), index 0..N-1.

    Pictures need not be there. InputError as manifests.read_cells: no such file, not a CSV, no column `image`, no rows.
    """
    path = Path(path)
    rows = read_cells(path)[0]["row"].tolist()
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    frame = frame.loc[:, ~frame.columns.duplicated()].iloc[[row - 2 for row in rows]].reset_index(drop=True)
    return frame.assign(image=frame["image"].str.strip(), row=rows)


def base_names(frame: pd.DataFrame, column: str) -> list[str]:
    """File names without folders, in lower case; paths of Windows too."""
    return [os.path.basename(str(cell).replace("\\", "/")).lower() for cell in frame[column]]  # noqa: PTH119


def patients(frame: pd.DataFrame, column: str | None = None, pattern: str | None = None) -> list[str]:
    """bare_patients with the row's `source` before them where there is that column."""
    sources = frame["source"].str.strip().str.lower() if "source" in frame else [""] * len(frame)
    who = bare_patients(frame, column, pattern)
    return [f"{source}/{one}" if source and one else one for source, one in zip(sources, who, strict=True)]


def bare_patients(frame: pd.DataFrame, column: str | None = None, pattern: str | None = None) -> list[str]:
    """The patient of each row of read_rows as the manifest calls him, "" where unknown.

    column   where it stands; None: `patient`, if there is one
    pattern  regular expression whose first group is the patient in the file name (`orig_name`, else `image`), used where the
             column is absent or empty; None: PATTERN
    InputError: no such column; a pattern that is none or has no group.
    """
    if column is not None and column.lower() not in frame:
        raise InputError(f"no column `{column}` for the patients: name one of {', '.join(map(str, frame.columns))[:200]}")
    try:
        regex = re.compile(pattern or PATTERN, re.IGNORECASE)
    except re.error as error:
        raise InputError(f"--patient-pattern {pattern!r} is not a regular expression ({error}): correct it") from error
    if not regex.groups:
        raise InputError(f"--patient-pattern {pattern!r} has no group: put parentheses around the patient's part")
    given = (column or "patient").lower()
    known = frame[given].str.strip().tolist() if given in frame else [""] * len(frame)
    names = base_names(frame, "orig_name" if "orig_name" in frame else "image")
    found = [match[1] or "" if (match := regex.search(name)) else "" for name in names]
    return [one or other for one, other in zip(known, found, strict=True)]


def groups(frame: pd.DataFrame, who: Sequence[str]) -> list[int]:
    """The number of each row's group: rows of one patient, one `figure` or one `page` of the same `file` stay together.

    A figure over two pages ties both pages. frame needs `file`; rows of which nothing is known are alone.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    keys = [[("patient", one)] if one else [] for one in who]
    for name in ("figure", "page"):
        if name in frame:
            for own, file, cell in zip(keys, frame["file"], frame[name].str.strip(), strict=True):
                own += [(name, file, cell)] if cell else []
    number = {key: len(frame) + i for i, key in enumerate(dict.fromkeys(key for own in keys for key in own))}
    edges = [(i, number[key]) for i, own in enumerate(keys) for key in own]
    start, end = zip(*edges, strict=True) if edges else ((), ())
    nodes = len(frame) + len(number)
    ones = coo_matrix(([1] * len(edges), (start, end)), shape=(nodes, nodes))
    return connected_components(ones, directed=False)[1][: len(frame)].tolist()
