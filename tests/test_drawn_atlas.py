"""The drawn atlas: every row once, the truth tells what lies on which page, and nothing half-written stays."""

import os
import re
from collections import Counter

import numpy as np
import pandas as pd
import pypdfium2
import pytest
from PIL import Image
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

import keepfit_mini as kf
from keepfit_mini import drawn_atlas, fonts
from keepfit_mini.drawn_atlas import TRUTH, draw_atlas, draw_book, real_captions
from keepfit_mini.drawn_atlas_layouts import BILINGUAL, LAYOUTS, LETTERS, TIGHTNESS
from keepfit_mini.drawn_atlas_plan import FAULTS, read_panels
from keepfit_mini.drawn_atlas_type import Printer, Type, set_lines


@pytest.fixture(scope="module")
def few(manifest):
    """The first 80 of them."""
    pd.read_csv(manifest).head(80).to_csv(manifest.with_name("few.csv"), index=False)
    return manifest.with_name("few.csv")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """300 small pictures, each of one colour of its own, with sentences of its own in both languages."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    english = ("several", "haemorrhages", "exudates", "fluorescein", "pigmentation", "temporal", "macula", "disc", "are", "seen")
    rows = []
    for i in range(300):
        Image.new("RGB", (30, 24 if i % 9 else 40), (i % 16 * 16, i // 16 * 12, 90)).save(folder / f"{i}.png")
        text = f"Case{i} " + " ".join(rng.choice(english, rng.integers(6, 30) if i % 4 else 70))
        text_zh = f"病例{i}" + "".join(rng.choice(list("视网膜黄斑区见出血渗出伴色素"), rng.integers(8, 40)))
        rows.append({"image": f"{i}.png", "modality": ("CFP", "FFA", "OCT")[i % 3], "text": text, "text_zh": text_zh})
    pd.DataFrame(rows).to_csv(folder / "m.csv", index=False)
    return folder / "m.csv"


def truth_of(pdf):
    return pd.read_csv(pdf.with_name(f"{pdf.stem}_truth.csv"), dtype=str, keep_default_na=False)


def page_texts(pdf):
    """What each page says, and how many pictures it holds besides the logo."""
    with pypdfium2.PdfDocument(pdf) as book:
        texts = [page.get_textpage().get_text_range() for page in book]
        sizes = [[image.get_px_size() for image in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE])] for page in book]
    return texts, [sum(size != (48, 48) for size in page) for page in sizes]


def bare(text):
    """Letters and digits only: lines, hyphens and the gaps of justified text are the setting's business."""
    for joined, plain in (("ﬃ", "ffi"), ("ﬄ", "ffl"), ("ﬀ", "ff"), ("ﬁ", "fi"), ("ﬂ", "fl")):
        text = text.replace(joined, plain)
    return re.sub(r"[\W_\ufffe\x02]", "", text)


def said(texts, page):
    """A page and the next one, where a caption may end, without running header and page number."""
    return bare("".join(text.split("\r\n", 2)[-1] for text in texts[page - 1: page + 1]))


@pytest.mark.parametrize("languages", ["en", "zh", "both"])
def test_every_row_is_printed_once_where_the_truth_says(few, tmp_path, languages):
    pdf = draw_atlas(few, tmp_path / "a.pdf", seed=1, languages=languages, progress=False)
    truth, rows = truth_of(pdf), pd.read_csv(few, dtype=str)
    assert list(truth) == list(TRUTH) and sorted(truth["image"]) == sorted(rows["image"])
    texts, counts = page_texts(pdf)
    assert len(texts) >= int(truth["page"].astype(int).max()) > 8
    for (page, figure), group in truth.groupby(["page", "figure"]):
        assert group["panel"].tolist() == ([""] if len(group) == 1 else list("ABCDEFGH"[: len(group)]))
        near = said(texts, int(page))
        for column in {"en": ["text"], "zh": ["text_zh"], "both": ["text", "text_zh"]}[languages]:
            for text in group[column]:
                names = re.findall("(?:Case|病例)[0-9]+", text)
                assert len(names) == 1 and names[0] in near and bare(figure) in near
    separate = truth[~truth["layout"].str.startswith("composite")].groupby("page").size().to_dict()
    merged = truth[truth["layout"].str.startswith("composite")].groupby("page")["figure"].nunique().to_dict()
    assert counts == [separate.get(str(k + 1), 0) + merged.get(str(k + 1), 0) for k in range(len(texts))]
    original = rows.set_index("image")
    for row in truth.itertuples():  # a head may stand before, a full stop behind
        for column in ("text", "text_zh"):
            own, told = original.at[row.image, column], getattr(row, column)
            if languages in ("both", {"text": "en"}.get(column, "zh")):
                assert own in told and len(told) <= len(own) + 40
            else:
                assert told == ""


