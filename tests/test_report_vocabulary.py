"""Reports to numbers and back."""

import pytest

from keepfit_mini.config import InputError
from keepfit_mini.report_vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN, Vocabulary, text_of, tokens

ENGLISH = "Mild leakage in the macula (OD), 0.5 disc diameters; non-perfusion is seen. No staining."
CHINESE = "黄斑区见轻度渗漏，晚期扩大。A期未见着染（OCT）。"


def test_tokens():
    assert tokens("The patient's 20/40 eye: non-perfusion, 0.5!") == [
        "the", "patient's", "20/40", "eye", ":", "non-perfusion", ",", "0.5", "!"]  # fmt: skip
    assert tokens("黄斑区A期，OCT。") == ["黄", "斑", "区", "a", "期", "，", "oct", "。"]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_there_and_back(text):
    vocabulary = Vocabulary.learn([text] * 3)
    numbers, cut = vocabulary.encode(text)
    assert (numbers[0], numbers[-1], cut) == (BEGIN, END, 0)
    assert vocabulary.decode(numbers).lower() == text.lower()
    assert tokens(text_of(tokens(text))) == tokens(text)


def test_sentences_begin_with_a_capital():
    assert text_of(["dye", "leaks", ".", "no", "staining", "."]) == "Dye leaks. No staining."


def test_rare_words_are_unknown_and_long_reports_cut():
    vocabulary = Vocabulary.learn(["dye leaks here"] * 2 + ["dye leaks there"], min_count=3)
    assert vocabulary.words == [*SPECIAL, "dye", "leaks"]
    assert vocabulary.encode("dye leaks here") == ([BEGIN, 4, 5, UNKNOWN, END], 0)
    assert vocabulary.encode("dye leaks here and there", limit=2) == ([BEGIN, 4, 5, END], 3)
    assert vocabulary.decode([BEGIN, 4, PAD, 5, END, 4]) == "Dye leaks"
    assert vocabulary.encode("", limit=2) == ([BEGIN, END], 0)


def test_another_alphabet_is_unknown_not_lost():
    numbers, _ = Vocabulary.learn([ENGLISH] * 3).encode("Макула 黄斑")
    assert numbers == [BEGIN, UNKNOWN, UNKNOWN, UNKNOWN, END]


def test_refusals():
    with pytest.raises(InputError, match="no word of the reports is seen 3 times"):
        Vocabulary.learn(["one two"])
    with pytest.raises(InputError, match="not a vocabulary"):
        Vocabulary(["a", "b"])
    with pytest.raises(InputError, match="no token twice"):
        Vocabulary([*SPECIAL, "a", "a"])
    for word in (5, None, ["a"], ""):
        with pytest.raises(InputError, match="a list of texts"):
            Vocabulary([*SPECIAL, word])
