"""Pages and folders that a reviewer broke the builder with: each ends in the right rows, a flag or one clear line."""

import json
import random
import zlib

import fpdf
import numpy as np
import pytest
from atlas_books import cells, content, correct
from PIL import Image

from keepfit_mini.__main__ import main
from keepfit_mini.atlas import build_atlas
from keepfit_mini.atlas_blocks import drop_running_lines
from keepfit_mini.atlas_captions import caption_start, split_caption
from keepfit_mini.atlas_layout import figures_of
from keepfit_mini.atlas_pages import Line, Page, open_book, read_page
from keepfit_mini.atlas_panels import white_line
from keepfit_mini.atlas_pictures import Picture
from keepfit_mini.atlas_printed import captions_of
from keepfit_mini.atlas_scans import LONGEST, read_scan
from keepfit_mini.config import InputError

CAPTION = "BT /F1 10 Tf 100 100 Td (Figure 2-1. Drusen at the macula.) Tj ET "


def write_pdf(path, contents: str, objects: dict[str, tuple[str, bytes]], second: bool = False, unicode: str = "") -> None:
    """A PDF by hand, for what no library writes. objects: name -> (dictionary, stream); second: a page that is not there."""
    parts = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R%s] /Count %d >>" % (b" 90 0 R" * second, 1 + second),
        4: b"<< /Length %d >>\nstream\n%s\nendstream" % (len(contents), contents.encode("latin1")),
        5: f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica {unicode} >>".encode(),
    }
    names = " ".join(f"/{name} {10 + i} 0 R" for i, name in enumerate(objects))
    parts[3] = (f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
                f"/Resources << /Font << /F1 5 0 R >> /XObject << {names} >> >> >>").encode()  # fmt: skip
    for i, (about, stream) in enumerate(objects.values()):
        parts[10 + i] = f"<< {about} /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream"
    out, at = b"%PDF-1.7\n", {}
    for number in sorted(parts):
        at[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, parts[number])
    table = b"".join(b"%010d 00000 n \n" % at[k] if k in at else b"0000000000 65535 f \n" for k in range(max(parts) + 1))
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (max(parts) + 1, len(out))
    path.write_bytes(out + b"xref\n0 %d\n" % (max(parts) + 1) + table + end)


