"""The grammar of atlas captions, sentence by sentence: what begins one, which letters are marks, what is left in doubt."""

import pytest

from keepfit_mini.atlas_captions import caption_start, language_of, languages_of, normal_number, split_caption
from keepfit_mini.atlas_marks import letters_of


def number_of(text: str) -> str | None:
    match = caption_start(text)
    return normal_number(match["number"]) if match else None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("FIGURE 2-12. Macular hole.", "2-12"),
        ("Figure 2-12. Macular hole.", "2-12"),
        ("Figure 2-12 Macular hole.", "2-12"),
        ("figure 2-12: Macular hole.", "2-12"),
        ("Fig. 2-12. Macular hole.", "2-12"),
        ("Fig 2-12 Macular hole.", "2-12"),
        ("FIG. 2-12 Macular hole.", "2-12"),
        ("FIG.2-12 Macular hole.", "2-12"),
        ("FIGURE 2–12. Macular hole.", "2-12"),  # en dash
        ("FIGURE 2—12. Macular hole.", "2-12"),  # em dash
        ("FIGURE 2 - 12. Macular hole.", "2-12"),
        ("Fig. 5-3-1 Macular hole.", "5-3-1"),
        ("Figure 12.4 Macular hole.", "12.4"),
        ("Figure 12.4. Macular hole.", "12.4"),
        ("Figure 7. Macular hole.", "7"),
        ("Figure 7 Macular hole.", "7"),
        ("  Figure 7. Macular hole.", "7"),
        ("图2-12 黄斑裂孔。", "2-12"),
        ("图 2-12 黄斑裂孔。", "2-12"),
        ("图2-12黄斑裂孔。", "2-12"),
        ("图2－12　黄斑裂孔。", "2-12"),  # full-width dash and blank
        ("图２－１２ 黄斑裂孔。", "2-12"),
        ("图5-3-1 黄斑裂孔。", "5-3-1"),
        ("图12．4 黄斑裂孔。", "12.4"),
        ("图7：黄斑裂孔。", "7"),
        ("【图7】黄斑裂孔。", "7"),
        ("图3-1 可见黄斑裂孔。", "3-1"),  # with a blank it is a caption, without one a sentence
        ("Figure 3-1 A few drusen near the fovea.", "3-1"),
        ("Figure 4. Shown are two eyes of one patient.", "4"),
    ],
)
def test_a_caption_begins(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "Figure 2-3 shows a hole in the macula.",
        "Figures 2-3 and 2-4 show two holes.",
        "Fig. 2-3 and 2-4 are of one patient.",
        "Fig. 2-3, taken a year later, is without leakage.",
        "Figure 2-3 is a drawing of the fundus.",
        "Figure 2-3 demonstrates late leakage.",
        "Figure 2-3 illustrates how the dye leaks.",
        "Figure 12.4 depicts the same eye.",
        "图2-3所示为黄斑裂孔。",
        "图2-3显示黄斑裂孔。",
        "图2-3和图2-4为同一患者。",
        "图2-3可见黄斑裂孔。",
        "The hole of Figure 2-3 has closed.",
        "A figure of speech.",
        "Figurative art.",
        "Figure",
        "2-12. Macular hole.",
        "FIGHT 2 was lost.",
        "如图2-3。",
        "",
    ],
)
def test_a_sentence_about_a_figure_begins_no_caption(text):
    assert caption_start(text) is None


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("A, Early phase. B, Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("A. Early phase. B. Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("A．Early phase. B．Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("(A) Early phase. (B) Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("(a) Early phase. (b) Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("A) Early phase. B) Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("[A] Early phase. [B] Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("A: Early phase. B: Late phase.", {"A": "Early phase.", "B": "Late phase."}),
        ("A: Early phase; B: late phase.", {"A": "Early phase", "B": "late phase."}),
        ("(A) Early phase, (B) late phase, and (C) after laser.", {"A": "Early phase", "B": "late phase", "C": "after laser."}),
        ("A-C, Leakage. D, Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Leakage.", "D": "Scar."}),
        ("A–C, Leakage. D, Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Leakage.", "D": "Scar."}),
        ("(A-C) Leakage. (D) Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Leakage.", "D": "Scar."}),
        ("A to C, Leakage. D, Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Leakage.", "D": "Scar."}),
        ("A and B, Leakage. C, Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Scar."}),
        ("(A and B) Leakage. (C) Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Scar."}),
        ("A & B: Leakage. C: Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Scar."}),
        ("A, B, Leakage. C, Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Scar."}),
        ("(A, B) Leakage. (C, D) Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Scar.", "D": "Scar."}),
        ("A, B, and C, Leakage. D, Scar.", {"A": "Leakage.", "B": "Leakage.", "C": "Leakage.", "D": "Scar."}),
        ("A, Scar. B-D, Leakage.", {"A": "Scar.", "B": "Leakage.", "C": "Leakage.", "D": "Leakage."}),
        ("A, A patient with vitamin A deficiency. B, Scar.", {"A": "A patient with vitamin A deficiency.", "B": "Scar."}),
        ("A, Lack of vitamin A, and night blindness. B, Scar.", {"A": "Lack of vitamin A, and night blindness.", "B": "Scar."}),
        ("A, Carrier of hepatitis B. B, Scar.", {"A": "Carrier of hepatitis B.", "B": "Scar."}),
        ("A, Left eye: an A-scan and a B-scan. B, Scar.", {"A": "Left eye: an A-scan and a B-scan.", "B": "Scar."}),
        ("A, Vasculitis in influenza, type A. B, Scar.", {"A": "Vasculitis in influenza, type A.", "B": "Scar."}),
        ("A, Vision 0.8 at 10 a.m. B, Scar.", {"A": "Vision 0.8 at 10 a.m.", "B": "Scar."}),
        ("A, Drusen, e.g. soft ones. B, Scar.", {"A": "Drusen, e.g. soft ones.", "B": "Scar."}),
    ],
)
def test_marks_give_each_panel_its_text(body, texts):
    caption = split_caption(f"FIGURE 2-12. {body}")
    assert (caption.number, caption.head, caption.language) == ("2-12", "", "en")
    assert caption.texts == texts
    assert not caption.doubtful and not caption.notes


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("A．早期。B．晚期渗漏。", {"A": "早期。", "B": "晚期渗漏。"}),
        ("A.早期。B.晚期渗漏。", {"A": "早期。", "B": "晚期渗漏。"}),
        ("A、早期。B、晚期渗漏。", {"A": "早期。", "B": "晚期渗漏。"}),
        ("A：早期；B：晚期渗漏。", {"A": "早期", "B": "晚期渗漏。"}),
        ("（A）早期。（B）晚期渗漏。", {"A": "早期。", "B": "晚期渗漏。"}),
        ("Ａ．早期。Ｂ．晚期渗漏。", {"A": "早期。", "B": "晚期渗漏。"}),
        ("A 早期。B 晚期渗漏。", {"A": "早期。", "B": "晚期渗漏。"}),
        ("A、B．早期。C．晚期渗漏。", {"A": "早期。", "B": "早期。", "C": "晚期渗漏。"}),
        ("A、B 早期。C 晚期渗漏。", {"A": "早期。", "B": "早期。", "C": "晚期渗漏。"}),
        ("A和B，早期。C，晚期渗漏。", {"A": "早期。", "B": "早期。", "C": "晚期渗漏。"}),
        ("A～C．早期。D．晚期渗漏。", {"A": "早期。", "B": "早期。", "C": "早期。", "D": "晚期渗漏。"}),
        ("（A、B）早期。（C）晚期渗漏。", {"A": "早期。", "B": "早期。", "C": "晚期渗漏。"}),
        ("A．乙型肝炎及维生素A缺乏。B．晚期渗漏。", {"A": "乙型肝炎及维生素A缺乏。", "B": "晚期渗漏。"}),
    ],
)
def test_chinese_marks(body, texts):
    caption = split_caption(f"图2-12 {body}")
    assert (caption.number, caption.head, caption.language) == ("2-12", "", "zh")
    assert caption.texts == texts
    assert not caption.doubtful and not caption.notes


