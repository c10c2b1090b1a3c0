"""What reports say, read back: every drawn report exactly, sentences by hand, any text at all; and the clinical score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit_mini import drawn_studies, phantom
from keepfit_mini.config import InputError
from keepfit_mini.phantom import Finding
from keepfit_mini.report_findings import WORDS, clinical_score, ratios, read_findings

SHORT = {"ma": "microaneurysms", "l": "leakage", "s": "staining", "np": "non-perfusion", "nv": "neovascularisation",
         "st": "superotemporal", "it": "inferotemporal", "sn": "superonasal", "in": "inferonasal", "m": "macula", "d": "disc",
         "1": "mild", "2": "moderate", "3": "severe", "-": ""}  # fmt: skip


def findings(short):
    """"l 3 m; ma - d" -> findings."""
    return tuple(Finding(*(SHORT[word] for word in part.split())) for part in short.split(";") if part.strip())


@pytest.mark.parametrize("phases", [("arteriovenous",), ("arteriovenous", "late"), ("early", "arteriovenous", "late")])
def test_every_drawn_report_says_what_was_drawn(phases):
    rows, _ = drawn_studies.plan(400, seed=7)
    for row in rows:
        texts = drawn_studies.write_report(row["findings"], phases, "right", row["seed"])
        for text, language in zip(texts, ("en", "zh"), strict=True):
            assert read_findings(text, language) == row["findings"], text


def test_every_drawn_sentence_alone_with_every_word():
    for name, options in drawn_studies.SENTENCES.items():
        for _, *texts in options:
            for place, severity in [(p, s) for p in drawn_studies.FINDING_PLACES[name] for s in range(3)]:
                for way in (0, 1):
                    for i, language in enumerate(("en", "zh")):
                        words = {k: ways[way][severity][i] for k, ways in drawn_studies.STRENGTHS.items()}
                        text = texts[i].format(place=drawn_studies.PLACES[place][way][i], **words)
                        assert read_findings(text, language) == (Finding(name, phantom.SEVERITIES[severity], place),), text


ENGLISH = {
    # other words
    "Marked capillary dropout in the superior temporal retina.": "np 3 st",
    "Extensive nonperfusion inferotemporally, minimal dye leakage at the fovea.": "l 1 m; np 3 it",
    "There are numerous micro-aneurysms in the perifoveal region with mild leakage.": "ma 3 m; l 1 -",
    "NVD is seen, moderate.": "nv 2 d",
    "A few pinpoint bright dots are noted in the lower nasal quadrant.": "ma 1 in",
    "Ischemia is extensive in the superonasal quadrant.": "np 3 sn",
    "Newly formed vessels sprout from the optic nerve head; they leak later.": "nv - d",
    "Several areas stain sharply in the macula.": "s 2 m",
    # one sentence, several findings
    "Leakage in the macula, staining at the upper temporal arcade and a large area without capillaries inferonasally.":
        "l - m; s - st; np 3 in",
    "Microaneurysms and leakage in the macula.": "ma - m; l - m",
    "In the macula, several microaneurysms and in the superonasal quadrant severe leakage.": "ma 2 m; l 3 sn",
    "New vessels at the disc with leakage in the macula.": "nv - d; l - m",
    "Lacy new vessels with marked leakage are seen at the disc.": "nv 3 d",
    "Large new vessels at the disc leak profusely.": "nv 3 d",
    "Leaking new vessels, moderate, lie in the superotemporal quadrant.": "nv 2 st",
    "New vessels grow on the disc. In the late phase they leak.": "nv - d",
    # denied
    "No leakage, staining or neovascularisation is seen.": "",
    "No leakage, staining or neovascularisation at the disc.": "",  # the place ends the list, and is not a new beginning
    "No microaneurysms, leakage or areas of non-perfusion in the macula.": "",
    "No leakage and staining in the macula.": "",
    "No leakage in the macula, staining at the disc.": "s - d",
    "No leakage, and in the macula there is staining.": "s - m",
    "No leakage at the disc, moderate staining in the macula.": "s 2 m",
    "No microaneurysms, several leaks in the macula.": "l 2 m",
    "There is no leakage, but numerous microaneurysms lie in the macula.": "ma 3 m",
    "Microaneurysms without leakage in the macula.": "ma - m",
    "Leakage is not seen; mild staining is present in the macula.": "s 1 m",
    "Neither leakage nor staining. Absence of non-perfusion. New vessels are ruled out.": "",
    "No area without capillaries.": "",
    "The macula is free of leakage.": "",
    "Severe leakage in the macula does not spread.": "l 3 m",
    "Mild staining in the macula with no change in size and no leakage.": "s 1 m",
    "The disc stains in the late phase and no dye leaks out.": "",
    # broken
    "leakage": "l - -",
    "mild leakage leakage leakage in in the macula macula mild leakage in the macula": "l 1 m",
    "severe leakage in the macula numerous microaneurysms in the superonasal quadrant": "ma 3 sn; l 3 m",
    "the the of xylophone <unk> moderate staining <unk> superotemporal": "s 2 st",
    "mild leakage in the macula . severe leakage in the superonasal quadrant .": "l 1 m; l 3 sn",
    "leakage in the macula . the leakage is severe .": "l 3 m",
    "The large vessels fill well and the small vessels too.": "",
    "": "", " ... ": "", "1234 ,,, ;;; and with": "",
}
CHINESE = {
    "黄斑区可见重度渗漏，颞上象限散在少量微血管瘤。": "ma 1 st; l 3 m",
    "颞下方见大片毛细血管闭塞区。": "np 3 it",
    "视乳头新生血管，中度，晚期染料渗漏。": "nv 2 d",
    "未见渗漏、着染及新生血管。": "",
    "未见渗漏，鼻上象限可见多个着染斑。": "s 2 sn", "未见渗漏，黄斑区可见着染。": "s - m",
    "未见微血管瘤，渗漏及黄斑区着染。": "",
    "黄斑区轻度着染，晚期未见扩大，无渗漏。": "s 1 m",
    "黄斑区渗漏及着染。": "l - m; s - m",
    "黄斑区渗漏、颞上象限无灌注": "l - m; np - st",
    "未发现无灌注区。": "",
    "鼻下象限无灌注，范围大片，不伴渗漏。": "np 3 in",
    "视盘有新生血管。其晚期渗漏。": "nv - d",
    "渗漏的新生血管位于视盘，重度。": "nv 3 d",
    "渗漏渗漏轻度黄斑": "l 1 m",
    "动静脉充盈良好。": "", "": "",
}


@pytest.mark.parametrize(("text", "expected"), ENGLISH.items())
def test_english_by_hand(text, expected):
    assert read_findings(text) == findings(expected)
    assert read_findings(text.upper()) == findings(expected)


@pytest.mark.parametrize(("text", "expected"), CHINESE.items())
def test_chinese_by_hand(text, expected):
    assert read_findings(text, "zh") == findings(expected)


PIECES = ("no", "not", "leakage", "leaks", "staining", "new", "vessels", "microaneurysms", "non-perfusion", "the", "macula",
          "disc", "superonasal", "mild", "severe", "and", "with", "but", ",", ".", ";", "they", "without", "capillaries",
          "未见", "无", "渗漏",
          "黄斑", "新生血管", "重度", "，", "。")  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=40), st.sampled_from(["en", "zh"]))
def test_any_text_is_read_and_gives_known_words(words, language):
    got = read_findings(" ".join(words), language)
    assert got == tuple(sorted(got, key=lambda f: (phantom.FINDINGS["FFA"].index(f.name), f.place)))
    assert len({(f.name, f.place) for f in got}) == len(got)
    assert all(f.severity in ("", *phantom.SEVERITIES) and f.place in ("", *WORDS["en"]["place"]) for f in got)


def test_another_language_is_refused():
    with pytest.raises(InputError, match="'fr' must be en or zh"):
        read_findings("fuite", "fr")


# ------------------------------------------------------------------------------------------------------------ the score


def test_score_by_hand():
    true = [findings("l 3 m; ma 1 st"), findings("np 2 it"), (), findings("s 1 m")]
    written = [findings("l 3 m; l 3 m; ma 3 st; s 1 m"), findings("np 2 sn"), (), ()]
    score = clinical_score(written, true)
    assert score["finding_precision"] == 3 / 4 and score["finding_recall"] == 3 / 4 and score["finding_f1"] == 3 / 4
    assert score["place_precision"] == 2 / 4 and score["severity_precision"] == 2 / 4
    assert score["exact_precision"] == score["exact_recall"] == 1 / 4
    assert score["counts"]["finding"].tolist() == [[2, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    again = ratios({kind: table[:, [0, 0, 1, 2]] for kind, table in score["counts"].items()})
    assert again["finding_precision"] == 5 / 7 and again["finding_recall"] == 1


def test_nothing_at_all():
    score = clinical_score([(), ()], [(), ()])
    assert all(np.isnan(value) for key, value in score.items() if key != "counts") and score["counts"]["exact"].shape == (3, 2)
    silent, loud = clinical_score([()], [findings("l 1 m")]), clinical_score([findings("l 1 m")], [()])
    for score in (silent, loud):
        assert {value for key, value in score.items() if key != "counts"} == {0.0}
    assert clinical_score([], [])["counts"]["place"].shape == (3, 0)
    with pytest.raises(InputError, match="1 written reports, but 2 studies"):
        clinical_score([()], [(), ()])


def test_who_lists_everything_or_reads_another_report_scores_badly():
    true = [row["findings"] for row in drawn_studies.plan(300, seed=2)[0]]
    perfect = clinical_score(true, true)
    assert all(value == 1 for key, value in perfect.items() if key != "counts")
    everything = tuple(Finding(name, "moderate", "macula") for name in phantom.FINDINGS["FFA"])
    everywhere = tuple(Finding(f.name, f.severity, place) for f in everything for place in WORDS["en"]["place"])
    for answer in (everything, everywhere):
        score = clinical_score([answer] * len(true), true)
        assert score["finding_recall"] == 1 and score["finding_precision"] < 0.4 and score["place_precision"] < 0.15
        assert score["exact_precision"] < 0.06
    other = clinical_score(true[1:] + true[:1], true)
    assert other["finding_f1"] < 0.5 and other["place_f1"] < 0.2 and other["exact_f1"] < 0.1
