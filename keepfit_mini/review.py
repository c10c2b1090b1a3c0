"""The review page of a built atlas: one HTML file with every pair, its page, its confidence and what was changed.

What needs a person's look comes first. Thumbnails are inside the page; nothing is fetched. Not about: building (atlas.py).
"""

from __future__ import annotations

import base64
import difflib
import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from PIL import Image

from .atlas_pairs import FLAG
from .config import write_aside
from .pictures import open_picture

THUMBNAIL = 150  # pixels of the longer side


def write_review(folder: Path, table: pd.DataFrame, book: dict, figures: Iterable[tuple[Path, str]] = ()) -> None:
    """`folder`/review.html. table: one row a picture or lonely text, as clean_and_pair() has it, with printed, printed_zh
    (before cleaning) and changes (a list); book: name, pages, ...; figures: (PNG file, caption) to stand at the end."""
    rows = [shown(folder, row) for _, row in table.iterrows()]
    order = {"unpaired": 0, "flagged": 1, "fine": 2}
    rows.sort(key=lambda row: (order[row["kind"]], row["page"]))
    environment = Environment(loader=PackageLoader("keepfit_mini", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in order}
    figures = [(base64.b64encode(path.read_bytes()).decode(), words) for path, words in figures]
    page = environment.get_template("review.html").render(rows=rows, book=book, counts=counts, flag=FLAG, figures=figures)
    write_aside(folder / "review.html", page)


def shown(folder: Path, row: pd.Series) -> dict:
    both = [("English", row["printed"], row["text"]), ("Chinese", row["printed_zh"], row["text_zh"])]
    paired = row["image"] and (row["text"] or row["text_zh"])
    return {
        "kind": "unpaired" if not paired else "flagged" if row["confidence"] < FLAG else "fine",
        "thumbnail": thumbnail(folder / row["image"]) if row["image"] else "",
        "image": row["image"], "page": row["page"], "figure": row["figure"], "panel": row["panel"], "modality": row["modality"],
        "sure": row["modality_confidence"], "confidence": row["confidence"], "notes": row["notes"], "changes": row["changes"],
        "texts": [(name, text, difference(printed, text) if printed and printed != text else "") for name, printed, text in both],
    }  # fmt: skip


def thumbnail(path: Path) -> str:
    """A picture as a small JPEG in base64."""
    with open_picture(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.BOX if max(small.size) > 4 * THUMBNAIL else Image.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode()


def difference(before: str, after: str) -> Markup:
    """The printed text with what went struck out and what came underlined."""
    parts = []
    for what, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what in ("delete", "replace"):
            parts.append(Markup("<del>%s</del>") % before[a:b])
        if what in ("insert", "replace"):
            parts.append(Markup("<ins>%s</ins>") % after[c:d])
        if what == "equal":
            parts.append(escape(before[a:b]))
    return Markup("").join(parts)
