"""From drawn books to checked manifests: what is right, what is flagged, what a person may correct, what is refused."""

import html
import io
import os
import re
import shutil
from pathlib import Path

import fpdf
import numpy as np
import pandas as pd
import pypdfium2 as pdfium
import pypdfium2.raw as raw
import pytest
from PIL import Image, ImageOps

import keepfit_mini as kf
from keepfit_mini import atlas, review
from keepfit_mini.__main__ import main
from keepfit_mini.atlas import build_atlas
from keepfit_mini.atlas_score import score_atlas, small
from keepfit_mini.drawn_atlas import draw_atlas, draw_book
from keepfit_mini.manifests import read_manifest
from keepfit_mini.phantom import draw

CONTRACT = ["image", "modality", "text", "text_zh", "source", "split", "page", "figure", "panel", "confidence"]
BOOKS = {"en": {"seed": 0, "figures": 6}, "zh": {"seed": 1, "figures": 6}, "both": {"seed": 3, "figures": 9},
         "faults": {"seed": 5, "languages": "both", "faults": 0.5}}  # fmt: skip
WITHOUT_FAULTS = [name for name in BOOKS if name != "faults"]


def built(folder: Path, name: str, **settings) -> tuple[Path, Path]:
    """A drawn book and what the builder makes of it."""
    book = draw_book(folder / f"{name}.pdf", size=96, progress=False, **{"figures": 8, "languages": name} | settings)
    build_atlas(book, folder / name, progress=False)
    return book, folder / name


def score(book: Path, out: Path, **settings):
    return score_atlas(out, book.with_name(f"{book.stem}_truth.csv"), book.with_name(f"{book.stem}_pictures"), **settings)


