"""A PDF page -> its lines of text with their places, and its pictures (paper section 2.2, step 1).

Places are points (1/72 inch) from the page's upper left corner: (left, top, right, bottom). One page is in memory at a time.
A page without a text layer is read with Tesseract, if that is installed. Not about: how a picture is taken out
(atlas_pictures.py), and which line belongs to which (atlas_layout.py).
"""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from .atlas_pictures import Picture, image_objects, joined, picture_of
from .boxes import Box, area, union
from .config import InputError

FULL_PAGE = 0.6  # a picture that fills more of a page without text is a scan of that page
BACKGROUND = 0.8  # ... of a page with text: its pictures are looked for in what the page shows
MIN_CHARS = 8  # fewer characters on a page are no text layer: a page number stamped on a scan
COLUMN_GAP = 3.0  # in line heights: a wider gap between two characters always parts two columns


@dataclass
class Line:
    """A line of text as printed. size: of its type in points; quality: 1 for a text layer, Tesseract's own for a scan."""

    text: str
    box: Box
    size: float
    quality: float = 1.0


@dataclass
class Character:
    """One printed character; blank: white stands before it."""

    text: str
    box: Box
    size: float
    blank: bool


@dataclass
class Page:
    number: int  # the first is 1
    width: float
    height: float
    lines: list[Line] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    scan: bool = False


@contextmanager
def open_book(path: str | Path) -> Iterator[pdfium.PdfDocument]:
    """InputError: absent, empty, locked with a password, broken, without pages."""
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder: give the path of a PDF file", path)
    if not path.is_file():
        raise InputError("no such book: give the path of a PDF file", path)
    if path.stat().st_size == 0:
        raise InputError("the file is empty (0 bytes): copy or download it again", path)
    try:
        book = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        why = str(error).lower()
        if "password" in why or "security" in why:
            raise InputError("the PDF is encrypted: save a copy without its password", path) from error
        raise InputError("not a whole PDF (broken off or of another kind): copy or download it again", path) from error
    try:
        if len(book) == 0:
            raise InputError("the PDF has no pages: copy or download it again", path)
        yield book
    finally:
        book.close()


def read_page(book: pdfium.PdfDocument, index: int, ocr: str | None = None) -> Page:
    """Page `index` (from 0) of a book. ocr: Tesseract's languages ("eng+chi_sim") for a page without text; None: left unread.

    PdfiumError: the page is broken."""
    page = book[index]
    try:
        width, height = page.get_size()
        here = Page(index + 1, width, height)
        to_page = _upright(page, width, height)
        here.lines = _text_layer(page, to_page)
        images = joined(list(image_objects(page, to_page, width, height)))
        covered = max((area(union(boxes)) for _, boxes in images), default=0.0) / (width * height)
        here.scan = covered > FULL_PAGE and sum(len(line.text) for line in here.lines) < MIN_CHARS
        if here.scan or covered > BACKGROUND:  # a scan, perhaps with its text laid over it unseen
            from .atlas_scans import read_scan  # needs scipy, and Tesseract where ocr is given

            read_scan(page, here, ocr if here.scan else None)
        else:
            here.pictures = [picture for one, boxes in images if (picture := picture_of(page, one, boxes, to_page))]
        return here
    finally:
        page.close()


def _upright(page: pdfium.PdfPage, width: float, height: float):
    """The map from PDF coordinates to points from the upper left corner as the page is shown: rotation and crop box undone."""
    corners = []
    for x, y in ((0.0, 0.0), (1000.0, 0.0), (0.0, 1000.0)):
        at_x, at_y = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, round(width * 64), round(height * 64), 0, x, y, at_x, at_y)
        corners.append((at_x.value / 64, at_y.value / 64))
    (ox, oy), (ax, ay), (bx, by) = corners
    ax, ay, bx, by = (ax - ox) / 1000, (ay - oy) / 1000, (bx - ox) / 1000, (by - oy) / 1000

    def to_page(left: float, bottom: float, right: float, top: float) -> Box:
        xs = [ox + ax * x + bx * y for x in (left, right) for y in (bottom, top)]
        ys = [oy + ay * x + by * y for x in (left, right) for y in (bottom, top)]
        return min(xs), min(ys), max(xs), max(ys)

    return to_page