@pytest.mark.parametrize(
    ("group", "letters"),
    [("A", "A"), ("a", "A"), ("A-C", "ABC"), ("A–C", "ABC"), ("a-c", "ABC"), ("A and C", "AC"), ("A, B", "AB"), ("A、C", "AC"),
     ("A to D", "ABCD"), ("A through C", "ABC"), ("A至C", "ABC"), ("Ａ－Ｃ", "ABC"), ("A, B, and D", "ABD"), ("A, C-E", "ACDE")],
)  # fmt: skip
def test_a_range_names_each_letter(group, letters):
    assert letters_of(group) == list(letters)


@pytest.mark.parametrize(
    ("text", "head", "full"),
    [
        ("FIGURE 2-12. Macular oedema. A, Early. B, Late.", "Macular oedema.",
         {"A": "Macular oedema. Early.", "B": "Macular oedema. Late."}),
        ("FIGURE 2-12. Macular oedema. A and B, Late.", "Macular oedema.",
         {"A": "Macular oedema. Late.", "B": "Macular oedema. Late."}),
        ("Fig. 3 Macular oedema: (a) early; (b) late.", "Macular oedema:",
         {"A": "Macular oedema. early", "B": "Macular oedema. late."}),
        ("图2-12 黄斑水肿。A．早期。B．晚期。", "黄斑水肿。", {"A": "黄斑水肿。早期。", "B": "黄斑水肿。晚期。"}),
        ("图2-12 黄斑水肿 A 早期；B 晚期。", "黄斑水肿", {"A": "黄斑水肿。早期", "B": "黄斑水肿。晚期。"}),
    ],
)  # fmt: skip
def test_the_shared_head_goes_to_each_panel(text, head, full):
    caption = split_caption(text, 2)
    assert caption.head == head
    assert {letter: caption.full(letter) for letter in caption.texts} == full


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("FIGURE 2-12. Night blindness from lack of vitamin A, both eyes.", "Night blindness from lack of vitamin A, both eyes."),
        ("FIGURE 2-12. A carrier of hepatitis B.", "A carrier of hepatitis B."),
        ("FIGURE 2-12. A-scan of the left eye.", "A-scan of the left eye."),
        ("FIGURE 2-12. B-scan: retinal detachment.", "B-scan: retinal detachment."),
        ("FIGURE 2-12. Retinitis after influenza, type A.", "Retinitis after influenza, type A."),
        ("FIGURE 2-12. A large druse.", "A large druse."),
        ("FIGURE 2-12 A large druse.", "A large druse."),
        ("Fig. 7. Drusen in E. coli sepsis.", "Drusen in E. coli sepsis."),
        ("图2-12 维生素A缺乏所致夜盲。", "维生素A缺乏所致夜盲。"),
        ("图2-12 黄斑裂孔。", "黄斑裂孔。"),
    ],
)
@pytest.mark.parametrize("pictures", [None, 1])
def test_letters_in_a_text_are_no_marks(text, head, pictures):
    caption = split_caption(text, pictures)
    assert caption.texts == {} and caption.head == head and caption.full("") == head


