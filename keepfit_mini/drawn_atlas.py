"""An eye atlas with known truth: pictures and captions of a manifest -> a PDF as a book would show them (paper, "MM-Retinal v1").

The book builder is scored on it, so nothing here is shared with the builder. Layouts, caption styles, distractors and faults
are chosen by a seed; the truth says what was printed where. 600 pictures take 20 to 140 pages, as tight as asked; 40 pages
print in 1 to 3 seconds, of which 0.2 load the Chinese fonts; a page to be scanned takes 0.4 more.
Not about: what a figure holds (drawn_atlas_plan.py), how it is set (drawn_atlas_layouts.py, drawn_atlas_type.py) and fills
pages (drawn_atlas_pages.py), how an eye is drawn or described (phantom.py, captions.py).
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .captions import NAMES, caption
from .config import InputError
from .drawn_atlas_layouts import TIGHTNESS, Figure, Panel
from .drawn_atlas_pages import Pages, logo_picture, scanned
from .drawn_atlas_plan import plan, read_panels
from .drawn_atlas_type import Printer, encodes
from .phantom import CATEGORIES, draw

TRUTH = ("image", "page", "figure", "panel", "modality", "text", "text_zh", "layout", "captions", "letters", "fault", "printed",
         "printed_zh")  # fmt: skip


def draw_atlas(
    manifest: str | Path,
    out: str | Path,
    pages: int | None = None,
    seed: int = 0,
    languages: str = "both",
    scan: bool = False,
    progress: bool = True,
    max_pages: int | None = None,
    faults: float | bool = 0.0,
    root: str | Path | None = None,
) -> Path:
    """Each row of a manifest once in a book: a PDF at `out`, beside it <stem>_truth.csv with columns TRUTH; returns the PDF.

    manifest   CSV: image, modality, text, text_zh; also, where wanted, group (neighbouring rows with the same name make one
               figure of 1 to 8 pictures; equal texts in it share a mark, "A-C,") and head, head_zh (before the first mark)
    pages      exactly so many: pages of text fill up; max_pages: at most so many, in smaller type and pictures
    languages  "en" (column text), "zh" (text_zh) or "both";  scan: pictures of the pages, slightly turned, without text
    faults     share of figures with one of FAULTS (True: 0.15);  root: as in read_manifest
    Truth: page counts from 1; text and text_zh are head and caption as printed, without numbers, marks, hyphenation,
    ligatures and cross references, with a full stop added where the manifest has none; fault stands on the pictures that
    have no text, and on those of a figure with a letter too many.
    InputError: as read_manifest, a text missing, an out that cannot be, pictures that need more pages. Then nothing is left.
    """
    manifest, out = Path(manifest), Path(out)
    if languages not in ("en", "zh", "both"):
        raise InputError(f"languages is {languages!r}: give en, zh or both")
    for name, value in (("pages", pages), ("max_pages", max_pages), ("seed + 1", seed + 1)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}: give a whole number of 1 or more")
    if not 0 <= faults <= 1:
        raise InputError(f"faults is {faults}: give a share from 0 to 1")
    if out.is_dir():
        raise InputError("is a folder: give the name of a PDF to write", out)
    rows = read_panels(manifest, languages, root)
    share = 0.15 if faults is True else float(faults)
    limit = min(value for value in (pages, max_pages, 10**9) if value is not None)
    printer = new_printer(languages)
    for tight in range(len(TIGHTNESS)):
        figures, book = lay_out(printer, rows, languages, seed, tight, share)
        if len(book.pages) <= limit:
            break
    else:
        raise InputError(f"{len(rows)} pictures take {len(book.pages)} pages at least, not {limit}: allow more pages or take "
                         "fewer rows", manifest)  # fmt: skip
    for k in range((pages or 0) - len(book.pages)):  # pages of text, one after each that nothing runs on from
        at = next((j for j in range(2 * k + 1, len(book.pages)) if not book.pages[j].goes_on), len(book.pages))
        book.pages.insert(at, book.text_page())
    logo = logo_picture()
    for number, page in enumerate(tqdm(book.pages, desc="printing", unit="page", disable=not progress)):
        book.print(page, number, logo)
    printer.pdf.set_creation_date(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    printed = bytes(printer.pdf.output())
    if scan:
        printed = scanned(printed, seed, progress)
    table = pd.DataFrame([panel.truth for figure in figures for panel in figure.panels])[list(TRUTH)]
    finals = [out, out.with_name(f"{out.stem}_truth.csv")]
    parts = [path.with_name(path.name + ".part") for path in finals]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            parts[0].write_bytes(printed)
            table.to_csv(parts[1], index=False)
            for part, path in zip(parts, finals, strict=True):
                part.replace(path)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error}): give a place that can", out) from error
    return out


def new_printer(languages: str) -> Printer:
    """English can do without a Chinese font, as long as no caption has a character of its own; other books cannot."""
    try:
        return Printer(wide=True)
    except InputError:
        if languages != "en":
            raise
        return Printer(wide=False)


def lay_out(
    printer: Printer, rows: list[tuple[str, Panel]], languages: str, seed: int, tight: int, faults: float
) -> tuple[list[Figure], Pages]:
    """The figures, and the pages that they fill; nothing is drawn yet."""
    size = ((595.0, 842.0), (540.0, 780.0), (612.0, 792.0))[seed % 3] if tight < 2 else (595.0, 842.0)
    figures = plan(list(rows), languages, seed, tight, faults, bool(printer.families))
    book = Pages(printer, size, tight, seed)
    book.place_all(figures)
    return figures, book


def draw_book(
    out: str | Path,
    figures: int = 24,
    seed: int = 0,
    size: int = 160,
    captions: str = "drawn",
    languages: str = "both",
    **settings: Any,
) -> Path:
    """A book of freshly drawn pictures: CFP, FFA and OCT mixed within figures, disease names as heads, shared captions.

    captions  "drawn": what the pictures show; "real": sentences of MM-Retinal from KEEPFIT_DATA, in English only
    settings  as draw_atlas. The pictures, size x size pixels, and their manifest stay in <stem>_pictures beside the PDF,
    and the truth names them relative to that folder. Returns the PDF.
    InputError: as draw_atlas; captions is something else, or KEEPFIT_DATA is unset; <stem>_pictures exists.
    """
    out = Path(out)
    if captions not in ("drawn", "real") or figures < 1 or size < 16 or seed < 0:
        raise InputError(f"captions {captions!r}, figures {figures}, size {size}, seed {seed}: give drawn or real, and at least "
                         "1, 16 and 0")  # fmt: skip
    folder = out.with_name(f"{out.stem}_pictures")
    if folder.exists():
        raise InputError("exists already: move it away, or give another name to the book", folder)
    real = real_captions() if captions == "real" else {}
    if real and languages != "en":
        raise InputError("the real captions are English: choose languages='en'")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        rng, rows = np.random.default_rng([seed, 24]), []
        for number in range(figures):
            rows += draw_figure(folder, number, size, rng, real)
        pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
        return draw_atlas(folder / "manifest.csv", out, seed=seed, languages=languages, **settings)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot be written ({error.strerror or error}): give a place that can", out) from error
        raise


def draw_figure(
    folder: Path, number: int, size: int, rng: np.random.Generator, real: dict[str, list[str]]
) -> list[dict[str, str]]:
    """Draws the pictures of one figure into the folder; returns its rows of the manifest, all of one group."""
    count = int(rng.choice([1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 7, 8]))
    modalities = sorted([str(m) for m in rng.choice(["CFP", "CFP", "FFA", "FFA", "OCT"], count)])
    names = [name for name in NAMES if all(name in CATEGORIES[m] for m in set(modalities))]
    common = str(rng.choice(names)) if names and rng.random() < 0.7 else ""
    rows: list[dict[str, str]] = []
    for k, modality in enumerate(modalities):
        category = common or str(rng.choice(list(CATEGORIES[modality])))
        drawing = draw(modality, category, seed=int(rng.integers(1 << 31)), size=size)
        file, phrase = f"{number:04d}{'ABCDEFGH'[k]}.{'jpg' if rng.random() < 0.7 else 'png'}", int(rng.integers(1 << 31))
        drawing.image.save(folder / file, **({"quality": 95, "subsampling": 0} if file.endswith("jpg") else {}))
        row = {"image": file, "modality": modality, "group": f"f{number}", "head": "", "head_zh": ""}
        if real:
            row["text"] = real[modality][rng.integers(len(real[modality]))]
        else:
            row |= {"text": caption(drawing, "en", seed=phrase), "text_zh": caption(drawing, "zh", seed=phrase)}
            if common and count > 1:
                row |= {"head": f"{common.capitalize()}.", "head_zh": f"{NAMES[common][0]}。"}
        if rows and rows[-1]["modality"] == modality and rng.random() < 0.2:  # two views that share a caption
            row |= {name: rows[-1][name] for name in ("text", "text_zh") if name in row}
        rows.append(row)
    return rows


def real_captions() -> dict[str, list[str]]:
    """Modality -> captions of MM-Retinal in KEEPFIT_DATA that name no other figure; of OCT there are none, FFA's stand in."""
    folder = os.environ.get("KEEPFIT_DATA")
    if not folder:
        raise InputError("KEEPFIT_DATA is unset: name the folder of the real captions there, or choose captions='drawn'")
    texts = {}
    for modality, column in (("CFP", "caption"), ("FFA", "categories")):
        path = Path(folder, f"mm_retinal_{modality.lower()}_captions.csv")
        if not path.is_file():
            raise InputError("no such file: the real captions are read from it", path)
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)[column].str.strip("[]'\"\n ")
        texts[modality] = [text for text in cells if text and encodes(text) and not re.search(r"(?i)\bfig", text)]
    return texts | {"OCT": texts["FFA"]}
