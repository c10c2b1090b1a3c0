"""Step 4 of MM-Retinal's pipeline: a caption as printed -> a caption that stands by itself (paper, MM-Retinal, step 4).

clean() takes out what points to another place of the book ("Same person as Figure 1-1A", 见图5-3-1), figure numbers, panel marks
and credits, and mends what printing and character recognition did. What it does not know for certain it leaves alone.
Each removal leaves a MARK, so that one place (tidy) sees to the commas, brackets and capitals around it.
Not about: what is looked for (cleaning_rules.py), splitting captions into sub-captions, translation, spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from .cleaning_rules import CHINESE, CREDITS, ENGLISH, FIRST, HAN, LEADING, MARK, OCR, PANEL_MARKS, TIDY

MAX_PASSES = 4
POINTS = "，。；：、！？（）“”《》"

# ------------------------------------------------------------------------------------------------------ lines and characters

# compounds by their second part ("dome-shaped"), none of which ends a longer word but after a prefix, and by their first part
SECOND_PART = re.compile("shaped|like|sized|colou?red|white|yellow|gr[ae]y|green|brown|related|induced|onset|up|off|wool|free"
                         "|dependent|mediated|defined|threatening|segmented|rhegmatogenous|thickness|stage|phase|grade|field|eye|standing|sided")
FIRST_PART = re.compile("bull's|(?:yellow|gr[ae]y|redd|whit|brown)ish|dome|cotton|well|self|follow|year|three|four|five|six")
PREFIX = re.compile("anti|dis|hyper|hypo|in|inter|intra|micro|multi|non|para|peri|post|pre|pseudo|re|semi|sub|super|supra|un")


def join_lines(lines: list[str], language: str, vocabulary: Collection[str] = ()) -> str:
    """The lines of a printed caption -> one line: a blank between Latin words, none beside Chinese ("en": between Chinese).

    A hyphen at a line's end goes ("haemor-" + "rhage"), except where it belongs to the word: the hyphenated word stands in
    `vocabulary` (lower case words, say of the whole book) or in these lines and the closed one does not, or it is a known
    compound ("dome-" + "shaped"), a number ("2-" + "12") or a name ("Koyanagi-" + "Harada").
    """
    lines = [line.strip() for line in lines if line.strip()]
    words = {word.lower() for word in vocabulary} | {word.lower() for line in lines for word in re.findall(r"[\w'-]+", line)}
    text = ""
    for line in lines:
        before = re.search(r"([\w'-]{1,40})([-\u2010\u00ad])\Z", text[-60:])
        after = re.match(r"[\w']{1,40}", line)
        if before and after:
            first, second = before[1].lower(), after[0].lower()
            keep = before[2] != "\u00ad" and not closes_up(first, second, after[0], words)
            text = (text if keep else text[:-1]) + line
        else:
            han = [bool(re.match(f"[{HAN}{POINTS}]", char)) for char in (text[-1:], line[0])]
            glued = not text or (any(han) if language == "zh" else all(han))
            text += ("" if glued else " ") + line
    return text


def closes_up(first: str, second: str, printed: str, words: set[str]) -> bool:
    """Whether first- at a line's end and second on the next are one word without a hyphen."""
    last = first.rpartition("-")[2]
    if not last.isalpha() or not printed.islower():
        return False  # "2-" + "12", "Koyanagi-" + "Harada", "B-" + "scan"
    if last + second in words or first + second in words:
        return True
    if f"{first}-{second}" in words or len(last) == 1:
        return False
    return bool(PREFIX.fullmatch(last)) or not (SECOND_PART.fullmatch(second) or FIRST_PART.fullmatch(last))


INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffc\ufffd]")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s\u2028\u2029]++")  # \s holds every blank of Unicode
PRINTED_AS_ONE = re.compile("[\ufb00-\ufb06\u2e80-\u2fdf]")  # ligatures; the radicals that PDF fonts put for Chinese characters
FULL_WIDTH = {
    "en": re.compile("[\uff01-\uff5e\u3001\u3002]"),
    "zh": re.compile("[０-９Ａ-Ｚａ-ｚ％＋－／＝]|(?<=[0-9０-９])．(?=[0-9０-９])"),
}


