"""Boxes of a drawn atlas: set text, pictures with panel letters, a figure with its captions; each box knows its size.

Lengths are PostScript points (1/72 inch), y runs down. Text is broken into lines here and not by fpdf2, because a caption
may run over two columns or pages, be hyphenated by hand, and change fonts inside a word ("图5-3-1").
Not about: which rows make a figure, what a caption says, how figures fill pages (drawn_atlas.py).
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fpdf
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .config import InputError

PLACES = {  # where the caption stands, by how the pictures are arranged
    "single": ("under", "over", "left", "right", "columns", "continued", "pair"),
    "row": ("under", "over", "columns", "continued", "pair"),
    "grid": ("under", "over", "left", "right", "columns", "continued", "pair"),
    "composite": ("under", "over", "left", "right", "columns", "continued", "pair"),
}
LAYOUTS = tuple(f"{arrangement} {place}" for arrangement, places in PLACES.items() for place in places)
BILINGUAL = ("one after the other", "side by side", "facing pages", "one line")
LETTERS = ("none", "corner", "under", "near", "burnt")
WIDE = "\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"  # scripts that break between any two characters
CLOSING = "，。、；：！？）”’》．,.;:!?)"
LEADING = 1.22  # line height / type size


@cache
def chinese_fonts() -> dict[str, str]:
    """{"sans": file, "serif": file} of the package pylopdf_fonts_zh_cn, or of the system. InputError: neither is there."""
    spec = importlib.util.find_spec("pylopdf_fonts_zh_cn")
    if spec and spec.origin:
        files = {kind: Path(spec.origin).with_name(f"Noto{kind.title()}SC-Regular.otf") for kind in ("sans", "serif")}
        if all(file.is_file() for file in files.values()):
            return {kind: str(file) for kind, file in files.items()}
    from matplotlib.font_manager import findSystemFonts  # slow to import, and seldom needed

    found = sorted(file for kind in ("ttf", "otf") for file in findSystemFonts(fontext=kind))
    for pattern in (r"Noto\w*(CJK|SC)\W?\w*-Regular", "wqy-microhei", "wqy-zenhei"):
        if file := next((file for file in found if re.search(pattern, file)), None):
            return {"sans": file, "serif": file}
    raise InputError("no Chinese font here: install the package pylopdf-fonts-zh-cn, or Debian's fonts-noto-cjk or "
                     "fonts-wqy-microhei")  # fmt: skip


@dataclass(frozen=True)
class Type:
    """How text is set: a core font for Latin, "sans" or "serif" for Chinese, points, and whether lines are full."""

    latin: str = "Times"
    wide: str = "serif"
    size: float = 8.5
    justified: bool = False
    hyphens: bool = False
    italic: bool = False
    grey: int = 0


class Printer:
    """The PDF, and widths of words (each measured once). Each font file is read once, and only its used glyphs are kept."""

    def __init__(self, wide: bool):
        self.pdf = fpdf.FPDF(unit="pt")
        self.pdf.core_fonts_encoding = "windows-1252"  # Latin-1 lacks the dashes and quotes of print
        self.pdf.set_auto_page_break(False)
        self.pdf.set_margin(0)
        self.widths: dict[tuple[str, str, str], float] = {}
        self.families = []
        if wide:
            for kind, file in chinese_fonts().items():
                self.pdf.add_font(kind, fname=file)
                self.families.append(kind)

    def pieces(self, text: str, kind: Type, bold: bool = False) -> list[tuple[str, str, str]]:
        """Text -> (family, style, characters): what the core font lacks, and what stands with it, is set in the Chinese one."""
        style = ("B" if bold else "") + ("I" if kind.italic else "")
        result = []
        for part in re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", text):
            if re.search(f"[{WIDE}\u3000-\u303f]", part) or not encodes(part):
                if kind.wide not in self.families:
                    raise InputError(f"{part[:20]!r} needs a Chinese font, but this book is English: mend the text")
                missing = [c for c in part if ord(c) not in self.pdf.fonts[kind.wide].cmap]
                if missing:
                    raise InputError(f"the font has no character {missing[0]!r} (in {text[:40]!r}): mend the text")
                result.append((kind.wide, "", part))
            else:
                result.append((kind.latin, style, part))
        return result

    def width(self, text: str, kind: Type, bold: bool = False) -> float:
        total = 0.0
        for piece in self.pieces(text, kind, bold):
            if piece not in self.widths:
                self.pdf.set_font(piece[0], piece[1], 10)
                self.widths[piece] = self.pdf.get_string_width(piece[2]) / 10
            total += self.widths[piece]
        return total * kind.size

    def text(self, x: float, y: float, text: str, kind: Type, bold: bool = False) -> None:
        """One stretch of text whose line begins at x and whose top is y."""
        self.pdf.set_text_color(kind.grey)
        for family, style, part in self.pieces(text, kind, bold):
            self.pdf.set_font(family, style, kind.size)
            self.pdf.text(x, y + 0.95 * kind.size, part)
            x += self.widths.get((family, style, part), 0) * kind.size or self.pdf.get_string_width(part)


def encodes(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------- boxes


@dataclass
class Box:
    """Something with a size that can draw itself with its upper left corner at (x, y) of the current page."""

    width: float
    height: float
    draw: Callable[[Printer, float, float], Any]


def above(boxes: Sequence[Box], gap: float = 6) -> Box:
    """Boxes one under the other, left edges aligned."""

    def draw(printer, x, y):
        for box in boxes:
            box.draw(printer, x, y)
            y += box.height + gap

    return Box(max(box.width for box in boxes), sum(box.height for box in boxes) + gap * (len(boxes) - 1), draw)


def beside(boxes: Sequence[Box], gap: float = 10, middle: bool = False) -> Box:
    """Boxes one beside the other, tops (or middles) aligned."""
    height = max(box.height for box in boxes)

    def draw(printer, x, y):
        for box in boxes:
            box.draw(printer, x, y + (height - box.height) / 2 * middle)
            x += box.width + gap

    return Box(sum(box.width for box in boxes) + gap * (len(boxes) - 1), height, draw)


def centred(box: Box, width: float) -> Box:
    return Box(max(width, box.width), box.height, lambda printer, x, y: box.draw(printer, x + max(0, width - box.width) / 2, y))


# -------------------------------------------------------------------------------------------------------------- text

Words = list[tuple[str, bool, bool]]  # a word (or one Chinese character), whether bold, whether a space stands before it


def words(text: str, bold: int = 0) -> Words:
    """Text -> words between which a line may end; the first `bold` characters are bold."""
    result: Words = []
    for match in re.finditer(rf"[{WIDE}\u3000-\u303f]|[^\s{WIDE}\u3000-\u303f]+", text):
        word, start = match.group(), match.start()
        spaced = start > 0 and text[start - 1].isspace()
        if result and not spaced and (word[0] in CLOSING or result[-1][0][-1] in "（“《("):
            result[-1] = (result[-1][0] + word, *result[-1][1:])
        else:
            result.append((word, start < bold, spaced))
    return result


def set_lines(printer: Printer, text: str, width: float, kind: Type, bold: int = 0) -> list[Box]:
    """Text -> its lines, each a box as high as a line. Long words are hyphenated where kind.hyphens says so."""
    lines: list[tuple[Words, bool]] = []
    line: Words = []
    used, space = 0.0, printer.width(" ", kind)
    queue = words(text, bold)[::-1]
    while queue:
        word, strong, spaced = queue.pop()
        long = printer.width(word, kind, strong) + space * (spaced and bool(line))
        if used + long <= width or not line:
            line.append((word, strong, spaced))
            used += long
            continue
        if kind.hyphens and (cut := hyphen(printer, word, width - used - space * spaced, kind, strong)):
            line.append((word[:cut] + "-", strong, spaced))
            word, spaced = word[cut:], False
        lines.append((line, kind.justified))
        queue.append((word, strong, spaced))
        line, used = [], 0.0
    lines.append((line, False))
    return [line_box(printer, line, width, kind, full) for line, full in lines]


def hyphen(printer: Printer, word: str, room: float, kind: Type, bold: bool) -> int:
    """How many letters of a word fit in `room` points with a hyphen behind them; 0 where it may not be divided."""
    letters = re.match(r"[a-zA-Z]?[a-z]{7,}", word)
    if not letters:
        return 0
    for cut in range(letters.end() - 3, 2, -1):
        if re.match("[aeiouy][^aeiouy][aeiouy]", word[cut - 1:cut + 2]) and printer.width(word[:cut] + "-", kind, bold) <= room:
            return cut
    return 0


def line_box(printer: Printer, line: Words, width: float, kind: Type, full: bool) -> Box:
    space = printer.width(" ", kind)
    natural = sum(printer.width(word, kind, bold) + space * (spaced and i > 0) for i, (word, bold, spaced) in enumerate(line))
    extra = (width - natural) / max(1, len(line) - 1)
    full = full and 0 <= extra < 2 * kind.size
    stretches = [line[0]]
    for word, bold, spaced in line[1:]:  # what is set alike and not spread stays one string
        before = stretches[-1]
        if full or bold != before[1]:
            stretches.append((word, bold, spaced))
        else:
            stretches[-1] = (before[0] + " " * spaced + word, bold, before[2])

    def draw(printer, x, y):
        for i, (text, bold, spaced) in enumerate(stretches):
            x += space * (spaced and i > 0)
            printer.text(x, y, text, kind, bold)
            x += printer.width(text, kind, bold) + extra * full

    return Box(width, kind.size * LEADING, draw)


def paragraph(printer: Printer, text: str, width: float, kind: Type, bold: int = 0) -> Box:
    return above(set_lines(printer, text, width, kind, bold), 0)


def two_columns(lines: Sequence[Box], gap: float = 14) -> Box:
    half = -(-len(lines) // 2)
    return beside([above(part, 0) for part in (lines[:half], lines[half:]) if part], gap)


# ---------------------------------------------------------------------------------------------------------- pictures


@dataclass
class Panel:
    """One picture of a figure: its file, its letter (or ""), and its row of the truth, which learns its page when drawn."""

    file: Path
    letter: str
    truth: dict[str, Any]
    row: int = 0
    manifest: Path | None = None
    size: tuple[int, int] = field(default=(1, 1))

    def load(self) -> Image.Image:
        try:
            return Image.open(self.file).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{self.file.name} is no readable picture ({error}): mend it or delete the row",
                             self.manifest, self.row) from error  # fmt: skip


def packed(picture: Image.Image, jpeg: bool) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, "JPEG" if jpeg else "PNG", **({"quality": 93, "subsampling": 0} if jpeg else {}))
    return file


def burn(picture: Image.Image, letter: str, at: tuple[int, int], size: int) -> None:
    """A white letter on black into the pixels."""
    font = ImageFont.load_default(max(9, size))
    write = ImageDraw.Draw(picture)
    left, top, right, bottom = write.textbbox(at, letter, font=font)
    write.rectangle((at[0] - 1, at[1] - 1, right + 1, bottom + 1), fill=(0, 0, 0))
    write.text(at, letter, fill=(255, 255, 255), font=font)


def corner_letter(printer: Printer, letter: str, x: float, y: float, size: float) -> None:
    kind = Type("Helvetica", size=size, grey=255)
    printer.pdf.set_fill_color(0)
    printer.pdf.rect(x + 1.5, y + 1.5, size, size * 1.15, style="F")
    printer.text(x + 1.5 + (size - printer.width(letter, kind, True)) / 2, y + 1.5, letter, kind, True)


def one_picture(panel: Panel, width: float, letters: str, mark: float) -> Box:
    """A panel as a picture of its own. letters: one of LETTERS; mark: the letters' size."""
    height = width * panel.size[1] / panel.size[0]
    left, under = (mark + 3) * (letters == "near"), (mark + 3) * (letters == "under")

    def draw(printer, x, y):
        source = panel.load()
        if letters == "burnt":
            burn(source, panel.letter, (3, 3), round(panel.size[1] * min(0.2, mark / height)) + 3)
        plain = letters != "burnt" and panel.file.suffix.lower() in (".jpg", ".jpeg")
        printer.pdf.image(str(panel.file) if plain else packed(source, jpeg=False), x + left, y, width, height)
        kind = Type("Helvetica", size=mark)
        if letters == "near":
            printer.text(x, y, panel.letter, kind, True)
        elif letters == "under":
            printer.text(x + (width - printer.width(panel.letter, kind, True)) / 2, y + height + 2, panel.letter, kind, True)
        elif letters == "corner":
            corner_letter(printer, panel.letter, x, y, mark)
        panel.truth["page"] = printer.pdf.page_no()

    return Box(width + left, height + under, draw)


