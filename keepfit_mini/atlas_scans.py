"""A scanned page -> pictures and lines: what is large and dense is a picture, the rest goes to Tesseract (an optional extra).

Not about: pages with a text layer (atlas_pages.py).
"""

from __future__ import annotations

import os
import re
import shutil
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pypdfium2 as pdfium
from PIL import Image
from scipy import ndimage

from .atlas_pages import Line, Page
from .atlas_pictures import Picture
from .boxes import Box, union
from .config import InputError

DPI = 300  # what Tesseract was made for
LOW_DPI = 72  # pictures are looked for at this resolution
LONGEST, TALLEST = 5000, 14  # pixels a side of a scan, and inches: a photographed page may say that it is a metre high
WISHED = ("eng", "chi_sim")
NUMBERED = re.compile(r"^(?:[国圆团因园囤圈阁冬]\s?)?(?=\d{1,3}[.\-–]\d{1,3}(?:[.\-–]\d{1,3})?\s?(?:[(（A-H]|[㐀-鿿]{3}))")
FIRST_PANEL = re.compile(r"^\d{1,3}[.\-–]\d{1,3}(?:[.\-–]\d{1,3})?\s?[(（]?A\b")


class Word(NamedTuple):
    text: str
    box: Box
    certainty: float


@lru_cache
def languages_installed(wished: tuple[str, ...] | None = WISHED) -> tuple[str, ...]:
    """Those of English and Chinese that Tesseract has here, None: all that it has; () without Tesseract or pytesseract."""
    if shutil.which("tesseract") is None:
        return ()
    try:
        import pytesseract

        installed = pytesseract.get_languages()
    except Exception:  # not installed, or a Tesseract that does not answer
        return ()
    return tuple(installed if wished is None else [name for name in wished if name in installed])


def check_languages(ocr: str) -> None:
    """InputError: a language ("eng+chi_sim" names two) that Tesseract has not here."""
    installed = languages_installed(None)
    missing = [name for name in ocr.split("+") if name not in installed]
    if missing:
        here = f"it has {', '.join(installed)}" if installed else "it, or `pip install pytesseract`, is not there at all"
        raise InputError(f"--ocr {ocr}: Tesseract has no language {missing[0]!r} ({here}): install it, or give --ocr off")


def read_scan(page: pdfium.PdfPage, here: Page, ocr: str | None) -> None:
    """Fill here.pictures, and here.lines if Tesseract may read. Places are points, as everywhere."""
    scale = min(DPI / 72, LONGEST / max(here.width, here.height))
    scan = page.render(scale=scale).to_pil().convert("RGB")
    to_points = 1 / scale
    boxes = find_pictures(scan)
    for left, top, right, bottom in boxes:
        box = tuple(v * to_points for v in (left, top, right, bottom))
        here.pictures.append(Picture(box, scan.crop((left, top, right, bottom))))
    if ocr:
        paper = scan.convert("L")
        for box in boxes:
            paper.paste(255, box)  # a picture read as text is debris
        here.lines = read_lines(paper, ocr, to_points)


def find_pictures(scan: Image.Image) -> list[tuple[int, int, int, int]]:
    """Boxes (pixels of the scan) of what is dark or coloured over a large area; text is neither large nor dense."""
    factor = max(DPI, max(scan.size) / TALLEST) / LOW_DPI
    small = scan.resize((max(1, round(scan.width / factor)), max(1, round(scan.height / factor))), Image.BOX)
    pixels = np.asarray(small, np.float32)
    paper = np.percentile(pixels, 90, axis=(0, 1))  # the colour of the paper
    ink = (np.abs(pixels - paper).max(-1) > 40).astype(np.float32)
    dense = ndimage.uniform_filter(ink, 13) > 0.62  # a line of text covers a third of such a window
    dense = ndimage.binary_opening(dense, iterations=5)
    labels, count = ndimage.label(ndimage.binary_dilation(dense, iterations=1))
    boxes = []
    for slices in ndimage.find_objects(labels)[:count]:
        top, bottom, left, right = slices[0].start, slices[0].stop, slices[1].start, slices[1].stop
        if min(bottom - top, right - left) < 24 or (bottom - top) * (right - left) < 1500:
            continue
        boxes.append(grown(ink, left, top, right, bottom))
    boxes = [
        b for b in boxes if not any(b != o and b[0] >= o[0] and b[1] >= o[1] and b[2] <= o[2] and b[3] <= o[3] for o in boxes)
    ]
    return [tuple(round(v * factor) for v in box) for box in boxes]


