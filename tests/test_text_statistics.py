"""Words, lengths, vocabulary and diversity of captions against counts by hand; the figures show them and nothing overlaps."""

import ast
import importlib
import itertools
import os
import random
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import keepfit_mini as kf
from keepfit_mini import fonts, text_figures
from keepfit_mini.captions import CHINESE, ENGLISH, NAMES, caption
from keepfit_mini.phantom import CATEGORIES, draw
from keepfit_mini.text_figures import chinese_font, frequent_words_figure, text_length_figure, vocabulary_figure
from keepfit_mini.text_statistics import (
    PAPER,
    frequent_words,
    lengths,
    lexical_diversity,
    summary,
    type_token_ratio,
    words,
)


@pytest.fixture(scope="module")
def frame():
    """Drawn captions of three modalities in both languages."""
    rows = []
    for i in range(90):
        modality = ("CFP", "FFA", "OCT")[i % 3]
        categories = list(CATEGORIES[modality])
        drawing = draw(modality, categories[i // 3 % len(categories)], None, i, 24)
        text, text_zh = (caption(drawing, language, "named", i) for language in ("en", "zh"))
        rows.append({"modality": modality, "text": text, "text_zh": text_zh})
    return pd.DataFrame(rows)


# -------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("text, expected", [
    ("Well-defined drusen; visual acuity 20/200, C/D 0.5.", "well-defined drusen visual acuity 20/200 c d 0.5"),
    ("The disc’s rim (OD) is pale—see arteries/veins.", "the disc's rim od is pale see arteries veins"),
    ("non‑perfused, -5.0 D, 3mm: edema.A", "non-perfused 5.0 d 3mm edema a"),
    ("ﬁne vessels, ＯＣＴ　２", "fine vessels oct 2"),
    ("Müller cells_of 'x' -- !", "müller cells of x"),
    ("", ""), (" .,;—() ", ""),
])  # fmt: skip
def test_english_words(text, expected):
    assert words(text, "en") == expected.split()


@pytest.mark.parametrize("text, expected", [
    ("黄斑区可见硬性渗出。", "黄斑区 可见 硬性渗出"),  # the longest term, neither 黄斑 nor 渗出
    ("视网膜色素变性，视力20/200", "视网膜色素变性 视力 20/200"),
    ("图像左眼OCT：甲乙", "图 像 左眼 oct 甲 乙"),
    ("FFA 早期（15s）", "ffa 早期 15s"),
    ("", ""), ("，。！", ""),
])  # fmt: skip
def test_chinese_words(text, expected):
    assert words(text, "zh") == expected.split()


def test_no_sign_of_a_chinese_text_is_lost_and_every_disease_is_a_word():
    for text in itertools.chain(*CHINESE.values()):
        kept = [sign for sign in text.lower() if sign.isalnum()]
        assert [sign for word in words(text, "zh") for sign in word] == kept
    known = [name for name, _ in NAMES.values() if len(words(name, "zh")) == 1]
    assert len(known) >= len(NAMES) - 2, known


def test_another_language_is_refused():
    with pytest.raises(kf.InputError, match="'de'.*choose en or zh"):
        words("Papille", "de")


def test_frequent_words_are_counted_without_stop_words():
    texts = ["The disc is pale and the rim is thin.", "A thin rim, a pale Disc; 20/200 x 2", "disc"]
    assert frequent_words(texts, "en") == [("disc", 3), ("pale", 2), ("rim", 2), ("thin", 2)]
    assert frequent_words(texts, "en", 2) == [("disc", 3), ("pale", 2)]
    assert frequent_words(["视盘可见出血，视盘甲", "出血，视盘"], "zh") == [("视盘", 3), ("出血", 2)]
    assert frequent_words([], "en") == frequent_words(["the of"], "en") == []


def test_lengths():
    assert lengths(["one two", "", "drusen"], "en").tolist() == [2, 0, 1]
    assert lengths(["视盘苍白甲"], "zh").tolist() == [3] and lengths([], "zh").shape == (0,)


# ---------------------------------------------------------------------------------------------------------- diversity


def test_diversity_is_the_mean_ratio_of_random_samples():
    corpus = [word for texts in ENGLISH.values() for text in texts for word in words(text, "en")]
    rng = random.Random(1)
    drawn = [len(set(rng.sample(corpus, 42))) / 42 for _ in range(4000)]
    assert lexical_diversity(corpus) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 4000**0.5)
    # by hand: of a b b, two drawn: ab, ab, bb, that is 2, 2 and 1 different ones
    assert lexical_diversity(["a", "b", "b"], draws=2) == pytest.approx((2 + 2 + 1) / 3 / 2)
    assert lexical_diversity(["x"] * 100) == pytest.approx(1 / 42) and lexical_diversity(list(range(100))) == pytest.approx(1)
    assert np.isnan(lexical_diversity(["a"] * 41)) and np.isnan(type_token_ratio([]))