def test_all_layouts_letters_and_ways_of_two_languages_occur(manifest, tmp_path):
    pdf = draw_atlas(manifest, tmp_path / "en.pdf", seed=6, languages="en", progress=False)
    found = truth_of(pdf)
    both = truth_of(draw_atlas(manifest, tmp_path / "both.pdf", seed=6, progress=False))
    assert set(found["layout"]) | set(both["layout"]) == set(LAYOUTS) and len(set(found["layout"])) > 18
    assert set(found["letters"]) == set(LETTERS) - {"burnt"}  # these pictures are too small for that
    assert set(both["captions"]) == set(BILINGUAL) and set(found["captions"]) == {"en"}
    numbers = {re.sub("[0-9]+", "n", number) for number in found["figure"]}
    assert numbers == {"n-n", "n-n-n", "n.n"}
    crossed = found[found["printed"].str.contains("Same (?:person|patient|eye)")]
    assert len(crossed) > 5 and not found["text"].str.contains("Same ").any()
    text = " ".join(page_texts(pdf)[0])
    assert "Chapter" in text and re.search(r"^Figure [\d.-]+ shows", text, re.M) and "(Fig. " in text


def test_what_the_pages_hold_lies_on_them(few):
    rows = read_panels(few, "both", None)
    printer = Printer(wide=True)
    for tight in range(len(TIGHTNESS)):
        for seed in (tight, 7):
            _, book = drawn_atlas.lay_out(printer, rows, "both", seed, tight, 0.2)
            for page in book.pages:
                below = 0.0
                for box, x, y in page.items:
                    assert y >= below and x >= 20 and x + box.width <= book.size[0] - 20 and y + box.height <= book.bottom + 0.01
                    below = y + box.height + 5