def grown(ink: np.ndarray, left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
    """The box pushed out to the picture's edge: as long as half of the next row or column is ink, and a corner lies in it."""
    height, width = ink.shape
    for _ in range(12):
        before = left, top, right, bottom
        if left > 0 and ink[top:bottom, left - 1].mean() > 0.5:
            left -= 1
        if right < width and ink[top:bottom, right].mean() > 0.5:
            right += 1
        if top > 0 and ink[top - 1, left:right].mean() > 0.5:
            top -= 1
        if bottom < height and ink[bottom, left:right].mean() > 0.5:
            bottom += 1
        if before == (left, top, right, bottom):
            break
    return left, top, right, bottom


def read_lines(paper: Image.Image, languages: str, to_points: float) -> list[Line]:
    """Tesseract's words -> lines, parted where a column's gap lies between two words. quality: the words' mean certainty."""
    import pytesseract

    os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # its threads slow one another down
    found = pytesseract.image_to_data(paper, lang=languages, config="--psm 3", output_type=pytesseract.Output.DICT)
    printed: dict[tuple, list[Word]] = {}
    for i, text in enumerate(found["text"]):
        if text.strip() and float(found["conf"][i]) >= 0:
            left, top, wide, high = (found[k][i] * to_points for k in ("left", "top", "width", "height"))
            place = (found["block_num"][i], found["par_num"][i], found["line_num"][i])
            printed.setdefault(place, []).append(
                Word(text.strip(), (left, top, left + wide, top + high), float(found["conf"][i]) / 100)
            )
    lines, paragraphs = [], {}
    for place, words in printed.items():
        for part in parted(words):
            line = as_line(part)
            if place[:2] not in paragraphs or FIRST_PANEL.match(
                line.text
            ):  # the first sign of a Chinese caption, which Tesseract often loses or mistakes
                line.text = NUMBERED.sub("图 ", line.text)
            if re.search(r"\w", line.text) and (line.quality > 0.6 or len(line.text) > 3):  # else a rule, a logo, a speck
                lines.append(line)
                paragraphs.setdefault(place[:2], []).append(line)
    for paragraph in paragraphs.values():  # capitals, tails and their absence make lines of one type differ
        size = round(float(np.median([line.size for line in paragraph])), 1)
        for line in paragraph:
            line.size = size
    return lines


def parted(words: list[Word]) -> list[list[Word]]:
    """The words of a line, in one part or more: a column's gap is wide, and much wider than the line's other gaps."""
    high = float(np.median([word.box[3] - word.box[1] for word in words]))
    gaps = [b.box[0] - a.box[2] for a, b in pairwise(words)]
    parts, start = [], 0
    alone = all(
        len(word.text.strip("()（）.")) == 1 and word.text.isascii() for word in words
    )  # panel letters under their pictures
    for i, gap in enumerate(gaps, 1):
        others = gaps[: i - 1] + gaps[i:]
        if alone or gap > 1.3 * high and gap > 2.5 * (float(np.median(others)) if others else 0.5 * high):
            parts.append(words[start:i])
            start = i
    return [*parts, words[start:]]


def as_line(words: list[Word]) -> Line:
    boxes = [word.box for word in words]
    box = union(boxes)
    size = max(1.0, float(np.median([b[3] - b[1] for b in boxes])))
    certainty = min(0.99, float(np.mean([word.certainty for word in words])))
    text = re.sub(r"(?<=[㐀-鿿，。；：、（）]) (?=[㐀-鿿，。；：、（）])", "", " ".join(word.text for word in words))
    return Line(text, box, round(size, 1), round(certainty, 2))
