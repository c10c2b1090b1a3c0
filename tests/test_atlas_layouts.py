"""Printed layouts that are easily misread, each on a small page of its own: frames, uneven rows, plates, lists of figures.

What matters: the right picture has the right text, or the row asks for a person's look."""

from pathlib import Path

import fpdf
import numpy as np
import pandas as pd
import pytest
from atlas_books import cells
from PIL import Image, ImageDraw

from keepfit_mini.atlas import align, build_atlas, collect
from keepfit_mini.atlas_captions import split_caption
from keepfit_mini.atlas_marks import marks_of
from keepfit_mini.atlas_pairs import FLAG, pair_figure
from keepfit_mini.atlas_panels import SURE, cut_panels
from keepfit_mini.atlas_score import score_atlas, small
from keepfit_mini.boxes import area
from keepfit_mini.phantom import draw

SIZE, GAP = 96, 6


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [draw("CFP", "normal" if seed % 2 else "diabetic retinopathy", seed=seed, size=SIZE).image for seed in range(5)]


@pytest.fixture
def pdf() -> fpdf.FPDF:
    """A4 in points, with its first page."""
    pdf = fpdf.FPDF(unit="pt", format="A4")
    pdf.set_font("Helvetica", size=10)
    pdf.add_page()
    return pdf


def pairs(pdf: fpdf.FPDF, folder: Path) -> pd.DataFrame:
    """The first two steps -> 2_pairs.csv, its rows in the order of figure and panel; confidence as a number."""
    pdf.output(str(folder / "book.pdf"))
    (folder / "atlas").mkdir()
    collect(folder / "book.pdf", folder / "atlas", ocr=None, progress=False)
    table = align(folder / "atlas").astype({"confidence": float})
    return table.sort_values(["figure", "panel"]).reset_index(drop=True)


def likeness(path: Path, picture: Image.Image) -> float:
    picture.save(path.with_name("original.png"))
    return float((small(path) * small(path.with_name("original.png"))).sum(1).max())


def which(folder: Path, images, originals: list[Image.Image]) -> list[int]:
    """For each image of the atlas, the original that it shows."""
    alike = [[likeness(folder / "atlas" / image, original) for original in originals] for image in images]
    assert min(map(max, alike)) > 0.9
    return [int(np.argmax(one)) for one in alike]


# --------------------------------------------------------------------------------------------------- frames and composites


@pytest.mark.parametrize("frame", ["rectangle", "ellipse"])
def test_a_picture_behind_a_frame_is_what_the_frame_shows(pdf, tmp_path, frame):
    photograph = draw("CFP", "diabetic retinopathy", seed=0, size=100).image
    with {"rectangle": pdf.rect_clip, "ellipse": pdf.elliptic_clip}[frame](150, 130, 100, 120):
        pdf.image(photograph, 100, 100, 200, 200)
    pdf.text(150, 270, "Figure 2-1. A part of a fundus.")
    pdf.output(str(tmp_path / "book.pdf"))
    build_atlas(tmp_path / "book.pdf", tmp_path / "atlas", progress=False)
    row, manifest = cells(tmp_path / "atlas" / "1_pictures.csv").iloc[0], cells(tmp_path / "atlas" / "manifest.csv")
    assert [float(row[side]) for side in ("left", "top", "right", "bottom")] == pytest.approx([150, 130, 250, 250], abs=1)
    assert manifest["text"].tolist() == ["A part of a fundus."]
    found, shown = Image.open(tmp_path / "atlas" / row["image"]).convert("RGB"), photograph.crop((25, 15, 75, 75))
    assert found.size == shown.size == (50, 60)
    middle = (0, 0, 50, 60) if frame == "rectangle" else (8, 10, 42, 50)  # what an ellipse leaves out in the corners is paper
    pixels = [np.asarray(picture.crop(middle), float) for picture in (found, shown)]
    assert np.abs(pixels[0] - pixels[1]).mean() < 3
    assert (found.getpixel((1, 1)) == (255, 255, 255)) == (frame == "ellipse")


