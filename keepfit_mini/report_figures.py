"""A study, its true report, the written one with findings right and wrong, and where the decoder looks for one word.

A stretch of a report takes the colour of the finding that it tells of, by report_findings.py; colours go with underlines, so that
they need not be told apart. The maps are weights of the last layer's cross-attention (paper section 3.4 shows none); the encoder
mixes patches before, so a map says which places were asked, not what the word is due to. Not about: scores (report_scores.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from torch import Tensor

from .config import InputError
from .fonts import chinese_fonts
from .phantom import Finding
from .pictures import fit_square, read_picture
from .report_findings import KINDS, WORDS, found, pieces, read_findings
from .report_generation import ReportModel, chosen_views, read_views, write_reports
from .report_vocabulary import BEGIN, CLOSES, HAN, TOKEN, tokens
from .studies import Study
from .text_figures import sized
from .viz import NOT_CLINICAL, SMALL, TINY, WIDTH

# What is said of a finding: colour, underline, in words.
STATES = {
    "right": ("#00664B", "", "right: finding, place and severity agree"),
    "half": ("#A86400", "--", "half right: the finding agrees, place or severity does not"),
    "wrong": ("#B3001B", ":", "wrong: in the written report alone"),
    "missed": ("#0061A8", "-", "missed: in the true report alone"),
}
PLAIN = ("#222222", "", "")
SHADED, HEAT = "#FFE9A8", "inferno"
SHOWN = 256  # pixels a side of a picture in the figure
MARGIN, GAP, HEAD, SCALE = 0.1, 0.08, 0.2, 0.75  # inches: the edge, between pictures, a line of a heading, room for the scale
LINE = 1.55  # a line of text, in sizes of its letters
DPI = 130  # as in viz.save: letters are hinted, so that lines fit best at one resolution
RULER = FigureCanvasAgg(Figure(dpi=DPI)).get_renderer()
ATOM = re.compile(rf"(?:[{HAN}]|[^\s{HAN}]+)[{re.escape(CLOSES)}]*")  # what no line end may part

Mark = tuple[int, int, str]  # of a text: begin, end, one of STATES
Lines = list[tuple[int, int]]  # of a text: begin and end of each


# ------------------------------------------------------------------------------------------------------ right and wrong


def judged(written: Sequence[Finding], true: Sequence[Finding]) -> tuple[list[str], list[str]]:
    """Findings written and true -> the state of each: "right", "half", "wrong" (written alone), "missed" (true alone).

    One true finding answers for one written: pairs that agree in all go first, then in name and place, name and severity, name.
    """
    said, truth = ["wrong"] * len(written), ["missed"] * len(true)
    for kind in ("exact", "place", "severity", "finding"):
        for i, one in enumerate(written):
            for j, other in enumerate(true):
                free = said[i] == "wrong" and truth[j] == "missed"
                if free and all(getattr(one, part) == getattr(other, part) for part in KINDS[kind]):
                    said[i] = truth[j] = "right" if kind == "exact" else "half"
    return said, truth


def lowered(text: str) -> str:
    """Lower case of the same length: `lower` makes two letters of some, and all places behind would move."""
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def marks(text: str, findings: Sequence[Finding], states: Sequence[str], language: str = "en") -> list[Mark]:
    """Which stretches of a report tell of these findings of it: a sentence, or its part where it names several.

    What is denied has no mark. A sentence that only goes on about a finding of another name ("it leaks") has none either."""
    words, found_marks, text = WORDS[language], [], lowered(text)
    begin = 0
    for end in [*(m.end() for m in re.finditer(words["sentence"], text)), len(text)]:
        sentence = text[begin:end]
        said = {finding.name for finding in read_findings(sentence, language)} & {finding.name for finding in findings}
        named = [one for one in found("finding", sentence, words) if one[2] in said]
        cuts, parts = [0], []
        for (start, *_), (after, *_) in zip([*pieces(sentence, named, words)][1:], named[1:], strict=True) if named else ():
            joint = re.search(words["clause"], sentence[start:after])  # "quadrant and" behind the place, say
            cuts.append(start + joint.start() if joint else start)
        for start, stop, (_, _, name) in zip(cuts, [*cuts[1:], len(sentence)], named, strict=False):
            places = {place for _, _, place in found("place", sentence[start:stop], words)}
            if parts and parts[-1][2] == name and not (places and parts[-1][3]):  # "bright dots, microaneurysms": one thing
                start, _, _, others = parts.pop()
                places |= others
            parts.append((start, stop, name, places))
        for start, stop, name, places in parts:
            same = [i for i, finding in enumerate(findings) if finding.name == name]
            best = next((i for i in same if findings[i].place in places), same[0])
            blank = len(sentence[start:stop]) - len(sentence[start:stop].lstrip())
            found_marks.append((begin + start + blank, begin + stop, states[best]))
        begin = end
    return found_marks


def compared(written: str, study: Study, language: str) -> tuple[list[Mark], list[Mark]]:
    """Marks of the written report and of the true one; none where the truth is not known.

    The truth is the study's findings if it has some (a drawn one), else what its report says."""
    report = study.report_in(language)
    if not report and not study.findings:
        return [], []
    findings, true = read_findings(written, language), study.findings or read_findings(report, language)
    said, truth = judged(findings, true)
    return marks(written, findings, said, language), marks(report, true, truth, language)


