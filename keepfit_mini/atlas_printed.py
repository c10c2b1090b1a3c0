"""Paragraphs of a book -> its captions, put together over columns and pages, their languages apart (paper section 2.2, step 1).

A caption begins where a paragraph begins like "Figure 2-12"; what belongs to it besides is taken in turn. Not about: which
pictures a caption belongs to (atlas_layout.py), and what it says (atlas_captions.py).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from .atlas_blocks import Block, blocks_of, same_type, script_of
from .atlas_captions import caption_start, language_of, languages_of, normal_number, split_caption
from .atlas_pages import Page
from .boxes import Box, overlap
from .cleaning import join_lines

READABLE = 0.8  # a scanned caption that Tesseract is less certain of asks for a look
READABLE_ZH = 0.93  # its certainty of Chinese says less
READ_ON = "read on in the next column"
CONTINUED = re.compile(r"^\s*[(（\[]?\s*(?:continued|cont(?:inue)?d?\.?|续)\s*[)）\]]?\s*[.:。：,，]?\s*", re.I)


@dataclass
class PrintedCaption:
    """One caption as printed: its blocks (a second column, the next page) and its text in one language."""

    number: str
    language: str
    blocks: list[Block]
    text: str = ""
    notes: list[str] = field(default_factory=list)
    confidence: float = 1.0

    @property
    def page(self) -> int:
        return self.blocks[0].page

    def boxes(self, page: int) -> list[Box]:
        return [block.box for block in self.blocks if block.page == page]

    @property
    def letters(self) -> list[str]:
        return sorted(split_caption(self.text).texts)

    @property
    def own(self) -> bool:
        """A caption of one panel, "Figure 2-12B."."""
        return split_caption(self.text).own


def captions_of(pages: list[Page]) -> list[PrintedCaption]:
    """Every caption of the book, in order, whole: columns and page breaks mended, its languages apart."""
    blocks = {page.number: blocks_of(page) for page in pages}
    by_number = {page.number: page for page in pages}
    found: list[PrintedCaption] = []
    taken: set[int] = set()
    for number, here in blocks.items():
        starts = [block for block in here if caption_start(block.text)]
        for block in starts:
            caption = PrintedCaption("", "", [block])
            taken.add(id(block))
            _take_rest_of_title(caption, here, taken)
            _take_columns(caption, here, taken, _top_of_stack(block, starts))
            _take_panels(caption, here, taken)
            _take_lines_under_pictures(caption, here, starts, by_number[number], taken)
            if not is_label(_whole(caption.blocks)):
                found.append(caption)
        for caption in [c for c in found if c.page == number]:
            _take_other_language(caption, here, taken)
    for caption in found:
        if caption.page + 1 in blocks and _is_last(caption, blocks[caption.page], by_number[caption.page]):
            own_type = _own_type(caption, blocks, found, taken)
            _take_next_page(caption, blocks[caption.page + 1], by_number[caption.page + 1], taken, own_type)
    for caption in found:
        if READ_ON in caption.notes and not _own_type(caption, blocks, found, taken):
            caption.confidence = min(caption.confidence, 0.45)  # what went on may be the book's running text
    return _only_one_each([part for caption in found for part in _parts(caption)])


def is_label(text: str) -> bool:
    """ "Figure 2-1" and nothing else: it stands at a picture whose caption is elsewhere (or it is a running head)."""
    start = caption_start(text)
    return bool(start) and not start["panel"] and not text[start.end() :].strip()


def _whole(blocks: list[Block]) -> str:
    lines = [line.text for block in blocks for line in block.lines]
    return join_lines(lines, language_of("".join(lines)))


def _ended(text: str) -> bool:
    return text.rstrip()[-1:] in ".。!！?？)）"


def _below(caption: PrintedCaption, blocks: list[Block], taken: set[int]) -> Block | None:
    """The free block right under the caption's last one."""
    last = caption.blocks[-1].box
    under = [b for b in blocks if id(b) not in taken and b.box[1] > last[3] - 3 and overlap(last, b.box, 0) > 0.5]
    return min(under, key=lambda b: b.box[1], default=None)


def _take_rest_of_title(caption: PrintedCaption, blocks: list[Block], taken: set[int]) -> None:
    """ "FIGURE 2-12" alone, in large type or in the margin: its text is the block under or beside it."""
    text = caption.blocks[0].text
    start = caption_start(text)
    if text[start.end() :].strip():
        return
    box = caption.blocks[0].box
    beside = [b for b in blocks if id(b) not in taken and b.box[0] >= box[2] - 2 and abs(b.box[1] - box[1]) < box[3] - box[1]]
    under = _below(caption, blocks, taken)
    if under and under.box[1] - box[3] > 2 * caption.blocks[0].size or under and caption_start(under.text):
        under = None
    block = under or min(beside, key=lambda b: b.box[0], default=None)
    if block and not caption_start(block.text):
        caption.blocks.append(block)
        taken.add(id(block))


