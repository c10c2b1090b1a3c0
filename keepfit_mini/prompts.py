"""Categories -> prompts and expert descriptions (paper, section "Prompts").

What a category looks like is data: conditions.json holds the other names of each condition, its word stems, and what is
seen, without naming it. The wording is the project's own, from general knowledge; "source" says where to look it up.
"""

import json
import random
import re
from functools import cache
from pathlib import Path

from .config import InputError

TRAIN_TEMPLATE = "A {attribute} fundus photograph of {category}"  # no attribute: "A fundus photograph of ..."
TEST_TEMPLATE = "A fundus photograph of {category}"


@cache
def conditions() -> dict:
    """{name: {synonyms, descriptions, source; for mask_names also stems, modifiers}}: cached, not to be changed."""
    return json.loads(Path(__file__).with_name("conditions.json").read_text(encoding="utf-8"))


def _key(name: str) -> str:
    return re.sub(r"[-_\s]+", "", name).casefold()


@cache
def _index() -> dict:
    return {_key(name): canonical for canonical, c in conditions().items() for name in (canonical, *c["synonyms"])}


def find(category: str) -> str | None:
    """The canonical name of a name or synonym, whatever its case, hyphens, underscores, spaces; None if unknown."""
    return _index().get(_key(category))


def descriptions(category: str) -> list[str]:
    """What is seen in a photograph of the category: 3 to 6 phrases. Raises InputError if the category is unknown."""
    if find(category) is None:
        raise InputError(f'no expert description of {category!r}: use --prompts names, or add it to conditions.json')
    return list(conditions()[find(category)]["descriptions"])


def _readable(category: str) -> str:
    return re.sub(r"[_\s]+", " ", category).strip()


def training_prompt(category: str, attribute: str = "", rng: random.Random | None = None) -> str:
    """TRAIN_TEMPLATE with [CLS] drawn uniformly from the category's name, as given, and its descriptions.

    rng is a random.Random (None: Python's global one). A category that is not in conditions.json stands by its name.
    """
    choices = [_readable(category), *(descriptions(category) if find(category) else [])]
    filled = TRAIN_TEMPLATE.format(attribute=attribute, category=(rng or random).choice(choices))
    return " ".join(filled.split())


def class_prompts(category: str, prompts: str = "names") -> list[str]:
    """TEST_TEMPLATE filled: "names" with the name, "descriptions" with each description, "both" with each of them all.

    The class vector is the mean over this list. Raises InputError on another mode or an unknown category to describe.
    """
    if prompts not in ("names", "descriptions", "both"):
        raise InputError(f"prompts={prompts!r} is unknown: use names, descriptions or both")
    fillings = [] if prompts == "names" else descriptions(category)
    fillings += [] if prompts == "descriptions" else [_readable(category)]
    return [TEST_TEMPLATE.format(category=filling) for filling in fillings]


def is_excluded(categories: list[str], words: list[str]) -> bool:
    """True if any category contains any word or phrase (any case; underscores and hyphens are spaces).

    Parts of words count: "myop" leaves out "myopic maculopathy", and "normal" leaves out "abnormal pigment" too.
    """
    found, wanted = ([re.sub(r"[-_\s]+", " ", t).strip().casefold() for t in texts] for texts in (categories, words))
    return any(word in category for word in wanted if word for category in found)


