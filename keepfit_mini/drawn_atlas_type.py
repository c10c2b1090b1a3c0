"""Type of a drawn atlas: boxes that know their size, and text set into lines of such boxes.

Lengths are PostScript points (1/72 inch), y runs down. Text is broken into lines here and not by fpdf2, because a caption
may run over two columns or pages, be hyphenated by hand, and change fonts inside a word ("图5-3-1").
Not about: pictures, figures and their captions (drawn_atlas_layouts.py), pages (drawn_atlas_pages.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import fpdf

from .config import InputError
from .fonts import chinese_fonts

WIDE = "\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"  # scripts that break between any two characters
CLOSING = "，。、；：！？）”’》．,.;:!?)"
LEADING = 1.22  # line height / type size


@dataclass(frozen=True)
class Type:
    """How text is set: a core font for Latin, "sans" or "serif" for Chinese, points, and whether lines are full."""

    latin: str = "Times"
    wide: str = "serif"
    size: float = 8.5
    justified: bool = False
    hyphens: bool = False
    italic: bool = False
    grey: int = 0


class Printer:
    """The PDF, and widths of words (each measured once). Each font file is read once, and only its used glyphs are kept."""

    def __init__(self, wide: bool):
        self.pdf = fpdf.FPDF(unit="pt")
        self.pdf.core_fonts_encoding = "windows-1252"  # Latin-1 lacks the dashes and quotes of print
        self.pdf.set_auto_page_break(False)
        self.pdf.set_margin(0)
        self.widths: dict[tuple[str, str, str], float] = {}
        self.families = []
        if wide:
            for kind, file in chinese_fonts().items():
                self.pdf.add_font(kind, fname=file)
                self.families.append(kind)

    def pieces(self, text: str, kind: Type, bold: bool = False) -> list[tuple[str, str, str]]:
        """Text -> (family, style, characters): what the core font lacks, and what stands with it, is set in the Chinese one."""
        style = ("B" if bold else "") + ("I" if kind.italic else "")
        result = []
        for part in re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", text):
            if re.search(f"[{WIDE}\u3000-\u303f]", part) or not encodes(part):
                if kind.wide not in self.families:
                    raise InputError(f"{part[:20]!r} needs a Chinese font, but this book is English: mend the text")
                missing = [c for c in part if ord(c) not in self.pdf.fonts[kind.wide].cmap]
                if missing:
                    raise InputError(f"the font has no character {missing[0]!r} (in {text[:40]!r}): mend the text")
                result.append((kind.wide, "", part))
            else:
                result.append((kind.latin, style, part))
        return result

    def width(self, text: str, kind: Type, bold: bool = False) -> float:
        total = 0.0
        for piece in self.pieces(text, kind, bold):
            if piece not in self.widths:
                self.pdf.set_font(piece[0], piece[1], 10)
                self.widths[piece] = self.pdf.get_string_width(piece[2]) / 10
            total += self.widths[piece]
        return total * kind.size

    def text(self, x: float, y: float, text: str, kind: Type, bold: bool = False) -> None:
        """One stretch of text whose line begins at x and whose top is y."""
        self.pdf.set_text_color(kind.grey)
        for family, style, part in self.pieces(text, kind, bold):
            self.pdf.set_font(family, style, kind.size)
            self.pdf.text(x, y + 0.95 * kind.size, part)
            x += self.widths.get((family, style, part), 0) * kind.size or self.pdf.get_string_width(part)


def encodes(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------- boxes


@dataclass
class Box:
    """Something with a size that can draw itself with its upper left corner at (x, y) of the current page."""

    width: float
    height: float
    draw: Callable[[Printer, float, float], Any]


def above(boxes: Sequence[Box], gap: float = 6) -> Box:
    """Boxes one under the other, left edges aligned."""

    def draw(printer, x, y):
        for box in boxes:
            box.draw(printer, x, y)
            y += box.height + gap

    return Box(max(box.width for box in boxes), sum(box.height for box in boxes) + gap * (len(boxes) - 1), draw)


def beside(boxes: Sequence[Box], gap: float = 10, middle: bool = False) -> Box:
    """Boxes one beside the other, tops (or middles) aligned."""
    height = max(box.height for box in boxes)

    def draw(printer, x, y):
        for box in boxes:
            box.draw(printer, x, y + (height - box.height) / 2 * middle)
            x += box.width + gap

    return Box(sum(box.width for box in boxes) + gap * (len(boxes) - 1), height, draw)


def centred(box: Box, width: float) -> Box:
    return Box(max(width, box.width), box.height, lambda printer, x, y: box.draw(printer, x + max(0, width - box.width) / 2, y))


def spacer(height: float) -> Box:
    return Box(0, height, lambda printer, x, y: None)


def framed_box(box: Box) -> Box:
    """A thin frame around a figure."""

    def draw(printer, x, y):
        printer.pdf.set_draw_color(120)
        printer.pdf.set_line_width(0.6)
        printer.pdf.rect(x - 5, y - 5, box.width + 10, box.height + 10)
        box.draw(printer, x, y)

    return Box(box.width, box.height, draw)


# -------------------------------------------------------------------------------------------------------------- text

Words = list[tuple[str, bool, bool]]  # a word (or one Chinese character), whether bold, whether a space stands before it


def words(text: str, bold: int = 0) -> Words:
    """Text -> words between which a line may end; the first `bold` characters are bold."""
    result: Words = []
    for match in re.finditer(rf"[{WIDE}\u3000-\u303f]|[^\s{WIDE}\u3000-\u303f]+", text):
        word, start = match.group(), match.start()
        spaced = start > 0 and text[start - 1].isspace()
        if result and not spaced and (word[0] in CLOSING or result[-1][0][-1] in "（“《("):
            result[-1] = (result[-1][0] + word, *result[-1][1:])
        else:
            result.append((word, start < bold, spaced))
    return result


def set_lines(printer: Printer, text: str, width: float, kind: Type, bold: int = 0) -> list[Box]:
    """Text -> its lines, each a box as high as a line. Long words are hyphenated where kind.hyphens says so."""
    lines: list[tuple[Words, bool]] = []
    line: Words = []
    used, space = 0.0, printer.width(" ", kind)
    queue = words(text, bold)[::-1]
    while queue:
        word, strong, spaced = queue.pop()
        long = printer.width(word, kind, strong) + space * (spaced and bool(line))
        if used + long <= width or not line:
            line.append((word, strong, spaced))
            used += long
            continue
        if kind.hyphens and (cut := hyphen(printer, word, width - used - space * spaced, kind, strong)):
            line.append((word[:cut] + "-", strong, spaced))
            word, spaced = word[cut:], False
        lines.append((line, kind.justified))
        queue.append((word, strong, spaced))
        line, used = [], 0.0
    lines.append((line, False))
    return [line_box(printer, line, width, kind, full) for line, full in lines]


def hyphen(printer: Printer, word: str, room: float, kind: Type, bold: bool) -> int:
    """How many letters of a word fit in `room` points with a hyphen behind them; 0 where it may not be divided."""
    letters = re.match(r"[a-zA-Z]?[a-z]{7,}", word)
    if not letters:
        return 0
    for cut in range(letters.end() - 3, 2, -1):
        if re.match("[aeiouy][^aeiouy][aeiouy]", word[cut - 1:cut + 2]) and printer.width(word[:cut] + "-", kind, bold) <= room:
            return cut
    return 0


def line_box(printer: Printer, line: Words, width: float, kind: Type, full: bool) -> Box:
    space = printer.width(" ", kind)
    natural = sum(printer.width(word, kind, bold) + space * (spaced and i > 0) for i, (word, bold, spaced) in enumerate(line))
    extra = (width - natural) / max(1, len(line) - 1)
    full = full and 0 <= extra < 2 * kind.size
    stretches = [line[0]]
    for word, bold, spaced in line[1:]:  # what is set alike and not spread stays one string
        before = stretches[-1]
        if full or bold != before[1]:
            stretches.append((word, bold, spaced))
        else:
            stretches[-1] = (before[0] + " " * spaced + word, bold, before[2])

    def draw(printer, x, y):
        for i, (text, bold, spaced) in enumerate(stretches):
            x += space * (spaced and i > 0)
            printer.text(x, y, text, kind, bold)
            x += printer.width(text, kind, bold) + extra * full

    return Box(width, kind.size * LEADING, draw)


def paragraph(printer: Printer, text: str, width: float, kind: Type, bold: int = 0) -> Box:
    return above(set_lines(printer, text, width, kind, bold), 0)


def two_columns(lines: Sequence[Box], gap: float = 14) -> Box:
    half = -(-len(lines) // 2)
    return beside([above(part, 0) for part in (lines[:half], lines[half:]) if part], gap)