def plain_characters(text: str, language: str, changes: list[str]) -> str:
    """Ligatures, invisible characters, blanks, full-width letters and quotes."""

    def narrow(found: re.Match[str]) -> str:
        char = {"\u3001": ",", "\u3002": "."}.get(found[0]) or unicodedata.normalize("NFKC", found[0])
        return char + " " if char in ",.;:!?" and found.string[found.end() : found.end() + 1].isalpha() else char

    text = change(r"(?<![A-Za-z])([\ufb00-\ufb06]) (?=[a-z])", r"\1", text, "blank after a ligature removed", changes)
    text = change(PRINTED_AS_ONE, lambda found: unicodedata.normalize("NFKC", found[0]), text, "ligature written out", changes)
    text = change(INVISIBLE, "", text, "invisible character removed", changes)
    text = change(FULL_WIDTH[language], narrow, text, "full-width character made plain", changes)
    if language == "en":
        text = change("(?<=[A-Za-z,])\u201c", ' "', text, "quote made plain", changes)
        text = change("\u201d(?=[A-Za-z])", '" ', text, "quote made plain", changes)
        text = change("[\u201c\u201d\u201e\u00ab\u00bb]", '"', text, "quote made plain", changes)
        text = change("[\u2018\u2019\u201a\u02bc`\u00b4]", "'", text, "quote made plain", changes)
    return change(CONTROL, " ", text, "blank made plain", changes).strip()


def change(pattern, new, text: str, what: str, changes: list[str]) -> str:
    """re.sub that writes down what it did: references, figure numbers, marks and credits one by one, the rest once a pattern."""
    shown: list[str] = []

    def note(found: re.Match[str]) -> str:
        put = new(found) if callable(new) else found.expand(new)
        if put != found[0]:
            old = found[0].replace(MARK, "").strip()
            now = put.replace(MARK, "").strip()
            shown.append((f": {old[:120]!r}" if old else "") + ("" if now in ("", old) else f" -> {now[:120]!r}"))
        return put

    text = re.sub(pattern, note, text)
    if shown and "removed" in what and what.split()[0] in ("cross", "figure", "panel", "credit"):
        changes.extend(what + old for old in shown)  # one by one: a person reads these
    elif shown:
        changes.append(what + shown[0] + (f" and {len(shown) - 1} more" if len(shown) > 1 else ""))
    return text


def one_pass(text: str, changes: list[str]) -> str:
    """Everything but the characters, once."""
    for pattern in CREDITS:
        text = change(pattern, MARK, text, "credit removed", changes)
    for pattern in LEADING:
        text = change(pattern, MARK, text, "figure number removed", changes)
    for rule in ENGLISH + CHINESE:
        pattern, put = (rule, MARK) if isinstance(rule, str) else rule
        text = change(pattern, put, text, "cross reference removed", changes)
    text = tidy(text)
    text = change(PANEL_MARKS, "", text, "panel mark removed", changes)
    for pattern, put, what in OCR:
        text = change(pattern, put, text, what, changes)
    return text.strip()


def tidy(text: str) -> str:
    """What stands around the MARKs reads as a sentence again."""
    if MARK not in text:
        return text
    for pattern, put in TIDY[:5]:
        text = re.sub(pattern, put, text)
    text = FIRST.sub(lambda found: found[1] + (" " if found[1][-1:] in (".", "!", "?") else "") + found[2].upper(), text)
    for pattern, put in TIDY[5:]:
        text = re.sub(pattern, put, text)
    return text


def clean(text: str, language: str) -> tuple[str, list[str]]:
    """A caption ("en" or "zh") -> the caption cleaned, and one short line per change. ValueError: another language.

    Cleaning its own output changes nothing. Medical words, decimals, acuities (20/200), units and dates stay as they are.
    """
    if language not in FULL_WIDTH:
        raise ValueError(f"language {language!r}: give en or zh")
    changes: list[str] = []
    if "\n" in text or "\r" in text:
        text = join_lines(text.splitlines(), language)
        changes.append("lines joined")
    text = plain = plain_characters(text, language, changes)
    kept = list(changes)
    for _ in range(MAX_PASSES):
        before, text = text, one_pass(text, changes)
        if text == before:
            return text, changes
    return plain, kept  # brackets in brackets in brackets: no caption, left as it is


def duplicates(texts: list[str]) -> list[int | None]:
    """For each text the index of the first that says the same, but for case, blanks and punctuation; None where it is the first.

    Texts without a word or number are nobody's duplicate. Signs that change a number (0.5, -3, 20/200) count.
    """
    first: dict[str, int] = {}
    found: list[int | None] = []
    for i, text in enumerate(texts):
        plain = unicodedata.normalize("NFKC", text).casefold()
        key = " ".join(re.findall(rf"[{HAN}]|(?:(?<!\w)[-+<>])?\d+(?:[./:]\d+)*|[^\W\d_{HAN}]+", plain))
        found.append(first.get(key) if key else None)
        if key:
            first.setdefault(key, i)
    return found