def _top_of_stack(block: Block, starts: list[Block]) -> float:
    """Where a figure's captions begin: the one in the other language may stand above, in the same column."""
    number = normal_number(caption_start(block.text)["number"])
    above = [
        b.box[1]
        for b in starts
        if normal_number(caption_start(b.text)["number"]) == number and overlap(b.box, block.box, 0) > 0.8
    ]
    return min(above)


def _take_columns(caption: PrintedCaption, blocks: list[Block], taken: set[int], top: float) -> None:
    """A caption that runs over columns: the next block starts at the height `top`, in the same type and width."""
    while True:
        last = caption.blocks[-1]
        box, own_top = last.box, caption.blocks[0].box[1]
        beside = [
            b
            for b in blocks
            if id(b) not in taken
            and b.box[0] > box[2] - 2
            and same_type(b.lines[0], last.lines[0])
            and min(abs(b.box[1] - top), abs(b.box[1] - own_top)) < 0.9 * last.size
            and not caption_start(b.text)
        ]
        block = min(beside, key=lambda b: (b.box[0] // 12, abs(b.box[1] - own_top)), default=None)
        if block is None:
            return
        text, width = block.text, box[2] - box[0]
        if {script_of(last.lines[-1].text), script_of(block.lines[0].text)} == {"zh", "en"}:
            return  # the second column of the other language's caption
        going_on = not _ended(_whole(caption.blocks)) or re.match(r"[a-z,;，；、。)]", text) or _next_mark(caption, text)
        balanced = abs(len(block.lines) - len(last.lines)) <= 1 and abs((block.box[2] - block.box[0]) - width) < 0.2 * width
        if not going_on and not balanced:
            return
        if not going_on:
            caption.notes.append(READ_ON)
            caption.confidence = min(caption.confidence, 0.7)
        caption.blocks.append(block)
        taken.add(id(block))


def _next_mark(caption: PrintedCaption, text: str) -> bool:
    """Does this text begin with the panel mark that the caption needs next?"""
    so_far = split_caption(_whole(caption.blocks)).texts
    match = re.match(
        r"\s*(?:[(（\[【]\s*([A-Ha-h])\s*[)）\]】,，、&–-]|([A-H])\s*[,，.．:：、–-]|([A-H])\s+(?:and|to|和|与)\s)", text
    )
    if not match:
        return False
    letter = (match[1] or match[2] or match[3]).upper()
    return letter == (chr(ord(max(so_far)) + 1) if so_far else "A")


def _take_panels(caption: PrintedCaption, blocks: list[Block], taken: set[int]) -> None:
    """Sub-captions as paragraphs of their own below: each begins with the mark that comes next."""
    while (block := _below(caption, blocks, taken)) is not None:
        near = block.box[1] - caption.blocks[-1].box[3] < 2.5 * block.size
        if not near or caption_start(block.text) or not _next_mark(caption, block.text):
            return
        caption.blocks.append(block)
        taken.add(id(block))


def _take_lines_under_pictures(
    caption: PrintedCaption, blocks: list[Block], starts: list[Block], page: Page, taken: set[int]
) -> None:
    """Each panel's text stands under its own picture ("A. Early", "B. Late"), the head with the number below all of them."""
    if split_caption(_whole(caption.blocks)).texts:
        return
    top = caption.blocks[0].box[1]
    floor = max((b.box[3] for b in starts if b.box[3] < top and overlap(b.box, caption.blocks[0].box, 0) > 0), default=0.0)
    marked: dict[str, Block] = {}
    free = [b for b in blocks if id(b) not in taken and floor <= b.box[1] < top and not caption_start(b.text)]
    level: list[float] = []  # where such texts begin: a picture that is less high than its neighbour ends higher
    for block in sorted(free, key=lambda b: not _right_under(b, page)):
        match = re.match(r"\s*[(（\[【]?\s*([A-Ha-h])\s*(?:[)）\]】,，.．:：、]|\s(?=[A-Z㐀-鿿])|(?=[㐀-鿿]))", block.text)
        if match and (_right_under(block, page) or any(abs(block.box[1] - y) < 3 for y in level)):
            marked.setdefault(match[1].upper(), block)
            level.append(block.box[1])
    letters = sorted(marked)
    if len(letters) > 1 and letters == [chr(ord("A") + i) for i in range(len(letters))]:
        caption.blocks += [marked[letter] for letter in letters]
        taken |= {id(block) for block in marked.values()}


def _right_under(block: Block, page: Page) -> bool:
    return any(-4 < block.box[1] - p.box[3] < 25 and overlap(block.box, p.box, 0) > 0.3 for p in page.pictures)


def _take_other_language(caption: PrintedCaption, blocks: list[Block], taken: set[int]) -> None:
    """A paragraph right under a caption in the other language, without a number of its own, is its translation."""
    block = _below(caption, blocks, taken)
    if block is None or caption_start(block.text) or block.box[1] - caption.blocks[-1].box[3] > 1.2 * block.size:
        return
    text = _whole(caption.blocks)
    if (
        language_of(block.text) == language_of(text)
        or len(languages_of(text)) > 1
        or abs(block.size - caption.blocks[0].size) > 1.6
    ):
        return
    caption.blocks.append(block)
    taken.add(id(block))


def _is_last(caption: PrintedCaption, blocks: list[Block], page: Page) -> bool:
    """Does nothing stand below this caption on its page?"""
    bottom = max(block.box[3] for block in caption.blocks)
    others = [b.box for b in blocks if b not in caption.blocks] + [picture.box for picture in page.pictures]
    return bottom > 0.6 * page.height and all(box[1] < bottom for box in others)


def _own_type(caption: PrintedCaption, blocks: dict[int, list[Block]], found: list[PrintedCaption], taken: set[int]) -> bool:
    """Is nothing but captions set in this size? Then what stands in it elsewhere is the rest of one."""
    line = caption.blocks[-1].lines[0]
    first = {id(min(here, key=lambda b: b.box[1])) for here in blocks.values() if here}
    others = sum(same_type(b.lines[0], line) for here in blocks.values() for b in here if id(b) not in taken | first)
    return others <= 0.1 * len(found)


def _take_next_page(caption: PrintedCaption, blocks: list[Block], page: Page, taken: set[int], own_type: bool) -> None:
    text = _whole(caption.blocks)
    free = [b for b in blocks if id(b) not in taken]
    block = min(free, key=lambda b: (round(b.box[1] / 8), b.box[0]), default=None)
    above = [p.box for p in page.pictures] + [b.box for b in blocks if b is not block]
    if block is None or any(box[3] < block.box[1] for box in above):
        return
    if same_type(block.lines[0], caption.blocks[-1].lines[0]) and (
        own_type or not _ended(text) or _next_mark(caption, block.text) or CONTINUED.match(block.text)
    ):
        caption.blocks.append(block)
        taken.add(id(block))
        caption.notes.append(f"continued on page {page.number}")
        while under := _below(caption, blocks, taken):  # sub-captions as paragraphs
            if not _next_mark(caption, under.text):
                return
            caption.blocks.append(under)
            taken.add(id(under))


def _parts(caption: PrintedCaption) -> list[PrintedCaption]:
    """One for each language of the printed caption."""
    parts, by_block = [], caption.blocks
    text = _whole(by_block)
    number = normal_number(caption_start(text)["number"])
    lines = [line for block in by_block for line in block.lines]
    quality = sum(line.quality * len(line.text) for line in lines) / sum(len(line.text) for line in lines)
    notes = list(caption.notes)
    if quality < READABLE:
        notes.append(f"read by Tesseract with {quality:.0%} certainty")
        quality *= 0.5
    for part in languages_of(text):
        if language_of(part) == "zh" and 0.5 < quality < READABLE_ZH:
            notes.append(f"Chinese read by Tesseract with {quality:.0%} certainty")
            quality *= 0.5
        parts.append(PrintedCaption(number, language_of(part), by_block, part, list(notes), min(caption.confidence, quality)))
    return parts


def _only_one_each(captions: list[PrintedCaption]) -> list[PrintedCaption]:
    """Of two captions of one number and language on a page, one is a sentence about the figure: keep the type of captions."""
    usual = Counter(round(c.blocks[0].size, 1) for c in captions).most_common(1)
    kept: dict[tuple, PrintedCaption] = {}
    for caption in captions:
        key = caption.number, caption.language, caption.page, (min(caption.letters) if caption.own else "")
        other = kept.get(key)
        if other is None or abs(caption.blocks[0].size - usual[0][0]) < abs(other.blocks[0].size - usual[0][0]):
            kept[key] = caption
    return list(kept.values())
