"""From drawn books to checked manifests: what is right, what is flagged, what is listed, what the review page shows."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from atlas_books import BOOKS, CONTRACT, OWN, built, cells, score
from PIL import Image

from keepfit_mini.atlas import build_atlas
from keepfit_mini.atlas_score import score_atlas
from keepfit_mini.drawn_atlas import draw_atlas
from keepfit_mini.manifests import read_manifest
from keepfit_mini.phantom import draw

WITHOUT_FAULTS = [name for name in BOOKS if name != "faults"]


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