def test_same_arguments_same_bytes_and_another_seed_another_book(few, tmp_path):
    rows = pd.read_csv(few).head(30)
    rows["image"] = [str(few.parent / name) for name in rows["image"]]
    rows.to_csv(tmp_path / "m.csv", index=False)
    books = [draw_atlas(tmp_path / "m.csv", tmp_path / f"{k}.pdf", seed=k // 2, languages="en", root=few.parent, progress=False)
             for k in range(3)]  # fmt: skip
    assert books[0].read_bytes() == books[1].read_bytes() != books[2].read_bytes()
    assert truth_of(books[0]).equals(truth_of(books[1])) and not truth_of(books[0]).equals(truth_of(books[2]))


def test_as_many_pages_as_asked(few, tmp_path):
    loose = draw_atlas(few, tmp_path / "loose.pdf", progress=False)
    tight = draw_atlas(few, tmp_path / "tight.pdf", max_pages=8, progress=False)
    exact = draw_atlas(few, tmp_path / "exact.pdf", pages=40, progress=False)
    counts = [len(page_texts(pdf)[0]) for pdf in (loose, tight, exact)]
    assert 12 < counts[0] < 40 and counts[1] <= 8 and counts[2] == 40
    assert len(truth_of(tight)) == 80
    texts = page_texts(exact)[0]
    for row in truth_of(exact).itertuples():  # the pages of text moved what lies behind them, and the truth knows
        name = re.search("Case[0-9]+", row.text).group()
        assert name in said(texts, int(row.page))
    with pytest.raises(kf.InputError, match=r"80 pictures take \d+ pages at least, not 1: allow more pages"):
        draw_atlas(few, tmp_path / "x.pdf", max_pages=1, progress=False)
    assert not list(tmp_path.glob("x*"))


def test_faults_are_in_the_pages_and_in_the_truth(few, tmp_path):
    pdf = draw_atlas(few, tmp_path / "f.pdf", seed=2, languages="en", faults=0.5, progress=False)
    truth, text = truth_of(pdf), bare("".join(page_texts(pdf)[0]))
    assert set(truth["fault"]) == {"", *FAULTS} and len(truth) == 80
    for row in truth.itertuples():
        own = f"Case{row.image.removesuffix('.png')}"
        silent = row.fault in ("letter missing", "no caption")
        assert (row.text == "") == silent and (re.search(rf"{own}(?!\d)", text) is None) == silent
        assert (row.figure == "") == (row.fault == "no caption")
    more = truth[truth["fault"] == "more letters than pictures"]
    assert more["printed"].str.contains("A further view was taken").all()


def test_a_scan_has_pictures_and_no_text(manifest, tmp_path):
    rows = pd.read_csv(manifest).head(6)
    rows["image"] = [str(manifest.parent / name) for name in rows["image"]]
    rows.to_csv(tmp_path / "few.csv", index=False)
    plain = draw_atlas(tmp_path / "few.csv", tmp_path / "p.pdf", root=manifest.parent, progress=False)
    scan = draw_atlas(tmp_path / "few.csv", tmp_path / "s.pdf", root=manifest.parent, scan=True, progress=False)
    texts, counts = page_texts(scan)
    assert not "".join(texts).strip() and counts == [1] * len(page_texts(plain)[0]) and truth_of(plain).equals(truth_of(scan))
    with pypdfium2.PdfDocument(scan) as book, pypdfium2.PdfDocument(plain) as source:
        assert book[1].get_size() == pytest.approx(source[1].get_size(), abs=0.1)
        a, b = (np.asarray(pages[1].render(scale=0.1).to_pil().convert("L"), float) for pages in (book, source))
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9 and (a != b).any()


def test_a_group_is_a_figure_and_equal_texts_share_a_mark(manifest, tmp_path):
    rows = pd.read_csv(manifest).head(8).assign(group=["x"] * 5 + ["y"] * 3, head="Macular hole.", head_zh="黄斑裂孔。")
    rows.loc[1:3, ["text", "text_zh"]] = ["Shared by three", "三者同"]
    rows["image"] = [str(manifest.parent / name) for name in rows["image"]]
    rows.to_csv(tmp_path / "g.csv", index=False)
    truth = truth_of(draw_atlas(tmp_path / "g.csv", tmp_path / "g.pdf", root=manifest.parent, progress=False))
    assert truth.groupby("figure", sort=False).size().tolist() == [5, 3]
    assert re.search(r"Macular hole\. .+ \(?B-D\W+Shared by three\. ", truth["printed"][0])
    assert truth["printed"][0].count("Shared") == 1 == truth["printed_zh"][0].count("三者同。")
    assert truth["text"][1:4].tolist() == ["Macular hole. Shared by three."] * 3 and truth["text_zh"][2] == "黄斑裂孔。三者同。"
    pd.concat([rows.assign(group="z")] * 2).to_csv(tmp_path / "g.csv", index=False)
    with pytest.raises(kf.InputError, match="g.csv, row 2: group 'z' has 16 pictures: a figure holds 8 at most"):
        draw_atlas(tmp_path / "g.csv", tmp_path / "z.pdf", root=manifest.parent, progress=False)


def test_cross_references_of_the_manifest_are_printed_and_not_in_the_truth(few, tmp_path):
    rows = pd.read_csv(few).head(2).assign(text=["A hole. Same person as Figure 1-1A", "Drusen (same eye as Fig. 2-3.) at disc"],
                                           text_zh=["裂孔。与图1-1A为同一患者。", "玻璃膜疣"])  # fmt: skip
    rows["image"] = [str(few.parent / name) for name in rows["image"]]
    rows.to_csv(tmp_path / "m.csv", index=False)
    truth = truth_of(draw_atlas(tmp_path / "m.csv", tmp_path / "a.pdf", seed=5, root=few.parent, progress=False))
    assert truth["printed"].str.contains("Figure 1-1A").any() and truth["printed_zh"].str.contains("图1-1A").any()
    for column, ends in (("text", ("A hole.", "Drusen at disc.")), ("text_zh", ("裂孔。", "玻璃膜疣。"))):
        assert all(text.endswith(end) for text, end in zip(truth[column], ends, strict=True))
        assert not truth[column].str.contains("1-1A|2-3|同一").any()


def test_a_drawn_book_mixes_modalities_in_a_figure(tmp_path):
    pdf = draw_book(tmp_path / "b.pdf", figures=14, seed=4, size=96, languages="en", progress=False)
    truth = truth_of(pdf)
    assert set(truth["modality"]) == {"CFP", "FFA", "OCT"} and truth["figure"].nunique() == 14
    assert truth.groupby("figure")["modality"].nunique().max() >= 2
    for name in truth["image"]:
        assert Image.open(tmp_path / "b_pictures" / name).size == (96, 96)
    with pytest.raises(kf.InputError, match="b_pictures: exists already"):
        draw_book(tmp_path / "b.pdf", figures=1, progress=False)
    with pytest.raises(kf.InputError, match="c.pdf: cannot be written"):
        draw_book(tmp_path / "b.pdf" / "c.pdf", figures=1, progress=False)
    with pytest.raises(kf.InputError, match="max_pages is 0"):
        draw_book(tmp_path / "c.pdf", figures=1, size=16, max_pages=0, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.pdf", "b_pictures", "b_truth.csv"]


def test_lines_are_as_wide_as_they_may_be_and_lose_nothing():
    printer = Printer(wide=True)
    text = "Fig. 2-1 Neovascularisation with haemorrhages, （图2-1）视网膜新生血管，渗漏。Capillary nonperfusion, microaneurysms."
    for width in (60, 90, 150, 300):
        kind = Type(hyphens=True, justified=True)
        lines = set_lines(printer, text, width, kind)
        assert all(line.width == width and line.height == pytest.approx(8.5 * 1.22) for line in lines)
        printer.pdf.add_page(format=(400, 400))
        for k, line in enumerate(lines):
            line.draw(printer, 20, 20 + k * 12)
    with pypdfium2.PdfDocument(bytes(printer.pdf.output())) as book:
        for page, width in zip(book, (60, 90, 150, 300), strict=True):
            words = page.get_textpage()
            assert bare(words.get_text_range()) == bare(text)
            rights = [words.get_charbox(i)[2] for i in range(words.count_chars()) if words.get_text_range(i, 1).strip()]
            assert max(rights) <= 20 + width + 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="text"), "no column `text`: captions are printed from it"),
        (lambda rows: rows.drop(columns=["text", "text_zh"]), "no column `label` or `text`"),
        (lambda rows: rows.assign(text=""), "row 2: `text` is empty: every picture needs a caption"),
        (lambda rows: rows.assign(image="none.png"), "row 2: picture .*none.png is missing"),
        (lambda rows: rows.assign(image="m.csv"), "row 2: m.csv is no readable picture"),
        (lambda rows: rows.assign(text="\U0001f600"), "the font has no character"),
        (lambda rows: rows.head(0), "the header has no rows under it"),
    ],
)
def test_bad_manifests_leave_nothing(tmp_path, manifest, change, message):
    rows = change(pd.read_csv(manifest).head(3).assign(label="x"))
    if "no column `label`" in message:
        rows = rows.drop(columns="label")
    for k in range(3):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{k}.png")
    rows.to_csv(tmp_path / "m.csv", index=False)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(kf.InputError, match=message) as error:
        draw_atlas(tmp_path / "m.csv", tmp_path / "out" / "a.pdf", progress=False)
    assert "\n" not in str(error.value) and sorted(tmp_path.iterdir()) == before