# ------------------------------------------------------------------------------------------------------------ attention


@torch.inference_mode()
def attention_maps(model: ReportModel, images: Sequence[Path], words: Sequence[int]) -> Tensor:
    """Pictures of a study and L word numbers of a report on it (no BEGIN) -> where the decoder looks before it says each word.

    (L,V,h,w), V views of chosen_views, 1 if the model joins them by their mean; the sum over V, h and w is 1. h and w are
    places of the encoder's last stage; a picture of other than square shape lies at the left and the top of its map.
    InputError: no picture, one that does not decode, no word, or more words than the model's limit.
    """
    if not images or not words:
        raise InputError(f"attention_maps: {len(images)} pictures and {len(words)} words: give one or more of each")
    if len(words) > model.config.limit:
        raise InputError(f"attention_maps: {len(words)} words, but the model's limit is {model.config.limit}: cut them")
    model.eval()
    device = next(model.parameters()).device
    pixels = read_views(chosen_views(images, model.config.views), model.model_config.image_size)
    memory, seen = model.encode(pixels.to(device).float() / 255, [len(pixels)])
    before = torch.tensor([[BEGIN, *words[:-1]]], device=device)  # the row of a word is the one that foretells it
    weights = model.decoder.attention(before, memory, seen)[0]  # (L, P)
    side = math.isqrt(model.patches)  # of square pictures
    return weights.unflatten(1, (-1, side, model.patches // side)).cpu()


def word_place(text: str, word: str | None, language: str) -> tuple[int, int]:
    """The first place of `word` in a report -> (number of its first token, how many). None: the first word of the first finding
    that stands there, one that is denied if there is no other, else the report's first. InputError: it does not stand there."""
    said = tokens(text)
    if word is not None:
        wanted = tokens(word)
        starts = [i for i in range(len(said) - len(wanted) + 1) if said[i : i + len(wanted)] == wanted]
        if not wanted or not starts:
            raise InputError(f"word {word[:80]!r} does not stand in the written report: give one of {text[:300]!r}")
        return starts[0], len(wanted)
    findings = read_findings(text, language)
    named = found("finding", lowered(text), WORDS[language])
    inside = marks(text, findings, ["right"] * len(findings), language)
    named = [one for one in named if any(begin <= one[0] < end for begin, end, _ in inside)] or named
    ends = [m.end() for m in TOKEN.finditer(lowered(text))]
    return (next(i for i, end in enumerate(ends) if end > named[0][0]) if named else 0), 1


# ----------------------------------------------------------------------------------------------------------- the figure


def report_figure(
    model: ReportModel, study: Study, text: str | None = None, word: str | None = None, language: str = "en"
) -> Figure:
    """Views with their phases, the map of one word over each, the true report and the written one, and what the colours mean.

    text  the written report; None: the model writes it by beam search
    word  of the written report (the first place where it stands); None: the first word of the first finding it names
    Maps share one scale, in multiples of an even share (1 / places); views joined by their mean have one map, shown over the
    middle view. Without a report and findings of the study nothing is coloured.
    InputError: a language that the model does not write, a word that does not stand in the report or stands beyond the model's
    limit, no font for Chinese, no picture or one that does not decode.
    """
    if language != model.config.language:
        raise InputError(f"report_figure: language {language!r}, but the model writes {model.config.language!r}: give that")
    if text is None:
        text = write_reports(model, [study.images], progress=False)[0][0]
    if word is not None and not tokens(text):
        raise InputError(f"word {word[:80]!r} does not stand in the written report, which is empty: leave the word out")
    font = FontProperties(fname=chinese_fonts()["sans"]) if language == "zh" else FontProperties()
    images = chosen_views(study.images, model.config.views)
    phases = chosen_views(study.phases, model.config.views) or [f"view {i}" for i in range(1, len(images) + 1)]
    maps, shaded, title = None, (0, 0), "Nothing is written: there is no word to look for"
    if tokens(text):
        maps, shaded, title = map_of(model, images, text, word, language)
    said, truth = compared(text, study, language)
    true = study.report_in(language) or "(no report)"
    columns = [(true, truth, (0, 0), "True report"), (text if text.strip() else "(no word)", said, shaded, "Written report")]
    key, key_marks = legend(bool(said or truth), known=bool(study.report_in(language) or study.findings))

    wide, size = (WIDTH - 4 * MARGIN) / 2, TINY + 1
    lines = [laid(report, wide, font, size) for report, *_ in columns]
    key_lines = laid(key, WIDTH - 2 * MARGIN, font, TINY)
    side = min(2.2, (WIDTH - 2 * MARGIN - SCALE - GAP * (len(images) - 1)) / len(images))
    second = HEAD + 0.05 + side + 0.15 + HEAD * (title.count("\n") + 1)  # where the maps begin, in inches from the top
    reports = second + (side + 0.15 if maps is not None else 0.05)
    below = reports + HEAD + 0.05 + LINE * size / 72 * max(map(len, lines)) + 0.15
    figure = Figure((WIDTH, below + LINE * TINY / 72 * len(key_lines) + 0.08), dpi=DPI)

    for i, (image, phase) in enumerate(zip(images, phases, strict=True)):
        left = MARGIN + i * (side + GAP)
        fits = laid(phase, side - 0.1, font, SMALL)
        heading(figure, phase if len(fits) == 1 else phase[: fits[0][1]] + "…", left, 0.05, font)
        show(figure, image, left, HEAD + 0.05, side)
    heading(figure, title, MARGIN, second - 0.03 - HEAD * (title.count("\n") + 1), font, weight="bold")
    if maps is not None:
        views = range(len(images)) if len(maps) == len(images) else [len(images) // 2]
        for view, one in zip(views, maps, strict=True):
            axes = show(figure, images[view], MARGIN + view * (side + GAP), second, side)
            heat = lay_over(axes, one, maps.max())
        place = MARGIN + (views[-1] + 1) * (side + GAP)
        high = figure.get_figheight()
        scale = figure.add_axes((place / WIDTH, 1 - (second + side) / high, 0.1 / WIDTH, side / high))
        figure.colorbar(heat, cax=scale)
        scale.set_ylabel("× an even share", fontsize=TINY)
        scale.tick_params(labelsize=TINY)
    for i, ((report, found_marks, shade, name), rows) in enumerate(zip(columns, lines, strict=True)):
        left = MARGIN + i * (wide + 2 * MARGIN)
        heading(figure, name, left, reports, font, weight="bold")
        draw_text(figure, report, rows, left, reports + HEAD + 0.05, font, size, found_marks, shade)
    draw_text(figure, key, key_lines, MARGIN, below, font, TINY, key_marks)
    return figure


def map_of(
    model: ReportModel, images: Sequence[Path], text: str, word: str | None, language: str
) -> tuple[np.ndarray, tuple[int, int], str]:
    """Maps of a word in multiples of an even share (V,h,w), where it stands in the text, and a title."""
    place, count = word_place(text, word, language)
    spans = [m.span() for m in TOKEN.finditer(lowered(text))]
    shaded = spans[place][0], spans[place + count - 1][1]
    if place >= model.config.limit:
        raise InputError(f"word {text[slice(*shaded)][:80]!r} first stands at token {place + 1} of the report, beyond the "
                         f"model's limit of {model.config.limit}: give one before it")  # fmt: skip
    maps = attention_maps(model, images, model.vocabulary.encode(text, place + 1)[0][1:-1])[place].numpy()
    title = f"Where the decoder looks before it writes “{text[slice(*shaded)][:60]}” (token {place + 1}; {maps.size} places)"
    if len(maps) < len(images):
        title += "\nThe views are joined by their mean: one map, shown over the middle one"
    return maps * maps.size, shaded, title


def legend(coloured: bool, known: bool) -> tuple[str, list[Mark]]:
    text, found_marks = "", []
    plain = "" if coloured else "No finding is named. " if known else "Nothing is right or wrong here: the truth is not known. "
    for state, (_, _, words) in STATES.items() if coloured else ():
        found_marks.append((len(text), len(text) + len(words), state))
        text += f"{words}    "
    return f"{text}{plain}Shaded: the word of the maps. {NOT_CLINICAL}", found_marks


def heading(figure: Figure, text: str, left: float, top: float, font: FontProperties, **look) -> None:
    x, y = left / WIDTH, 1 - top / figure.get_figheight()
    figure.text(x, y, text, fontproperties=sized(font, SMALL), va="top", parse_math=False, **look)


def show(figure: Figure, image: Path, left: float, top: float, side: float) -> Axes:
    """A picture as the model sees it, square, only finer."""
    high = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, 1 - (top + side) / high, side / WIDTH, side / high))
    pixels = fit_square(read_picture(image), SHOWN).permute(1, 2, 0).numpy()
    axes.imshow(pixels, extent=(0, 1, 1, 0), interpolation="bicubic")
    axes.set_axis_off()
    return axes


def lay_over(axes: Axes, one: np.ndarray, most: float) -> AxesImage:
    """A map (h,w) over a picture; few places keep their borders and get numbers."""
    few = one.size <= 16
    heat = axes.imshow(one, cmap=HEAT, vmin=0, vmax=most, alpha=0.5, extent=(0, 1, 1, 0),
                       interpolation="nearest" if few else "bilinear")  # fmt: skip
    for (i, j), value in np.ndenumerate(one) if few else ():
        place = (j + 0.5) / one.shape[1], (i + 0.5) / one.shape[0]
        box = {"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "pad": 1.5}
        axes.text(*place, f"{value:.1f}", ha="center", va="center", fontsize=TINY, color="white", bbox=box)
    return heat


# ------------------------------------------------------------------------------------------------------ text with colours


def advance(part: str, font: FontProperties, size: float) -> float:
    """How far a text moves the pen, in inches, blanks at its end included."""
    font = sized(font, size)
    whole, dot = (RULER.get_text_width_height_descent(end, font, ismath=False)[0] for end in (f"{part}.", "."))
    return (whole - dot) / DPI


def laid(text: str, width: float, font: FontProperties, size: float) -> Lines:
    """A text in lines of at most `width` inches; a word that is longer is parted."""
    lines: Lines = []
    for atom in ATOM.finditer(text):
        parts = [atom.span()]
        if advance(atom.group(), font, size) > width:
            parts = [(i, i + 1) for i in range(*parts[0])]
        for begin, end in parts:
            if lines and advance(text[lines[-1][0] : end], font, size) <= width:
                lines[-1] = (lines[-1][0], end)
            else:
                lines.append((begin, end))
    return lines


def draw_text(
    figure: Figure, text: str, lines: Lines, left: float, top: float, font: FontProperties, size: float,
    found_marks: Sequence[Mark] = (), shaded: tuple[int, int] = (0, 0),
) -> None:  # fmt: skip
    """Lines of `laid` from `top` inches on, marked stretches in the colours and underlines of STATES, `shaded` on a ground."""
    high, step = figure.get_figheight(), LINE * size / 72
    edges = {*shaded, *(edge for mark in found_marks for edge in mark[:2])}
    for number, (first, last) in enumerate(lines):
        y = 1 - (top + (number + 0.75) * step) / high  # of the letters' feet
        for begin, end in pairwise(sorted({first, last, *(edge for edge in edges if first < edge < last)})):
            colour, style, _ = STATES.get(next((state for b, e, state in found_marks if b <= begin < e), ""), PLAIN)
            ground = {"facecolor": SHADED, "edgecolor": "none", "pad": 1.2} if shaded[0] <= begin < shaded[1] else None
            for word in re.finditer(r"\S+", text[begin:end]):  # one by one: at other resolutions letters are wider
                x = (left + advance(text[first : begin + word.start()], font, size)) / WIDTH
                figure.text(x, y, word.group(), fontproperties=sized(font, size), color=colour, va="baseline",
                            parse_math=False, bbox=ground)  # fmt: skip
            if style:
                ends = [left + advance(text[first:place], font, size) for place in (begin, begin + len(text[begin:end].rstrip()))]
                under = y - 0.25 * step / high
                line = Line2D([place / WIDTH for place in ends], [under, under], color=colour, linestyle=style, linewidth=1)
                figure.add_artist(line)
