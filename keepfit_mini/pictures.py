"""Picture files -> pixels, and which rows are passed over because theirs do not decode.

A file is a stranger's: only a few formats are tried, one whose header claims absurd dimensions is refused before anything is
decoded, and whatever Pillow stumbles over comes out as one of UNREADABLE. Not about: augmentation and batches (data.py).
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from .config import InputError

HEADERS_CHECKED = 1000
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what a broken file raises
MAX_PIXELS = 100_000_000  # ten times a fundus camera's picture
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")  # EPS, say, would start Ghostscript
logging.getLogger("PIL").addHandler(logging.NullHandler())  # the exception says it; a line of the plugin's own is noise


@contextmanager
def stumbling() -> Iterator[None]:
    """Pillow's plugins raise EOFError, zlib.error, KeyError, MemoryError, ...: all that is not in UNREADABLE becomes OSError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, large pictures, ...: it is read or it is not
            yield
    except Image.DecompressionBombError as error:
        raise ValueError(f"its header claims more than {MAX_PIXELS // 10**6} million pixels") from error
    except UNREADABLE:
        raise
    except Exception as error:
        raise OSError(f"broken file ({type(error).__name__}: {error})") from error


def open_picture(path: str | Path) -> Image.Image:
    """A picture whose header was read, its pixels not yet. One of UNREADABLE: broken, unknown, or absurdly large."""
    with stumbling():
        picture = Image.open(path, formats=FORMATS)
        if not 0 < picture.width * picture.height <= MAX_PIXELS:
            picture.close()
            raise ValueError(f"{picture.width} x {picture.height} pixels: one to {MAX_PIXELS // 10**6} million can be read")
        return picture


def read_picture(path: str | Path) -> Tensor:
    """File -> uint8 (3,H,W), RGB, turned upright; an alpha channel is laid aside, grey becomes three equal channels.

    Sixteen bits are brought down to eight (Pillow would make nearly all of them white). One of UNREADABLE if broken.
    """
    with stumbling(), open_picture(path) as picture:
        ImageOps.exif_transpose(picture, in_place=True)  # no copies: at a hundred million pixels each is 400 MB
        if picture.mode.startswith("I"):
            values = np.asarray(picture)
            picture = Image.fromarray((values // (257 if values.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
        return F.pil_to_tensor(picture if picture.mode == "RGB" else picture.convert("RGB"))


def fit_square(picture: Tensor, size: int) -> Tensor:
    """uint8 (3,H,W) -> float32 (3,size,size) in [0,1]: aspect kept, black at the right and the bottom, no mean/std."""
    height, width = picture.shape[-2:]
    longer = max(height, width) / size
    pixels = picture / 255
    if (height, width) != (size, size):
        pixels = F.resize(pixels, [max(1, int(height / longer)), max(1, int(width / longer))], antialias=True)
    return F.pad(pixels, [0, 0, size - pixels.shape[-1], size - pixels.shape[-2]])


def read_square(path: str | Path, size: int) -> Tensor:
    """Picture file -> uint8 (3,S,S), as fit_square, in a quarter of its bytes. One of UNREADABLE if it does not decode."""
    return (fit_square(read_picture(path), size) * 255).round().to(torch.uint8)


def drop_undecodable(frame: pd.DataFrame, max_bad: float) -> pd.DataFrame:
    """Open the first 1,000 headers; name and leave out the bad ones, InputError past max_bad of all rows."""
    bad = []
    for i, image in enumerate(frame["image"].head(HEADERS_CHECKED)):
        try:
            open_picture(image).close()
        except UNREADABLE as error:
            bad.append(i)
            report_bad(frame, i, error)
    limit_bad(frame, bad, max_bad)
    if len(bad) == len(frame):
        raise InputError("not one picture decodes: mend them", frame["file"].iloc[0])
    return frame.drop(index=bad).reset_index(drop=True)


def report_bad(frame: pd.DataFrame, index: int, error: object) -> None:
    row = frame.iloc[index]
    print(f"passed over: {row['file']}, row {row['row']}: {row['image']} does not decode ({error})", file=sys.stderr)


def limit_bad(frame: pd.DataFrame, bad: Sequence[int], max_bad: float) -> None:
    """InputError naming the last bad row once more than max_bad of the rows are bad."""
    if len(bad) > max_bad * len(frame):
        row = frame.iloc[bad[-1]]
        raise InputError(
            f"picture {row['image']} does not decode, with it {len(bad)} of {len(frame)} rows ({max_bad:.1%} are allowed): "
            "mend the pictures or raise --max-bad",
            row["file"],
            row["row"],
        )
