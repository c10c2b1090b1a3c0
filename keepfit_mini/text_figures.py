"""The paper's three pictures of its texts: frequent words, lengths, and vocabulary against length (section 2).

Each function returns a matplotlib Figure in the manner of viz.py. Chinese words need a font that has them (chinese_font);
without one they are left out, and the figure says so. Not about: what is counted, and how (text_statistics.py).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator, NullFormatter

from .config import InputError
from .fonts import chinese_fonts
from .text_statistics import DRAWS, PAPER, frequent_words, lengths, texts_of
from .viz import COLOURS, SHADES, SMALL, TINY, WIDTH, plain, wrap

NAMES = {"en": "English", "zh": "Chinese"}
COLOUR = {"en": COLOURS[1], "zh": COLOURS[0]}
NO_FONT = "Chinese words are left out: no font has them\n(pip install pylopdf-fonts-zh-cn)"


def chinese_font() -> FontProperties | None:
    """A font with Chinese characters (fonts.py), or None where there is none. For one text at a time."""
    try:
        return FontProperties(fname=chinese_fonts()["sans"])
    except InputError:
        return None


def sized(font: FontProperties | None, size: float) -> FontProperties:
    font = FontProperties() if font is None else font.copy()
    font.set_size(size)
    return font


def frequent_words_figure(frame: pd.DataFrame, n: int = 15) -> Figure:
    """The n words that stand most often, a row of panels a modality, English at the left and Chinese at the right.

    frame: a manifest with modality, text, text_zh. Stop words are left out (text_statistics.frequent_words).
    """
    panels = {(modality, language): frequent_words(texts, language, n) for modality, language, texts in texts_of(frame)}
    no_font = any(language == "zh" for _, language in panels) and chinese_font() is None
    if no_font:
        panels = {key: found for key, found in panels.items() if key[1] != "zh"}
    panels = {key: found for key, found in panels.items() if found}
    if not panels:
        return empty_figure(NO_FONT if no_font else "no words")
    modalities, languages = list(dict.fromkeys(m for m, _ in panels)), [x for x in NAMES if any(x == y for _, y in panels)]
    rows = [max(len(panels.get((modality, language), ())) for language in languages) for modality in modalities]
    high = [0.165 * count + 0.55 for count in rows]  # inches: the bars, title and axis
    figure = Figure((WIDTH if len(languages) > 1 else 0.62 * WIDTH, sum(high) + 0.3), layout="constrained")
    grid = figure.subplots(len(modalities), len(languages), squeeze=False, height_ratios=high)
    for modality, line, count in zip(modalities, grid, rows, strict=True):
        for language, axes in zip(languages, line, strict=True):
            found = panels.get((modality, language))
            if found is None:
                axes.set_axis_off()
                continue
            names, times = zip(*found, strict=True)
            axes.barh(range(len(found)), times, height=0.7, color=COLOUR[language])
            plain(axes, "x")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            font = sized(chinese_font() if language == "zh" else None, TINY)
            axes.set_yticks(range(len(found)), [shorten(name) for name in names], fontproperties=font)
            for place, k in enumerate(times):
                axes.text(k, place, f" {k:,}", va="center", fontsize=TINY)
            axes.set_ylim(count - 0.4, -0.6)
            axes.set_xlim(0, 1.14 * times[0])
            axes.set_title(wrap(f"{modality}, {NAMES[language]}", 40, 2), fontsize=SMALL, loc="left")
    title = "Most frequent words, without stop words" + (f"\n{NO_FONT}" if no_font else "")
    figure.suptitle(title, fontsize=SMALL, weight="bold")
    figure.supxlabel("times", fontsize=SMALL)
    return figure


def shorten(word: str, width: int = 22) -> str:
    return word if len(word) <= width else word[: width - 1] + "…"


def empty_figure(why: str) -> Figure:
    figure = Figure((WIDTH, 1))
    figure.text(0.5, 0.5, why, ha="center", va="center", fontsize=SMALL)
    return figure


def text_length_figure(frame: pd.DataFrame) -> Figure:
    """Words a caption on a log scale, one panel a modality, a histogram a language (its area is 1), medians dashed."""
    panels: dict[str, dict[str, np.ndarray]] = {}
    for modality, language, texts in texts_of(frame):
        counts = lengths(texts, language)
        panels.setdefault(modality, {})[language] = counts[counts > 0]  # nothing but signs has no place on a log scale
    panels = {m: {x: counts for x, counts in found.items() if len(counts)} for m, found in panels.items()}
    panels = {m: found for m, found in panels.items() if found}
    if not panels:
        return empty_figure("no words")
    every = np.concatenate([counts for found in panels.values() for counts in found.values()])
    edges = np.unique(np.round(np.geomspace(every.min(), every.max() + 1, 28))) - 0.5
    figure = Figure((WIDTH, 1.55 * len(panels) + 0.9), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (modality, found) in zip(grid, panels.items(), strict=True):
        for language, counts in found.items():
            # bins hold whole numbers of words, so that their widths differ: what is drawn is the share over the width
            share = np.histogram(counts, edges)[0] / len(counts) / np.diff(np.log2(edges))
            middle = np.median(counts)
            label = f"{NAMES[language]}: {len(counts):,} captions, median {middle:g}"
            axes.stairs(share, edges, fill=True, color=COLOUR[language], alpha=0.3)
            axes.stairs(share, edges, color=COLOUR[language], linewidth=1.4, label=label)
            axes.axvline(middle, color=COLOUR[language], linewidth=1.2, linestyle="--")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(wrap(modality, 60, 2), fontsize=SMALL, loc="left")
        axes.legend(fontsize=TINY, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderaxespad=0)
        plain(axes)
    steps = (1, 2, 5) if edges[-1] > 10 * edges[0] else (1, 1.5, 2, 3, 5, 7)
    ticks = [k * 10**p for p in range(6) for k in steps if edges[0] <= k * 10**p <= edges[-1] and k * 10**p % 1 == 0]
    grid[-1].set_xticks(ticks or [every.min()])
    grid[-1].set_xlabel("words in a caption, log scale (Chinese: known terms and single characters)"
                        if any("zh" in found for found in panels.values()) else "words in a caption, log scale",
                        fontsize=SMALL)  # fmt: skip
    figure.supylabel("density of captions\nper doubling of length", fontsize=SMALL)
    return figure


def vocabulary_figure(summary: pd.DataFrame, name: str = "this book") -> Figure:
    """Vocabulary against mean words: the rows of text_statistics.summary filled, HD-D as shade, the paper's sets hollow."""
    figure = Figure((WIDTH, 4.6))
    axes = figure.add_axes((0.085, 0.115, 0.74, 0.79))
    marks = [(words, vocabulary, label) for label, (words, vocabulary) in PAPER.items()]
    for words, vocabulary, _ in marks:
        axes.plot(words, vocabulary, "o", ms=9, mfc="none", mec="#444444", mew=1.3)
    shown = summary[(summary["mean_words"] > 0) & (summary["vocabulary"] > 0)]
    at = {"x": shown["mean_words"], "y": shown["vocabulary"], "s": 80, "edgecolor": "black"}
    axes.scatter(**at, color="#BBBBBB", zorder=3)  # grey stays where there are too few words for HD-D
    shade = shown["diversity"].to_numpy(float)
    if np.isfinite(shade).any():
        points = axes.scatter(**at, c=shade, cmap=SHADES, vmin=np.nanmin(shade) - 0.01, vmax=np.nanmax(shade) + 0.01, zorder=4)
        bar = figure.colorbar(points, cax=figure.add_axes((0.87, 0.115, 0.02, 0.79)))
        bar.set_label(f"lexical diversity HD-D ({DRAWS} words)", fontsize=SMALL)
        bar.ax.tick_params(labelsize=TINY)
    for (modality, language), row in shown.iterrows():
        marks.append((row["mean_words"], row["vocabulary"], wrap(f"{modality}-{language}", 24, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    x, y = (np.array([mark[i] for mark in marks], float) for i in (0, 1))
    axes.set_xlim(x.min() / 1.35, x.max() * 1.6)
    axes.set_ylim(y.min() / 1.35, y.max() * 1.5)
    for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_ticks([k * 10**p for p in range(6) for k in (1, 2, 3, 5) if ends[0] <= k * 10**p <= ends[1]])
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("mean words in a caption, log scale", fontsize=SMALL)
    axes.set_ylabel("vocabulary (different words), log scale", fontsize=SMALL)
    axes.set_title(wrap(f"filled: {name} · hollow: the paper's sets, read off its plot", 110, 1), fontsize=SMALL, loc="left")
    plain(axes, "both")
    place_labels(axes, marks, [i >= len(PAPER) for i in range(len(marks))])
    return figure


def place_labels(axes, marks: list[tuple[float, float, str]], bold: list[bool]) -> None:
    """A text beside each mark (x, y, text) that covers no other text or mark where there is room; a line leads to a far one."""
    axes.figure.draw_without_rendering()
    inside, points = axes.get_window_extent(), axes.transData.transform([mark[:2] for mark in marks])
    pixels = axes.figure.dpi / 72
    taken = [(x - 6 * pixels, y - 6 * pixels, x + 6 * pixels, y + 6 * pixels) for x, y in points]
    around = [(1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8)]
    offsets = [(far * dx, far * dy) for far in (9, 18, 30, 45, 62, 80) for dx, dy in around]
    for (x, y, label), point, heavy in sorted(zip(marks, points, bold, strict=True), key=lambda item: -len(item[0][2])):
        note = axes.annotate(label, (x, y), (0, 0), textcoords="offset points", fontsize=TINY,
                             weight="bold" if heavy else "normal", annotation_clip=False)  # fmt: skip
        best = None
        for dx, dy in offsets:
            place_note(note, dx, dy)
            box = note.get_window_extent().padded(1)
            out = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
            cost = 3 * out + sum(box.x0 < c and a < box.x1 and box.y0 < d and b < box.y1 for a, b, c, d in taken)
            if best is None or cost < best[0]:
                best = (cost, dx, dy)
            if cost == 0:
                break
        _, dx, dy = best
        place_note(note, dx, dy)
        box = note.get_window_extent()
        taken.append((box.x0, box.y0, box.x1, box.y1))
        if max(abs(dx), abs(dy)) > 12:
            end = axes.transData.inverted().transform(point + np.array([dx, dy]) * pixels)
            axes.plot([x, end[0]], [y, end[1]], color="#888888", linewidth=0.7, zorder=2)


def place_note(note, dx: float, dy: float) -> None:
    """An annotation `dx, dy` points from its mark, on the side to which it was moved."""
    note.set_position((dx, dy))
    note.set_ha("left" if dx > 0 else "right" if dx < 0 else "center")
    note.set_va("bottom" if dy > 0 else "top" if dy < 0 else "center")
