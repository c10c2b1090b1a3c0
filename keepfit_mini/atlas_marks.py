"""The marks of a caption's panels: `A,` `A.` `(A)` `A-C` `A and B`, found in a text and told from letters that are none.

Paper section 2.2, step 2. Not about: what is done with them (atlas_captions.py).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

DASH = "-‐‑‒–—―−－~～"
_LETTER = r"[A-Za-zＡ-Ｚａ-ｚ]"
_JOIN = rf"\s*(?:[{DASH}]|[,，、&＆/+]|and|to|through|through to|和|与|及|至|到|[,，]\s*and|[,，]\s*&)\s*"
_GROUP = rf"{_LETTER}(?:{_JOIN}{_LETTER}(?![\w'’]))*"
MARK = re.compile(
    rf"(?P<open>[(（\[【])\s*(?P<inner>{_GROUP})\s*[)）\]】](?P<after>\s*[:：,，.．、—–-]?)"  # (A) (A-C) （A、B）
    rf"|(?<![\w'’.\-/(（])(?P<bare>{_GROUP})(?P<stop>\s*(?:[,.:;)](?!\d)|[，．：、；）])|\s+(?=图|[㐀-鿿])|\s*[—–](?=\s*\w))",
)
ENDS = ".。．;；:：!?！？)）]】,，、\"”’'"


def letters_of(group: str) -> list[str]:
    """The letters that a mark names: "A-C" -> A B C, "A and C" -> A C, "A, B" -> A B, in capitals."""
    plain = unicodedata.normalize("NFKC", group)  # full-width letters
    parts = re.findall(rf"(?<![A-Za-z])[A-Za-z](?![A-Za-z])|[{DASH}]|\bto\b|\bthrough\b|至|到", plain)
    letters: list[str] = []
    for i, part in enumerate(parts):
        if len(part) == 1 and part.isascii() and part.isalpha():
            if i and letters and not (len(parts[i - 1]) == 1 and parts[i - 1].isalpha() and parts[i - 1].isascii()):
                letters += [chr(c) for c in range(ord(letters[-1]) + 1, ord(part.upper()))]
            letters.append(part.upper())
    return letters


@dataclass
class Mark:
    """One mark in a text: where it stands, which panels it names, and what speaks for its being one."""

    start: int
    end: int
    letters: list[str]
    bracketed: bool
    strong: bool  # begins a sentence, a clause or the caption
    lower: bool


def marks_of(text: str) -> list[Mark]:
    """Everything that may be a mark, in the order of the text; which of them are, in_order() and credible() say."""
    found, at = [], 0
    while match := MARK.search(text, at):
        at = match.end() if match["inner"] or match["bare"] else match.start() + 1
        group = match["inner"] or match["bare"]
        letters = letters_of(group)
        if not letters or letters != sorted(set(letters)) or len(letters) > 12:
            at = match.start() + 1
            continue
        before = text[: match.start()].rstrip()
        strong = not before or before[-1] in ENDS or before[-1] in "|-—–"
        found.append(Mark(match.start(), match.end(), letters, match["inner"] is not None, strong, group[0] in "abcdefghijkl"))
    return found


def in_order(marks: list[Mark]) -> list[Mark]:
    """The longest run of marks whose letters go on: A, B, C, ...; a gap costs, so does a mark in mid-sentence.

    Weighted longest increasing subsequence: "vitamin A," and "hepatitis B." stand between the real marks, out of order."""
    best: list[tuple[float, int]] = []  # value of the best run that ends with mark i, its predecessor
    for i, mark in enumerate(marks):
        own = 1.0 + 0.5 * mark.strong + 0.4 * mark.bracketed + 0.2 * (len(mark.letters) > 1)
        start_cost = 0.9 * (ord(mark.letters[0]) - ord("A"))
        value, previous = own - start_cost, -1
        for j in range(i):
            last, first = marks[j].letters[-1], mark.letters[0]
            if first > last and marks[j].bracketed == mark.bracketed and marks[j].lower == mark.lower:
                gap = (0.45 if mark.strong else 0.9) * (ord(first) - ord(last) - 1)
                if best[j][0] + own - gap > value:
                    value, previous = best[j][0] + own - gap, j
        best.append((value, previous))
    if not best:
        return []
    i = max(range(len(best)), key=lambda k: (best[k][0], -k))
    run = []
    while i >= 0:
        run.append(marks[i])
        i = best[i][1]
    return run[::-1]


def credible(run: list[Mark], body: str, pictures: int | None) -> bool:
    """Are these marks of panels? One lonely "A." in mid-text is not; a run that begins with A and goes on is."""
    letters = [letter for mark in run for letter in mark.letters]
    if len(letters) >= 2 and letters[0] == "A":
        return sum(mark.strong or mark.bracketed for mark in run) * 2 >= len(run)
    strong = all(mark.strong for mark in run)
    if len(letters) == 1:
        return strong and letters[0] == "A" and (run[0].start == 0 or run[0].bracketed) and pictures != 1
    return strong and (pictures is None or pictures > 1)


def blank_marks(body: str, pictures: int | None) -> list[Mark]:
    """ "A Early phase. B Late phase", "a早期；b晚期": letters with nothing or a blank after them, as many as the pictures."""
    best: list[Mark] = []
    for letter, lower in (("[A-H]", False), ("[a-h]", True)):
        found = re.finditer(rf"(?:^|(?<=[.。;；:：,，]))\s*({letter})(?:\s+(?=[A-Z0-9㐀-鿿])|(?=[㐀-鿿]))", body)
        marks = [Mark(m.start(), m.end(), [m[1].upper()], False, True, lower) for m in found]
        whole = [mark.letters[0] for mark in marks] == [chr(ord("A") + i) for i in range(len(marks))]
        if whole and len(marks) > max(1, len(best)):
            best = marks
    return best if pictures is None or len(best) == pictures else []


def trailing(run: list[Mark], body: str) -> bool:
    """ "Early (A) and late (B) phase.": bracketed marks that follow what they name."""
    if not all(mark.bracketed for mark in run) or any(mark.end < len(body) and body[mark.end - 1] in ":：" for mark in run):
        return False
    opens = [mark for mark in run if mark.strong]
    return not body[run[-1].end :].strip(" .。．;；") or (not opens and bool(body[: run[0].start].strip()))
