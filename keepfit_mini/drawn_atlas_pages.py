"""Pages of a drawn atlas: figures fill them in order, with chapters, running text and headers around; scans of them.

Lengths are points. Not about: what a figure looks like (drawn_atlas_layouts.py), which pictures it holds (drawn_atlas_plan.py).
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import fpdf
import numpy as np
import pypdfium2
from PIL import Image, ImageDraw
from tqdm.auto import tqdm

from .config import InputError
from .drawn_atlas_layouts import BILINGUAL, TIGHTNESS, Figure, figure_parts
from .drawn_atlas_type import Box, Printer, Type, above, beside, framed_box, paragraph, spacer

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


def logo_picture() -> Image.Image:
    """A small eye, on every page."""
    logo = Image.new("RGB", (48, 48), (255, 255, 255))
    write = ImageDraw.Draw(logo)
    write.ellipse((2, 12, 46, 36), outline=(30, 70, 120), width=4)
    write.ellipse((16, 16, 32, 32), fill=(30, 70, 120))
    return logo


def scanned(printed: bytes, seed: int, progress: bool) -> bytes:
    """A PDF -> the same pages as pictures: 200 dpi, turned by at most half a degree, noise, JPEG; no text layer."""
    rng = np.random.default_rng([seed, 23])
    source = pypdfium2.PdfDocument(printed)
    result = fpdf.FPDF(unit="pt")
    result.set_auto_page_break(False)
    result.set_margin(0)
    for page in tqdm(source, total=len(source), desc="scanning", unit="page", disable=not progress):
        picture = page.render(scale=200 / 72).to_pil().convert("RGB")
        picture = picture.rotate(float(rng.uniform(-0.5, 0.5)), Image.BICUBIC, fillcolor=(255, 255, 255))
        pixels = np.asarray(picture, np.float32) * 0.97 + 4
        pixels += rng.standard_normal(pixels.shape[:2], np.float32)[..., None] * 3
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
        result.add_page(format=page.get_size())
        result.image(file, 0, 0, *page.get_size())
    source.close()
    result.set_creation_date(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    return bytes(result.output())
