"""An eye atlas with known truth: pictures and captions of a manifest -> a PDF as a book would show them (paper, "MM-Retinal v1").

The book builder is scored on it, so nothing here is shared with the builder. Layouts, caption styles, distractors and faults
are chosen by a seed; the truth says what was printed where. 600 pictures take 20 to 140 pages, as
tight as asked; 40 pages print in 1 to 3 seconds, of which 0.2 load the Chinese fonts; a page to be scanned takes 0.4 more.
Not about: how a box is set and drawn (drawn_atlas_layouts.py), how an eye is drawn or described (phantom.py, captions.py).
"""

from __future__ import annotations

import datetime
import io
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import fpdf
import numpy as np
import pandas as pd
import pypdfium2
from PIL import Image, ImageDraw
from tqdm.auto import tqdm

from . import drawn_atlas_layouts as sheet
from .captions import NAMES, caption
from .config import InputError
from .drawn_atlas_layouts import BILINGUAL, PLACES, TIGHTNESS, Figure, Pages, Panel, Printer, Type, encodes
from .manifests import read_manifest
from .phantom import CATEGORIES, draw

TRUTH = ("image", "page", "figure", "panel", "modality", "text", "text_zh", "layout", "captions", "letters", "fault", "printed",
         "printed_zh")  # fmt: skip
FAULTS = ("letter missing", "more letters than pictures", "no caption")
MARKS = ("{},", "{}.", "{}．", "({})", "{}:")
NUMBERS = ("{chapter}-{i}", "{chapter}-{section}-{i}", "{chapter}.{i}")
LABELS = {"en": ("FIGURE {}.", "Figure {}", "Figure {}.", "Fig. {}"), "zh": ("图{}", "图 {}")}
SHAPES = {1: ("single",), 2: ("row", "composite"), 3: ("row", "composite"), 4: ("row", "grid", "composite"),
          5: ("grid", "composite"), 6: ("grid", "composite"), 7: ("grid",), 8: ("grid",)}  # fmt: skip
COUNTS = ((1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 7, 8), (1, 4, 4, 6, 6, 7, 8, 8, 8, 8, 8))  # pictures a figure: loose, dense
SAME = {"text": r"\(?\b(?:same|identical) (?:person|patient|eye|case)s? as (?:that )?(?:shown )?(?:in )?Fig(?:ure|\.)?s?\.? ?"
                r"\d[\w.-]*\w(?:\.?\)|[.,])?",
        "text_zh": r"（?与图 ?\d[\w.-]*为同一(?:患者|病人|人|眼)）?[。，]?"}  # fmt: skip
HEADS = {"en": ("Findings at the posterior pole.", "Views of the ocular fundus.", "Examples of the same kind."),
         "zh": ("后极部表现。", "眼底所见。", "同类举例。")}  # fmt: skip


class Deck:
    """Draws from all of its cards before one comes again."""

    def __init__(self, cards, rng):
        self.cards, self.rng, self.left = list(cards), rng, []

    def next(self):
        self.left = self.left or [self.cards[i] for i in self.rng.permutation(len(self.cards))]
        return self.left.pop()


def read_panels(manifest: Path, languages: str, root: str | Path | None) -> list[tuple[str, Panel]]:
    """Rows of a manifest -> (group or "", panel). InputError: as read_manifest, and a row that lacks a language's text."""
    frame = read_manifest(manifest, root=root)
    cells = pd.read_csv(manifest, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    cells.columns = [str(name).strip().lower() for name in cells.columns]
    for language, column in (("en", "text"), ("zh", "text_zh")):
        if languages in (language, "both") and column not in cells:
            raise InputError(f"no column `{column}`: captions are printed from it; add it, or choose another language", manifest)
    panels = []
    for file, modality, row in zip(frame["image"], frame["modality"], frame["row"], strict=True):
        cell = {name: " ".join(str(value).split()) for name, value in cells.iloc[row - 2].items()}
        truth = {"image": cell["image"], "modality": modality, "fault": "", "panel": ""}
        for language, column in (("en", "text"), ("zh", "text_zh")):
            text = cell.get(column, "") if languages in (language, "both") else ""
            if not text and languages in (language, "both"):
                raise InputError(f"`{column}` is empty: every picture needs a caption; add it or delete the row", manifest, row)
            ends = "." if language == "en" else "。"
            truth[column] = text + ends if text and text[-1] not in ".。!?！？" else text
            truth["head" + column[4:]] = cell.get("head" + column[4:], "")
        panel = Panel(Path(file), "", truth, row, manifest)
        try:
            with Image.open(file) as picture:
                panel.size = picture.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{truth['image']} is no readable picture ({error}): mend it or delete the row", manifest,
                             row) from error  # fmt: skip
        panels.append((cell.get("group", ""), panel))
    return panels


