"""A figure of a drawn atlas: its pictures with their letters, arranged, and its captions under, over or beside them.

The layouts that a book builder has to read (paper, "MM-Retinal v1": one caption for one or many pictures, cut from books of
different make). Lengths are points. Not about: how lines are set (drawn_atlas_type.py), what a caption says
(drawn_atlas_plan.py), how figures fill pages (drawn_atlas_pages.py).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .config import InputError
from .drawn_atlas_type import Box, Printer, Type, above, beside, centred, paragraph, set_lines, two_columns

PLACES = {  # where the caption stands, by how the pictures are arranged
    "single": ("under", "over", "left", "right", "columns", "continued", "pair"),
    "row": ("under", "over", "columns", "continued", "pair"),
    "grid": ("under", "over", "left", "right", "columns", "continued", "pair"),
    "composite": ("under", "over", "left", "right", "columns", "continued", "pair"),
}
LAYOUTS = tuple(f"{arrangement} {place}" for arrangement, places in PLACES.items() for place in places)
BILINGUAL = ("one after the other", "side by side", "facing pages", "one line")
LETTERS = ("none", "corner", "under", "near", "burnt")
# How tight a book is: scale of the pictures, caption's size, which of COUNTS, whether there is room for anything else.
TIGHTNESS = ((1.0, 8.5, 0, True), (0.75, 8.0, 0, False), (0.7, 7.0, 1, False), (0.55, 6.3, 1, False), (0.42, 5.8, 1, False))


# ---------------------------------------------------------------------------------------------------------- pictures


@dataclass
class Panel:
    """One picture of a figure: its file, its letter (or ""), and its row of the truth, which learns its page when drawn."""

    file: Path
    letter: str
    truth: dict[str, Any]
    row: int = 0
    manifest: Path | None = None
    size: tuple[int, int] = field(default=(1, 1))

    def load(self) -> Image.Image:
        try:
            return Image.open(self.file).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{self.file.name} is no readable picture ({error}): mend it or delete the row",
                             self.manifest, self.row) from error  # fmt: skip


def packed(picture: Image.Image, jpeg: bool) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, "JPEG" if jpeg else "PNG", **({"quality": 93, "subsampling": 0} if jpeg else {}))
    return file


def burn(picture: Image.Image, letter: str, at: tuple[int, int], size: int) -> None:
    """A white letter on black into the pixels."""
    font = ImageFont.load_default(max(9, size))
    write = ImageDraw.Draw(picture)
    left, top, right, bottom = write.textbbox(at, letter, font=font)
    write.rectangle((at[0] - 1, at[1] - 1, right + 1, bottom + 1), fill=(0, 0, 0))
    write.text(at, letter, fill=(255, 255, 255), font=font)


def corner_letter(printer: Printer, letter: str, x: float, y: float, size: float) -> None:
    kind = Type("Helvetica", size=size, grey=255)
    printer.pdf.set_fill_color(0)
    printer.pdf.rect(x + 1.5, y + 1.5, size, size * 1.15, style="F")
    printer.text(x + 1.5 + (size - printer.width(letter, kind, True)) / 2, y + 1.5, letter, kind, True)


def one_picture(panel: Panel, width: float, letters: str, mark: float) -> Box:
    """A panel as a picture of its own. letters: one of LETTERS; mark: the letters' size."""
    height = width * panel.size[1] / panel.size[0]
    left, under = (mark + 3) * (letters == "near"), (mark + 3) * (letters == "under")

    def draw(printer, x, y):
        source = panel.load()
        if letters == "burnt":
            burn(source, panel.letter, (3, 3), round(panel.size[1] * min(0.2, mark / height)) + 3)
        plain = letters != "burnt" and panel.file.suffix.lower() in (".jpg", ".jpeg")
        printer.pdf.image(str(panel.file) if plain else packed(source, jpeg=False), x + left, y, width, height)
        kind = Type("Helvetica", size=mark)
        if letters == "near":
            printer.text(x, y, panel.letter, kind, True)
        elif letters == "under":
            printer.text(x + (width - printer.width(panel.letter, kind, True)) / 2, y + height + 2, panel.letter, kind, True)
        elif letters == "corner":
            corner_letter(printer, panel.letter, x, y, mark)
        panel.truth["page"] = printer.pdf.page_no()

    return Box(width + left, height + under, draw)


def in_rows(panels: Sequence[Panel], columns: int, width: float, letters: str, mark: float, gap: float) -> Box:
    """Separate pictures in rows of `columns` at most, all equally wide, together `width` wide."""
    wide = (width - gap * (columns - 1)) / columns - (mark + 3) * (letters == "near")
    boxes = [one_picture(panel, wide, letters, mark) for panel in panels]
    return above([beside(boxes[i:i + columns], gap) for i in range(0, len(boxes), columns)], gap)


