"""Which pictures an original data set has, and what it says of each: from its folders, or from a CSV that names them.

Not about: pixels (preparing.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from .config import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".jp2")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
          "testing": "test"}  # fmt: skip


def walk(folder: Path, leave_out: Path | None = None) -> list[str]:
    """Paths below the folder of all files that are named like pictures, sorted; links are not followed to other folders."""
    found = []
    for place, inner, names in os.walk(folder):
        inner[:] = [one for one in inner if leave_out is None or Path(place, one) != leave_out]
        found += [os.path.relpath(os.path.join(place, one), folder)  # noqa: PTH118 (quick: there may be a million)
                  for one in names if one.lower().endswith(SUFFIXES) and not one.startswith("._")]  # fmt: skip
    return sorted(found)


def list_pictures(source: Path, out: Path) -> pd.DataFrame:
    """A row for each picture under source: image (full path), below (path below source), label, text, patient, file, row.

    The label is the name of the folder that the picture lies in, if it is not source itself or named like a split.
    """
    below = walk(source, out)
    if not below:
        raise InputError("holds no picture: give the folder that the set was unpacked to", source)
    labels = [Path(one).parent.name for one in below]
    return pd.DataFrame({
        "image": [str(source / one) for one in below], "below": below,
        "label": ["" if label.lower() in SPLITS else label for label in labels],
        "text": "", "patient": "", "file": str(source), "row": pd.Series([None] * len(below), dtype=object),
    })  # fmt: skip


def listed_in_csv(table: Path, source: Path, out: Path, columns: dict[str, str], merge: bool) -> pd.DataFrame:
    """The rows of a CSV as list_pictures gives them; columns {"image", "label", "text", "patient"} -> their names there.

    A picture is named by its path below source, or by a file name, with or without suffix, that only one picture there has.
    InputError: a column or a picture that is not there, one named twice (merge: its labels are joined instead).
    """
    if not table.is_file():
        raise InputError("no such CSV: give the path of the set's table", table)
    try:
        cells = pd.read_csv(table, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8 ({' '.join(str(error).split())}): save it as one", table) from error
    columns = {"image": "image"} | columns
    for what, column in columns.items():
        if column not in cells:
            found = ", ".join(map(str, cells.columns))[:120]
            raise InputError(f"no column `{column}` (found: {found}): give --{what}-column", table)
    find = finder(source, out)
    cells = cells[(cells != "").any(axis=1)]
    if cells.empty:
        raise InputError("the header has no rows under it: add a row a picture", table)
    rows, first = [], {}
    for index, cell in cells[columns["image"]].items():
        row = index + 2
        below = find(cell.strip(), table, row)
        names = {what: columns.get(what) for what in ("label", "text", "patient")}
        values = {what: cells.at[index, column].strip() if column else "" for what, column in names.items()}
        if below in first and merge:
            known = rows[first[below]]
            known["label"] = ";".join(dict.fromkeys(filter(None, [*known["label"].split(";"), *values["label"].split(";")])))
        elif below in first:
            again = f"picture {cell[:100]} stands in row {rows[first[below]]['row']} already"
            raise InputError(f"{again}: delete one of them, or join their labels with --merge", table, row)
        else:
            first[below] = len(rows)
            rows.append({"image": str(source / below), "below": below, **values, "file": str(table), "row": row})
    return pd.DataFrame(rows)


def finder(source: Path, out: Path):
    """find(cell, table, row) -> path below source of the picture that a cell names."""
    below = walk(source, out)
    if not below:
        raise InputError("holds no picture: give the folder that the set was unpacked to", source)
    known, named = set(below), {}
    for one in below:
        path = Path(one)
        for key in {path.name.lower(), path.stem.lower()}:
            named.setdefault(key, []).append(one)

    def find(cell: str, table: Path, row: int) -> str:
        path = os.path.normpath(cell.replace("\\", "/")) if cell else ""
        if path in known:
            return path
        hits = named.get(Path(path).name.lower(), []) if cell else []
        ending = [one for one in hits if one.lower().endswith(path.lower())]  # folder/name below another folder
        hits = ending if len(ending) == 1 else hits
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise InputError(f"{cell[:100]!r} may be {hits[0]} or {hits[1]}: give the path below {source}", table, row)
        raise InputError(f"picture {cell[:100]!r} is missing in {source}: mend the cell, or delete the row", table, row)

    return find