# ------------------------------------------------------------------------------------------------------------ figures


def plan(rows: list[tuple[str, Panel]], languages: str, seed: int, tight: int, faults: float, wide: bool) -> list[Figure]:
    """Panels in their order -> figures with their captions. Rows of one `group` make a figure; others are counted out.

    wide: there is a font for what the core fonts lack (ligatures, the full-width stop).
    """
    rng = np.random.default_rng([seed, 21])
    loose = tight < 2
    counts, numbers = Deck(COUNTS[TIGHTNESS[tight][2]], rng), Deck(NUMBERS, rng)
    marks = Deck([each for each in MARKS if wide or encodes(each)], rng)
    labels = {language: Deck(LABELS[language], rng) for language in LABELS}
    bilingual, letters, kinds = (Deck(cards, rng) for cards in (BILINGUAL, sheet.LETTERS, FAULTS))
    shapes = {count: Deck(cards, rng) for count, cards in SHAPES.items()}
    places = {arrangement: Deck(cards, rng) for arrangement, cards in PLACES.items()}
    figures: list[Figure] = []
    chapter, i, left, pending, style = int(rng.integers(1, 4)), 0, 0, False, {}
    while rows:
        group = rows[0][0]
        same = next((k for k, row in enumerate(rows) if row[0] != group), len(rows))
        count = same if group else min(counts.next(), same)
        if count > 8:
            first = rows[0][1]
            raise InputError(f"group {group!r} has {count} pictures: a figure holds 8 at most", first.manifest, first.row)
        panels, rows = [replace(panel, truth=dict(panel.truth)) for _, panel in rows[:count]], rows[count:]
        if left == 0:  # a new chapter has a style of its own
            if pending:
                figures[-1].place, pending = "under", False
            chapter, i, left = chapter + 1, 0, int(rng.integers(7, 13)) if loose else 40
            style = {"mark": marks.next(), "number": numbers.next(), "bold": rng.random() < 0.6,
                     "ligatures": rng.random() < 0.3 and wide,
                     "label": {language: deck.next() for language, deck in labels.items()},
                     "body": languages if languages != "both" else str(rng.choice(["en", "zh"])),
                     "type": Type(str(rng.choice(["Times", "Helvetica"])), str(rng.choice(["serif", "sans"])),
                                  TIGHTNESS[tight][1], rng.random() < 0.5, rng.random() < 0.6),
                     "place": "under" if figures and rng.random() < 0.2 else ""}  # fmt: skip
        i, left = i + 1, left - 1
        number = style["number"].format(chapter=chapter, section=1 + (i - 1) // 4, i=1 + (i - 1) % 4 if
                                        "{section}" in style["number"] else i)  # fmt: skip
        arrangement = shapes[count].next()
        captions = bilingual.next() if languages == "both" else languages
        captions = "one after the other" if captions == "facing pages" and not loose else captions
        place = "pair" if pending else style["place"] or places[arrangement].next()
        if captions == "facing pages" and not pending:
            place = "under"
        pending = place == "pair" and not pending
        if captions in BILINGUAL and place not in ("under", "over") and captions != "one line":
            captions = "one after the other"
        fault = kinds.next() if rng.random() < faults and count > 1 else ""
        letter = "none" if count == 1 else letters.next()
        if arrangement == "composite" and letter in ("under", "near"):
            letter = "burnt"
        if letter == "burnt" and min(min(panel.size) for panel in panels) < 96:
            letter = "corner"  # in few pixels a letter cannot be read, and would hide what is to be seen
        if fault in FAULTS[:2]:
            letter = "corner"  # a gap in the letters is seen only where they are printed
        for panel, name in zip(panels, "ABCDEFGH", strict=False):
            panel.letter = name if count > 1 else ""
        columns = sheet.shape(arrangement, count, loose, rng)
        figure = Figure(number, panels, arrangement, place, captions, columns, letter, style, {}, int(rng.integers(1 << 31)),
                        chapter)  # fmt: skip
        write_captions(figure, languages, fault, [f for f in figures if f.chapter == chapter], rng, bool(group))
        figures.append(figure)
    if pending:
        figures[-1].place = "under"
    return figures


