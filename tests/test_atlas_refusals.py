"""An atlas's tables corrected by a person, tables that are refused, and folders that stay as they were."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from atlas_books import CONTRACT, cells, content, correct, names

import keepfit_mini as kf
from keepfit_mini import atlas, review
from keepfit_mini.atlas import build_atlas


@pytest.fixture
def out(own_book, tmp_path) -> Path:
    """The small book's folder, free to be changed, alone in its parent."""
    return Path(shutil.copytree(own_book[1], tmp_path / "place" / "atlas"))


# ------------------------------------------------------------------------------------------------ corrected by a person


def after(out: Path, start: str, before: pd.DataFrame, changed: set[str]) -> pd.DataFrame:
    """Build on; every row but those of `changed` pictures is what it was. -> the new manifest by picture."""
    build_atlas(out / "no longer needed" / "own.pdf", out, start=start, progress=False)
    now = cells(out / "manifest.csv")
    same = [column for column in CONTRACT if column in now]
    old, new = (t[~t["image"].isin(changed)].sort_values("image")[same].reset_index(drop=True) for t in (before, now))
    pd.testing.assert_frame_equal(old, new)
    assert all((out / image).is_file() for image in now["image"])
    return now.set_index("image")


def single_figures(out: Path) -> list[str]:
    """Numbers of the figures that hold one picture."""
    return [figure for figure, own in cells(out / "manifest.csv").groupby("figure", sort=False) if len(own) == 1]


def test_a_corrected_caption(out):
    before, captions = cells(out / "manifest.csv"), cells(out / "1_captions.csv")
    figure = single_figures(out)[0]
    row = captions.index[(captions["figure"] == figure) & (captions["language"] == "en")][0]
    captions.loc[row, "text"] = f"Figure {figure}. A text that the proof reader wrote."
    correct(out / "1_captions.csv", captions)
    image = before.loc[before["figure"] == figure, "image"].item()
    now = after(out, "align", before, {image})
    assert now["text"][image] == "A text that the proof reader wrote."
    assert now["text_zh"][image] == before.set_index("image")["text_zh"][image]


def test_a_corrected_mark_in_a_caption(out):
    before, captions = cells(out / "manifest.csv"), cells(out / "1_captions.csv")
    figure = next(f for f, own in before.groupby("figure") if len(own) == 2)
    row = captions.index[(captions["figure"] == figure) & (captions["language"] == "en")][0]
    captions.loc[row, "text"] = f"Figure {figure}. Two views. A, The first one. B, The second one."
    correct(out / "1_captions.csv", captions)
    mine = before[before["figure"] == figure].sort_values("panel")["image"].tolist()
    now = after(out, "align", before, set(mine))
    assert now["text"][mine].tolist() == ["Two views. The first one.", "Two views. The second one."]


def test_pictures_that_change_their_figures(out):
    before, pictures = cells(out / "manifest.csv").set_index("image"), cells(out / "1_pictures.csv")
    one, two = single_figures(out)[:2]
    pictures["figure"] = pictures["figure"].replace({one: two, two: one})
    correct(out / "1_pictures.csv", pictures)
    here, there = (before.index[before["figure"] == figure][0] for figure in (one, two))
    now = after(out, "align", before.reset_index(), {here, there})
    for language in ("text", "text_zh", "figure"):
        assert now[language][here] == before[language][there] and now[language][there] == before[language][here]


def test_a_picture_taken_from_its_figure_is_listed_as_lonely(out):
    before, pictures = cells(out / "manifest.csv"), cells(out / "1_pictures.csv")
    figure = single_figures(out)[0]
    image = before.loc[before["figure"] == figure, "image"].item()
    pictures.loc[pictures["image"] == image, "figure"] = ""
    correct(out / "1_pictures.csv", pictures)
    assert image not in after(out, "align", before, {image}).index
    unpaired = cells(out / "unpaired.csv")
    assert image in set(unpaired["image"]) and any(figure == row["figure"] and row["text"] for _, row in unpaired.iterrows())


def test_a_corrected_pair(out):
    before, pairs = cells(out / "manifest.csv"), cells(out / "2_pairs.csv")
    image = pairs["image"][3]
    pairs.loc[3, ["text", "text_zh", "confidence"]] = ["Seen by an expert.", "专家已看。", "1"]
    correct(out / "2_pairs.csv", pairs)
    now = after(out, "modality", before, {image})
    assert now["text"][image] == "Seen by an expert." and now["text_zh"][image] == "专家已看。"


def test_a_corrected_modality(out):
    before, table = cells(out / "manifest.csv"), cells(out / "3_modality.csv")
    other = {"CFP": "FFA", "FFA": "OCT", "OCT": "CFP"}[table["modality"][2]]
    table.loc[2, "modality"] = other
    correct(out / "3_modality.csv", table)
    assert after(out, "clean", before, {table["image"][2]})["modality"][table["image"][2]] == other


def test_each_step_alone_changes_nothing(out):
    before = cells(out / "manifest.csv")
    for start in ("align", "modality", "clean"):
        after(out, start, before, set())