def test_diversity_keeps_still_where_the_plain_ratio_falls():
    rng = np.random.default_rng(2)
    corpus = [f"w{k}" for k in rng.zipf(1.3, 40_000) if k < 5000]
    small = corpus[:2000]
    assert type_token_ratio(corpus) < 0.5 * type_token_ratio(small)
    slices = [lexical_diversity(corpus[start : start + 1000]) for start in range(0, len(corpus) - 1000, 1000)]
    assert lexical_diversity(corpus) == pytest.approx(np.mean(slices), rel=0.01)
    assert lexical_diversity(sorted(small)) == lexical_diversity(small)  # order counts for nothing
    poor = [word if int(word[1:]) < 30 else "w1" for word in small]
    assert lexical_diversity(poor) < 0.97 * lexical_diversity(small)


# ------------------------------------------------------------------------------------------------------------ summary


def test_summary_by_hand():
    frame = pd.DataFrame({
        "modality": ["CFP", "FFA", "CFP", "CFP", "CFP"],
        "text": ["Pale disc.", "Leakage", "Pale disc.", "", "Pale thin rim 20/200"],
        "text_zh": ["视盘苍白", None, " ", "视盘甲", np.nan],
    })  # fmt: skip
    table = summary(frame)
    assert table.index.tolist() == [("CFP", "en"), ("CFP", "zh"), ("FFA", "en")]
    row = table.loc[("CFP", "en")]
    assert (row["n"], row["mean_words"], row["median_words"], row["vocabulary"], row["duplicates"]) == (3, 8 / 3, 2, 5, 1)
    assert row["type_token_ratio"] == 5 / 8 and row["mean_characters"] == (8 + 8 + 16) / 3 and np.isnan(row["diversity"])
    row = table.loc[("CFP", "zh")]
    assert (row["n"], row["mean_words"], row["vocabulary"], row["mean_characters"]) == (2, 2, 3, 3.5)
    assert table.loc[("FFA", "en"), "n"] == 1
    one = summary(frame[["modality", "text"]])  # a manifest may have one language
    assert one.index.tolist() == [("CFP", "en"), ("FFA", "en")]
    empty = summary(frame[:0])
    assert len(empty) == 0 and empty.columns.tolist() == table.columns.tolist()


@pytest.mark.parametrize("columns", [["text"], ["modality"], ["modality", "caption"]])
def test_a_frame_without_the_columns_is_refused(columns):
    with pytest.raises(kf.InputError, match=f"columns modality, and text or text_zh .found: {', '.join(columns)}"):
        summary(pd.DataFrame({name: ["x"] for name in columns}))


def test_a_million_captions_would_be_counted_in_minutes(frame):
    import time

    start = time.process_time()
    summary(pd.concat([frame] * 20))
    assert (time.process_time() - start) / (20 * len(frame) * 2) < 1e-3  # seconds a text


@pytest.mark.real
@pytest.mark.skipif(not os.environ.get("KEEPFIT_DATA"), reason="KEEPFIT_DATA is unset: no real captions")
def test_real_captions_have_the_papers_numbers():
    folder = Path(os.environ["KEEPFIT_DATA"])
    cfp = pd.read_csv(folder / "mm_retinal_cfp_captions.csv", keep_default_na=False)["caption"].tolist()
    cells = pd.read_csv(folder / "mm_retinal_ffa_captions.csv", keep_default_na=False)["categories"]
    ffa = [", ".join(ast.literal_eval(cell)) for cell in cells]
    table = summary(pd.DataFrame({"modality": ["CFP"] * len(cfp) + ["FFA"] * len(ffa), "text": cfp + ffa}))
    assert table["n"].tolist() == [2167, 1947] and table.loc[("CFP", "en"), "duplicates"] == 80
    for modality in ("CFP", "FFA"):
        mean, vocabulary = PAPER[f"MM-Retinal {modality}-en"]
        row = table.loc[(modality, "en")]
        assert abs(row["mean_words"] - mean) < 1 and row["vocabulary"] == pytest.approx(vocabulary, rel=0.06)
        assert row["type_token_ratio"] < 0.06 and 0.75 < row["diversity"] < 0.85


# ------------------------------------------------------------------------------------------------------------ figures


def shown(figure):
    """Visible texts of a figure with their boxes; all lie inside it and none over another, nor does a glyph lack."""
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()  # a bare Figure's own canvas draws nothing
    assert dict(matplotlib.rcParams) == before and figure.get_figwidth() <= 8
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    axis_texts = {id(t) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels(which="both")}
    seen = []
    for text in texts:
        box = text.get_window_extent()
        if id(text) in axis_texts and not drawn_tick(text, figure):
            continue
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1, text.get_text()
        seen.append((text.get_text(), box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1))
    for (a, ax0, ay0, ax1, ay1), (b, bx0, by0, bx1, by1) in itertools.combinations(seen, 2):
        assert not (ax0 < bx1 and bx0 < ax1 and ay0 < by1 and by0 < ay1), f"{a!r} lies over {b!r}"
    return [name for name, *_ in seen]


def drawn_tick(label, figure):
    """Ticks outside the view have labels that are never drawn."""
    for axes in figure.axes:
        for axis, (low, high), place in ((axes.xaxis, axes.get_xlim(), 0), (axes.yaxis, axes.get_ylim(), 1)):
            if label in axis.get_ticklabels(which="both"):
                return min(low, high) <= label.get_position()[place] <= max(low, high) and axes.axison and axis.get_visible()
    return True


