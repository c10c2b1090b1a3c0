"""The tables between the builder's steps, which a person may open, correct and feed to the next.

Not about: what the steps do (atlas.py).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .config import InputError, write_aside
from .pictures import UNREADABLE, open_picture

PICTURES, CAPTIONS, PAIRS, MODALITIES = "1_pictures.csv", "1_captions.csv", "2_pairs.csv", "3_modality.csv"
COLUMNS = {
    PICTURES: ["image", "page", "left", "top", "right", "bottom", "figure", "letter", "confidence", "notes"],
    CAPTIONS: ["figure", "page", "language", "text", "confidence", "notes"],
    PAIRS: ["image", "page", "figure", "panel", "text", "text_zh", "confidence", "notes"],
}
COLUMNS[MODALITIES] = ["image", "modality", "modality_confidence", *COLUMNS[PAIRS][1:]]
NUMBERS = {"page": "a whole number of 1 or more", "confidence": "a number from 0 to 1",
           "modality_confidence": "a number from 0 to 1"}  # fmt: skip
LANGUAGES = {"en": "text", "zh": "text_zh"}


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """utf-8 with a mark at its head, so that a spreadsheet shows Chinese."""
    write_aside(path, "\ufeff" + frame.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """A table of the builder, perhaps corrected by a person, as strings but for NUMBERS.

    InputError: a column is gone, a cell is not such a number.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as a CSV in UTF-8 ({' '.join(str(error).split())}): save it as one", path) from error
    for column in COLUMNS[path.name]:
        if column not in frame:
            raise InputError(f"the column `{column}` is gone: put it back", path)
    for column, wanted in NUMBERS.items():
        if column in frame:
            numbers = pd.to_numeric(frame[column], errors="coerce").astype(float)
            good = numbers.between(1, 1e9) & (numbers % 1 == 0) if column == "page" else numbers.between(0, 1)
            for row in frame.index[~good]:
                raise InputError(f"{column} is {frame[column][row]!r}: give {wanted}", path, row + 2)
            frame[column] = numbers.astype(int) if column == "page" else numbers
    return frame.reset_index(drop=True)


def noted(*notes: str) -> str:
    return "; ".join(dict.fromkeys(note for note in notes if note))


def readable(folder: Path, image: str, table: Path, row: int) -> None:
    try:
        open_picture(folder / image).close()
    except UNREADABLE as error:
        raise InputError(f"picture {image} does not open ({error}): mend the cell or delete the row", table, row) from error
