"""The command build-atlas: books and folders that it refuses, pages that are drawn oddly, scans."""

import io
import os
import re
import shutil
import sys
from pathlib import Path

import fpdf
import numpy as np
import pandas as pd
import pypdfium2 as pdfium
import pypdfium2.raw as raw
import pytest
from atlas_books import cells, content, names, score
from PIL import Image, ImageOps

from keepfit_mini import atlas
from keepfit_mini.__main__ import main
from keepfit_mini.atlas import build_atlas
from keepfit_mini.atlas_score import small
from keepfit_mini.drawn_atlas import draw_book
from keepfit_mini.phantom import draw

sys.path.insert(0, str(Path(__file__).parents[1] / "data_scripts"))
from build_mm_retinal import main as join_books  # noqa: E402


def chart() -> Image.Image:
    """Four quarters of different colours: turned or flipped, it is another picture."""
    quarters = np.array([[(200, 40, 30), (40, 160, 60)], [(40, 60, 200), (90, 90, 90)]], np.uint8)
    return Image.fromarray(quarters.repeat(60, axis=0).repeat(60, axis=1))


def printed(path: Path, picture: Image.Image | None, text: str | None, pages: int = 1, secret: str = "") -> Path:
    """Pages with one picture at (100, 100, 250, 250) and a line of text under it."""
    pdf = fpdf.FPDF(unit="pt", format=(595, 842))
    pdf.set_font("Helvetica", size=10)
    if secret:
        pdf.set_encryption(owner_password="owner", user_password=secret)
    for page in range(pages):
        pdf.add_page()
        if picture:
            pdf.image(picture, 100, 100, 150, 150)
        if text:
            pdf.text(100, 270, text.format(page + 1))
    path.write_bytes(bytes(pdf.output()))
    return path


def fails(capsys, arguments: list[str], words: str, name: str) -> None:
    """Exit code 2 and a last line that names the file and says what to do."""
    assert main(["build-atlas", *arguments]) == 2
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert last.startswith("keepfit_mini: ") and name in last and re.search(words, last), last
    assert "Traceback" not in captured.err


def bad_book(kind: str, path: Path, good: Path) -> None:
    if kind == "encrypted":
        printed(path, chart(), "Figure {}. A chart.", secret="open sesame")
    elif kind == "truncated":
        path.write_bytes(good.read_bytes()[:3000])
    elif kind == "without pictures":
        printed(path, None, "Figure {}. A chart of nothing.")
    elif kind == "without text":
        printed(path, chart(), None)
    elif kind == "without captions":
        printed(path, chart(), "A page of a novel, illustrated.")
    elif kind == "0 bytes":
        path.write_bytes(b"")
    elif kind == "text file":
        path.write_text("Figure 1. This is no PDF.\n" * 40)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("encrypted", "encrypted.*password"),
        ("truncated", "not a whole PDF.*again"),
        ("without pictures", "no page holds a picture.*give"),
        ("without text", "text.*(give|install)"),
        ("without captions", "no caption.*Figure"),
        ("0 bytes", "empty.*again"),
        ("text file", "not a whole PDF.*again"),
        ("missing", "no such book.*give"),
        ("folder", "is a folder.*give"),
    ],
)
@pytest.mark.parametrize("existing", [False, True])
def test_bad_books_are_refused(books, tmp_path, capsys, kind, words, existing):
    path, place = tmp_path / "bad book.pdf", tmp_path / "place"
    bad_book(kind, path, books["en"][0])
    place.mkdir()
    if existing:
        shutil.copytree(books["en"][1], place / "atlas")
    before = content(place)
    fails(capsys, [str(path), "--out", str(place / "atlas")], words, path.name)
    assert content(place) == before and names(place) == ["atlas"] * existing


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_book_broken_off_anywhere(books, tmp_path, capsys, share):
    whole = books["en"][0].read_bytes()
    (tmp_path / "part.pdf").write_bytes(whole[: int(share * len(whole))])
    fails(capsys, [str(tmp_path / "part.pdf"), "--out", str(tmp_path / "place" / "atlas")], "not a whole PDF", "part.pdf")
    assert not (tmp_path / "place" / "atlas").exists() and not list(tmp_path.rglob(".atlas*"))


def test_bad_folders_are_refused(books, tmp_path, capsys):
    pdf = str(books["en"][0])
    (tmp_path / "file").write_text("mine")
    fails(capsys, [pdf, "--out", str(tmp_path / "file")], "is a file: give", "file")
    fails(capsys, [pdf, "--out", str(tmp_path / "file" / "deeper")], "", "file")
    for start in ("align", "modality", "clean"):
        fails(capsys, [pdf, "--out", str(tmp_path / "none"), "--start", start], "not there.*from the start", ".csv")
    assert content(tmp_path) == {"file": b"mine"} and names(tmp_path) == ["file"]
    with pytest.raises(SystemExit) as stop:
        main(["build-atlas", pdf, "--out", str(tmp_path / "none"), "--start", "middle"])
    assert stop.value.code == 2