def picture_object() -> tuple[str, bytes]:
    """300 x 200 pixels, red above blue."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[:100, :, 0], pixels[100:, :, 2] = 255, 255
    return ("/Type /XObject /Subtype /Image /Width 300 /Height 200 /ColorSpace /DeviceRGB /BitsPerComponent 8 "
            "/Filter /FlateDecode"), zlib.compress(pixels.tobytes())  # fmt: skip


def form(contents: str) -> tuple[str, bytes]:
    return "/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /XObject << /I 11 0 R >> >>", contents.encode()


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("1 0 0 -1 0 842", "300 0 0 -200 100 542"), ("0 1 -1 0 500 0", "300 0 0 200 200 100")],
    ids=["mirrored", "turned"],
)
def test_a_picture_in_a_form_looks_as_on_the_page(tmp_path, outer, inner):
    write_pdf(tmp_path / "a.pdf", CAPTION + f"q {outer} cm /X Do Q",
              {"X": form(f"q {inner} cm /I Do Q"), "I": picture_object()})  # fmt: skip
    with open_book(tmp_path / "a.pdf") as book:
        picture = read_page(book, 0).pictures[0]
        shown = book[0].render(scale=1).to_pil().convert("RGB").crop(tuple(round(v) for v in picture.box))
    built = picture.pixels.resize(shown.size)
    assert np.abs(np.asarray(built, int) - np.asarray(shown, int)).mean() < 8


def test_letters_beyond_the_first_plane(tmp_path):
    """pdfium gives them in two halves; a half alone is left out."""
    table = (b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def 1 begincodespacerange <00><FF> "
             b"endcodespacerange 2 beginbfchar <42> <D835DEFC> <43> <D835> endbfchar endcmap end end")  # fmt: skip
    write_pdf(tmp_path / "a.pdf", CAPTION.replace("Drusen", "DrBsCn") + "q 300 0 0 200 100 300 cm /I Do Q",
              {"I": picture_object(), "T": ("", table)}, unicode="/ToUnicode 11 0 R")  # fmt: skip
    with open_book(tmp_path / "a.pdf") as book:
        text = "".join(line.text for line in read_page(book, 0).lines)
    assert "\U0001d6fc" in text and text.encode("utf-8")


def test_a_broken_page_is_named(tmp_path, capsys):
    write_pdf(tmp_path / "a.pdf", CAPTION + "q 300 0 0 200 100 300 cm /I Do Q", {"I": picture_object()}, second=True)
    assert main(["build-atlas", str(tmp_path / "a.pdf"), "--out", str(tmp_path / "out")]) == 2
    assert "a.pdf: page 2 is broken" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_metre_of_paper_is_read_at_a_lower_resolution():
    class Paper:
        def render(self, scale):
            self.scale = scale
            return self

        def to_pil(self):
            return Image.new("RGB", (64, 64), "white")

    paper, page = Paper(), Page(1, 3024.0, 4032.0)
    read_scan(paper, page, None)
    assert paper.scale * page.height <= LONGEST
    read_scan(paper, Page(1, 595.0, 842.0), None)
    assert paper.scale == pytest.approx(300 / 72)


@pytest.mark.parametrize(
    "text",
    ["Figure 2-12 A 45-year-old man with drusen.", "Figure 3.4 B-scan ultrasonography of the lens.", "Fig. 7 A-scan of the eye.",
     "FIGURE 5-1 A 2-disc-diameter lesion.", "Figure 4-2 E. coli endophthalmitis.", "Figure 9 a/w edema."],
)  # fmt: skip
def test_a_word_behind_the_number_is_no_panel(text):
    caption = split_caption(text)
    assert not caption.own and not caption.texts
    assert caption.head == text[caption_start(text).end() :].strip() and caption.head[0] in "ABEa"


@pytest.mark.parametrize("text", ["Figure 2-12A. Late phase.", "Figure 2-12 B. Late phase.", "Fig. 3 C, Late phase."])
def test_a_letter_behind_the_number_is_one(text):
    assert split_caption(text).own


def test_a_phase_is_no_mention():
    assert caption_start("图3-1中期荧光造影") and not caption_start("图3-1中可见渗漏")


def test_many_captions_and_few_pictures():
    for seed in range(60):
        chance = random.Random(seed)
        page = Page(1, 595, 842)
        for j in range(chance.randint(1, 8)):
            page.pictures.append(Picture((40 + j % 4 * 130, 300, 160 + j % 4 * 130, 420), file=f"q{j}"))
        for i in range(chance.randint(12, 24)):
            x, y = 40 + i % 4 * 130, chance.choice((40, 560)) + i // 4 * 26
            page.lines.append(Line(f"Fig. 3-{i + 1} Drusen", (x, y, x + 70, y + 9), 9.0))
        figures, left = figures_of([page], captions_of([page]))
        assert sum(len(figure.pictures) for figure in figures) + len(left) == len(page.pictures)


def test_a_list_of_figures_takes_no_frontispiece():
    listed, next_page = Page(5, 595, 842), Page(6, 595, 842)
    for i in range(15):
        box = (60, 100 + i * 26, 400, 110 + i * 26)
        listed.lines.append(Line(f"Figure 1-{i + 1} Findings of disease {i + 1} {20 + i}", box, 10.0))
    next_page.pictures.append(Picture((100, 100, 500, 500), file="frontispiece"))
    figures, left = figures_of([listed, next_page], captions_of([listed, next_page]))
    assert not any(figure.pictures for figure in figures) and len(left) == 1


def test_captions_that_end_alike_at_the_foot_keep_their_ends():
    pages = []
    for number in range(1, 5):
        page = Page(number, 595, 842)
        page.lines = [Line("Some Atlas", (60, 20, 120, 30), 9.0),
                      Line(f"Figure 2-{number}. Angiogram of the right eye in the", (60, 745, 400, 755), 10.0),
                      Line("late phase.", (60, 757, 120, 767), 10.0)]  # fmt: skip
        pages.append(page)
    drop_running_lines(pages)
    assert [[line.text for line in page.lines] for page in pages] == [
        [f"Figure 2-{number}. Angiogram of the right eye in the", "late phase."] for number in range(1, 5)
    ]


def test_a_bright_layer_is_no_paper():
    grey = np.full((90, 120), 30, np.uint8)
    grey[40:50] = np.random.default_rng(0).integers(236, 256, (10, 120))
    assert not white_line(Image.fromarray(grey))
    grey[40:50] = 255
    assert white_line(Image.fromarray(grey))


# ------------------------------------------------------------------------------------------------------------- the folder


@pytest.fixture
def atlas(own_book, tmp_path):
    """A copy of a built atlas that may be spoilt: (PDF, folder)."""
    import shutil

    shutil.copytree(own_book[1], tmp_path / "atlas")
    return own_book[0], tmp_path / "atlas"


def test_what_a_person_corrected_is_kept(atlas, capsys):
    book, folder = atlas
    table = cells(folder / "2_pairs.csv")
    table.loc[0, "text"] = "A correction."
    correct(folder / "2_pairs.csv", table)
    corrected = (folder / "2_pairs.csv").read_bytes()
    build_atlas(book, folder, start="modality", progress=False)  # reads it
    assert "A correction." in set(cells(folder / "manifest.csv")["text"]) and not list(folder.glob("*.corrected.csv"))
    build_atlas(book, folder, start="align", progress=False)  # writes it anew
    assert "A correction." not in set(cells(folder / "manifest.csv")["text"])
    assert (folder / "2_pairs.corrected.csv").read_bytes() == corrected
    assert "2_pairs.csv was corrected and is written anew" in capsys.readouterr().err
    build_atlas(book, folder, start="align", progress=False)
    assert "corrected" not in capsys.readouterr().err


def test_a_complete_build_keeps_corrections_too(atlas, capsys):
    book, folder = atlas
    table = cells(folder / "1_captions.csv")
    table.loc[0, "text"] = "Figure 9. Mine."
    correct(folder / "1_captions.csv", table)
    build_atlas(book, folder, progress=False)
    assert "Figure 9. Mine." in set(cells(folder / "1_captions.corrected.csv")["text"])
    assert "is kept as 1_captions.corrected.csv" in capsys.readouterr().err


def test_errors_name_the_table_that_a_person_can_open(atlas):
    book, folder = atlas
    table = cells(folder / "3_modality.csv")
    table.loc[1, "modality"] = "CPF"
    correct(folder / "3_modality.csv", table)
    before = content(folder)
    with pytest.raises(InputError, match=r"modality is 'CPF': give CFP, FFA, OCT or other") as refused:
        build_atlas(book, folder, start="clean", progress=False)
    assert str(refused.value).startswith(f"{folder / '3_modality.csv'}, row 3: ")
    assert content(folder) == before


def test_another_book_is_said(atlas, capsys):
    book, folder = atlas
    build_atlas(book.with_name("another.pdf"), folder, start="clean", progress=False)
    assert "was built from own.pdf: its tables are read, not another.pdf" in capsys.readouterr().err
    assert json.loads((folder / "book.json").read_text())["book"] == "own.pdf"


def test_the_folder_that_one_is_in_is_refused(atlas, monkeypatch):
    book, folder = atlas
    monkeypatch.chdir(folder)
    before = content(folder)
    with pytest.raises(InputError, match="the folder that you are in"):
        build_atlas(book, ".", start="clean", progress=False)
    assert content(folder) == before


def test_ocr_off_is_the_reason(tmp_path, capsys):
    pdf = fpdf.FPDF(unit="pt", format="A4")
    pdf.add_page()
    page = np.full((842, 595, 3), 255, np.uint8)
    page[200:500, 150:450] = 60  # a photograph on a scanned page
    pdf.image(Image.fromarray(page), 0, 0, 595, 842)
    pdf.output(str(tmp_path / "scan.pdf"))
    assert main(["build-atlas", str(tmp_path / "scan.pdf"), "--out", str(tmp_path / "out"), "--ocr", "off"]) == 2
    assert "reading by Tesseract is off: allow it with --ocr auto" in capsys.readouterr().err
