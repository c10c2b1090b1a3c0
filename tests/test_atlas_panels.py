"""One picture that holds several panels: each cell is found where it was drawn, or the cut is called unsure."""

import io

import numpy as np
import pytest
from PIL import Image

from keepfit_mini.atlas_panels import SURE, cut_panels
from keepfit_mini.phantom import CATEGORIES, draw

SIZE = 96
SHAPES = [(1, 2, 2), (2, 1, 2), (1, 3, 3), (2, 2, 4), (2, 2, 3), (1, 4, 4), (2, 3, 6), (2, 3, 5), (3, 2, 6), (2, 4, 8), (2, 4, 7)]
GUTTERS = {"white": (255, 6), "black": (0, 6), "grey": (128, 6), "none": (255, 0)}


@pytest.fixture(scope="module")
def panels():
    """Modality -> eight pictures."""
    return {modality: [draw(modality, list(CATEGORIES[modality])[seed % 3], seed=seed, size=SIZE).image for seed in range(8)]
            for modality in ("CFP", "FFA", "OCT")}  # fmt: skip


def composite(pictures, rows, columns, gutter, last="left"):
    """-> one picture, and where its panels are. An incomplete last row stands at the left or in the middle."""
    colour, gap = GUTTERS[gutter]
    step, count = SIZE + gap, len(pictures)
    sheet = Image.new("RGB", (columns * step - gap, rows * step - gap), (colour,) * 3)
    cells = []
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        missing = rows * columns - count if row == rows - 1 else 0
        left, top = column * step + (missing * step // 2 if last == "middle" else 0), row * step
        sheet.paste(picture, (left, top))
        cells.append((left, top, left + SIZE, top + SIZE))
    return sheet, cells


def jpeg(picture, quality=60):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def area(cell):
    return max(0, cell[2] - cell[0]) * max(0, cell[3] - cell[1])


def iou(a, b):
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / (area(a) + area(b) - shared)


def judged(sheet, cells):
    """-> (right, sure): whether each cell is where it was drawn, in reading order; whether the cutter says so."""
    found, score = cut_panels(sheet, len(cells))
    assert 0 <= score <= 1
    assert all(0 <= left < right <= sheet.width and 0 <= top < bottom <= sheet.height for left, top, right, bottom in found)
    right = len(found) == len(cells) and all(iou(a, b) > 0.8 for a, b in zip(found, cells, strict=True))
    return right, score >= SURE


@pytest.mark.parametrize("gutter", GUTTERS)
@pytest.mark.parametrize(("rows", "columns", "count"), SHAPES)
def test_cells_are_right_or_unsure(panels, rows, columns, count, gutter):
    for modality, pictures in panels.items():
        right, sure = judged(*composite(pictures[:count], rows, columns, gutter))
        assert right or not sure, (modality, gutter)


def test_most_composites_are_cut_and_surely(panels):
    outcomes = {}
    for gutter in ("white", "black", "grey"):
        for rows, columns, count in SHAPES:
            for modality, pictures in panels.items():
                outcomes[gutter, rows, columns, count, modality] = judged(*composite(pictures[:count], rows, columns, gutter))
    sure = [key for key, outcome in outcomes.items() if outcome == (True, True)]
    whites = [outcome == (True, True) for key, outcome in outcomes.items() if key[0] == "white"]
    assert np.mean(whites) >= 0.9
    assert len(sure) >= 0.75 * len(outcomes), sorted(set(outcomes) - set(sure))


@pytest.mark.parametrize("gutter", GUTTERS)
@pytest.mark.parametrize(("rows", "columns", "count"), [(1, 2, 2), (2, 2, 4), (2, 3, 5), (2, 4, 8)])
def test_jpeg_is_right_or_unsure(panels, rows, columns, count, gutter):
    for modality, pictures in panels.items():
        sheet, cells = composite(pictures[:count], rows, columns, gutter)
        right, sure = judged(jpeg(sheet), cells)
        assert right or not sure, (modality, gutter)
        if gutter == "white" and modality != "OCT":
            assert right and sure


@pytest.mark.parametrize(("rows", "columns", "count"), [(2, 2, 3), (2, 3, 5), (2, 4, 7)])
def test_a_last_row_in_the_middle(panels, rows, columns, count):
    for modality, pictures in panels.items():
        right, sure = judged(*composite(pictures[:count], rows, columns, "white", last="middle"))
        assert right or not sure, modality


def test_modalities_mixed(panels):
    pictures = [panels["CFP"][0], panels["FFA"][1], panels["OCT"][2], panels["FFA"][3]]
    right, sure = judged(*composite(pictures, 2, 2, "white"))
    assert right and sure


def test_a_large_picture_gives_its_own_pixels(panels):
    sheet, cells = composite(panels["CFP"][:4], 2, 2, "white")
    scale = 9  # larger than the cutter looks at
    found, score = cut_panels(sheet.resize((sheet.width * scale, sheet.height * scale), Image.BICUBIC), 4)
    assert score >= SURE
    assert all(iou(a, tuple(scale * v for v in b)) > 0.9 for a, b in zip(found, cells, strict=True))


def test_one_panel_is_the_whole_picture(panels):
    for picture in (panels["CFP"][0], composite(panels["FFA"][:4], 2, 2, "white")[0], Image.new("RGB", (16, 16))):
        assert cut_panels(picture, 1) == ([(0, 0, *picture.size)], 1.0)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8])
def test_one_photograph_is_never_cut_surely(panels, count):
    for pictures in panels.values():
        for picture in pictures[:4]:
            assert cut_panels(picture, count)[1] < SURE


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (16, 16), (23, 30), (4000, 3), (40, 40)])
@pytest.mark.parametrize("count", [2, 4, 7, 8])
def test_tiny_pictures(size, count):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    cells, score = cut_panels(picture, count)
    assert score < SURE and len(cells) in (0, count)
    assert all(0 <= left < right <= size[0] and 0 <= top < bottom <= size[1] for left, top, right, bottom in cells)


@pytest.mark.parametrize(
    ("colour", "count"),
    [(colour, count) for colour in (0, 90, 128, 255) for count in (2, 3, 4, 8)],
)
def test_one_colour_is_never_cut_surely(colour, count):
    cells, score = cut_panels(Image.new("RGB", (240, 200), (colour,) * 3), count)
    assert score < SURE
    assert all(0 <= left < right <= 240 and 0 <= top < bottom <= 200 for left, top, right, bottom in cells)