# mask_names puts NOUN or ADJECTIVE where a name stood, then applies TIDY from top to bottom. In its patterns <N> is the
# NOUN, <END> what may follow a finished phrase, <VERB> a verb, <LINK> what ties the name to the words before it.
NOUN, ADJECTIVE = "\x00", "\x01"
DEGREES = ("mild", "moderate", "severe", "more", "very", "early", "late", "advanced", "suspected", "bilateral")
PARTS = {
    "N": NOUN,
    "END": r"(?=\s*(?:[.,;:()]|$|(?:in|of|on|at|with|and|or|but|since|for|from|by|to|as|after|which|the|there)\b))",
    "VERB": r"(?=\s+(?:is|are|was|were|has|have|had|can|may|(?:make|show|cause|hide|blur|obscure|appear)s?|made)\b)",
    "LINK": r"\b(?:(?:combined|associated|complicated) (?:with|by)|(?:due|secondary) to|(?:because )?of|caused by|with"
    r"|without|from|in|by|for)\s+(?:(?:the|an?)\s+)?",
}
TIDY = [
    (rf"\b(been|be|is|are|was|were|become|became)\s+{ADJECTIVE}<END>", r"\1 affected"),  # has been myopic since
    (ADJECTIVE, NOUN),
    (r"(?:\bnon-?\s*)?<N>(?:[\s,/-]*(?:and |or )?<N>)*", NOUN),
    (r"\b(has|have|had|shows?|showed|is|are|was|were)\s+<N><END>", r"\1 a change"),
    (r"(<LINK>)<N>\s*(?:and|or)\s+", r"\1"),  # with cataract and drusen -> with drusen
    (r"[,\s]*\b(?:and|or)\s+<N><END>", ""),  # drusen and cataract. -> drusen.
    (r"\s*<LINK><N>(?:<END>|<VERB>)", ""),  # hazy due to cataract. -> hazy.
    (r"(^|[.;:]\s+)<N>\s*(?:\w+ed (?:with|by)|with|and|causing|[.,;:])(?:\s+|$)", rf"\1{NOUN}"),  # Cataract with ...
    (r"(\w)\s+<N>(?:<END>|<VERB>)", rf"\1 {NOUN}change"),  # linear hemorrhage on -> linear change on
    (r"<N><VERB>", f"{NOUN}the change"),
    (r"<N>((?:the )?change)(?=\s+(?:are|were|have)\b)", rf"{NOUN}\1s"),
    (r"\b(a)n?\s+<N>\s*(?=[aeiou])", r"\1n "),
    (r"\b(a)n?\s+<N>\s*(?=[^\W_])", r"\1 "),
    (r"(?:^|(?<=\.\s))<N>[\s\0]*(\w)", lambda match: match[1].upper()),
    (NOUN, ""),
    (r"\(\s*\)", ""),
    (r"\s+(?=[.,;:)])", ""),
    (r"[,;:]\s*(?=[.,;:])|\.\s+(?=\.)|(?<=\()\s+|^[\s.,;:]+|\s+$", ""),
    (r"\s+", " "),
]
TIDY = [(re.compile(re.sub(r"<(\w+)>", lambda m: PARTS[m[1]], wrong), re.IGNORECASE), right) for wrong, right in TIDY]


@cache
def _name_pattern(categories: tuple[str, ...]) -> re.Pattern:
    """All names, stems and their word forms, with words of degree before them; "glued" is a noun without its space."""
    empty = {"synonyms": [], "stems": [], "modifiers": []}
    entries = [empty | conditions().get(find(c), {}) | {"name": find(c) or c} for c in categories if c.strip()]

    def pattern(texts):
        spaced = (r"[-_\s]*".join(map(re.escape, re.split(r"[-_\s]+", text.strip()))) for text in texts)
        return "(?:" + ("|".join(sorted(spaced, key=len, reverse=True)) or "(?!)") + ")"

    names = pattern({name for e in entries for name in (e["name"], *e["synonyms"])})
    stems = pattern({stem for e in entries for stem in e["stems"]})
    degrees = pattern({*DEGREES, *(word for e in entries for word in e["modifiers"])})
    forms = rf"\b{names}(?:e?s)?\b|\b\w*?{stems}\w*?(?:(?P<glued>eyes?|fundus)\b|\b)"
    return re.compile(rf"(?:\b{degrees}\s+)*(?:{forms})", re.IGNORECASE)


def mask_names(text: str, category: str, extra: tuple[str, ...] = ()) -> str:
    """The caption without the category's name, synonyms and their word forms, still to be read as a sentence.

    extra: further categories (with all their names) or words to remove. A caption that names none of them comes back
    unchanged, one that is nothing but a name comes back empty.
    """
    pattern = _name_pattern((category, *extra))

    def mark(match):
        name = match[0].removesuffix(match["glued"] or "").lower()
        return (ADJECTIVE if name.endswith(("ic", "ous", "ed")) else NOUN) + (match["glued"] or "")

    if pattern.search(text):
        text = re.sub(r"\s+", " ", text)  # as TIDY ends; and a page of blanks would take it minutes
    for _ in range(20):  # again: "lens [lens opacity] opacity" closes up to another name. A "change" would never end
        if not pattern.search(text):
            break
        text = pattern.sub(mark, text)
        for wrong, right in TIDY:
            text = wrong.sub(right, text)
    return text