def test_the_command_builds_and_goes_on(tmp_path, capsys):
    pdf = printed(tmp_path / "small.pdf", draw("CFP", "normal", seed=1).image, "Figure {}. A normal fundus.")
    assert main(["build-atlas", str(pdf), "--out", str(tmp_path / "a b" / "atlas")]) == 0
    assert "1 pairs" in (said := capsys.readouterr().out) and "review.html" in said
    assert main(["build-atlas", str(pdf), "--out", str(tmp_path / "a b" / "atlas"), "--start", "align"]) == 0
    assert cells(tmp_path / "a b" / "atlas" / "manifest.csv")["text"].tolist() == ["A normal fundus."]
    assert cells(tmp_path / "a b" / "atlas" / "manifest.csv")["source"].tolist() == ["small"]


def test_books_are_joined_in_a_folder_of_their_own(tmp_path, capsys):
    pdf = printed(tmp_path / "small.pdf", draw("CFP", "normal", seed=1).image, "Figure {}. A normal fundus.")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.csv").write_text("image,label\n")
    before = content(tmp_path)
    for out, words in (("mine", "mine/manifest.csv: was not joined here"), ("small.pdf", "small.pdf: is a file")):
        assert join_books([str(pdf), "--out", str(tmp_path / out)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and words in lines[0] and content(tmp_path) == before, lines
    for _ in range(2):  # an earlier one is replaced
        assert join_books([str(pdf), "--out", str(tmp_path / "joined")]) == 0
        assert cells(tmp_path / "joined" / "manifest.csv")["image"].str.startswith("small/pictures/").tolist() == [True]


# ------------------------------------------------------------------------------------------- pages that are drawn oddly


def collected(pdf: Path, out: Path) -> tuple[pd.Series, Image.Image]:
    """The only row of 1_pictures.csv after a whole build, and its picture."""
    build_atlas(pdf, out, progress=False)
    table, manifest = cells(out / "1_pictures.csv"), cells(out / "manifest.csv")
    assert len(table) == 1 and manifest["text"].tolist() == ["A chart of four colours."] and manifest["figure"].tolist() == ["1"]
    return table.loc[0], Image.open(out / table["image"][0]).convert("RGB")


def in_place(row: pd.Series, box: tuple[float, ...]) -> bool:
    return all(abs(float(row[side]) - v) < 2 for side, v in zip(("left", "top", "right", "bottom"), box, strict=True))


def upright(picture: Image.Image, tmp_path: Path) -> bool:
    """Is it the chart, right way up?"""
    picture.save(tmp_path / "found.png")
    chart().save(tmp_path / "chart.png")
    return float((small(tmp_path / "found.png") * small(tmp_path / "chart.png")).sum()) > 0.97


CAPTION = "Figure {}. A chart of four colours."


def test_a_plain_page(tmp_path):
    row, picture = collected(printed(tmp_path / "b.pdf", chart(), CAPTION), tmp_path / "out")
    assert in_place(row, (100, 100, 250, 250)) and upright(picture, tmp_path)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_page_with_rotate(tmp_path, angle):
    """Drawn turned on the sheet, and the page's /Rotate turns it back: landscape for 90 and 270."""
    turned = {90: (90, 421, 421), 180: (180, 297.5, 421), 270: (-90, 297.5, 297.5)}[angle]
    pdf = fpdf.FPDF(unit="pt", format=(595, 842))
    pdf.set_font("Helvetica", size=10)
    pdf.add_page()
    with pdf.rotation(*turned):
        pdf.image(chart(), 100, 120, 150, 150)
        pdf.text(100, 290, CAPTION.format(1))
    document = pdfium.PdfDocument(bytes(pdf.output()))
    document[0].set_rotation(angle)
    document.save(tmp_path / "b.pdf")
    shown = document[0].render().to_pil().convert("RGB")
    assert shown.size == ((842, 595) if angle != 180 else (595, 842)) and shown.getpixel((130, 150))[0] > 180  # red, upper left
    row, picture = collected(tmp_path / "b.pdf", tmp_path / "out")
    assert in_place(row, (100, 120, 250, 270)) and upright(picture, tmp_path)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_picture_inside_a_form(tmp_path, scale):
    source = pdfium.PdfDocument(printed(tmp_path / "a.pdf", chart(), CAPTION))
    target = pdfium.PdfDocument.new()
    page = target.new_page(595, 842)
    form = raw.FPDF_NewXObjectFromPage(target, source, 0)
    held = raw.FPDF_NewFormObjectFromXObject(form)
    raw.FPDFPageObj_Transform(held, scale, 0, 0, scale, 0, 842 * (1 - scale))  # from the upper left corner
    raw.FPDFPage_InsertObject(page, held)
    page.gen_content()
    raw.FPDF_CloseXObject(form)
    target.save(tmp_path / "b.pdf")
    row, picture = collected(tmp_path / "b.pdf", tmp_path / "out")
    assert in_place(row, tuple(scale * v for v in (100, 100, 250, 250))) and upright(picture, tmp_path)


@pytest.mark.parametrize("way", ["over", "across"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_flipped_picture(tmp_path, way, kind):
    """Stored flipped, and its matrix flips it back."""
    stream = io.BytesIO()
    (ImageOps.flip if way == "over" else ImageOps.mirror)(chart()).save(stream, kind)
    document = pdfium.PdfDocument(printed(tmp_path / "a.pdf", Image.open(stream), CAPTION))
    page = document[0]
    image = next(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]))
    m = image.get_matrix()
    over, across = pdfium.PdfMatrix(m.a, 0, 0, -m.d, m.e, m.f + m.d), pdfium.PdfMatrix(-m.a, 0, 0, m.d, m.e + m.a, m.f)
    image.set_matrix(over if way == "over" else across)
    page.gen_content()
    document.save(tmp_path / "b.pdf")
    row, picture = collected(tmp_path / "b.pdf", tmp_path / "out")
    assert in_place(row, (100, 100, 250, 250)) and upright(picture, tmp_path)


def test_a_long_book_stays_out_of_memory(tmp_path, monkeypatch):
    """60 pages with a picture of 3 MB each: if they were kept, it would show."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        pytest.skip("no /proc to read the memory from")
    pdf = fpdf.FPDF(unit="pt", format=(595, 842))
    pdf.set_font("Helvetica", size=10)
    for page in range(60):
        stream = io.BytesIO()
        blocks = np.random.default_rng(page).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(blocks).resize((1000, 1000)).save(stream, "JPEG")
        pdf.add_page()
        pdf.image(stream, 100, 100, 300, 300)
        pdf.text(100, 420, f"Figure {page + 1}. A page of many.")
    (tmp_path / "long.pdf").write_bytes(bytes(pdf.output()))
    resident, read_page = [], atlas.read_page

    def watched(*arguments):
        resident.append(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return read_page(*arguments)

    monkeypatch.setattr(atlas, "read_page", watched)
    (tmp_path / "out").mkdir()
    pictures, captions = atlas.collect(tmp_path / "long.pdf", tmp_path / "out", progress=False)
    assert len(pictures) == len(captions) == len(resident) == 60
    assert max(resident[10:]) - max(resident[:10]) < 60e6  # of 150e6


# ---------------------------------------------------------------------------------------------------------------- scans


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    return draw_book(folder / "scan.pdf", figures=2, seed=1, size=160, languages="en", scan=True, progress=False)


def test_a_scan_without_ocr_is_refused(scan, tmp_path, capsys):
    """--ocr off is ocr=None."""
    fails(capsys, [str(scan), "--out", str(tmp_path / "atlas"), "--ocr", "off"], "text layer.*Tesseract", "scan.pdf")
    assert not names(tmp_path)


def test_a_scan(scan, tmp_path):
    if shutil.which("tesseract") is None:
        pytest.skip("Tesseract is not installed")
    pytest.importorskip("pytesseract")
    counts = build_atlas(scan, tmp_path / "atlas", ocr="eng", progress=False)
    assert counts["pages unread"] == 0
    result, table = score(scan, tmp_path / "atlas", scan=True)
    assert result["right"] >= 0.8 and result["silent"] <= 1, table.loc[~table["right"], ["image", "why"]].to_string()


def test_a_photograph_printed_three_times_is_no_logo_and_a_sign_is(tmp_path):
    """The sign stands at the same height on each page; the photograph is large, and each time elsewhere."""
    pdf = fpdf.FPDF(unit="pt", format="A4")
    pdf.set_font("Helvetica", size=10)
    for k, (x, y) in enumerate([(60, 120), (200, 200), (120, 300)], 1):
        pdf.add_page()
        pdf.image(chart(), x=540, y=20, w=40)
        pdf.image(draw("CFP", "normal", seed=1, size=96).image, x=x, y=y, w=200)
        pdf.text(x, y + 215, f"FIGURE 1-{k}. The fundus of a healthy person, view {k}.")
    pdf.output(str(tmp_path / "b.pdf"))
    build_atlas(tmp_path / "b.pdf", tmp_path / "out", progress=False)
    assert cells(tmp_path / "out" / "manifest.csv")["figure"].tolist() == ["1-1", "1-2", "1-3"]
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 3


def test_a_language_that_tesseract_lacks(tmp_path, capsys):
    book = printed(tmp_path / "b.pdf", chart(), CAPTION)
    assert main(["build-atlas", str(book), "--out", str(tmp_path / "out"), "--ocr", "eng+klingon"]) == 2
    assert "--ocr off" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