@pytest.mark.parametrize(
    ("text", "letters", "doubtful", "note"),
    [
        ("FIGURE 2-12. A, Early. C, Late.", "AC", "A", "B"),  # the text of B may stand in A's
        ("FIGURE 2-12. A, Early. B, Middle. E, Late.", "ABE", "B", "C"),
        ("FIGURE 2-12. Oedema. B, Early. C, Late.", "BC", "BC", "A"),  # or in the head
        ("图2-12 A．早期。C．晚期。", "AC", "A", "B"),
    ],
)
def test_a_missing_letter_is_said(text, letters, doubtful, note):
    caption = split_caption(text, len(letters) + 1)
    assert sorted(caption.texts) == list(letters)
    assert caption.doubtful >= set(doubtful)
    assert any(note in said.split(" ") for said in caption.notes)


def test_a_lonely_mark_is_doubted():
    caption = split_caption("FIGURE 2-12. A, Early phase of the right eye.", 2)
    assert caption.notes and (not caption.texts or "A" in caption.doubtful)


def test_a_mark_without_text_is_said():
    caption = split_caption("FIGURE 2-12. A, Early. B, Late. C,", 3)
    assert "C" not in caption.texts and caption.notes


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("FIGURE 3. Early phase (A). Late phase (B).", {"A": "Early phase", "B": "Late phase"}),
        ("FIGURE 3. Fundus photograph (A), early (B), and late (C).", {"A": "Fundus photograph", "B": "early", "C": "late"}),
        ("FIGURE 3. Scar of the right (A) and of the left eye (B).", {"A": "Scar of the right", "B": "of the left eye"}),
    ],
)
def test_trailing_marks_name_what_stands_before_them(text, texts):
    caption = split_caption(text, len(texts))
    assert {letter: own.rstrip(" .") for letter, own in caption.texts.items()} == texts