# --------------------------------------------------------------------------------------------- refused, and nothing changed


TABLES = {"1_pictures.csv": "align", "1_captions.csv": "align", "2_pairs.csv": "modality", "3_modality.csv": "clean"}


def refuse(out: Path, start: str, words: str) -> None:
    """InputError of one line that says so, `out` as it was and nothing beside it."""
    before = content(out)
    with pytest.raises(kf.InputError, match=words) as error:
        build_atlas(out / "own.pdf", out, start=start, progress=False)
    assert "\n" not in str(error.value)
    assert content(out) == before and names(out.parent) == [out.name]


@pytest.mark.parametrize(
    ("table", "column"),
    [("1_pictures.csv", "figure"), ("1_pictures.csv", "image"), ("1_captions.csv", "text"), ("2_pairs.csv", "text_zh"),
     ("2_pairs.csv", "page"), ("3_modality.csv", "modality")],
)  # fmt: skip
def test_a_column_that_is_gone(out, table, column):
    correct(out / table, cells(out / table).drop(columns=column))
    refuse(out, TABLES[table], rf"{table}.*`{column}` is gone")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("column", "value"), [
    ("page", "three"), ("page", ""), ("page", "inf"), ("page", "2.5"), ("page", "0"), ("page", "1e30"),
    ("confidence", "high"), ("confidence", "7"), ("confidence", "-0.1"), ("confidence", "nan"),
])  # fmt: skip
def test_a_number_that_is_none(out, table, column, value):
    frame = cells(out / table)
    frame.loc[2, column] = value
    correct(out / table, frame)
    refuse(out, TABLES[table], rf"{table}, row 4: {column} is .*: give a (whole )?number")


@pytest.mark.parametrize("table", ["1_pictures.csv", "2_pairs.csv"])
@pytest.mark.parametrize("value", ["pictures/none.png", "pictures"])
def test_a_picture_that_is_missing(out, table, value):
    frame = cells(out / table)
    frame.loc[1, "image"] = value
    correct(out / table, frame)
    refuse(out, TABLES[table], rf"{table}, row 3: .*{value}")


def test_a_picture_that_is_missing_at_the_last_step(out):
    frame = cells(out / "3_modality.csv")
    frame.loc[1, "image"] = "pictures/none.png"
    correct(out / "3_modality.csv", frame)
    refuse(out, "clean", "3_modality.csv, row 3: .*pictures/none.png")


@pytest.mark.parametrize(("name", "damage", "words"), [
    ("1_captions.csv", b"", "1_captions.csv.*CSV"),
    ("1_captions.csv", b"\xff\xfe\x00\x01", "1_captions.csv.*UTF-8"),
    ("2_pairs.csv", b'image,page\n"a', "2_pairs.csv"),
])  # fmt: skip
def test_a_table_that_is_none(out, name, damage, words):
    (out / name).write_bytes(damage)
    refuse(out, TABLES[name], words)


def test_an_unknown_language(out):
    captions = cells(out / "1_captions.csv")
    captions.loc[0, "language"] = "German"
    correct(out / "1_captions.csv", captions)
    refuse(out, "align", "1_captions.csv, row 2: language is 'German'")


def test_an_earlier_build_is_replaced(books, out):
    (out / "pictures" / "old.png").write_bytes(b"")
    build_atlas(books["en"][0], out, progress=False)
    assert content(out).keys() == content(books["en"][1]).keys()
    assert content(out)["manifest.csv"] == content(books["en"][1])["manifest.csv"]  # and the same again each time
    assert names(out.parent) == [out.name]


def test_a_folder_with_other_things_is_refused(books, tmp_path):
    other = tmp_path / "place" / "holiday"
    other.mkdir(parents=True)
    (other / "beach.txt").write_text("mine")
    with pytest.raises(kf.InputError, match="holiday.*another folder"):
        build_atlas(books["en"][0], other, progress=False)
    assert content(other) == {"beach.txt": b"mine"} and names(other.parent) == ["holiday"]
    (other / "beach.txt").unlink()
    assert build_atlas(books["en"][0], other, progress=False)["pairs"]  # an empty one is welcome


@pytest.mark.parametrize(("name", "error"), [("classify_modality", KeyboardInterrupt), ("write_review", RuntimeError)])
def test_an_interruption_leaves_all_as_it_was(own_book, out, tmp_path, monkeypatch, name, error):
    def stop(*_, **__):
        raise error("in the middle")

    monkeypatch.setattr(review if name == "write_review" else atlas, name, stop)
    before = content(out)
    for start in ("collect", "align"):
        with pytest.raises(error):
            build_atlas(own_book[0], out, start=start, progress=False)
        assert content(out) == before and names(out.parent) == [out.name]
    with pytest.raises(error):
        build_atlas(own_book[0], tmp_path / "new" / "atlas", progress=False)
    assert not (tmp_path / "new").exists() or not names(tmp_path / "new")
