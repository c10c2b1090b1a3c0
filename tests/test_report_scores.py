"""Scores of written reports: equal to the coco caption evaluation, sensible where it is not, clear about bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

import keepfit_mini as kf
from keepfit_mini import report_scores
from keepfit_mini.report_scores import METEOR_NOTE, SCORES, aligned, meteor_counts, meteor_score, score_each, score_reports, words

TRUE = [
    "Late-phase leakage is seen at the macula (5 mm), with staining of the optic disc.",
    "No leakage; the capillary bed of the right eye is intact in the early phase.",
    "Microaneurysms leak into the temporal macula, and the fovea's edge is ragged.",
    "Non-perfusion in the superior quadrant: new vessels leak in the late phase, 20/40 vision.",
]
WRITTEN = [
    "Late-phase leakage at the macula, with staining of the disc.",
    "The capillary bed of the left eye is intact. No leakage in the late phase, no staining.",
    "Microaneurysms leaking in the macula.",
    "New vessels leak in the late phase, non-perfusion in the superior quadrant and in the superior retina.",
]
TRUE_ZH = [
    "右眼FFA晚期黄斑区荧光渗漏，视盘边界清。",
    "左眼造影0.5分钟见大量微血管瘤，未见新生血管。",
    "双眼视盘荧光染色，OCT检查建议。",
]
WRITTEN_ZH = ["右眼ＦＦＡ晚期黄斑区荧光渗漏。", "左眼造影见微血管瘤及新生血管。", "视盘染色，建议OCT检查。"]

# Computed once with pycocoevalcap 1.2 (Bleu(4), Rouge(), Cider(); pure Python) from these words, split by hand as in SPLIT below.
REFERENCE = {
    "en": {"bleu1": 0.658692, "bleu2": 0.546246, "bleu3": 0.452612, "bleu4": 0.372030, "rouge_l": 0.558931, "cider": 2.999435},
    "zh": {"bleu1": 0.632827, "bleu2": 0.567511, "bleu3": 0.497307, "bleu4": 0.438519, "rouge_l": 0.719972, "cider": 4.016791},
}
REFERENCE_EACH = {
    "bleu4": [0.263672, 0.347403, 0.0, 0.563519],
    "rouge_l": [0.772152, 0.695337, 0.3086, 0.459634],
    "cider": [2.953224, 3.636199, 0.277993, 5.130323],
}
SPLIT = [
    "late-phase leakage is seen at the macula 5 mm with staining of the optic disc",
    "no leakage the capillary bed of the right eye is intact in the early phase",
    "microaneurysms leak into the temporal macula and the fovea 's edge is ragged",
    "non-perfusion in the superior quadrant new vessels leak in the late phase 20/40 vision",
]
SPLIT_ZH = [
    "右 眼 ffa 晚 期 黄 斑 区 荧 光 渗 漏 视 盘 边 界 清",
    "左 眼 造 影 0.5 分 钟 见 大 量 微 血 管 瘤 未 见 新 生 血 管",
    "双 眼 视 盘 荧 光 染 色 oct 检 查 建 议",
]
PAIRS = {"en": (WRITTEN, TRUE), "zh": (WRITTEN_ZH, TRUE_ZH)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_equal_to_the_reference_implementation(language):
    scores = score_reports(*PAIRS[language], language)
    assert tuple(scores) == SCORES
    assert all(type(value) is float for value in scores.values())
    assert {name: scores[name] for name in REFERENCE[language]} == pytest.approx(REFERENCE[language], abs=1e-5)


def test_equal_to_the_reference_for_each_report():
    each = score_each(WRITTEN, TRUE)
    for name, values in REFERENCE_EACH.items():
        np.testing.assert_allclose(each[name], values, atol=2e-4, err_msg=name)
    assert set(each) == {"bleu4", "meteor", "rouge_l", "cider"}
    assert all(values.shape == (4,) for values in each.values())
    whole = score_reports(WRITTEN, TRUE)
    assert (each["rouge_l"].mean(), each["cider"].mean()) == pytest.approx((whole["rouge_l"], whole["cider"]))
    assert abs(each["meteor"].mean() - whole["meteor"]) > 1e-3  # counts are summed first, as the docstring says
    assert abs(each["bleu4"].mean() - whole["bleu4"]) > 1e-3


def test_equal_to_the_reference_on_many_texts():
    """Reports of 0 to 60 words, some with no word right; scored once by pycocoevalcap 1.2 from the words that `words` gives."""
    for corpus in json.loads((Path(__file__).parent / "data" / "caption_scores.json").read_text()):
        ours = score_reports(corpus["written"], corpus["true"])
        assert {name: ours[name] for name in corpus["all"]} == pytest.approx(corpus["all"], abs=1e-3)
        each = score_each(corpus["written"], corpus["true"])
        for name, theirs in corpus["each"].items():
            np.testing.assert_allclose(each[name], theirs, atol=1e-3)


def test_words():
    assert [" ".join(words(report)) for report in TRUE] == SPLIT
    assert [" ".join(words(report, "zh")) for report in TRUE_ZH] == SPLIT_ZH
    report = "  A “hyper\ufb02uorescent” area:\n1.5mm, 50%; the fovea’s rim... (VA > 20/40) late‑phase -- O.D.!"
    assert " ".join(words(report)) == "a hyperfluorescent area 1.5 mm 50 % the fovea 's rim va > 20/40 late-phase o d"
    assert " ".join(words("ＯＣＴ检查：ETDRS-1级、１．５mm，视力0.8。", "zh")) == "oct 检 查 etdrs-1 级 1.5 mm 视 力 0.8"
    assert [" ".join(words(split)) for split in SPLIT] == SPLIT  # what a model writes word by word
    assert [" ".join(words(split, "zh")) for split in SPLIT_ZH] == SPLIT_ZH
    assert words("") == words(" ...,;:!?()[]{}\"'`--_*# ") == words("，。；：？！（）、《》", "zh") == []
    with pytest.raises(kf.InputError, match="'fr' cannot be scored: give one of en, zh"):
        words("une fuite", "fr")


# Computed once with nltk 3.10.4, single_meteor_score(true, written, alpha=.85, beta=.2, gamma=.6) without WordNet. Each word is
# of content, stands once and matches only itself, so nothing hangs on METEOR 1.5's weights or on which alignment is found.
@pytest.mark.parametrize(("written", "true", "expected"), [
    ("superior capillary dropout macula staining", "macula leakage superior capillary dropout", 0.3821357296),
    ("disc leakage laser scar late", "disc staining laser scar", 0.3229411468),
])  # fmt: skip
def test_meteor_of_content_words_is_the_published_formula(written, true, expected):
    assert score_reports([written], [true])["meteor"] == pytest.approx(expected, abs=1e-8)


def test_meteor_of_stems_and_function_words():
    # By hand: leaking/leaks 0.75 x 0.6, disc 0.75 x 1, of 0.25 + 0.75 + 0.75 on both sides; 2 chunks of 2 matches: 1 - 0.6 stay.
    assert score_reports(["the leaking disc"], ["a disc leaks"])["meteor"] == pytest.approx(1.2 / 1.75 * 0.4)
    # Half of the disc: one of two words of content, two of four of grammar; recall alone suffers. 2 chunks of 3 matches.
    precision, recall = 1.0, 1.25 / 2.5
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    expected = mean * (1 - 0.6 * (2 / 3) ** 0.2)
    assert score_reports(["the disc of"], ["leakage of the and the disc"])["meteor"] == pytest.approx(expected)
    assert score_reports(["the vessels leaking"], ["the vessel leaks"])["meteor"] < 0.7  # stems only, though in order
    assert score_reports(["swelling"], ["oedema"])["meteor"] == 0  # no synonyms, as METEOR_NOTE says
    assert "synonyms" in METEOR_NOTE and "\n" not in METEOR_NOTE


def test_meteor_sums_counts_over_reports():
    pairs = [(["disc", "leakage"], ["disc", "leakage"]), (["macula"], ["optic", "macula", "scar"])]
    # 3 words of 3 written and of 5 true; the copy has no chunk, the other has one
    mean = 0.6 / (0.85 + 0.15 * 0.6)
    assert meteor_score(sum(meteor_counts(*pair) for pair in pairs)) == pytest.approx(mean * (1 - 0.6 * (1 / 3) ** 0.2))


def all_alignments(written, true):
    """Costs of every alignment: (- weight, chunks, shift), by trying all."""
    stem = report_scores.stem

    def extended(i, taken):
        if i == len(written):
            chunks = sum((a - 1, b - 1) not in taken for a, b in taken)
            yield -sum(100 if written[a] == true[b] else 60 for a, b in taken), chunks, sum(abs(a - b) for a, b in taken)
            return
        yield from extended(i + 1, taken)
        for j, word in enumerate(true):
            if stem(word) == stem(written[i]) and j not in [b for _, b in taken]:
                yield from extended(i + 1, [*taken, (i, j)])

    return extended(0, [])


def test_alignment_is_the_best_of_all():
    rng = np.random.default_rng(1)
    known = ["leak", "leaks", "leaking", "the", "disc"]
    for _ in range(60):
        written, true = (rng.choice(known, rng.integers(1, 6)).tolist() for _ in range(2))
        found = aligned(written, true)
        assert len({i for i, _ in found}) == len({j for _, j in found}) == len(found)
        chunks = sum((i - 1, j - 1) not in found for i, j in found)
        weight = sum(100 if written[i] == true[j] else 60 for i, j in found)
        assert (-weight, chunks, sum(abs(i - j) for i, j in found)) == min(all_alignments(written, true)), (written, true)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_copy_is_the_best_and_another_patients_report_is_worse(language):
    written, true = PAIRS[language]
    copy = score_reports(true, true, language)
    assert copy == pytest.approx(dict.fromkeys(SCORES, 1.0) | {"cider": 10.0})
    shifted = score_reports(written[1:] + written[:1], true, language)
    for name, value in score_reports(written, true, language).items():
        assert shifted[name] < value < copy[name], name


def test_order_of_words_matters_but_for_bleu1():
    written = [" ".join(reversed(words(report))) for report in TRUE]
    scores = score_reports(written, TRUE)
    assert scores["bleu1"] == pytest.approx(1)
    assert all(scores[name] < limit for name, limit in {"bleu2": 0.3, "bleu4": 0.01, "meteor": 0.7, "rouge_l": 0.5}.items())
    assert scores["cider"] < 5


def test_case_punctuation_and_the_order_of_reports_do_not_matter():
    changed = [report.upper().replace(",", " ;").rstrip(".") + "\n" for report in WRITTEN]
    assert score_reports(changed, TRUE) == score_reports(WRITTEN, TRUE)
    assert score_reports(WRITTEN[::-1], TRUE[::-1]) == pytest.approx(score_reports(WRITTEN, TRUE))


@pytest.mark.parametrize("nothing", ["", " \n", "...!", "zzz"])
def test_a_report_with_nothing_right_scores_0(nothing):
    assert score_reports([nothing] * 4, TRUE) == dict.fromkeys(SCORES, 0.0)
    each = score_each([nothing, *WRITTEN[1:]], TRUE)
    for name, values in score_each(WRITTEN, TRUE).items():
        assert each[name][0] == 0, name
        np.testing.assert_array_equal(each[name][1:], values[1:], err_msg=name)
    some, whole = score_reports([nothing, *WRITTEN[1:]], TRUE), score_reports(WRITTEN, TRUE)
    assert all(0 < some[name] < whole[name] for name in SCORES)


def test_one_report_alone_or_all_true_ones_the_same_have_no_cider():
    assert score_reports(TRUE[:1], TRUE[:1]) == pytest.approx(dict.fromkeys(SCORES, 1.0) | {"cider": 0.0})
    assert score_each(TRUE[:1] * 3, TRUE[:1] * 3)["cider"].tolist() == [0, 0, 0]


def test_reports_shorter_than_four_words():
    scores = score_reports(["late leakage", "optic disc"], ["late leakage", "optic disc"])
    assert (scores["bleu1"], scores["bleu2"], scores["rouge_l"], scores["meteor"]) == pytest.approx((1, 1, 1, 1))
    assert (scores["bleu3"], scores["bleu4"]) == (0, 0)
    assert scores["cider"] == pytest.approx(5)  # of four sizes of n-grams it has two


@pytest.mark.parametrize("score", [score_reports, score_each])
def test_bad_input_is_named(score):
    for written, true, message in [
        (["a"], ["a", "b"], "1 written reports but 2 true ones: give one true report for each"),
        ([], [], "no reports to score"),
        (["a", "b"], ["a", " .. "], "true report 2 has no words.*: drop the study"),
        (["a", float("nan")], ["a", "b"], "written report 2 is not text but float"),
        (["a"], [None], "true report 1 is not text but NoneType"),
        ("leak", "leak", "one text where a list of reports is wanted"),
    ]:
        with pytest.raises(kf.InputError, match=message):
            score(written, true)
