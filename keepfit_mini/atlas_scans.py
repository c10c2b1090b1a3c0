"""A scanned page -> pictures and lines: what is large and dense is a picture, the rest goes to Tesseract (an optional extra).

Not about: pages with a text layer (atlas_pages.py).
"""

from __future__ import annotations

import os
import shutil
from functools import lru_cache

import numpy as np
import pypdfium2 as pdfium
from PIL import Image
from scipy import ndimage

from .atlas_pages import COLUMN_GAP, Line, Page, Picture

DPI = 300  # what Tesseract was made for
LOW_DPI = 72  # pictures are looked for at this resolution
WISHED = ("eng", "chi_sim")


@lru_cache
def languages_installed() -> str | None:
    """Those of English and Chinese that Tesseract has here ("eng+chi_sim"); None: no Tesseract, or no pytesseract."""
    if shutil.which("tesseract") is None:
        return None
    try:
        import pytesseract

        installed = pytesseract.get_languages()
    except Exception:  # not installed, or a Tesseract that does not answer
        return None
    return "+".join(name for name in WISHED if name in installed) or None


def read_scan(page: pdfium.PdfPage, here: Page, ocr: str | None) -> None:
    """Fill here.pictures, and here.lines if Tesseract may read. Places are points, as everywhere."""
    scan = page.render(scale=DPI / 72).to_pil().convert("RGB")
    to_points = 72 / DPI
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
    factor = DPI / LOW_DPI
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
    boxes = [b for b in boxes if not any(b != o and b[0] >= o[0] and b[1] >= o[1] and b[2] <= o[2] and b[3] <= o[3] for o in boxes)]
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
    lines: list[Line] = []
    words: list[tuple[str, tuple[float, float, float, float], float]] = []
    place = None

    def close() -> None:
        if not words:
            return
        box = (min(w[1][0] for w in words), min(w[1][1] for w in words), max(w[1][2] for w in words), max(w[1][3] for w in words))
        certainty = float(np.mean([w[2] for w in words])) / 100
        size = round(float(np.median([w[1][3] - w[1][1] for w in words])) * 0.5) * 2.0
        lines.append(Line(" ".join(w[0] for w in words), box, max(size, 1.0), round(certainty, 2)))
        words.clear()

    for i, text in enumerate(found["text"]):
        if not text.strip() or float(found["conf"][i]) < 0:
            continue
        left, top, wide, high = (found[k][i] * to_points for k in ("left", "top", "width", "height"))
        here = (found["block_num"][i], found["par_num"][i], found["line_num"][i])
        if words and (here != place or left - words[-1][1][2] > COLUMN_GAP * max(high, words[-1][1][3] - words[-1][1][1])):
            close()
        place = here
        words.append((text.strip(), (left, top, left + wide, top + high), float(found["conf"][i])))
    close()
    return lines