def write_captions(figure: Figure, languages: str, fault: str, before: list[Figure], rng: np.random.Generator, own: bool) -> None:
    """Fills figure.printed and the truth of its panels."""
    heads = {"en": "", "zh": ""}
    number = int(rng.integers(len(HEADS["en"]))) if rng.random() < 0.4 and len(figure.panels) > 1 and not own else None
    together = "and" if rng.random() < 0.5 else "-"
    extra = "a further view was taken a year later." if fault == FAULTS[1] else ""
    reference = refer(before, figure, rng) if before and rng.random() < 0.15 else None
    for language, column in (("en", "text"), ("zh", "text_zh")):
        if languages not in (language, "both"):
            continue
        first = figure.panels[0].truth
        head = heads[language] = first["head" + column[4:]] or (HEADS[language][number] if number is not None else "")
        runs: list[list[Panel]] = []
        for panel in figure.panels:
            if runs and all(panel.truth[c] == runs[-1][0].truth[c] for c in ("text", "text_zh")) and not fault:
                runs[-1].append(panel)
            else:
                runs.append([panel])
        parts = [head] if head else []
        for k, run in enumerate(runs):
            if fault == FAULTS[0] and k == 1:
                continue
            text = run[0].truth[column]
            if reference and k == len(runs) - 1:
                text += reference[language]
            parts.append(text if len(figure.panels) == 1 else mark(figure.style["mark"], run, together, language) + text)
        if extra:
            last = chr(ord(figure.panels[-1].letter) + 1)
            text = extra.capitalize() if language == "en" else "一年后再次拍摄。"
            parts.append(figure.style["mark"].format(last) + " " * (language == "en") + text)
        label = figure.style["label"][language].format(figure.number)
        text = " ".join(parts) if language == "en" else "".join(parts)
        if figure.style["ligatures"] and language == "en":
            for plain, joined in (("ffi", "ﬃ"), ("ffl", "ﬄ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ")):
                text = text.replace(plain, joined)
        if fault != FAULTS[2]:
            figure.printed[language] = f"{label} {text}", len(label) * figure.style["bold"]
    for k, panel in enumerate(figure.panels):
        truth, none = panel.truth, fault == FAULTS[2] or (fault == FAULTS[0] and k == 1)
        for language, column in (("en", "text"), ("zh", "text_zh")):
            text = re.sub(SAME[column], "", truth.pop(column), flags=re.I)
            truth[column] = "" if none else " ".join(f"{heads[language]}{' ' * (language == 'en')}{text}".split())
            truth.pop("head" + column[4:])
            truth["printed" + column[4:]] = figure.printed.get(language, ("",))[0]
        numbered = fault != FAULTS[2]
        truth |= {"figure": figure.number * numbered, "panel": panel.letter * numbered,
                  "letters": figure.letters, "fault": fault if none or fault == FAULTS[1] else ""}  # fmt: skip


def mark(style: str, run: list[Panel], together: str, language: str) -> str:
    names = run[0].letter
    if len(run) == 2 and together == "and":
        names += f" and {run[1].letter}" if language == "en" else f"和{run[1].letter}"
    elif len(run) > 1:
        names += f"-{run[-1].letter}"
    return style.format(names) + " " * (language == "en" and not style.endswith("．"))


def refer(before: list[Figure], figure: Figure, rng: np.random.Generator) -> dict[str, str]:
    """A cross reference to an earlier figure, as it stands behind a caption; the truth is without it."""
    other = before[rng.integers(len(before))]
    to = other.number + other.panels[0].letter
    who = ("person", "patient", "eye")[rng.integers(3)]
    english = f" Same {who} as Figure {to}." if rng.random() < 0.7 else f" (Same {who} as Fig. {to}.)"
    return {"en": english, "zh": f"与图{to}为同一患者。"}


# -------------------------------------------------------------------------------------------------------------- books


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


def logo_picture() -> Image.Image:
    """A small eye, on every page."""
    logo = Image.new("RGB", (48, 48), (255, 255, 255))
    write = ImageDraw.Draw(logo)
    write.ellipse((2, 12, 46, 36), outline=(30, 70, 120), width=4)
    write.ellipse((16, 16, 32, 32), fill=(30, 70, 120))
    return logo


def scanned(printed: bytes, seed: int, progress: bool) -> bytes:
    """A PDF -> the same pages as pictures: 200 dpi, turned by at most half a degree, noise, JPEG; no text layer."""
    rng = np.random.default_rng([seed, 23])
    source = pypdfium2.PdfDocument(printed)
    result = fpdf.FPDF(unit="pt")
    result.set_auto_page_break(False)
    result.set_margin(0)
    for page in tqdm(source, total=len(source), desc="scanning", unit="page", disable=not progress):
        picture = page.render(scale=200 / 72).to_pil().convert("RGB")
        picture = picture.rotate(float(rng.uniform(-0.5, 0.5)), Image.BICUBIC, fillcolor=(255, 255, 255))
        pixels = np.asarray(picture, np.float32) * 0.97 + 4
        pixels += rng.standard_normal(pixels.shape[:2], np.float32)[..., None] * 3
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
        result.add_page(format=page.get_size())
        result.image(file, 0, 0, *page.get_size())
    source.close()
    result.set_creation_date(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    return bytes(result.output())


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
