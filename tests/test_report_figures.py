"""The figure of a written report: what is right and wrong in it, where the decoder looks, and that it can be read."""

import dataclasses
import warnings

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from keepfit_mini.config import PRESETS, InputError
from keepfit_mini.drawn_studies import draw_studies, write_report
from keepfit_mini.phantom import FINDINGS, SEVERITIES, Finding
from keepfit_mini.phantom_phases import PHASES
from keepfit_mini.report_figures import STATES, attention_maps, compared, judged, marks, report_figure, word_place
from keepfit_mini.report_generation import ReportConfig, ReportModel
from keepfit_mini.report_vocabulary import Vocabulary
from keepfit_mini.studies import Study, read_studies
from keepfit_mini.text_figures import chinese_font
from keepfit_mini.viz import save

SMALL = ReportConfig(dim=32, heads=2, layers=2, limit=40, min_count=1)
MODEL = dataclasses.replace(PRESETS["mini"][0], image_size=64)
TRUE = ("Angiogram of the left eye. There is severe leakage in the macula. A few microaneurysms lie in the superonasal quadrant. "
        "A large area of non-perfusion is seen in the inferotemporal quadrant.")
WRITTEN = ("Angiogram of the left eye. Severe leakage is seen in the macula. Numerous microaneurysms lie in the superonasal "
           "quadrant. There is mild staining at the optic disc. No new vessels can be found.")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return read_studies(draw_studies(tmp_path_factory.mktemp("s"), studies=10, size=32, seed=3, progress=False)["annotation"])


def model_of(studies, **settings):
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, **settings)
    texts = [study.report_in(config.language) for study in studies]
    return ReportModel(config, MODEL, Vocabulary.learn([*texts, TRUE, WRITTEN], 1)).eval()


@pytest.fixture(scope="module")
def model(studies):
    return model_of(studies)


