"""Strangers' pictures: headers that claim too much, bodies that are cut off, bombs; one of UNREADABLE, and no noise."""

import io
import logging
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from keepfit_mini.pictures import FORMATS, MAX_PIXELS, UNREADABLE, open_picture, read_picture

WIDE = 40_000


def encoded(fmt, **settings):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, fmt, **settings)
    return stream.getvalue()


def claiming(fmt):
    """A small file whose header says 40,000 x 40,000."""
    data = bytearray(encoded(fmt))
    if fmt == "PNG":
        data[16:24] = struct.pack(">II", WIDE, WIDE)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif fmt == "JPEG":
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", WIDE, WIDE)
    elif fmt == "GIF":
        data[6:10] = struct.pack("<HH", WIDE, WIDE)
    elif fmt == "BMP":
        data[18:26] = struct.pack("<ii", WIDE, WIDE)
    elif fmt == "PPM":
        data = b"P6 40000 40000 255 " + bytes(99)
    elif fmt == "TIFF":
        (start,) = struct.unpack("<I", data[4:8])
        for i in range(struct.unpack("<H", data[start : start + 2])[0]):
            entry = start + 2 + 12 * i
            if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257):
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, WIDE)
    elif fmt == "WEBP":
        size = struct.pack("<I", WIDE - 1)[:3]
        chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + size
        data[12:12] = chunk
        data[4:8] = struct.pack("<I", len(data) - 8)
    else:
        place = data.index(b"ihdr") + 4
        data[place : place + 8] = struct.pack(">II", WIDE, WIDE)
    return bytes(data)


@pytest.fixture
def quiet(capfd):
    """Nothing may be printed or warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fmt", FORMATS)
def test_absurd_dimensions(tmp_path, quiet, fmt):
    path = tmp_path / "x"
    path.write_bytes(encoded(fmt))
    assert read_picture(path).shape == (3, 40, 30)
    path.write_bytes(claiming(fmt))
    with pytest.raises(UNREADABLE, match="million") if fmt not in ("WEBP", "JPEG2000") else pytest.raises(UNREADABLE):
        open_picture(path)


def test_a_little_too_large_is_refused_and_large_is_read(tmp_path, quiet):
    Image.new("1", (MAX_PIXELS // 10_000, 10_000)).save(tmp_path / "x.png")  # Pillow would warn of a bomb
    with open_picture(tmp_path / "x.png") as picture:
        assert picture.size == (10_000, 10_000)
    Image.new("1", (MAX_PIXELS // 10_000 + 1, 10_000)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="10001 x 10000 pixels: one to 100 million can be read"):
        open_picture(tmp_path / "x.png")


def test_memory_is_not_taken_for_what_is_only_claimed(tmp_path):
    data = bytearray(encoded("PNG"))
    data[16:24] = struct.pack(">II", 10_000, 10_000)  # just allowed: 300 MB, if it were there
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "x.png").write_bytes(data)
    code = (
        "import resource, sys\nfrom keepfit_mini.pictures import *\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        "try: read_picture(sys.argv[1]); print('read')\nexcept UNREADABLE: print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.png"], capture_output=True, text=True, check=True)
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 100e6


def test_bombs_and_rubble(tmp_path, quiet):
    path, text = tmp_path / "x.png", PngImagePlugin.PngInfo()
    text.add_text("bomb", "x" * 10**8, zip=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=text)
    assert path.stat().st_size < 200_000
    with pytest.raises(UNREADABLE):
        read_picture(path)
    for fmt in FORMATS:
        good = encoded(fmt)
        for end in {0, 1, 4, len(good) // 4, len(good) // 2, len(good) - 40}:
            path.write_bytes(good[:end])
            with pytest.raises(UNREADABLE):
                read_picture(path)
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(UNREADABLE):
        read_picture(path)
    with pytest.raises(UNREADABLE):
        read_picture(tmp_path)


@pytest.mark.parametrize("error", [EOFError, KeyError, zlib.error, struct.error, OverflowError, MemoryError, AssertionError,
                                   NotImplementedError, RecursionError, IndexError])  # fmt: skip
def test_whatever_a_plugin_raises_is_one_of_unreadable(tmp_path, monkeypatch, error, quiet):
    path = tmp_path / "x.png"
    path.write_bytes(encoded("PNG"))

    def fail(*_, **__):
        logging.getLogger("PIL.TiffImagePlugin").error("a plugin talks")
        raise error("at the third byte")

    # without a handler Python prints a plugin's line itself; under pytest there is always one
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("PIL").handlers)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(UNREADABLE, match="third byte"):
        read_picture(path)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "_open", fail)
    with pytest.raises(UNREADABLE):
        open_picture(path)
