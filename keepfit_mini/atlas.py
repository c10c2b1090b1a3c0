"""From an eye atlas as a PDF to a checked manifest: MM-Retinal's four steps (paper section 2.2).

    book.pdf --collect--> pictures + captions --align--> pairs --classify_modality--> pairs --clean_and_pair--> manifest.csv

Each step reads a table that the step before wrote and writes one that a person can open, correct and feed to the next
("semi-automatic", as in the paper): correct DIR/1_captions.csv, say, and run again from `align`. Not about: how a page is read
(atlas_pages.py) and put into paragraphs (atlas_blocks.py), captions (atlas_printed.py) and figures (atlas_layout.py); the page
that shows it all (review.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pypdfium2 as pdfium
from tqdm.auto import tqdm

from .atlas_blocks import drop_running_lines
from .atlas_folder import BOOK, STEPS, about, check_out, keep_corrected, replace, sign
from .atlas_layout import figures_of
from .atlas_pages import Page, open_book, read_page
from .atlas_pairs import FLAG, pair_figure
from .atlas_pictures import Picture, save_picture
from .atlas_printed import captions_of
from .atlas_tables import CAPTIONS, COLUMNS, LANGUAGES, MODALITIES, PAIRS, PICTURES, noted, read_table, readable, write_table
from .boxes import area
from .cleaning import clean, duplicates
from .config import InputError, write_aside
from .modality import MODALITIES as KINDS
from .modality import classify
from .pictures import open_picture

MANIFEST, UNPAIRED = "manifest.csv", "unpaired.csv"
SMALL = 0.02  # of a page: a sign is smaller
LOGO = 3  # a picture that comes back on so many pages is a decoration


def build_atlas(
    book: str | Path,
    out: str | Path,
    start: str = "collect",
    ocr: str | None = "auto",
    translate: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """All four steps: `out`/manifest.csv, its pictures and tables, unpaired.csv, review.html; returns what was counted.

    start      the step to begin with; later ones read the tables that lie in `out`, corrected by a person or not
    ocr        Tesseract's languages for pages without a text layer ("eng+chi_sim"); "auto": those installed; None: no OCR
    translate  fill the missing language with a Marian model, where one lies on this machine
    Until all is done `out` stays as it was; a corrected table that is written anew is kept as NAME.corrected.csv.
    InputError: a book that cannot be read, holds no picture, no text or no caption; an `out` that holds something else; a
    corrected table that does not fit.
    """
    book, out = Path(book), Path(out).resolve()
    if start not in STEPS:
        raise InputError(f"--start {start!r} is not one of: {', '.join(STEPS)}")
    check_out(out, start, book)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        if start == "collect":
            collect(book, folder, ocr=ocr, progress=progress)
        else:
            shutil.copytree(out, folder, dirs_exist_ok=True)
        keep_corrected(out, folder, start)
        steps = {
            "align": lambda: align(folder),
            "modality": lambda: classify_modality(folder, progress=progress),
            "clean": lambda: clean_and_pair(folder, translate=translate),
        }
        for step in STEPS[max(1, STEPS.index(start)) :]:
            counts = steps[step]()
        sign(folder, start)
        replace(folder, out)
    except InputError as error:  # what a person can open is the table in `out`
        raise InputError(str(error).replace(str(folder), str(out))) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return counts


# ------------------------------------------------------------------------------------------------------------ 1. collect


def collect(book: Path, folder: Path, ocr: str | None = "auto", progress: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Step 1: pictures/ and two tables, one row a picture (with its place and its figure) and one row a caption.

    Rows of one figure share the cell `figure`; where a book uses a number twice, its page follows in brackets.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pages, unread = read_book(book, folder, ocr, progress)
    without_logos(pages, folder)
    drop_running_lines(pages)
    captions = captions_of(pages)
    refuse_what_is_no_atlas(book, pages, captions, unread, ocr)
    figures, left = figures_of(pages, captions)
    used = Counter(figure.number for figure in figures)
    rows, texts = [], []
    for figure in figures:
        name = figure.number if used[figure.number] == 1 else f"{figure.number} (page {figure.page})"
        if used[figure.number] > 1 and any(t["figure"] == name for t in texts):
            name = f"{figure.number} (page {figure.page}, {len(texts)})"
        for picture, letter in zip(figure.pictures, figure.letters, strict=True):
            rows.append(picture_row(picture, figure.page, name, letter, figure.confidence, noted(*figure.notes)))
        for caption in figure.captions:
            texts.append({"figure": name, "page": caption.page, "language": caption.language, "text": caption.text,
                          "confidence": round(caption.confidence, 2), "notes": noted(*caption.notes)})  # fmt: skip
    rows += [picture_row(picture, page, "", "", 0.0, "no caption on its page claims it") for page, picture in left]
    rows.sort(key=lambda row: row["page"])
    pictures = pd.DataFrame(rows, columns=COLUMNS[PICTURES])
    captions = pd.DataFrame(texts, columns=COLUMNS[CAPTIONS])
    write_table(pictures, folder / PICTURES)
    write_table(captions, folder / CAPTIONS)
    known = {"book": book.name, "pages": len(pages), "scanned": sum(page.scan for page in pages), "unread": unread}
    write_aside(folder / BOOK, json.dumps(known, indent=2) + "\n")
    return pictures, captions


def picture_row(picture: Picture, page: int, figure: str, letter: str, confidence: float, notes: str) -> dict:
    left, top, right, bottom = (round(v, 1) for v in picture.box)
    return {"image": f"pictures/{picture.file}", "page": page, "left": left, "top": top, "right": right, "bottom": bottom,
            "figure": figure, "letter": letter, "confidence": round(confidence, 2), "notes": notes}  # fmt: skip


def read_book(book: Path, folder: Path, ocr: str | None, progress: bool) -> tuple[list[Page], list[int]]:
    """Every page, its pictures saved and let go; and the numbers of scanned pages that nothing could read."""
    from .atlas_scans import check_languages, languages_installed

    pages, unread = [], []
    with open_book(book) as document:
        if ocr == "auto":
            ocr = "+".join(languages_installed()) or None
        elif ocr:
            check_languages(ocr)
        for index in tqdm(range(len(document)), desc="reading pages", unit="page", disable=not progress):
            try:
                page = read_page(document, index, ocr)
            except pdfium.PdfiumError as error:
                raise InputError(f"page {index + 1} is broken ({error}): copy or download the book again", book) from error
            for k, picture in enumerate(page.pictures, 1):
                save_picture(picture, folder / "pictures", f"p{page.number:04d}-{k}")
            if page.scan and not ocr:
                unread.append(page.number)
            pages.append(page)
    return pages, unread


def without_logos(pages: list[Page], folder: Path) -> None:
    """Take out what comes back on page after page: a small sign anywhere, a larger ornament in one place.

    A photograph that a book prints again elsewhere stays."""

    def key(page: Page, picture: Picture) -> tuple:
        small = area(picture.box) < SMALL * page.width * page.height
        return picture.digest, None if small else tuple(round(v / 6) for v in picture.box)

    seen = Counter(k for page in pages for k in {key(page, picture) for picture in page.pictures})
    for page in pages:
        kept = [picture for picture in page.pictures if seen[key(page, picture)] < LOGO]
        for picture in page.pictures:
            if picture not in kept:
                (folder / "pictures" / picture.file).unlink()
        page.pictures = kept


def refuse_what_is_no_atlas(book: Path, pages: list[Page], captions: list, unread: list[int], ocr: str | None) -> None:
    if not any(page.pictures for page in pages):
        raise InputError("no page holds a picture: give a PDF of an atlas with its figures", book)
    if not any(page.lines for page in pages):
        if unread and ocr is None:
            raise InputError("no page has a text layer, and reading by Tesseract is off: allow it with --ocr auto", book)
        if unread:
            raise InputError(
                "no page has a text layer and Tesseract is not installed: install it (Debian: tesseract-ocr, "
                "tesseract-ocr-chi-sim; and `pip install pytesseract`), or give a PDF with text",
                book,
            )
        raise InputError("no page holds text: give a PDF whose figures have captions", book)
    if not captions:
        raise InputError("no caption was found (a line that begins like `Figure 2-12`, `Fig. 5-3-1` or `图5-3-1`)", book)


# -------------------------------------------------------------------------------------------------------------- 2. align


def align(folder: Path) -> pd.DataFrame:
    """Step 2: figures and captions -> 2_pairs.csv, one row a picture with its own text; no partner: an empty cell."""
    pictures, captions = read_table(folder / PICTURES), read_table(folder / CAPTIONS)
    for row, language in enumerate(captions["language"]):
        if language not in LANGUAGES:
            raise InputError(f"language is {language!r}: give en or zh", folder / CAPTIONS, row + 2)
    rows = []
    for figure, texts in captions.groupby("figure", sort=False):
        own = pictures[pictures["figure"] == figure]
        for row, image in own["image"].items():
            readable(folder, image, folder / PICTURES, row + 2)
        confidence = float(min([*own["confidence"], *texts["confidence"]]))
        notes = noted(*own["notes"], *texts["notes"])
        spoken = {language: " ".join(part["text"]) for language, part in texts.groupby("language")}
        page = int((own if len(own) else texts)["page"].iloc[0])
        for pair in pair_figure(folder, own["image"].tolist(), own["letter"].tolist(), spoken, confidence):
            rows.append({"image": pair.image, "page": page, "figure": figure.split(" (page")[0], "panel": pair.panel,
                         **{column: pair.texts.get(language, "") for language, column in LANGUAGES.items()},
                         "confidence": pair.confidence, "notes": noted(notes, *pair.notes)})  # fmt: skip
    for _, picture in pictures[~pictures["figure"].isin(captions["figure"])].iterrows():
        note = noted(picture["notes"], f"no caption for figure {picture['figure']}" if picture["figure"] else "")
        rows.append({"image": picture["image"], "page": picture["page"], "figure": picture["figure"], "panel": picture["letter"],
                     "text": "", "text_zh": "", "confidence": 0.0, "notes": note})  # fmt: skip
    pairs = pd.DataFrame(rows, columns=COLUMNS[PAIRS]).sort_values("page", kind="stable")
    write_table(pairs, folder / PAIRS)
    return pairs


# ----------------------------------------------------------------------------------------------------------- 3. modality


def classify_modality(folder: Path, progress: bool = True) -> pd.DataFrame:
    """Step 3: CFP, FFA, OCT or other for each picture, from the picture and, where they agree, the caption (modality.py)."""
    pairs = read_table(folder / PAIRS)
    found = []
    for row, pair in tqdm(pairs.iterrows(), total=len(pairs), desc="modality", unit="picture", disable=not progress):
        if not pair["image"]:
            found.append(("", 0.0))
            continue
        readable(folder, pair["image"], folder / PAIRS, row + 2)
        with open_picture(folder / pair["image"]) as picture:
            modality, confidence, _ = classify(picture.convert("RGB"), " ".join((pair["text"], pair["text_zh"])))
        found.append((modality, round(float(confidence), 2)))
    table = pairs.assign(modality=[m for m, _ in found], modality_confidence=[c for _, c in found])[COLUMNS[MODALITIES]]
    write_table(table, folder / MODALITIES)
    return table


# -------------------------------------------------------------------------------------------------------------- 4. clean


def clean_and_pair(folder: Path, translate: bool = False) -> dict[str, int]:
    """Step 4: manifest.csv (the contract's columns and `page, figure, panel, confidence, modality_confidence, notes`),
    unpaired.csv (pictures without text, texts without picture), review.html, and the texts' statistics."""
    from .review import write_review

    table = read_table(folder / MODALITIES)
    for row, image in table["image"].items():
        if image:
            readable(folder, image, folder / MODALITIES, row + 2)
            if (kind := table["modality"][row]) not in (*KINDS, "other"):
                raise InputError(f"modality is {kind!r}: give {', '.join(KINDS)} or other", folder / MODALITIES, row + 2)
    changes: list[list[str]] = [[] for _ in range(len(table))]
    printed = table[list(LANGUAGES.values())].copy()
    for language, column in LANGUAGES.items():
        texts = []
        for i, text in enumerate(table[column]):
            cleaned, changed = clean(text, language) if text else ("", [])
            texts.append(cleaned)
            changes[i] += changed
        table[column] = texts
    if translate:
        translate_missing(table)
    notes = []
    again = duplicates(table["text"].tolist())
    for i, row in table.iterrows():
        said = [row["notes"]]
        for language, column in LANGUAGES.items():
            if not row[column] and (row["text"] or row["text_zh"]):
                said.append(f"no {'English' if language == 'en' else 'Chinese'} text")
        if row["text"] and again[i] is not None and table["figure"][again[i]] != row["figure"]:
            said.append(f"says the same as figure {table['figure'][again[i]]}{table['panel'][again[i]]}")
        notes.append(noted(*said))
    table["notes"] = notes
    paired = (table["image"] != "") & ((table["text"] != "") | (table["text_zh"] != ""))
    book = {"book": folder.name, **about(folder)}
    table["label"], table["source"], table["split"] = "", Path(book["book"]).stem, "train"
    columns = ["image", "modality", "label", "text", "text_zh", "source", "split", "page", "figure", "panel", "confidence",
               "modality_confidence", "notes"]  # fmt: skip
    if not paired.any():
        raise InputError("not one picture found its text: see the tables that --start align reads", folder / PAIRS)
    manifest = table.loc[paired, columns].reset_index(drop=True)
    write_aside(folder / MANIFEST, manifest.to_csv(index=False, lineterminator="\n"))
    write_table(table.loc[~paired, ["image", "page", "figure", "panel", "text", "text_zh", "notes"]], folder / UNPAIRED)
    shown = table.assign(printed=printed["text"], printed_zh=printed["text_zh"], changes=changes)
    write_review(folder, shown, book, statistics(folder, manifest))
    return {
        "pictures": int((table["image"] != "").sum()),
        "pairs": len(manifest), "flagged": int((manifest["confidence"] < FLAG).sum()),
        "pictures without text": int(((table["image"] != "") & ~paired).sum()),
        "texts without picture": int((table["image"] == "").sum()), "pages unread": len(book.get("unread", [])),
    }  # fmt: skip


def statistics(folder: Path, manifest: pd.DataFrame) -> list[tuple[Path, str]]:
    """What the paper plots of its texts, of this book: statistics.csv and figures in `folder`/statistics, with their captions."""
    from . import text_figures, text_statistics
    from .viz import save

    summary = text_statistics.summary(manifest)
    write_aside(folder / "statistics.csv", summary.round(4).to_csv())
    figures = {
        "frequent_words": (text_figures.frequent_words_figure(manifest), "The most frequent words, without stop words."),
        "text_length": (text_figures.text_length_figure(manifest), "Words a caption, by modality and language (log scale)."),
        "vocabulary": (
            text_figures.vocabulary_figure(summary),
            "Vocabulary, mean length and lexical diversity beside the paper's sets.",
        ),
    }
    (folder / "statistics").mkdir(exist_ok=True)
    for name, (figure, _) in figures.items():
        save(figure, folder / "statistics" / f"{name}.png")
    return [(folder / "statistics" / f"{name}.png", words) for name, (_, words) in figures.items()]


def translate_missing(table: pd.DataFrame) -> None:
    """Fill the empty one of text and text_zh in place, and say so in notes (paper section 2.2, step 4)."""
    from .translation import translator

    for source, target in (("en", "zh"), ("zh", "en")):
        have, want = LANGUAGES[source], LANGUAGES[target]
        rows = table.index[(table[have] != "") & (table[want] == "")]
        if len(rows) and (translated := translator(source, target)):
            table.loc[rows, want] = translated(table.loc[rows, have].tolist())
            table.loc[rows, "notes"] = [noted(note, f"{want} translated by a model") for note in table.loc[rows, "notes"]]