def shown(figure):
    """Its texts; each lies inside the figure, none over another or over a picture, and no glyph lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()
    texts = [t for t in figure.texts if t.get_text().strip()]
    boxes = [t.get_window_extent() for t in texts]
    pictures = [axes.get_window_extent() for axes in figure.axes]
    for i, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
        for other in [*boxes[i + 1 :], *pictures]:  # letters of two lines or words may touch by a pixel
            assert (min(box.x1, other.x1) - max(box.x0, other.x0) < 1.5
                    or min(box.y1, other.y1) - max(box.y0, other.y0) < 1.5), text  # fmt: skip
    return [t.get_text() for t in texts]


def coloured(figure, state):
    return " ".join(t.get_text() for t in figure.findobj(Text) if t.get_color() == STATES[state][0])


# ------------------------------------------------------------------------------------------------------ right and wrong


def stretches(text, found):
    return [(state, text[begin:end]) for begin, end, state in found]


@pytest.mark.parametrize("drawn", [True, False])
def test_each_finding_gets_its_state(drawn):
    """Whether the truth is drawn or read from the report."""
    truth = (Finding("microaneurysms", "mild", "superonasal"), Finding("leakage", "severe", "macula"),
             Finding("non-perfusion", "severe", "inferotemporal"))  # fmt: skip
    study = Study("a", (), TRUE, "", "test", truth if drawn else ())
    said, true = compared(WRITTEN, study, "en")
    assert stretches(WRITTEN, said) == [
        ("right", "Severe leakage is seen in the macula."),
        ("half", "Numerous microaneurysms lie in the superonasal quadrant."),
        ("wrong", "There is mild staining at the optic disc."),
    ]
    assert [state for state, _ in stretches(TRUE, true)] == ["right", "half", "missed"]
    assert stretches(TRUE, true)[2][1].startswith("A large area of non-perfusion")


def test_one_true_finding_answers_for_one_written():
    disc, macula = (Finding("leakage", "mild", place) for place in ("disc", "macula"))
    severe = dataclasses.replace(disc, severity="severe")
    assert judged([severe, disc], [disc]) == (["wrong", "right"], ["right"])
    assert judged([macula, disc], [disc, severe]) == (["half", "right"], ["right", "half"])
    assert judged([severe], [macula, disc]) == (["half"], ["missed", "half"])  # the same place before another
    assert judged([], [disc]) == ([], ["missed"]) and judged([disc], []) == (["wrong"], [])


def test_two_findings_of_one_sentence_have_two_colours():
    text = "Mild leakage in the macula and severe staining at the disc, but no microaneurysms."
    findings = (Finding("leakage", "mild", "macula"), Finding("staining", "severe", "disc"))
    assert stretches(text, marks(text, findings, ["right", "wrong"])) == [
        ("right", "Mild leakage in the macula "), ("wrong", "and severe staining at the disc, but no microaneurysms.")
    ]  # fmt: skip
    text = "Microaneurysms lie in the macula as bright dots."
    findings = (Finding("microaneurysms", "", "disc"), Finding("microaneurysms", "", "macula"))
    assert stretches(text, marks(text, findings, ["wrong", "right"])) == [("right", text)]
    text = "Leakage in the macula. Leakage at the disc."
    findings = (Finding("leakage", "", "disc"), Finding("leakage", "", "macula"))
    assert [state for *_, state in marks(text, findings, ["wrong", "right"])] == ["right", "wrong"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_finding_of_a_drawn_report_has_one_stretch(language):
    names = FINDINGS["FFA"]
    for seed in range(300):
        findings = (Finding(names[seed % 5], SEVERITIES[seed % 3], "superonasal"),
                    Finding(names[(seed + 2) % 5], "mild", "inferotemporal"))  # fmt: skip
        study = Study("a", (), *write_report(findings, PHASES, "left", seed), "test", findings)
        text = study.report_in(language)
        said, true = compared(text, study, language)
        assert [state for *_, state in said] == ["right", "right"] and said == true, text


def test_what_is_denied_or_unknown_has_no_colour():
    assert marks("No leakage is seen.", (), ()) == []
    assert compared(WRITTEN, Study("a", (), "", "", "test"), "en") == ([], [])  # no truth, nothing wrong
    healthy = Study("a", (), "No leakage is seen.", "", "test")
    assert {state for *_, state in compared(WRITTEN, healthy, "en")[0]} == {"wrong"}


def test_chinese_stretches():
    study = Study("a", (), "", "黄斑区可见重度渗漏。颞上象限见少量微血管瘤。", "test")
    text = "黄斑区可见轻度渗漏。视盘处见大片新生血管。未见着染。"
    said, true = compared(text, study, "zh")
    assert stretches(text, said) == [("half", "黄斑区可见轻度渗漏。"), ("wrong", "视盘处见大片新生血管。")]
    assert [state for *_, state in true] == ["half", "missed"]


# ------------------------------------------------------------------------------------------------------------ attention


@pytest.mark.parametrize("joined", ["apart", "mean"])
def test_maps_are_shares(studies, joined):
    model = model_of(studies, joined=joined, views=2)
    words = model.vocabulary.encode(WRITTEN)[0][1:11]
    maps = attention_maps(model, studies[0].images, words)
    side = int(model.patches**0.5)
    assert maps.shape == (10, 2 if joined == "apart" else 1, side, side) and side * side == model.patches
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.sum((1, 2, 3)), torch.ones(10))
    assert not torch.allclose(maps, attention_maps(model, studies[1].images, words), atol=1e-6)


def test_a_map_is_of_the_moment_before_its_word(model, studies):
    images, words = studies[0].images, model.vocabulary.encode(WRITTEN)[0][1:7]
    maps = attention_maps(model, images, words)
    last, first = [*words[:-1], words[0]], [words[1], *words[1:]]
    torch.testing.assert_close(attention_maps(model, images, last), maps)
    torch.testing.assert_close(attention_maps(model, images, first)[0], maps[0])
    assert not torch.allclose(attention_maps(model, images, first)[1], maps[1], atol=1e-6)
    torch.testing.assert_close(attention_maps(model, images, words[:3]), maps[:3])


def test_places_of_a_map_are_places_of_the_picture(studies):
    """Where the memory's first patch alone is looked at, the map is bright at the left and the top of the first view."""
    model = model_of(studies)
    model.decoder.attention = lambda words, memory, seen: torch.eye(memory.shape[1])[0].expand(1, words.shape[1], -1)
    maps = attention_maps(model, studies[0].images, [5])
    assert maps[0, 0, 0, 0] == 1 and maps.sum() == 1


@pytest.mark.parametrize(("images", "words"), [(0, 3), (3, 0), (3, 41)])
def test_no_maps_of_nothing(model, studies, images, words):
    with pytest.raises(InputError, match="attention_maps"):
        attention_maps(model, studies[0].images[:images], [5] * words)


def test_which_word():
    assert word_place("Fills well. No leakage. Severe staining is seen.", None, "en") == (7, 1)
    assert word_place("Fills well. No leakage.", None, "en") == (4, 1)  # denied, but nothing else is named
    assert word_place("Fills well.", None, "en") == (0, 1)
    assert word_place("Fills well. The optic disc", "Optic DISC", "en") == (4, 2)
    assert word_place("黄斑区可见渗漏。", "渗漏", "zh") == (5, 2)