def cells(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def correct(path: Path, table: pd.DataFrame) -> None:
    """As a spreadsheet saves it."""
    table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def books(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Name -> (PDF, built folder). Read only."""
    folder = tmp_path_factory.mktemp("books")
    return {name: built(folder, name, **settings) for name, settings in BOOKS.items()}


OWN = [("CFP", "Soft drusen near the fovea.", "黄斑区软性玻璃膜疣。", "a"),
       ("FFA", "Staining of the drusen.", "玻璃膜疣着染。", "a"),
       ("CFP", "Optic disc with a deep cup.", "视盘凹陷加深。", "b"),
       ("CFP", "Tortuous veins in all quadrants.", "各象限静脉迂曲。", "c"),
       ("OCT", "Fluid under the fovea.", "黄斑中心凹下液体。", "d"), ("CFP", "Serous detachment.", "浆液性脱离。", "d"),
       ("FFA", "A hot spot in the late phase.", "晚期强荧光点。", "d")]  # fmt: skip


@pytest.fixture(scope="module")
def own_book(tmp_path_factory) -> tuple[Path, Path]:
    """A small bilingual book with two figures of one picture, and what is built from it. Read only."""
    folder = tmp_path_factory.mktemp("own")
    rows = []
    for k, (modality, text, text_zh, group) in enumerate(OWN):
        draw(modality, "normal", seed=k, size=96).image.save(folder / f"{k}.png")
        rows.append({"image": f"{k}.png", "modality": modality, "text": text, "text_zh": text_zh, "group": group})
    pd.DataFrame(rows).to_csv(folder / "m.csv", index=False)
    pdf = draw_atlas(folder / "m.csv", folder / "own.pdf", seed=3, progress=False)
    build_atlas(pdf, folder / "own", progress=False)
    return pdf, folder / "own"


@pytest.fixture
def out(own_book, tmp_path) -> Path:
    """The small book's folder, free to be changed, alone in its parent."""
    return Path(shutil.copytree(own_book[1], tmp_path / "place" / "atlas"))


# -------------------------------------------------------------------------------------------------------------- whole books


@pytest.mark.parametrize("name", WITHOUT_FAULTS)
def test_a_book_without_faults(books, name):
    result, table = score(*books[name])
    assert result["with text"] >= 15 and result["pictures"] == result["with text"]
    assert result["right"] >= 0.98, table.loc[~table["right"], ["image", "why"]].to_string()
    assert result["silent"] == 0
    assert result["alarms"] <= 0.05
    assert result["modality"] >= 0.98


def test_a_book_with_faults_is_never_silently_wrong(books):
    result, table = score(*books["faults"])
    assert (table["fault"] != "").sum() >= 3
    assert result["silent"] == 0, table.loc[~table["right"] & ~table["flagged"], ["image", "why"]].to_string()
    fine = table[(table["fault"] == "") & (table["text"] != "")]
    assert fine["right"].mean() > 0.6  # the faults of a figure spoil few others


def test_a_missing_letter_beside_a_missing_caption(tmp_path):
    result, _ = score(*built(tmp_path, "en", seed=4, figures=9, faults=0.5))
    assert result["silent"] == 0


def test_the_small_book_is_whole(own_book):
    manifest = cells(own_book[1] / "manifest.csv")
    assert sorted(zip(manifest["text"], manifest["text_zh"], strict=True)) == sorted((en, zh) for _, en, zh, _ in OWN)
    assert score_atlas(own_book[1], own_book[0].with_name("own_truth.csv"), own_book[0].parent)[0]["right"] == 1


def test_texts_of_ones_own(tmp_path):
    """draw_atlas on a manifest: figures of several pictures, a shared head, two pictures that share a text."""
    rows = []
    for k, (modality, text, group) in enumerate(
        [("CFP", "Soft drusen near the fovea", "a"), *[("FFA", "Staining of the drusen", "a")] * 2,
         ("CFP", "Optic disc with a deep cup", ""), ("OCT", "Fluid under the fovea", "b"), ("CFP", "Serous detachment", "b")]
    ):  # fmt: skip
        draw(modality, "normal", seed=k, size=96).image.save(tmp_path / f"{k}.png")
        rows.append({"image": f"{k}.png", "modality": modality, "text": text, "group": group or f"single{k}",
                     "head": "Macular degeneration." if group == "a" else ""})  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    pdf = draw_atlas(tmp_path / "m.csv", tmp_path / "book.pdf", languages="en", seed=3, progress=False)
    counts = build_atlas(pdf, tmp_path / "out", progress=False)
    assert counts["pairs"] == counts["pictures"] == 6 and counts["flagged"] == 0
    texts = set(cells(tmp_path / "out" / "manifest.csv")["text"])
    assert texts == {"Macular degeneration. Soft drusen near the fovea.", "Macular degeneration. Staining of the drusen.",
                     "Optic disc with a deep cup.", "Fluid under the fovea.", "Serous detachment."}  # fmt: skip
    assert score_atlas(tmp_path / "out", tmp_path / "book_truth.csv", tmp_path)[0]["right"] == 1


@pytest.mark.parametrize("name", BOOKS)
def test_the_manifest_keeps_the_contract(books, name):
    _, folder = books[name]
    table = cells(folder / "manifest.csv")
    assert set(CONTRACT) <= set(table)
    assert all((folder / image).is_file() and Image.open(folder / image).size for image in table["image"])
    assert table["image"].is_unique and set(table["modality"]) <= {"CFP", "FFA", "OCT", "other"}
    assert table["page"].astype(int).ge(1).all() and table["confidence"].astype(float).between(0, 1).all()
    assert ((table["text"] != "") | (table["text_zh"] != "")).all()
    for column, language in (("text", "en"), ("text_zh", "zh")):
        if name in ("en", "zh"):
            assert (table[column] != "").all() if name == language else (table[column] == "").all()
    frame = read_manifest(folder / "manifest.csv")
    assert len(frame) == len(table) and [Path(image).name for image in frame["image"]] == [Path(i).name for i in table["image"]]


def test_pictures_without_text_are_listed(books):
    _, folder = books["faults"]
    manifest, unpaired, pictures = (cells(folder / f) for f in ("manifest.csv", "unpaired.csv", "1_pictures.csv"))
    lonely = unpaired[unpaired["image"] != ""]
    assert len(lonely) >= 2 and (lonely["text"] == "").all() and (lonely["text_zh"] == "").all() and (lonely["notes"] != "").all()
    assert not set(lonely["image"]) & set(manifest["image"])
    assert all((folder / image).is_file() for image in lonely["image"])
    known = " ".join([*manifest["image"], *unpaired["image"]])
    assert all(image.rsplit(".", 1)[0] in known for image in pictures["image"])  # whole, or cut into panels
    assert not len(cells(books["both"][1] / "unpaired.csv"))


@pytest.mark.parametrize("name", BOOKS)
def test_the_review_page_stands_alone(books, name):
    _, folder = books[name]
    assert len(list(folder.rglob("*.html"))) == 1
    page = (folder / "review.html").read_text(encoding="utf-8")
    targets = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]*)""", page)
    assert targets and all(target.startswith(("data:", "#")) for target in targets)
    assert not re.search(r"(?i)<script[^>]+src|@import|url\((?!['\"]?data:)|<link|<iframe|<object", page)
    articles = re.findall(r'<article class="(\w+)">(.*?)</article>', page, re.S)
    manifest, unpaired = cells(folder / "manifest.csv"), cells(folder / "unpaired.csv")
    assert len(articles) == len(manifest) + len(unpaired)
    kinds = {"flagged": manifest.loc[manifest["confidence"].astype(float) < 0.5], "unpaired": unpaired,
             "fine": manifest.loc[manifest["confidence"].astype(float) >= 0.5]}  # fmt: skip
    for kind, rows in kinds.items():
        shown = [html.unescape(body) for which, body in articles if which == kind]
        assert len(shown) == len(rows)
        for _, row in rows.iterrows():
            mine = [body for body in shown if row["image"] in body and row["text"] in body and row["text_zh"] in body]
            assert mine and any(f"page {row['page']}" in body and row["notes"] in body for body in mine)
    assert page.count("data:image/jpeg;base64,") >= len(manifest)


# ------------------------------------------------------------------------------------------------ corrected by a person


def after(out: Path, start: str, before: pd.DataFrame, changed: set[str]) -> pd.DataFrame:
    """Build on; every row but those of `changed` pictures is what it was. -> the new manifest by picture."""
    build_atlas(out / "no-longer-needed.pdf", out, start=start, progress=False)
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
        build_atlas(out / "book.pdf", out, start=start, progress=False)
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
@pytest.mark.parametrize(("column", "value"), [("page", "three"), ("page", ""), ("confidence", "high")])
def test_a_number_that_is_none(out, table, column, value):
    frame = cells(out / table)
    frame.loc[2, column] = value
    correct(out / table, frame)
    refuse(out, TABLES[table], rf"{table}, row 4: {column}")


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


# ------------------------------------------------------------------------------------------------------ the command line


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
        ("folder", "no such book.*give"),
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
