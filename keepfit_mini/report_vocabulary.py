"""Reports as numbers: the words of the training reports, each a number; a Chinese character is a word (paper, FFA-IR task).

As published: lower case, words seen `min_count` times or more, at most `limit` tokens a report. Punctuation is kept, so that
a written report has sentences. Not about: how reports are scored (report_scores.py, report_findings.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .config import InputError

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
TOKEN = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:[-./'’][^\W_{HAN}]+)*|[^\w\s]")
CLOSES, OPENS = ".,;:!?)]}%。，、；：！？）】》", "([{（【《"
ENDS = ".!?"


def tokens(text: str) -> list[str]:
    """A report -> words, numbers, punctuation marks and Chinese characters, lower case."""
    return TOKEN.findall(text.lower())


def text_of(words: Sequence[str]) -> str:
    """Tokens -> a report as one reads it: no blank before a full stop or between Chinese characters, sentences with a capital."""
    text, begins = "", True
    for word in words:
        blank = text and word not in CLOSES and text[-1] not in OPENS and not (wide(text[-1]) or wide(word[0]))
        text += (" " if blank else "") + (word[:1].upper() + word[1:] if begins else word)
        begins = word in ENDS
    return text


def wide(character: str) -> bool:
    return re.match(rf"[{HAN}。，、；：！？（）【】《》]", character) is not None


class Vocabulary:
    """Token <-> number. The first four are PAD, BEGIN, END, UNKNOWN. InputError: they are not, a token twice or no text."""

    def __init__(self, words: Sequence[str]):
        texts = all(isinstance(word, str) and word for word in words)
        if not texts or tuple(words[:4]) != SPECIAL or len(set(words)) < len(words):
            raise InputError(f"not a vocabulary: it is a list of texts, begins with {', '.join(SPECIAL)} and has no token twice")
        self.words = list(words)
        self.numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def learn(cls, reports: Iterable[str], min_count: int = 3) -> Vocabulary:
        """Of the training reports; the most frequent first. InputError: no word is seen min_count times."""
        counts = Counter(word for report in reports for word in tokens(report))
        kept = [word for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count >= min_count]
        if not kept:
            raise InputError(f"no word of the reports is seen {min_count} times: give more reports, or a lower min_count")
        return cls([*SPECIAL, *kept])

    def encode(self, report: str, limit: int = 90) -> tuple[list[int], int]:
        """-> numbers from BEGIN to END, and how many tokens beyond `limit` were cut off (BEGIN and END do not count)."""
        numbers = [self.numbers.get(word, UNKNOWN) for word in tokens(report)]
        return [BEGIN, *numbers[:limit], END], max(0, len(numbers) - limit)

    def decode(self, numbers: Iterable[int]) -> str:
        """Numbers -> report, up to the first END."""
        words = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, BEGIN):
                words.append(self.words[number])
        return text_of(words)
