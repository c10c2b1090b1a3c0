"""Lines of a page -> paragraphs, running heads left out; and the letters that stand alone (paper section 2.2, step 1).

Not about: which paragraphs are captions (atlas_printed.py).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from .atlas_captions import HAN, NUMBER, WORD, caption_start, language_of, normal_number
from .atlas_pages import Line, Page
from .boxes import Box, overlap, union
from .cleaning import join_lines

EDGE = 0.12  # of the page's height: where running heads and page numbers stand
LETTER = re.compile(r"[\[(（【]?([A-Ha-hＡ-Ｈ])[\])）】.．,，:：]?$")
LABEL = re.compile(rf"\s*(?:{WORD})?\s*(?P<number>{NUMBER})\s*[.:．：]?\s*", re.I)
# "... Same eye as" and "(see" go on with a figure's number on the next line, which begins no caption.
REFERS = re.compile(r"(?:\b(?:as|see|in|to|of|with|from|and|or|than|cf\.?|compare)|[(（\[]|[与和及同见如])$", re.I)


@dataclass
class Block:
    """A paragraph: lines under one another, of one size."""

    lines: list[Line]
    page: int

    @property
    def box(self) -> Box:
        return union([line.box for line in self.lines])

    @property
    def size(self) -> float:
        return Counter(line.size for line in self.lines for _ in line.text).most_common(1)[0][0]

    @property
    def text(self) -> str:
        return join_lines([line.text for line in self.lines], language_of("".join(line.text for line in self.lines)))


def drop_running_lines(pages: list[Page]) -> None:
    """Take out running heads, feet and page numbers: what stands at the same height near the edge of several pages.

    Not a line that goes on with the paragraph above it: captions that end alike at the foot are no running feet."""

    def key(line: Line, page: Page):
        where = "top" if line.box[1] < EDGE * page.height else "foot" if line.box[3] > (1 - EDGE) * page.height else None
        return where and (where, round(line.box[1] / 6), re.sub(r"\d+", "#", line.text))

    seen = Counter(k for page in pages for k in {key(line, page) for line in page.lines} if k)
    enough = max(3 if len(pages) >= 6 else 2, len(pages) // 20)
    for page in pages:
        kept: list[Line] = []
        for line in page.lines:
            k = key(line, page)
            goes_on = any(_follows(Block([above], page.number), line) is not None for above in kept)
            alone = k and re.fullmatch(r"[\s\-–—·|•第页]*(?:\d{1,4}|[ivxlc]{1,6})[\s\-–—·|•第页]*", line.text)
            if LETTER.match(line.text) or not alone and not (
                k and seen[k] >= enough and not goes_on and not caption_start(line.text)
            ):
                kept.append(line)
        page.lines = kept


def blocks_of(page: Page) -> list[Block]:
    """Lines -> paragraphs. A line joins the block whose last line stands right above it; a caption's start begins a block."""
    blocks: list[Block] = []
    for line in whole_lines(page.lines):
        if LETTER.match(line.text):
            continue  # a panel's letter, not a word: printed_letters
        best, least = None, None
        begins = caption_start(line.text)
        for block in blocks:
            gap = _follows(block, line)
            if gap is not None and (least is None or gap < least) and not (begins and not REFERS.search(block.lines[-1].text)):
                best, least = block, gap
        if best is None:
            blocks.append(Block([line], page.number))
        else:
            best.lines.append(line)
    return blocks


def whole_lines(lines: list[Line]) -> list[Line]:
    """Lines from top to bottom; fragments on one base line with a word's gap between (a bold number drawn last) are one."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda line: (line.box[0], line.box[1])):
        for before in kept:
            high = min(before.box[3] - before.box[1], line.box[3] - line.box[1])
            level = abs(before.box[3] - line.box[3]) < 0.3 * high
            if (
                level
                and -0.2 * high < line.box[0] - before.box[2] < 0.6 * high
                and not (LETTER.match(before.text) and LETTER.match(line.text))
            ):
                before.text, before.box = f"{before.text} {line.text}", union([before.box, line.box])
                before.size = before.size if len(before.text) > 2 * len(line.text) else line.size
                break
        else:
            kept.append(replace(line))
    return sorted(kept, key=lambda line: (line.box[1], line.box[0]))


def same_type(a: Line, b: Line) -> bool:
    """Are two lines set in one size? A scan's lines are measured, and measured roughly."""
    share = 1.07 if a.quality == b.quality == 1 else 1.35
    return max(a.size, b.size) <= share * min(a.size, b.size) + 0.05


def _follows(block: Block, line: Line) -> float | None:
    """The white between a block's last line and this one, where it can be its next line; else None."""
    last = block.lines[-1]
    if not same_type(last, line):
        return None
    size = max(last.size, 1.0)
    step = _middle(line.box) - _middle(last.box)
    if not 0.5 * size < step < 2.1 * size:
        return None
    if len(block.lines) > 1:
        usual = _middle(last.box) - _middle(block.lines[-2].box)
        if step > 1.3 * usual:
            return None
    if {script_of(last.text), script_of(line.text)} == {"zh", "en"}:
        return None
    box = block.box
    centred = abs(box[0] + box[2] - line.box[0] - line.box[2]) < 2 * size
    if overlap(box, line.box, 0) < 0.5 or line.box[0] < box[0] - 3 * size and not centred:
        return None
    return step


def script_of(text: str) -> str:
    """ "zh" or "en" where a line is all of one, "" where it holds both or neither."""
    han, latin = len(HAN.findall(text)), len(re.findall(r"[A-Za-z]{3,}", text))
    return "zh" if han and not latin else "en" if latin and not han else ""


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def printed_numbers(page: Page, numbers: set[str]) -> list[tuple[str, Box]]:
    """Numbers of figures that stand alone, at pictures whose captions are elsewhere on the page: "2-1", "Fig. 2-1"."""
    found = [(LABEL.fullmatch(line.text), line.box) for line in whole_lines(page.lines)]
    named = [(normal_number(match["number"]), box) for match, box in found if match]
    return [(number, box) for number, box in named if number in numbers]


def printed_letters(page: Page) -> list[tuple[str, Box]]:
    """Letters that stand alone: A, (b), C. ..."""
    found = [(LETTER.match(line.text), line.box) for line in whole_lines(page.lines)]
    wide = {ord(c): ord(c) - 0xFEE0 for c in "ＡＢＣＤＥＦＧＨ"}
    return [(match[1].translate(wide).upper(), box) for match, box in found if match]