# ------------------------------------------------------------------------------------------------------------------ text


def _text_layer(page: pdfium.PdfPage, to_page) -> list[Line]:
    """Characters in the order of the file -> lines. A line ends where the next character lies elsewhere."""
    text_page = page.get_textpage()
    try:
        lines: list[Line] = []
        line: list[Character] = []
        blank, reach = False, (0.0, 0.0, 0.0, 0.0)
        rect, matrix, high = raw.FS_RECTF(), raw.FS_MATRIX(), 0
        for i in range(raw.FPDFText_CountChars(text_page)):
            code = raw.FPDFText_GetUnicode(text_page, i)
            if 0xD800 <= code < 0xE000:  # a character beyond 65,535 comes in two halves
                if code < 0xDC00 or not high:
                    high = code if code < 0xDC00 else 0
                    continue
                code, high = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00), 0
            if code in (0, 0xFFFE, 0xFFFF):
                continue
            character = "-" if code == 2 else chr(code)  # 2: pdfium's sign for a hyphen at the end of a line
            if character.isspace():
                blank = True
                continue
            if not raw.FPDFText_GetLooseCharBox(text_page, i, rect):
                continue
            here = to_page(rect.left, rect.bottom, rect.right, rect.top)
            twin = (
                line and abs(here[0] - line[-1].box[0]) + abs(here[2] - line[-1].box[2]) < 0.2
            )  # the letters of a ligature share its box
            if line and not twin and not _goes_on(reach, here):
                lines += _parted(line)
                line = []
            scale = math.hypot(matrix.c, matrix.d) if raw.FPDFText_GetMatrix(text_page, i, matrix) else 1.0
            size = raw.FPDFText_GetFontSize(text_page, i) * (scale or 1.0)
            reach = (
                (min(reach[0], here[0]), min(reach[1], here[1]), max(reach[2], here[2]), max(reach[3], here[3])) if line else here
            )
            line.append(Character(character, here, size, blank))
            blank = False
        return lines + _parted(line)
    finally:
        text_page.close()


def _parted(line: list[Character]) -> list[Line]:
    """The characters of one line -> a line, or several: a column's gap is wide, and much wider than those of words."""
    if not line:
        return []
    high = max(c.box[3] - c.box[1] for c in line)
    gaps = [line[i].box[0] - line[i - 1].box[2] for i in range(1, len(line))]
    between_words = sorted(gap for gap in gaps if gap > 0.15 * high)
    parts, start = [], 0
    for i, gap in enumerate(gaps, 1):
        others = [g for g in between_words if g is not gap]
        usual = others[len(others) // 2] if others else 0.75 * high
        if gap > 1.05 * high and gap > 2 * usual:
            parts.append(line[start:i])
            start = i
    parts.append(line[start:])
    return [_line(part) for part in parts]


def _line(part: list[Character]) -> Line:
    text, before = "", None
    high = max(c.box[3] - c.box[1] for c in part)
    for c in part:
        if before:
            apart = c.blank or c.box[0] - before.box[2] > 0.28 * high
            text += " " * (apart and not (_wide(before.text) and _wide(c.text)))  # spread Chinese characters are no words
        text += c.text
        before = c
    sizes = Counter(c.size for c in part)
    box = (min(c.box[0] for c in part), min(c.box[1] for c in part), max(c.box[2] for c in part), max(c.box[3] for c in part))
    return Line(text, box, round(sizes.most_common(1)[0][0], 1))


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and not (character.isascii() or character.isdigit())


def _gap(line: Box, character: Box) -> float:
    return character[0] - line[2]


def _goes_on(line: Box, character: Box) -> bool:
    """Does this character stand on the same line, right of it, with no column's gap between?"""
    high = max(line[3] - line[1], character[3] - character[1])
    overlap = min(line[3], character[3]) - max(line[1], character[1])
    return (
        overlap > 0.4 * min(line[3] - line[1], character[3] - character[1])
        and -0.6 * high < _gap(line, character) < COLUMN_GAP * high
    )