def in_rows(panels: Sequence[Panel], columns: int, width: float, letters: str, mark: float, gap: float) -> Box:
    """Separate pictures in rows of `columns` at most, all equally wide, together `width` wide."""
    wide = (width - gap * (columns - 1)) / columns - (mark + 3) * (letters == "near")
    boxes = [one_picture(panel, wide, letters, mark) for panel in panels]
    return above([beside(boxes[i:i + columns], gap) for i in range(0, len(boxes), columns)], gap)


def composite(panels: Sequence[Panel], columns: int, width: float, letters: str, mark: float, gutter: str, jpeg: bool) -> Box:
    """One embedded picture that holds all panels in equal cells. gutter: white, black or hairline (one pixel, white)."""
    wide, high = (max(panel.size[i] for panel in panels) for i in (0, 1))
    step = 1 if gutter == "hairline" else max(3, wide // 24)
    rows = -(-len(panels) // columns)
    size = (columns * wide + (columns - 1) * step, rows * high + (rows - 1) * step)
    height = width * size[1] / size[0]
    scale = width / size[0]
    corners = [((i % columns) * (wide + step), i // columns * (high + step)) for i in range(len(panels))]

    def draw(printer, x, y):
        sheet = Image.new("RGB", size, (0, 0, 0) if gutter == "black" else (255, 255, 255))
        for panel, (left, top) in zip(panels, corners, strict=True):
            sheet.paste(ImageOps.pad(panel.load(), (wide, high), color=(0, 0, 0)), (left, top))
            if letters == "burnt":
                burn(sheet, panel.letter, (left + 3, top + 3), round(high * min(0.2, mark / (high * scale))) + 3)
            panel.truth["page"] = printer.pdf.page_no()
        printer.pdf.image(packed(sheet, jpeg), x, y, width, height)
        if letters == "corner":
            for panel, (left, top) in zip(panels, corners, strict=True):
                corner_letter(printer, panel.letter, x + left * scale, y + top * scale, mark)

    return Box(width, height, draw)


def shape(arrangement: str, count: int, loose: bool, rng: np.random.Generator) -> int:
    """How many columns so many panels get; loose: a tall grid may be, too."""
    if arrangement in ("single", "row"):
        return count
    if arrangement == "composite" and count <= 3:
        return int(rng.choice([1, count])) if count == 2 else count
    tall = bool(rng.random() < 0.5) and loose
    return {2: 2, 4: 2, 5: 3, 6: 2 if tall else 3, 7: 4, 8: 2 if tall else 4}[count]


# ----------------------------------------------------------------------------------------------------- figures and pages

# How tight a book is: scale of the pictures, caption's size, which of COUNTS, whether there is room for anything else.
TIGHTNESS = ((1.0, 8.5, 0, True), (0.75, 8.0, 0, False), (0.7, 7.0, 1, False), (0.55, 6.3, 1, False), (0.42, 5.8, 1, False))
SENTENCES = {
    "en": ("Retinal imaging records the posterior pole in a single exposure.", "The pupil is dilated before photography.",
           "Dye is injected into a vein of the arm and reaches the eye within seconds.", "Comparison of both eyes is advised.",
           "Several views are taken, from the disc to the far periphery.", "Ageing changes the colour of the fundus.",
           "Late frames separate pooling from staining.", "Cross-sections show the depth of a lesion.",
           "Follow-up intervals depend on the stage and on the vision of the other eye.", "Poor fixation blurs the edges."),
    "zh": ("眼底照相可一次记录后极部全貌。", "检查前应充分散瞳。", "造影剂经肘前静脉注射，数秒后到达眼底。",
           "应双眼对比观察。", "由视盘至周边部分区拍摄。", "随年龄增长，眼底颜色可有改变。", "晚期像有助于鉴别着染与积存。",
           "断层扫描可显示病变深度。"),
}  # fmt: skip
OPENINGS = {"en": ("Figure {} shows how much a single view can tell. ", "As described below (Fig. {}), findings vary. "),
            "zh": ("图{}显示了典型表现。", "病变形态各异（图{}），需结合病史。")}  # fmt: skip
TITLES = {"en": ("Vessels of the Retina", "The Macula", "The Optic Nerve", "Media and Refraction", "The Periphery"),
          "zh": ("视网膜血管", "黄斑", "视神经", "屈光介质", "周边部")}  # fmt: skip


@dataclass
class Figure:
    """Pictures that share a caption, and how they are set."""

    number: str
    panels: list[Panel]
    arrangement: str
    place: str
    captions: str  # a language, or one of BILINGUAL
    columns: int
    letters: str
    style: dict[str, Any]
    printed: dict[str, tuple[str, int]]  # language -> caption with number and marks, and how many characters are bold
    seed: int
    chapter: int


def figure_parts(printer: Printer, figure: Figure, width: float, scale: float) -> tuple[Box, list[list[Box]], Box | None]:
    """A figure in so much width -> all that stands together, the lines of its captions, what goes to the facing page.

    For the place "continued" the first is the pictures alone: the pages decide where its lines break.
    """
    rng = np.random.default_rng(figure.seed)
    kind = figure.style["type"]
    near = figure.place in ("left", "right")
    share = {1: 0.55, 2: 0.72, 3: 0.9, 4: 1.0}.get(figure.columns, 1.0) * float(rng.uniform(0.85, 1)) * scale
    share = 0.48 * min(1.0, scale + 0.15) if near else min(1.0, share * 1.5) if figure.place == "pair" else share
    wide, side = width * share, width * (1 - 0.48) - 14
    gap, letter_size = max(4.0, 8 * scale), max(6.0, kind.size)
    if figure.arrangement == "composite":
        gutter, jpeg = ("white", "black", "hairline")[rng.integers(3)], bool(rng.random() < 0.5)
        pictures = composite(figure.panels, figure.columns, wide, figure.letters, letter_size, gutter, jpeg)
    else:
        pictures = in_rows(figure.panels, figure.columns, wide, figure.letters, letter_size, gap)
    side = width - pictures.width - 14 if near else side
    order = ["zh", "en"] if rng.random() < 0.6 else ["en", "zh"]
    order = [language for language in order if language in figure.printed]
    texts = [figure.printed[language] for language in order]
    if figure.captions == "one line" and len(texts) == 2:
        texts = [("  ".join(text for text, _ in texts), texts[0][1])]
    column = {"columns": (width - 14) / 2}.get(figure.place, side if near else width)
    if not texts:  # a picture without a caption
        return centred(pictures, width), [], None
    if figure.captions == "side by side" and len(texts) == 2:
        halves = [paragraph(printer, text, (width - 14) / 2, kind, bold) for text, bold in texts]
        stack = [centred(pictures, width), beside(halves, 14)]
        return above(stack[::-1] if figure.place == "over" else stack), [], None
    blocks = [set_lines(printer, text, column, kind, bold) for text, bold in texts]
    if figure.place == "continued":
        return centred(pictures, width), blocks, None
    if figure.place == "columns" and sum(map(len, blocks)) < 4:
        figure.place, blocks = "under", [set_lines(printer, text, width, kind, bold) for text, bold in texts]
    if figure.place == "columns":
        below = above([two_columns(lines) for lines in blocks], 5)
        return above([centred(pictures, width), below]), [], None
    other = above(blocks.pop(), 0) if figure.captions == "facing pages" and len(blocks) == 2 else None
    text = above([above(lines, 0) for lines in blocks], 5)
    if near:
        return beside([pictures, text] if figure.place == "right" else [text, pictures], 14), [], other
    stack = [centred(pictures, width), text]
    return above(stack[::-1] if figure.place == "over" else stack), [], other


@dataclass
class Page:
    """What lies on a page, and whether a caption of the page before goes on here (then no page may come between)."""

    items: list[tuple[Box, float, float]] = field(default_factory=list)
    chapter: int = 0
    goes_on: bool = False
    language: str = "en"
    title: bool = False


class Pages:
    """Fills pages with figures in order; whatever does not fit goes to the next page."""

    def __init__(self, printer: Printer, size: tuple[float, float], tight: int, seed: int):
        self.printer, self.size, self.tight = printer, size, tight
        self.rng = np.random.default_rng([seed, 22])
        self.scale, self.roomy = TIGHTNESS[tight][0], TIGHTNESS[tight][3]
        self.left, self.top, self.bottom = (54.0, 62.0, size[1] - 54) if self.roomy else (42.0, 46.0, size[1] - 40)
        self.width = size[0] - 2 * self.left
        self.gap = 20.0 if tight < 3 else 14.0
        self.pages: list[Page] = []
        self.y = self.bottom
        self.figure: Figure | None = None

    @property
    def room(self) -> float:
        return self.bottom - self.y

    def page(self, goes_on: bool = False, title: bool = False) -> None:
        self.pages.append(Page([], self.figure.chapter, goes_on, self.figure.style["body"], title))
        self.y = self.top

    def add(self, box: Box) -> None:
        self.pages[-1].items.append((box, self.left, self.y))
        self.y += box.height + self.gap

    def body(self, size: float = 10.5) -> Box:
        """A paragraph of running text; many name a figure, some begin with its name."""
        language, rng = self.figure.style["body"], self.rng
        several = rng.permutation(len(SENTENCES[language]))[: rng.integers(3, 7)]
        parts = [SENTENCES[language][k] for k in several]
        if rng.random() < 0.5:
            parts.insert(0, OPENINGS[language][rng.integers(2)].format(self.figure.number))
        text = (" " if language == "en" else "").join(part.strip() for part in parts)
        kind = Type("Times", "serif", size, justified=True, hyphens=True)
        return paragraph(self.printer, text, self.width, kind)

    def fill(self, keep: float) -> None:
        """Running text as long as `keep` points stay free under it."""
        while self.roomy:
            box = self.body()
            if box.height + self.gap > self.room - keep:
                return
            self.add(box)

    def chapter(self) -> None:
        language = self.figure.style["body"]
        name = TITLES[language][self.figure.chapter % len(TITLES[language])]
        text = f"Chapter {self.figure.chapter}: {name}" if language == "en" else f"第{self.figure.chapter}章 {name}"
        if self.roomy:
            self.page(title=True)
            self.y = self.top + self.size[1] * 0.25
            self.add(paragraph(self.printer, text, self.width, Type("Times", "serif", 26), len(text)))
            self.y = self.bottom
        else:
            box = paragraph(self.printer, text, self.width, Type("Times", "serif", 14), len(text))
            if self.room < box.height + 250:
                self.page()
            self.add(box)

    def place(self, figure: Figure, partner: Figure | None = None) -> None:
        """A figure, or two beside each other, on this page or the next."""
        new = self.figure is None or figure.chapter != self.figure.chapter
        self.figure = figure
        if new:
            self.chapter()
        if not new and self.roomy and self.rng.random() < 0.06:
            self.page()
            self.fill(0)
            self.y = self.bottom
        full = self.bottom - self.top
        for scale in (1.0, 0.85, 0.7, 0.55, 0.4):
            if partner is not None:
                half = (self.width - 24) / 2
                boxes = [figure_parts(self.printer, each, half, self.scale * scale)[0] for each in (figure, partner)]
                box, lines, other = beside(boxes, 24 + half - boxes[0].width), [], None
            else:
                box, lines, other = figure_parts(self.printer, figure, self.width, self.scale * scale)
            if max(box.height + sum(line.height for block in lines for line in block[:3]), other.height if other else 0) <= full:
                break
        else:
            if partner is not None:  # the captions are too long for half of a page's width
                figure.place = partner.place = "under"
                self.place(figure)
                self.place(partner)
                return
            if figure.place == "continued":
                raise InputError(f"figure {figure.number}: its pictures are too tall for a page; take others, or fewer a group")
            figure.place = "continued"  # its captions are longer than a page
            if len(figure.printed) == 2 and figure.captions != "one line":
                figure.captions = BILINGUAL[0]
            self.place(figure)
            return
        if lines:
            self.place_continued(figure, box, lines)
        else:
            if box.height > self.room:
                if self.rng.random() < 0.7:
                    self.fill(0)
                self.page()
            elif self.roomy and self.rng.random() < 0.35:
                self.fill(box.height + self.gap)
            framed = self.roomy and partner is None and other is None and self.rng.random() < 0.08
            self.add(framed_box(box) if framed else box)
        if other is not None:
            self.page(goes_on=True)
            self.add(other)
        for each in filter(None, (figure, partner)):
            for panel in each.panels:
                panel.truth |= {"layout": f"{each.arrangement} {each.place}", "captions": each.captions}

    def place_continued(self, figure: Figure, box: Box, blocks: list[list[Box]]) -> None:
        """Pictures and as many lines as fit at the foot of a page, the other lines at the head of the next."""
        lines = [line for i, block in enumerate(blocks) for line in ([spacer(5)] if i else []) + block]
        high, count = lines[0].height, len(lines)
        whole = box.height + 6 + sum(line.height for line in lines)
        if box.height + 6 + 2 * high > self.room:
            self.fill(0)
            self.page()
        if count < 3 or (whole <= self.room and not self.roomy):
            figure.place = "under"
            if whole > self.room:
                self.fill(0)
                self.page()
            self.add(above([box, above(lines, 0)]))
            return
        cut = min(int((self.room - box.height - 6) // high), count - 1)
        if self.roomy and cut == count - 1:
            cut = count // 2
            self.fill(box.height + 6 + cut * high + self.gap)
            self.y = self.bottom - box.height - 6 - cut * high
        self.add(above([box, above(lines[:cut], 0)]))
        while lines := lines[cut:]:
            self.page(goes_on=True)
            cut = int((self.bottom - self.top) // high)
            self.add(above(lines[:cut], 0))

    def place_all(self, figures: Sequence[Figure]) -> list[Page]:
        queue = list(figures)[::-1]
        while queue:
            figure = queue.pop()
            self.place(figure, queue.pop() if figure.place == "pair" else None)
        return self.pages

    def text_page(self) -> Page:
        """A page of running text only, not yet among the pages."""
        self.page()
        self.roomy, roomy = True, self.roomy
        self.fill(0)
        self.roomy = roomy
        return self.pages.pop()

    def print(self, page: Page, number: int, logo: Image.Image) -> None:
        """Draws a page with its running header, number, logo and line."""
        printer, pdf = self.printer, self.printer.pdf
        pdf.add_page(format=self.size)
        small = Type("Helvetica", "sans", 7.5, italic=True, grey=70)
        if not page.title:
            head = f"Atlas of the Fundus, Chapter {page.chapter}" if page.language == "en" else f"眼底图谱 第{page.chapter}章"
            top = self.top - 26
            pdf.image(logo, self.size[0] - self.left - 16, top - 8, 16, 16)
            printer.text(self.left, top, head, small)
            pdf.set_draw_color(150)
            pdf.set_line_width(0.5)
            pdf.line(self.left, top + 12, self.size[0] - self.left, top + 12)
        printer.text(self.size[0] / 2 - 8, self.bottom + 18, str(number + 36), small)  # a book's numbers do not begin at 1
        for box, x, y in page.items:
            box.draw(printer, x, y)


def spacer(height: float) -> Box:
    return Box(0, height, lambda printer, x, y: None)


def framed_box(box: Box) -> Box:
    """A thin frame around a figure."""

    def draw(printer, x, y):
        printer.pdf.set_draw_color(120)
        printer.pdf.set_line_width(0.6)
        printer.pdf.rect(x - 5, y - 5, box.width + 10, box.height + 10)
        box.draw(printer, x, y)

    return Box(box.width, box.height, draw)
