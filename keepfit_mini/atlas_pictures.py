"""Pictures of a PDF page: where each is shown, through which frame, and its pixels as shown (paper section 2.2, step 1).

The JPEG that the book holds is kept untouched where nothing turns or cuts it. Not about: text, and scanned pages
(atlas_pages.py, atlas_scans.py).
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from .boxes import Box, area, union
from .pictures import MAX_PIXELS

SMALLEST = 30.0  # points: what is smaller on both sides is an icon, a bullet, a rule


@dataclass
class Picture:
    """A picture on a page. pixels is emptied once it is saved: a book's pictures do not fit into memory."""

    box: Box
    pixels: Image.Image | None = None
    jpeg: bytes | None = None  # the file that the PDF holds, where it needs no change
    file: str = ""
    digest: str = ""


def image_objects(page: pdfium.PdfPage, to_page, width: float, height: float) -> Iterator[tuple[pdfium.PdfImage, Box]]:
    for image in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
        try:
            boxes = [to_page(*bounds(image)), (0.0, 0.0, width, height), *(to_page(*clip) for clip in clips(image))]
        except pdfium.PdfiumError:
            continue
        left, top, right, bottom = (pick(box[k] for box in boxes) for k, pick in enumerate((max, max, min, min)))
        if right - left >= SMALLEST and bottom - top >= 2:  # a strip may be flat: joined
            yield image, (left, top, right, bottom)


def bounds(image: pdfium.PdfImage) -> Box:
    """Left, bottom, right, top on the page: a picture fills the unit square of its own space."""
    return on_page([(x, y) for x in (0.0, 1.0) for y in (0.0, 1.0)], image)


def clips(image: pdfium.PdfImage) -> Iterator[Box]:
    """Left, bottom, right, top on the page of the frames that a picture shows through: its own and those of its forms."""
    holder = image
    while holder is not None:
        clip = raw.FPDFPageObj_GetClipPath(holder)
        for path in range(max(0, raw.FPDFClipPath_CountPaths(clip)) if clip else 0):
            points, x, y = [], ctypes.c_float(), ctypes.c_float()
            for k in range(raw.FPDFClipPath_CountPathSegments(clip, path)):
                raw.FPDFPathSegment_GetPoint(raw.FPDFClipPath_GetPathSegment(clip, path, k), x, y)
                points.append((x.value, y.value))
            if points:
                yield on_page(points, holder.container)
        holder = holder.container


def on_page(corners: list[tuple[float, float]], holder: pdfium.PdfObject | None) -> Box:
    """Bounds of some points, through every form that holds them."""
    while holder is not None:
        matrix = holder.get_matrix()
        corners = [(matrix.a * x + matrix.c * y + matrix.e, matrix.b * x + matrix.d * y + matrix.f) for x, y in corners]
        holder = holder.container
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def joined(images: list[tuple[pdfium.PdfImage, Box]]) -> list[tuple[list[pdfium.PdfImage], list[Box]]]:
    """Pictures that old producers stored in strips: what lies edge to edge, as wide, and flat, is one."""
    groups: list[tuple[list[pdfium.PdfImage], list[Box]]] = []
    for image, box in sorted(images, key=lambda one: (round(one[1][0]), one[1][1])):
        flat = box[3] - box[1] < (box[2] - box[0]) / 2.5
        if groups and flat:
            last = groups[-1][1][-1]
            if abs(last[3] - box[1]) < 1.5 and abs(last[0] - box[0]) < 1.5 and abs(last[2] - box[2]) < 1.5:
                groups[-1][0].append(image)
                groups[-1][1].append(box)
                continue
        groups.append(([image], [box]))
    return groups


def picture_of(page: pdfium.PdfPage, images: list[pdfium.PdfImage], boxes: list[Box], to_page) -> Picture | None:
    """Pixels as stored, turned and cut as shown; the JPEG itself where that changes nothing. None: not to be decoded."""
    image, box = images[0], union(boxes)
    whole = to_page(*bounds(image))
    cut = len(images) == 1 and area(box) < 0.98 * area(whole)
    if min(box[2] - box[0], box[3] - box[1]) < SMALLEST:
        return None
    wide, high = image.get_px_size()
    if not wide >= 16 or wide * high * len(images) > MAX_PIXELS:
        return None
    matrix, turned = image.get_matrix(), page.get_rotation()
    upright = matrix.a > 0 and matrix.d > 0 and abs(matrix.b) + abs(matrix.c) < 1e-3
    as_stored = upright and image.container is None and not turned and not cut
    try:
        if len(images) > 1 or turned_in_form(image):  # as the page shows it
            scale = wide / (box[2] - box[0]) if len(images) > 1 else max(wide, high) / max(box[2] - box[0], box[3] - box[1])
            width, height = page.get_size()
            pixels = page.render(scale=min(scale, 6.0), crop=(box[0], height - box[3], width - box[2], box[1])).to_pil()
        elif high < 16:
            return None
        elif as_stored and list(image.get_filters()) == ["DCTDecode"] and (picture := own_jpeg(image, box)):
            return picture
        else:
            pixels = image.get_bitmap(render=True, scale_to_original=True).to_pil()
            if turned:
                pixels = pixels.rotate(-turned, expand=True)
            if cut:
                pixels = cut_out(pixels, box, whole)
    except (pdfium.PdfiumError, OSError, ValueError, SyntaxError):
        return None
    if pixels.mode in ("RGBA", "LA"):  # what is see-through shows the paper
        paper = Image.new("RGB", pixels.size, "white")
        paper.paste(pixels, mask=pixels.getchannel("A"))
        pixels = paper
    return Picture(box, pixels.convert("RGB"))


def turned_in_form(image: pdfium.PdfImage) -> bool:
    """Does a form that holds the picture turn, lean or mirror it? pdfium's own bitmap of the picture does not know."""
    holder = image.container
    while holder is not None:
        matrix = holder.get_matrix()
        if matrix.a <= 0 or matrix.d <= 0 or abs(matrix.b) + abs(matrix.c) > 1e-3:
            return True
        holder = holder.container
    return False


def cut_out(pixels: Image.Image, box: Box, whole: Box) -> Image.Image:
    """The part of a picture, which would fill `whole`, that its frame shows."""
    across, down = pixels.width / (whole[2] - whole[0]), pixels.height / (whole[3] - whole[1])
    left, top = round((box[0] - whole[0]) * across), round((box[1] - whole[1]) * down)
    right, bottom = round((box[2] - whole[0]) * across), round((box[3] - whole[1]) * down)
    return pixels.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def own_jpeg(image: pdfium.PdfImage, box: Box) -> Picture | None:
    jpeg = bytes(image.get_data(decode_simple=False))
    with Image.open(io.BytesIO(jpeg)) as opened:
        if opened.mode not in ("L", "RGB"):
            return None
        opened.load()
        return Picture(box, opened.convert("RGB"), jpeg)


def save_picture(picture: Picture, folder: Path, name: str) -> None:
    """Write `folder`/name.jpg (the book's own file, untouched) or .png, and let go of the pixels."""
    picture.file = name + (".jpg" if picture.jpeg else ".png")
    if picture.jpeg:
        (folder / picture.file).write_bytes(picture.jpeg)
    else:
        picture.pixels.save(folder / picture.file)
    grey = np.asarray(picture.pixels.convert("L").resize((16, 16)), np.uint8) // 8
    picture.digest = f"{picture.pixels.width}x{picture.pixels.height}-{grey.tobytes().hex()}"
    picture.pixels = picture.jpeg = None