def uneven(pictures: list[Image.Image], rows: list[int]) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """Rows of these many pictures, each row as wide as the widest: (composite, where each was pasted)."""
    width = max(rows) * (SIZE + GAP) - GAP
    sides = [(width - (members - 1) * GAP) // members for members in rows]
    sheet = Image.new("RGB", (width, sum(sides) + GAP * (len(rows) - 1)), "white")
    boxes, top = [], 0
    for members, side in zip(rows, sides, strict=True):
        for column in range(members):
            left = column * (side + GAP)
            sheet.paste(pictures[len(boxes)].resize((side, side), Image.BICUBIC), (left, top))
            boxes.append((left, top, left + side, top + side))
        top += side + GAP
    return sheet, boxes


def same_place(found: list, drawn: list, least: float = 0.8) -> bool:
    def iou(a, b):
        shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
        return shared / (area(a) + area(b) - shared)

    return len(found) == len(drawn) and all(iou(a, b) > least for a, b in zip(found, drawn, strict=True))


@pytest.mark.parametrize("rows", [[3, 2], [1, 2], [2, 1], [2, 3]])
@pytest.mark.parametrize("modality", ["CFP", "FFA", "OCT"])
def test_a_shorter_row_of_larger_panels_is_cut(rows, modality):
    sheet, drawn = uneven([draw(modality, "normal", seed=seed, size=SIZE).image for seed in range(5)], rows)
    found, score = cut_panels(sheet, sum(rows))
    assert same_place(found, drawn) and score >= SURE


@pytest.mark.parametrize(("rows", "modality"), [([3, 2], "OCT"), ([1, 2], "CFP")])
def test_each_panel_of_uneven_rows_gets_its_text(pdf, tmp_path, rows, modality):
    texts = ["The disc.", "The macula.", "Early phase.", "Middle phase.", "Late phase."][: sum(rows)]
    pictures = [draw(modality, "normal", seed=seed, size=SIZE).image for seed in range(sum(rows))]
    sheet, _ = uneven(pictures, rows)
    pdf.image(sheet, 100, 100, 300)
    pdf.set_xy(100, 110 + 300 * sheet.height / sheet.width)
    marked = [f"{letter}, {text}" for letter, text in zip("ABCDE", texts, strict=False)]
    pdf.multi_cell(300, 12, f"Figure 2-2. One eye. {' '.join(marked)}")
    table = pairs(pdf, tmp_path)
    assert table["panel"].tolist() == list("ABCDE")[: sum(rows)]
    assert table["text"].tolist() == [f"One eye. {text}" for text in texts]
    assert which(tmp_path, table["image"], pictures) == list(range(sum(rows)))
    assert (table["confidence"] >= FLAG).all()


# A phantom's field is round and its corners are black: here a piece from its middle, without a border of its own.
@pytest.mark.parametrize("colour", ["black", "grey"])
@pytest.mark.parametrize(("above", "below", "trimmed"), [(0, 24, True), (24, 0, True), (12, 12, False)])
def test_a_band_on_one_side_of_a_panel_is_trimmed(photographs, colour, above, below, trimmed):
    middle = [photograph.crop((24, 24, 72, 72)).resize((SIZE, SIZE)) for photograph in photographs]
    high = SIZE + 24
    sheet = Image.new("RGB", (2 * SIZE + GAP, high), "white")
    sheet.paste(middle[0].resize((SIZE, high)), (0, 0))
    sheet.paste(colour, (SIZE + GAP, 0, sheet.width, high))
    sheet.paste(middle[1], (SIZE + GAP, above))
    found, score = cut_panels(sheet, 2)
    panel = (SIZE + GAP, above, sheet.width, above + SIZE) if trimmed else (SIZE + GAP, 0, sheet.width, high)
    assert same_place(found, [(0, 0, SIZE, high), panel], 0.93) and score >= SURE  # SIZE is 0.8 of the height


@pytest.mark.parametrize(("panels", "flagged"), [(2, True), (1, False)])
def test_a_caption_of_one_panel_beside_a_picture_of_two(pdf, tmp_path, photographs, panels, flagged):
    pdf.image(uneven(photographs, [panels])[0], 100, 100, 150 * panels)
    pdf.text(100, 270, "Figure 4-3 A, late phase of the right eye.")
    table = pairs(pdf, tmp_path)
    assert table["panel"].tolist() == ["A"] and table["text"].str.endswith("late phase of the right eye.").all()
    assert (table["confidence"] < FLAG).all() == flagged
    assert table["notes"].str.contains("several panels").all() == flagged


# -------------------------------------------------------------------------------------------------------- texts on the page


def test_texts_under_pictures_of_unequal_height(pdf, tmp_path, photographs):
    """The texts begin at one height, so that the text of the lower picture stands far below it."""
    pdf.image(photographs[0], 60, 100, 200, 200)
    pdf.image(photographs[1], 300, 100, 160, 150)
    pdf.text(60, 315, "A. The disc has a deep cup.")
    pdf.text(300, 315, "B. The disc of the other eye.")
    pdf.text(60, 345, "Figure 2-3. Glaucoma in a man of sixty.")
    table = pairs(pdf, tmp_path)
    assert table["panel"].tolist() == ["A", "B"] and (table["figure"] == "2-3").all()
    head = "Glaucoma in a man of sixty. "
    assert table["text"].tolist() == [head + "The disc has a deep cup.", head + "The disc of the other eye."]
    assert which(tmp_path, table["image"], photographs) == [0, 1]


PLATE = ["2-1", "2-3", "2-4", "2-2"]  # printed at the pictures in reading order: only the numbers tell whose is whose


@pytest.mark.parametrize("numbered", [True, False])
def test_a_plate_with_its_captions_at_the_foot(pdf, tmp_path, photographs, numbered):
    texts = ["Soft drusen.", "A deep cup.", "Tortuous veins.", "Laser scars."]
    for k, number in enumerate(PLATE):
        x, y = 80 + 220 * (k % 2), 80 + 230 * (k // 2)
        pdf.image(photographs[k], x, y, 180, 180)
        if numbered:
            pdf.text(x + 80, y + 194, number)
    for k, text in enumerate(texts, 1):
        pdf.text(80, 580 + 20 * k, f"Fig. 2-{k}. {text}")
    table = pairs(pdf, tmp_path)
    assert table["figure"].tolist() == ["2-1", "2-2", "2-3", "2-4"] and table["text"].tolist() == texts
    expected = [PLATE.index(number) for number in table["figure"]] if numbered else [0, 1, 2, 3]
    assert which(tmp_path, table["image"], photographs) == expected
    assert (table["confidence"] >= FLAG).all() if numbered else (table["confidence"] < FLAG).all()


def test_a_list_of_figures_is_no_caption(pdf, tmp_path, photographs):
    for k, title in enumerate(["Soft drusen", "A deep cup", "Tortuous veins"], 2):
        pdf.text(60, 80 + 40 * k, f"Figure 2-{k}. {title} {'.' * 40} {38 + k}")
    pdf.add_page()
    pdf.image(photographs[0], 100, 100, 200, 200)
    pdf.text(100, 315, "Figure 2-3. A deep cup.")
    table = pairs(pdf, tmp_path)
    assert table["text"].tolist() == ["A deep cup."] and table["page"].tolist() == [2]
    assert table["confidence"].tolist() == [1.0]
    assert cells(tmp_path / "atlas" / "1_captions.csv")["page"].tolist() == ["2"]


def test_a_running_head_is_no_caption(pdf, tmp_path, photographs):
    pdf.text(100, 60, "Figure 3")
    pdf.image(photographs[0], 100, 200, 200, 200)
    pdf.text(100, 415, "Figure 3. A deep cup.")
    table = pairs(pdf, tmp_path)
    assert table["text"].tolist() == ["A deep cup."] and table["confidence"].tolist() == [1.0]
    assert cells(tmp_path / "atlas" / "1_captions.csv")["text"].tolist() == ["Figure 3. A deep cup."]


# ---------------------------------------------------------------------------------------------------------- marks and texts


def test_a_full_width_stop_before_a_number_ends_a_mark():
    caption = split_caption("FIGURE 2-3. Laser scars. A．1 month after treatment. B．0.25 to 0.5 mm wide, 12 months after.", 2)
    assert caption.texts == {"A": "1 month after treatment.", "B": "0.25 to 0.5 mm wide, 12 months after."}
    assert not caption.doubtful


@pytest.mark.parametrize("text", ["A.1", "see A.1 and B.2", "grade A:1 to B:2", "type A.25 to B.5 mm"])
def test_a_letter_with_a_number_behind_its_point_is_no_mark(text):
    assert marks_of(text) == []
    caption = split_caption(f"FIGURE 2-3. Drusen, {text}.", 2)
    assert caption.texts == {} and not caption.doubtful


@pytest.mark.parametrize("letter", "AB")
def test_a_mark_in_the_middle_that_stands_alone_is_doubted(tmp_path, letter):
    text = f"FIGURE 2-3. Leakage of dye. {letter}, Vertical section of the macula."
    caption = split_caption(text)
    assert caption.texts == {} and caption.doubtful == {letter}
    Image.new("RGB", (40, 40)).save(tmp_path / "p.png")
    (pair,) = pair_figure(tmp_path, ["p.png"], [""], {"en": text})
    assert pair.confidence < FLAG and any(f"mark {letter}" in note for note in pair.notes)
    (plain,) = pair_figure(tmp_path, ["p.png"], [""], {"en": "FIGURE 2-3. Leakage of dye. Vertical section of the macula."})
    assert plain.confidence >= FLAG


# ------------------------------------------------------------------------------------------------------------------ scorer


def padded(photograph: Image.Image) -> Image.Image:
    """At the left of a black sheet twice as wide, a white letter in the black."""
    sheet = Image.new("RGB", (2 * photograph.width, photograph.height + 20))
    sheet.paste(photograph, (0, 0))
    ImageDraw.Draw(sheet).text((photograph.width + 20, 20), "A", fill="white")
    return sheet


def test_a_padded_photograph_is_found_as_itself(tmp_path, photographs):
    originals = [photograph.crop((8, 20, 88, 76)) for photograph in photographs]
    empty = {"panel": "", "text_zh": "", "page": 1, "modality": "CFP"}
    rows = [{"image": f"{k}.png", "figure": f"2-{k}", "text": f"Text number {k}.", **empty} for k in range(len(originals))]
    for place in ("built", "true"):
        (tmp_path / place).mkdir()
    for row, original in zip(rows, originals, strict=True):
        original.save(tmp_path / "true" / row["image"])
        padded(original).save(tmp_path / "built" / row["image"])
    pd.DataFrame(rows).to_csv(tmp_path / "truth.csv", index=False)
    manifest = pd.DataFrame(rows).assign(confidence=1.0, notes="")
    manifest.to_csv(tmp_path / "built" / "manifest.csv", index=False)
    manifest.iloc[:0].to_csv(tmp_path / "built" / "unpaired.csv", index=False)
    for original, row in zip(originals, rows, strict=True):
        assert likeness(tmp_path / "built" / row["image"], original) > 0.95
    result, table = score_atlas(tmp_path / "built", tmp_path / "truth.csv", tmp_path / "true")
    assert result["right"] == 1 and result["silent"] == 0, table[["image", "why"]].to_string()