# ----------------------------------------------------------------------------------------------------------- the figure


def test_the_figure_shows_all(model, studies, tmp_path):
    study = dataclasses.replace(studies[0], report=TRUE, findings=())
    figure = report_figure(model, study, WRITTEN, "staining")
    words = shown(figure)
    assert set(study.phases) <= set(words) and any("“staining” (token 26" in word for word in words)
    assert "leakage" in coloured(figure, "right") and "Numerous microaneurysms" in coloured(figure, "half")
    assert "staining" in coloured(figure, "wrong") and "non-perfusion" in coloured(figure, "missed")
    assert "new vessels" not in " ".join(coloured(figure, state) for state in STATES)
    assert [t.get_text() for t in figure.texts if t.get_bbox_patch()] == ["staining"]
    assert all(state in " ".join(words) for state in ("right:", "half right:", "wrong:", "missed:", "not for clinical use"))
    with Image.open(save(figure, tmp_path / "figure.png")) as picture:
        assert picture.format == "PNG" and picture.width == 1040


def test_maps_share_one_scale(model, studies):
    figure = report_figure(model, studies[0], WRITTEN)
    heat = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert len(heat) == len(studies[0].images) == 3 and len({image.get_clim() for image in heat}) == 1
    shares = sum(image.get_array().sum() for image in heat)
    assert shares == pytest.approx(3 * model.patches, rel=1e-4)  # multiples of an even share
    assert heat[0].get_clim()[1] == pytest.approx(max(image.get_array().max() for image in heat))


def test_joined_views_have_one_map_over_the_middle_one(studies):
    figure = report_figure(model_of(studies, joined="mean"), studies[0], WRITTEN)
    assert "joined by their mean" in " ".join(shown(figure))
    rows = [axes for axes in figure.axes if axes.images]
    (over,) = [axes for axes in rows if len(axes.images) == 2]
    assert over.get_position().x0 == pytest.approx(rows[1].get_position().x0)


def test_written_by_the_model_itself(model, studies):
    words = shown(report_figure(model, studies[0]))
    assert any(word.startswith("Where the decoder looks") for word in words)


def test_long_texts_many_views_and_odd_pictures(studies, tmp_path):
    """Nothing runs over anything: words without a blank, dollars, a wide picture, long phases, no report."""
    Image.new("RGB", (90, 40), (200, 90, 20)).save(tmp_path / "wide.png")
    images = (*studies[0].images, *studies[1].images, tmp_path / "wide.png", tmp_path / "wide.png")
    model = model_of(studies, views=8)
    study = Study("a", images, "", "", "test", phases=("an arteriovenous phase of the left eye",) * 8)
    text = "Leakage for $5 and $6. " + "x" * 200 + " " + WRITTEN * 6
    words = shown(report_figure(model, study, text))
    assert "truth is not known" in " ".join(words) and "$5" in words
    shown(report_figure(model, dataclasses.replace(study, images=images[:1], phases=(), report=TRUE * 8), text))


def test_nothing_written(model, studies):
    figure = report_figure(model, studies[0], " ")
    assert "Nothing is written: there is no word to look for" in shown(figure)
    assert sum(isinstance(axes, Axes) for axes in figure.axes) == 3  # the views, and no map


def test_a_chinese_figure(studies):
    if chinese_font() is None:
        pytest.skip("no Chinese font")
    model = model_of(studies, language="zh")
    study = next(study for study in studies if study.findings)
    figure = report_figure(model, study, "黄斑区可见轻度渗漏，边界模糊。未见着染。" * 2, "渗漏", "zh")
    assert "“渗漏” (token 8; 12 places)" in " ".join(shown(figure))
    assert [t.get_text() for t in figure.texts if t.get_bbox_patch()] == ["渗漏"]


@pytest.mark.parametrize(
    ("text", "word", "language", "message"),
    [
        (WRITTEN, "drusen", "en", "'drusen' does not stand in the written report"),
        (WRITTEN, " ", "en", "does not stand"),
        ("", "leakage", "en", "empty"),
        ("fills " * 45 + "well", "well", "en", "token 46 .* limit of 40"),
        (WRITTEN, None, "zh", "the model writes 'en'"),
    ],
)
def test_refusals(model, studies, text, word, language, message):
    with pytest.raises(InputError, match=message):
        report_figure(model, studies[0], text, word, language)
