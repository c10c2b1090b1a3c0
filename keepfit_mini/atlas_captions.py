"""The grammar of an atlas caption: figure number, shared head, one text for each panel (paper section 2.2, step 2).

"FIGURE 2-12. Macular oedema. A, The reflex is lost. B and C, Late phase." becomes number 2-12, head "Macular oedema.", and
A -> "The reflex is lost.", B -> "Late phase.", C -> "Late phase." Nothing is guessed: what does not fit is said in `notes`.
Not about: where on the page a caption stands (atlas_layout.py), and what is cleaned out of it (cleaning.py).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from .atlas_marks import DASH, ENDS, MARK, Mark, blank_marks, credible, in_order, marks_of, trailing

NUMBER = rf"(?:\d{{1,3}}(?:\s?[{DASH}]\s?\d{{1,3}}){{1,3}}|\d{{1,3}}(?:[.·．]\d{{1,3}}){{0,3}})(?!\d)"
WORD = r"(?:supplementary\s+)?(?:figures?|figs?|plates?)\s*[.．]?|附?图|圖|彩图|图片"
# Right behind the number, or after a blank where no sentence begins: "Figure 3-1 A few drusen", "Figure 3-1 A 45-year-old man",
# "Figure 3-1 B-scan", "Figure 3-1 E. coli" name no panel.
_WORDS_OF_ITS_OWN = (r"[\w'’/-]|\.\s+(?-i:[a-z])|\s+\d+[\s-](?:years?|months?|weeks?|days?|hours?|discs?|disks?|mm|cm)\b"
                     r"|\s+(?!and\b|or\b|to\b|through\b)[a-z]")  # fmt: skip
_PANEL = rf"(?:(?P<panel>[A-Ha-h](?![\w'’])|(?<=\d)\s[A-Ha-h](?!{_WORDS_OF_ITS_OWN})))?"
# A caption begins a line: word, number, perhaps a panel's letter, and then something other than the rest of a word.
START = re.compile(rf"\s*[\[【(（<]?(?:{WORD})\s*(?P<number>{NUMBER}){_PANEL}(?P<end>\s*[.:：．。、,，|\])）】>—–-]*)\s*", re.I)
# "Figure 2-3 shows ...", "Fig. 4 and Fig. 5 ...", "图2-3所示 ...": a sentence about a figure, no caption of one.
MENTION = re.compile(
    r"(?:[,，;；]|and|or|to|through|is|are|was|were|has|have|shows?|showed|shown|illustrat\w+|demonstrat\w+|depict\w+|displays?|"
    r"presents?|gives?|provides?|represents?|reveals?|compares?|summari[sz]es?|lists?|contains?|explains?|in|on|of|for|from|with|"
    r"above|below|we|can|may|also|which|where|as|suggests?|indicates?|describes?|outlines?)\b"
    r"|[和与及或至到、]|所示|显示|中(?![心央度期等层部])|为|是|可见|展示|说明|给出|列出|的"
)
VERB = re.compile(r"(?:[a-z]{3,}s|[a-z]{3,}ed)\s+(?:a|an|the|that|this|these|how|what|both|two|three|several|some|in|by|as)\b")
LISTED = re.compile(r"(?:\.\s?){5,}\s*\d*\s*$|…{2,}\s*\d*\s*$")  # a line of a list of figures, with its page
# "... of dye. B, Vertical section": a panel's mark that is no part of a row A, B, C
LONELY = re.compile(r"[.。;；]\s*[(（\[【]?([A-Ha-h])[,，．:：、)）\]】]\s*[A-Z㐀-鿿]")
HAN = re.compile(r"[㐀-鿿豈-﫿]")


@dataclass
class Caption:
    """One printed caption, taken apart. texts: panel letter -> its own text, without the head; {} where it has no panels."""

    number: str
    language: str
    head: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)  # panels whose text may hold a neighbour's
    own: bool = False  # a caption of one panel: the letter belongs to the number, "Figure 2-12B."

    def full(self, panel: str) -> str:
        """The text of a panel with the shared head before it; the whole caption for a panel that it does not name."""
        if not self.texts:
            return self.head
        return joined(self.head, self.texts.get(panel, ""), self.language) if panel in self.texts else ""


def language_of(text: str) -> str:
    """ "zh" where Chinese characters carry the text (each counts as half a word), else "en"."""
    han, latin = len(HAN.findall(text)), len(re.findall(r"[A-Za-z]{2,}", text))
    return "zh" if han > latin else "en"


def joined(head: str, text: str, language: str) -> str:
    """Head and own text as one: a full stop where the head had none."""
    head, text = head.strip(), text.strip()
    if not head or not text:
        return head or text
    zh = language == "zh"
    if head[-1] in ",，;；:：、":
        head = head[:-1].rstrip() + ("。" if zh else ".")
    elif head[-1] not in ENDS:
        head += "。" if zh else "."
    return head + ("" if zh else " ") + text


def normal_number(number: str) -> str:
    """As printed, with one kind of dash and no blanks: "2 – 12" is 2-12, "12．4" is 12.4."""
    plain = re.sub(rf"[{DASH}]", "-", re.sub(r"\s", "", number)).replace("·", ".")
    return unicodedata.normalize("NFKC", plain)


def caption_start(text: str) -> re.Match | None:
    """The match of START where the text begins a caption; None where it begins a sentence about a figure, or anything else."""
    match = START.match(text)
    if not match or LISTED.search(text):
        return None
    rest, ended = text[match.end() :], match["end"].strip()
    marked = (
        MARK.match(text.lstrip(), match.start("panel")) or MARK.match(text, match.start("panel") + 1)
        if match["panel"]
        else MARK.match(rest)
    )
    if marked:
        return match
    bracket = re.match(r"\s*[\[【(（]", text) is not None
    if (
        re.match(r"\s*(?:figures|figs)\b", text, re.I)
        or ended[:1] in (",", "，")
        or ended[:1] in ")）]】"
        and ended
        and not bracket
    ):
        return None
    apart = (
        match[0][-1:].isspace() and HAN.match(rest) and not re.match(r"所?示|显示|展示|说明", rest)
    )  # "图3-1 可见 ..." is a caption, "图3-1可见 ..." is not
    if not ended and not apart and (MENTION.match(rest) or VERB.match(rest)):
        return None
    if ended and re.match(r"(?:shows?|illustrates?|demonstrates?|所示|显示)\b", rest):
        return None
    return match


def languages_of(text: str) -> list[str]:
    """A printed caption -> its parts, one a language: "图5-3-1 ... Fig. 5-3-1 ..." gives two.

    A further start counts only with the number of the first, in the other language; without one, a Chinese half followed by an
    English one (or the other way round) is parted where the fewest words end up on the wrong side."""
    first = caption_start(text)
    if not first:
        return [text]
    number, cuts = normal_number(first["number"]), [0]
    for match in re.finditer(rf"(?:{WORD})\s*{NUMBER}", text[first.end() :], re.I):
        at = first.end() + match.start()
        other = caption_start(text[at:])
        if other and normal_number(other["number"]) == number and language_of(text[cuts[-1] : at]) != language_of(text[at:]):
            cuts.append(at)
    if len(cuts) == 1 and (at := _turn(text, first.end())):
        cuts.append(at)
    return [text[a:b].strip() for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _turn(text: str, begin: int) -> int | None:
    """Where a caption changes its language for good, if it does."""
    tokens = [
        (m.start(), "zh" if HAN.match(m[0]) else "en") for m in re.finditer(r"[㐀-鿿豈-﫿]|[A-Za-z]?[a-z]{3,}", text[begin:])
    ]
    han, latin = (sum(kind == which for _, kind in tokens) for which in ("zh", "en"))
    if han < 4 or latin < 3:
        return None
    best, cut = len(tokens), 0
    for before, after in (("zh", "en"), ("en", "zh")):
        wrong = sum(kind == before for _, kind in tokens)  # everything on the right of the cut
        for i, (_, kind) in enumerate(tokens):
            if wrong < best:
                best, cut = wrong, i
            wrong += 1 if kind == after else -1
    if cut == 0 or best > 0.08 * min(han, latin) + 0.5:
        return None
    at, end = begin + tokens[cut][0], begin + tokens[cut - 1][0] + 1
    own = re.search(
        r"[\[【(（]?\b[A-Ha-h][)）\]】]?\s*[,，.．:：、]?\s*$", text[end:at]
    )  # "A. Early": the mark goes with its text
    if own:
        return end + own.start()
    sentence = max(text.rfind(stop, end, at) for stop in ".。;；")
    mark = re.search(
        r"[\[【(（]?[A-H](?:[,，.．:：)）]|\s)[^A-Za-z㐀-鿿]*$|[\[【(（A-Z]+[^\s㐀-鿿]*\s*$", text[end:at]
    )  # belongs to what follows
    if sentence >= 0:
        return sentence + 1
    return end + mark.start() if mark else at


def split_caption(text: str, pictures: int | None = None) -> Caption:
    """One printed caption of one language -> Caption. pictures: how many panels the figure has, where that is known."""
    start = caption_start(text)
    language = language_of(text)
    body = text[start.end() :] if start else text
    number = normal_number(start["number"]) if start else ""
    caption = Caption(number, language)
    run = in_order(marks_of(body))
    if run and not credible(run, body, pictures):
        run = []
    if start and start["panel"]:  # "Fig. 3 A and B, ..." begins with a mark; "Figure 2-12B. Late phase." is a panel's own caption
        with_letter = text[start.start("panel") :].lstrip()
        longer = in_order(marks_of(with_letter))
        if longer and longer[0].start == 0 and sum(len(mark.letters) for mark in longer) > 1:
            body, run = with_letter, longer
        else:
            caption.texts[start["panel"].strip().upper()], caption.own = body.strip(), True
            return caption
    if not run and pictures != 1:
        run = blank_marks(body, pictures)
    if not run:
        caption.head = body.strip()
        if lonely := LONELY.search(body):
            caption.notes.append(f"mark {lonely[1].upper()} stands alone")
            caption.doubtful = {lonely[1].upper()}
        return caption
    if trailing(run, body):
        _split_trailing(caption, run, body)
    else:
        _split_leading(caption, run, body)
    _notice_gaps(caption)
    return caption


def _split_leading(caption: Caption, run: list[Mark], body: str) -> None:
    caption.head = body[: run[0].start].strip()
    waiting: list[str] = []
    for mark, following in zip(run, [*run[1:], None], strict=True):
        own = body[mark.end : following.start if following else len(body)].strip()
        bare = re.sub(r"^(?:[,，、;；&]|and|和|与|及)+|(?:[,，、;；&]|\band|和|与|及)+$", "", own).strip()
        waiting += mark.letters
        if not bare and following:
            continue  # "A, B, Angiograms": both share what comes next
        if following and not following.strong and not following.bracketed:
            caption.doubtful |= {*waiting, *following.letters}
            caption.notes.append(f"mark {following.letters[0]} stands in mid-sentence")
        if following:
            own = re.sub(r"(?:[,，;；、]\s*(?:and|和|与|及)?|\s+and|\s*[|—–])\s*$", "", own).strip()
        for letter in waiting:
            caption.texts[letter] = joined(caption.texts.get(letter, ""), own, caption.language)
        if not own:
            caption.notes.append(f"panel {', '.join(waiting)} has no text")
            for letter in waiting:
                caption.texts.pop(letter, None)
        waiting = []


def _split_trailing(caption: Caption, run: list[Mark], body: str) -> None:
    at = 0
    for mark in run:
        own = re.sub(r"^\s*(?:[,，;；、.。]\s*)?(?:and\b|和|与|及)?\s*", "", body[at : mark.start]).strip()
        for letter in mark.letters:
            caption.texts[letter] = own
        at = mark.end
    rest = body[at:].strip(" .。;；,，")
    if rest:
        for letter in caption.texts:
            caption.texts[letter] = f"{caption.texts[letter]} {rest}".strip()
    sentences = [part for part in re.split(r"[.。;；]", body) if part.strip()]
    if rest or len(sentences) < len(run):  # "Early (A) and late (B) phase": what belongs to whom is a matter of grammar
        caption.doubtful |= set(caption.texts)
        caption.notes.append("marks follow their texts: see whether each text is whole")


def _notice_gaps(caption: Caption) -> None:
    letters = sorted(caption.texts)
    if letters == ["A"]:
        caption.notes.append("the only mark is A")
        caption.doubtful = {"A"}
    if not letters:
        return
    everything = [chr(c) for c in range(ord("A"), ord(letters[-1]) + 1)]
    for letter in everything:
        if letter not in caption.texts:
            before = max((other for other in letters if other < letter), default=None)
            caption.notes.append(f"no text for panel {letter}")
            caption.doubtful |= {before} if before else set(letters)  # its text may stand in the neighbour's, or in the head