def test_trailing_marks_in_mid_sentence_are_doubted():
    caption = split_caption("FIGURE 3. Early (A) and late (B) phase.", 2)
    assert caption.texts["A"].startswith("Early") and caption.texts["B"].startswith("late") and "B" not in caption.texts["A"]
    assert caption.doubtful == {"A", "B"} and caption.notes


@pytest.mark.parametrize(
    ("text", "number", "panel", "own"),
    [
        ("Figure 2-12B. Late phase.", "2-12", "B", "Late phase."),
        ("FIGURE 2-12C Late phase.", "2-12", "C", "Late phase."),
        ("Fig. 5-3-1a. Late phase.", "5-3-1", "A", "Late phase."),
        ("Figure 2-12 B. Late phase.", "2-12", "B", "Late phase."),
        ("图2-12B 晚期渗漏。", "2-12", "B", "晚期渗漏。"),
    ],
)
def test_a_caption_of_one_panel(text, number, panel, own):
    caption = split_caption(text, 1)
    assert (caption.number, caption.own, caption.texts) == (number, True, {panel: own})


def test_a_letter_behind_the_number_may_be_the_first_mark():
    caption = split_caption("Fig. 3 A, Early phase. B, Late phase.", 2)
    assert caption.texts == {"A": "Early phase.", "B": "Late phase."} and not caption.own


@pytest.mark.parametrize(
    ("zh", "en"),
    [
        ("图5-3-1 黄斑裂孔，边缘清晰。", "Fig. 5-3-1 A macular hole with a sharp edge."),
        ("图5-3-1 黄斑水肿。A．早期。B．晚期渗漏。", "Fig. 5-3-1 Macular oedema. A. Early phase. B. Late leakage."),
        ("图5-3-1 黄斑裂孔，边缘清晰。", "A macular hole with a sharp edge."),  # no second number
        ("图5-3-1 A．早期荧光遮蔽。B．晚期荧光渗漏。", "(A) Early phase is dark. (B) Leakage in the late phase."),
        ("图5-3-1 糖尿病视网膜病变FFA早期，OCT见水肿。", "Diabetic retinopathy in the early phase of FFA, oedema in OCT."),
    ],
)
@pytest.mark.parametrize("order", ["zh first", "en first"])
def test_two_languages_in_one_caption(zh, en, order):
    if order == "en first":
        if not en.startswith("Fig"):
            zh, en = zh.removeprefix("图5-3-1 "), f"Fig. 5-3-1 {en}"
        assert languages_of(f"{en} {zh}") == [en, zh]
    else:
        assert languages_of(f"{zh} {en}") == [zh, en]
    assert split_caption(zh).texts.keys() == split_caption(en).texts.keys()


def test_a_mark_with_a_stop_goes_with_its_language():
    zh, en = "图5-3-1 A．早期荧光遮蔽。B．晚期荧光渗漏。", "A. Early phase is dark. B. Leakage in the late phase."
    assert languages_of(f"{zh} {en}") == [zh, en]


@pytest.mark.parametrize(
    "text",
    [
        "FIGURE 2-12. Macular oedema. A, Early. B, Late. Same person as Figure 2-11A.",
        "图5-3-1 糖尿病视网膜病变。FFA 晚期可见渗漏，OCT 可见水肿。",
        "图5-3-1 Stargardt 病（Fundus flavimaculatus），后极部黄色斑点，双眼对称。",
        "Just a sentence.",
    ],
)
def test_a_caption_of_one_language_stays_whole(text):
    assert languages_of(text) == [text]


@pytest.mark.parametrize(("text", "language"), [("Macular hole", "en"), ("黄斑裂孔", "zh"), ("OCT示黄斑裂孔", "zh"),
                                                ("Fundus of 张 after laser treatment", "en"), ("", "en")])  # fmt: skip
def test_language(text, language):
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["FIGURE 2-12.", "图2-12", "Fig. 1 A", "A, B, C,", "(A)(B)(C)", "FIGURE 9. " + "A, " * 400,
                                  "FIGURE 9. " + " ".join(f"{c}, x." for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")])  # fmt: skip
def test_debris_is_no_crash(text):
    caption = split_caption(text, 2)
    assert all(letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for letter in caption.texts)
    assert languages_of(text)