def test_frequent_words_are_shown_in_both_languages(frame):
    assert chinese_font() is not None, "the tests need a Chinese font: pip install pylopdf-fonts-zh-cn"
    texts = shown(frequent_words_figure(frame, 12))
    for modality in ("CFP", "FFA", "OCT"):
        rows = frame[frame["modality"] == modality]
        for language, column, name in (("en", "text", "English"), ("zh", "text_zh", "Chinese")):
            assert f"{modality}, {name}" in texts
            for word, count in frequent_words(rows[column], language, 12):
                assert word in texts and f" {count}" in texts
    only = shown(frequent_words_figure(frame[["modality", "text"]]))
    assert "CFP, English" in only and not any("Chinese" in text for text in only)
    names = ["CFP", "FFA $x^2$ " + "long " * 12]
    mixed = pd.DataFrame({"modality": names, "text": ["pale disc", ""], "text_zh": ["", "视盘苍白"]})
    texts = shown(frequent_words_figure(mixed))
    assert "CFP, English" in texts and "视盘" in texts and "CFP, Chinese" not in texts


def test_without_a_font_chinese_is_left_out_and_that_is_said(frame, monkeypatch):
    monkeypatch.setattr(text_figures, "chinese_font", lambda: None)
    texts = " ".join(shown(frequent_words_figure(frame)))
    assert "Chinese words are left out" in texts and "CFP, English" in texts and "视" not in texts
    assert "Chinese words are left out" in " ".join(shown(frequent_words_figure(frame.drop(columns="text"))))
    assert "left out" not in " ".join(shown(frequent_words_figure(frame.drop(columns="text_zh"))))


def test_the_font_is_the_packages_else_the_systems_else_none(monkeypatch, tmp_path):
    def find():
        fonts.chinese_fonts.cache_clear()
        return chinese_font()

    package = importlib.util.find_spec(fonts.PACKAGE)
    if package:
        assert Path(find().get_file()).parent == Path(package.origin).parent
    monkeypatch.setattr(fonts.importlib.util, "find_spec", lambda name: None)
    files = [str(tmp_path / name) for name in ("DejaVuSans.ttf", "wqy-zenhei.ttc", "NotoSansCJK-Regular.ttc")]
    monkeypatch.setattr(matplotlib.font_manager, "findSystemFonts", lambda **_: files)
    assert find().get_file() == files[2]
    files.pop()
    assert find().get_file() == files[1]
    files.pop()
    assert find() is None
    fonts.chinese_fonts.cache_clear()


def test_lengths_are_shown_on_a_log_scale(frame):
    figure = text_length_figure(frame)
    texts = shown(figure)
    median = np.median(lengths(frame["text"][frame["modality"] == "CFP"], "en"))
    assert f"English: 30 captions, median {median:g}" in texts and all(axes.get_xscale() == "log" for axes in figure.axes)
    for axes in figure.axes:
        for steps in axes.patches:
            values, edges, _ = steps.get_data()
            assert (values * np.diff(np.log2(edges))).sum() == pytest.approx(1)  # every caption is in a bin
            assert all(x % 1 == 0.5 for x in edges)
    odd = pd.DataFrame({"modality": ["A", "A", "B"], "text": ["one", "!!!", "word " * 3000], "text_zh": ["", "甲", "。"]})
    texts = shown(text_length_figure(odd))
    assert "English: 1 captions, median 3000" in texts and "1,000" in texts
    shown(text_length_figure(odd[:1]))


def test_vocabulary_is_shown_beside_the_papers_sets(frame):
    table = summary(frame)
    figure = vocabulary_figure(table, "a drawn book")
    texts = shown(figure)
    assert set(PAPER) <= set(texts) and {f"{m}-{language}" for m, language in table.index} <= set(texts)
    assert any("a drawn book" in text for text in texts)
    filled = figure.axes[0].collections[-1]
    assert filled.get_offsets().tolist() == table[["mean_words", "vocabulary"]].to_numpy(float).tolist()
    assert filled.get_array().tolist() == table["diversity"].tolist()
    crowd = table.copy()
    crowd["mean_words"] = [32, 32.5, 33, 33.5, 34, 33]
    crowd["vocabulary"] = [3800, 3900, 3850, 3950, 3700, 3900]
    shown(vocabulary_figure(crowd))
    assert set(PAPER) <= set(shown(vocabulary_figure(table[:0])))
    few = summary(pd.DataFrame({"modality": ["CFP", "FFA"], "text": ["pale disc", "..."]}))
    assert "CFP-en" in shown(vocabulary_figure(few))


def test_a_manifest_without_texts_gives_a_figure_that_says_so():
    nothing = pd.DataFrame({"modality": ["CFP"], "text": [""], "text_zh": [None]})
    for figure in (frequent_words_figure(nothing), text_length_figure(nothing)):
        assert isinstance(figure, Figure) and shown(figure) == ["no words"]