def test_a_picture_that_breaks_off_leaves_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:3000])  # its header says 64 x 64 all the same
    (tmp_path / "m.csv").write_text("image,modality,text\na.png,CFP,A disc.\n")
    with pytest.raises(kf.InputError, match="m.csv, row 2: a.png is no readable picture"):
        draw_atlas(tmp_path / "m.csv", tmp_path / "a.pdf", languages="en", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "m.csv"]


def test_bad_places_and_settings(tmp_path, manifest):
    (tmp_path / "file").write_text("")
    for out, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "a.pdf", "cannot be written|cannot be")):
        with pytest.raises(kf.InputError, match=message):
            draw_atlas(manifest, out, progress=False)
    for settings in ({"languages": "fr"}, {"pages": 0}, {"max_pages": -1}, {"faults": 2}, {"seed": -1}):
        with pytest.raises(kf.InputError, match=next(iter(settings))):
            draw_atlas(manifest, tmp_path / "a.pdf", progress=False, **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_a_chinese_font_the_mend_is_named(monkeypatch, manifest, tmp_path):
    import matplotlib.font_manager

    fonts.chinese_fonts.cache_clear()
    monkeypatch.setattr(fonts.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(matplotlib.font_manager, "findSystemFonts", lambda **_: [])
    with pytest.raises(kf.InputError, match="pylopdf-fonts-zh-cn, or Debian's fonts-noto-cjk or fonts-wqy-microhei"):
        draw_atlas(manifest, tmp_path / "a.pdf", progress=False)
    pdf = draw_atlas(manifest, tmp_path / "a.pdf", languages="en", progress=False)  # English does without
    assert Counter(truth_of(pdf)["image"]).most_common(1)[0][1] == 1
    fonts.chinese_fonts.cache_clear()


@pytest.mark.real
@pytest.mark.skipif("KEEPFIT_DATA" not in os.environ, reason="KEEPFIT_DATA is not set: no real captions here")
def test_real_captions_under_drawn_pictures(tmp_path):
    texts = real_captions()
    assert min(map(len, texts.values())) > 1000
    truth = truth_of(draw_book(tmp_path / "r.pdf", figures=10, size=64, captions="real", languages="en", progress=False))
    for row in truth.itertuples():
        assert {row.text, row.text.rstrip(".")} & set(texts[row.modality])