def composite(panels: Sequence[Panel], columns: int, width: float, letters: str, mark: float, gutter: str, jpeg: bool) -> Box:
    """One embedded picture that holds all panels in equal cells. gutter: white, black or hairline (one pixel, white)."""
    wide, high = (max(panel.size[i] for panel in panels) for i in (0, 1))
    step = 1 if gutter == "hairline" else max(3, wide // 24)
    rows = -(-len(panels) // columns)
    size = (columns * wide + (columns - 1) * step, rows * high + (rows - 1) * step)
    height = width * size[1] / size[0]
    scale = width / size[0]
    corners = [((i % columns) * (wide + step), i // columns * (high + step)) for i in range(len(panels))]

    def draw(printer, x, y):
        sheet = Image.new("RGB", size, (0, 0, 0) if gutter == "black" else (255, 255, 255))
        for panel, (left, top) in zip(panels, corners, strict=True):
            sheet.paste(ImageOps.pad(panel.load(), (wide, high), color=(0, 0, 0)), (left, top))
            if letters == "burnt":
                burn(sheet, panel.letter, (left + 3, top + 3), round(high * min(0.2, mark / (high * scale))) + 3)
            panel.truth["page"] = printer.pdf.page_no()
        printer.pdf.image(packed(sheet, jpeg), x, y, width, height)
        if letters == "corner":
            for panel, (left, top) in zip(panels, corners, strict=True):
                corner_letter(printer, panel.letter, x + left * scale, y + top * scale, mark)

    return Box(width, height, draw)


def shape(arrangement: str, count: int, loose: bool, rng: np.random.Generator) -> int:
    """How many columns so many panels get; loose: a tall grid may be, too."""
    if arrangement in ("single", "row"):
        return count
    if arrangement == "composite" and count <= 3:
        return int(rng.choice([1, count])) if count == 2 else count
    tall = bool(rng.random() < 0.5) and loose
    return {2: 2, 4: 2, 5: 3, 6: 2 if tall else 3, 7: 4, 8: 2 if tall else 4}[count]


# ----------------------------------------------------------------------------------------------------------- figures


@dataclass
class Figure:
    """Pictures that share a caption, and how they are set."""

    number: str
    panels: list[Panel]
    arrangement: str
    place: str
    captions: str  # a language, or one of BILINGUAL
    columns: int
    letters: str
    style: dict[str, Any]
    printed: dict[str, tuple[str, int]]  # language -> caption with number and marks, and how many characters are bold
    seed: int
    chapter: int


def figure_parts(printer: Printer, figure: Figure, width: float, scale: float) -> tuple[Box, list[list[Box]], Box | None]:
    """A figure in so much width -> all that stands together, the lines of its captions, what goes to the facing page.

    For the place "continued" the first is the pictures alone: the pages decide where its lines break.
    """
    rng = np.random.default_rng(figure.seed)
    kind = figure.style["type"]
    near = figure.place in ("left", "right")
    share = {1: 0.55, 2: 0.72, 3: 0.9, 4: 1.0}.get(figure.columns, 1.0) * float(rng.uniform(0.85, 1)) * scale
    share = 0.48 * min(1.0, scale + 0.15) if near else min(1.0, share * 1.5) if figure.place == "pair" else share
    wide, side = width * share, width * (1 - 0.48) - 14
    gap, letter_size = max(4.0, 8 * scale), max(6.0, kind.size)
    if figure.arrangement == "composite":
        gutter, jpeg = ("white", "black", "hairline")[rng.integers(3)], bool(rng.random() < 0.5)
        pictures = composite(figure.panels, figure.columns, wide, figure.letters, letter_size, gutter, jpeg)
    else:
        pictures = in_rows(figure.panels, figure.columns, wide, figure.letters, letter_size, gap)
    side = width - pictures.width - 14 if near else side
    order = ["zh", "en"] if rng.random() < 0.6 else ["en", "zh"]
    order = [language for language in order if language in figure.printed]
    texts = [figure.printed[language] for language in order]
    if figure.captions == "one line" and len(texts) == 2:
        texts = [("  ".join(text for text, _ in texts), texts[0][1])]
    column = {"columns": (width - 14) / 2}.get(figure.place, side if near else width)
    if not texts:  # a picture without a caption
        return centred(pictures, width), [], None
    if figure.captions == "side by side" and len(texts) == 2:
        halves = [paragraph(printer, text, (width - 14) / 2, kind, bold) for text, bold in texts]
        stack = [centred(pictures, width), beside(halves, 14)]
        return above(stack[::-1] if figure.place == "over" else stack), [], None
    blocks = [set_lines(printer, text, column, kind, bold) for text, bold in texts]
    if figure.place == "continued":
        return centred(pictures, width), blocks, None
    if figure.place == "columns" and sum(map(len, blocks)) < 4:
        figure.place, blocks = "under", [set_lines(printer, text, width, kind, bold) for text, bold in texts]
    if figure.place == "columns":
        below = above([two_columns(lines) for lines in blocks], 5)
        return above([centred(pictures, width), below]), [], None
    other = above(blocks.pop(), 0) if figure.captions == "facing pages" and len(blocks) == 2 else None
    text = above([above(lines, 0) for lines in blocks], 5)
    if near:
        return beside([pictures, text] if figure.place == "right" else [text, pictures], 14), [], other
    stack = [centred(pictures, width), text]
    return above(stack[::-1] if figure.place == "over" else stack), [], other
