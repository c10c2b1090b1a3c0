"""Pictures of what goes in and what comes out: each function returns a matplotlib Figure and prints nothing.

Figures are 8 inches wide, to be read at the width of a page; the colours are Okabe and Ito's, told apart by the
colour-blind. Not about: computing what is shown.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle as Box
from matplotlib.ticker import NullFormatter

from .manifests import read_manifest
from .pictures import read_picture

WIDTH = 8.0  # inches
COLOURS = ("#D55E00", "#0072B2", "#666666", "#009E73", "#CC79A7", "#E69F00")
STYLES = ("-", "-", ":", "-.", "--", "-")
SHADES = "cividis"
NOT_CLINICAL = "A teaching model, not for clinical use."
SMALL, TINY = 9, 8


def save(figure: Figure, path: str | Path, dpi: int = 130) -> Path:
    """Write a PNG (or what the name ends in), aside and then renamed; folders are made as needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        figure.savefig(part, format=path.suffix.removeprefix(".") or "png", dpi=dpi)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def show_picture(axes, path: str | Path) -> None:
    """One picture file in bare axes; a small one is smoothed, as a screen would."""
    axes.imshow(read_picture(path).permute(1, 2, 0).numpy(), interpolation="bicubic")
    axes.set_axis_off()


def wrap(text: str, width: int, lines: int = 99) -> str:
    """Text in lines of at most `width` signs; what does not fit in `lines` ends in an ellipsis."""
    text = text.replace("$", r"\$")  # a person's text is no formula
    return textwrap.fill(text, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)


def named_colours(names: Sequence[str]) -> dict[str, str]:
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


# -------------------------------------------------------------------------------------------------- pictures and text


def predictions(images: Sequence[str | Path], probabilities: np.ndarray, classes: Sequence[str]) -> Figure:
    """Each photograph beside a bar for each class: N files, probabilities (N,C), C names."""
    probabilities = np.asarray(probabilities)
    high = max(1.7, 0.34 * len(classes) + 0.9)  # inches for one photograph
    figure = Figure((WIDTH, high * len(images) + 0.4), layout="constrained")
    axes = figure.subplots(len(images), 2, width_ratios=(1, 2.4), squeeze=False)
    for (photograph, bars), path, row in zip(axes, images, probabilities, strict=True):
        show_picture(photograph, path)
        photograph.set_title(wrap(Path(path).name, 30, 2), fontsize=SMALL)
        places = np.arange(len(classes))
        bars.barh(places, row, height=0.6, color=[COLOURS[1] if p == row.max() else "#B8C4CC" for p in row])
        bars.set_yticks(places, [wrap(name, 28, 2) for name in classes], fontsize=SMALL)
        bars.invert_yaxis()
        for place, p in zip(places, row, strict=True):
            bars.text(p + 0.015, place, f"{p:.2f}", va="center", fontsize=SMALL)
        bars.set_xlim(0, 1.12)
        bars.set_xticks([0, 0.25, 0.5, 0.75, 1])
        plain(bars, "x")
    axes[-1, 1].set_xlabel("probability among these classes (softmax of $s$ × cosine)", fontsize=SMALL)
    figure.supxlabel(NOT_CLINICAL, fontsize=TINY, color="#555555")
    return figure


def samples(manifest: pd.DataFrame | str | Path, count: int = 6, title: str = "", columns: int = 6) -> Figure:
    """Pictures of a manifest (its path, or the frame of manifests.read_manifest), the label or the caption under each.

    Labels come in turn, so that every category is seen before one is seen again; captions are taken from the top.
    """
    frame = manifest if isinstance(manifest, pd.DataFrame) else read_manifest(manifest)
    label = frame["labels"].map("; ".join)
    turn = label.groupby(label).cumcount() if label.any() else pd.Series(0, frame.index)
    order = pd.DataFrame({"turn": turn, "label": label}).sort_values(["turn", "label"], kind="stable").index[:count]
    texts = [label[i] or frame["text"][i] for i in order]
    columns = min(columns, len(texts))
    texts = [wrap(text, int(WIDTH * 14.5 / columns)) for text in texts]
    return picture_grid([frame["image"][i] for i in order], texts, columns, title)


def picture_grid(images: Sequence[str | Path], texts: Sequence[str], columns: int, title: str = "") -> Figure:
    """Pictures in rows with a wrapped text under each; a row is as high as its longest text asks."""
    rows = -(-len(images) // columns)
    side, line = WIDTH / columns - 0.12, 1.35 * TINY / 72  # inches: a picture's side, a line of text
    lines = [max(text.count("\n") + 1 for text in texts[r * columns : (r + 1) * columns]) for r in range(rows)]
    deep = [side + line * (0.9 + n) for n in lines]
    top = 0.08 + (0.2 * (title.count("\n") + 1) if title else 0)
    figure = Figure((WIDTH, top + sum(deep)))
    high = figure.get_figheight()
    if title:
        figure.text(0.06 / WIDTH, 1 - 0.04 / high, title, fontsize=SMALL, weight="bold", va="top")
    for i, (image, text) in enumerate(zip(images, texts, strict=True)):
        row, column = divmod(i, columns)
        left, upper = column * WIDTH / columns + 0.06, top + sum(deep[:row])
        axes = figure.add_axes((left / WIDTH, 1 - (upper + side) / high, side / WIDTH, side / high))
        show_picture(axes, image)
        figure.text(left / WIDTH, 1 - (upper + side + 0.05) / high, text, fontsize=TINY, va="top", linespacing=1.2)
    return figure


# --------------------------------------------------------------------------------------------------- what was learned


def training_curves(runs: Mapping[str, str | Path], smooth: int = 20) -> Figure:
    """metrics.jsonl of each run, by name: the three losses and the temperature over the steps.

    Thin lines are single steps, thick ones the mean of the `smooth` around them.
    """
    panels = {
        "public": "public loss $L_{pub}$\npictures and their labels' prompts",
        "expert": "expert loss $L_{exp}$\nexpert pictures and captions",
        "revision": "revision loss $L_{rev}$ (× 100 in the sum)\nprompt and what the experts would say",
        "temperature": "temperature $1/s$\ncosines are multiplied by $s$",
    }
    figure = Figure((WIDTH, 5.0), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True).ravel()
    for i, ((name, path), colour) in enumerate(zip(runs.items(), named_colours(list(runs)).values(), strict=True)):
        steps = pd.DataFrame([json.loads(line) for line in Path(path).read_text().splitlines()]).dropna(subset=["public"])
        steps["temperature"] = 1 / steps["scale"]
        for axes, part in zip(grid, panels, strict=True):
            if (steps[part] == 0).all():  # a loss that this variant does not have
                continue
            if part != "temperature":
                axes.plot(steps["step"], steps[part], color=colour, linewidth=0.6, alpha=0.25)
            mean = steps[part].rolling(smooth, min_periods=1, center=True).mean() if part != "temperature" else steps[part]
            axes.plot(steps["step"], mean, color=colour, linewidth=2, linestyle=STYLES[i % len(STYLES)], label=name)
    for axes, (part, title) in zip(grid, panels.items(), strict=True):
        axes.set_title(title, fontsize=SMALL)
        if part == "revision":
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())  # a decade or less would crowd the labels
        else:
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        plain(axes)
    for axes in grid[2:]:
        axes.set_xlabel("step", fontsize=SMALL)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def similarity_matrix(
    cosines: Mapping[str, np.ndarray], images: Sequence[str | Path], texts: Sequence[str], truth: Sequence[int] = ()
) -> Figure:
    """Cosines (N,C) of N pictures and C texts, one matrix a model, under the pictures.

    A picture is a column: its answer is the brightest cell (bold), `truth` (N,) gets a frame. Each model has its own shades.
    """
    side, step, left = 0.9 * (WIDTH - 1.9) / len(images), 0.36, 1.8  # inches: a picture, a text's row, the texts' names
    step = max(step, 0.17 * max(wrap(text, 24).count("\n") + 1 for text in texts))
    block = step * len(texts) + 0.34
    high = side + 0.1 + block * len(cosines) + (0.3 if len(truth) else 0.05)
    figure = Figure((WIDTH, high))
    cell = (WIDTH - left - 0.1) / len(images)
    for i, path in enumerate(images):
        place = ((left + i * cell + (cell - side) / 2) / WIDTH, 1 - (side + 0.04) / high, side / WIDTH, side / high)
        show_picture(figure.add_axes(place), path)
    for number, (name, matrix) in enumerate(cosines.items()):
        matrix = np.asarray(matrix, float)
        bottom = high - side - 0.1 - block * (number + 1)
        axes = figure.add_axes((left / WIDTH, bottom / high, cell * len(images) / WIDTH, step * len(texts) / high))
        axes.imshow(matrix.T, cmap=SHADES, aspect="auto")
        axes.set_yticks(range(len(texts)), [wrap(text, 24) for text in texts], fontsize=SMALL)
        axes.set_xticks([])
        axes.set_title(f"{name}: cosine of picture $V$ and class text $T$", fontsize=SMALL, loc="left", pad=4)
        middle = matrix.min() + 0.55 * np.ptp(matrix)
        for (i, j), value in np.ndenumerate(matrix):
            weight, colour = ("bold" if j == matrix[i].argmax() else "normal"), ("black" if value > middle else "white")
            axes.text(i, j, f"{value:.2f}", ha="center", va="center", fontsize=TINY, color=colour, weight=weight)
        for i, j in enumerate(truth):
            axes.add_patch(Box((i - 0.46, j - 0.45), 0.92, 0.9, fill=False, edgecolor=COLOURS[0], linewidth=2.5))
    if len(truth):
        key = "frame: the true class · bold: the answer, the highest of the column · brighter: higher"
        figure.text(left / WIDTH, 0.08 / high, key, fontsize=TINY, color="#444444")
    return figure


def attention(
    images: Sequence[str | Path], expert: pd.DataFrame, weights: np.ndarray, names: Sequence[str] = (), top: int = 3
) -> Figure:
    """Pictures at the left, and the `top` expert pairs (frame with image, text) of the most weight (N,M) beside each."""
    files, texts = [], []
    width = int(WIDTH * 14.5 / (top + 1))
    for i, path in enumerate(images):
        files.append(path)
        texts.append(wrap(f"unseen picture{': ' + names[i] if len(names) else ''}", width))
        for place in np.argsort(-weights[i], kind="stable")[:top]:
            pair = expert.iloc[place]
            share = weights[i, place] * len(expert)
            files.append(pair["image"])
            texts.append(f"weight {weights[i, place]:.4f}\n({share:.2f} × an even share)\n" + wrap(pair["text"], width))
    title = "Left: unseen picture. Right: the expert pairs of most weight (mean over heads; all sum to 1)"
    return picture_grid(files, texts, top + 1, title)


# ------------------------------------------------------------------------------------------------------------- scores


def confusion(matrix: np.ndarray | Mapping[str, np.ndarray], classes: Sequence[str], title: str = "") -> Figure:
    """Counts (C,C), rows are the truth; shade = share of the row. A mapping draws one matrix a name, side by side."""
    matrices = matrix if isinstance(matrix, Mapping) else {"": matrix}
    figure = Figure((WIDTH, 0.5 * len(classes) + 1.75), layout="constrained")
    grid = figure.subplots(1, len(matrices), sharey=True, squeeze=False)[0]
    names = [wrap(name, 14) for name in classes]
    below = TINY if len(matrices) * len(classes) < 8 else TINY - 0.5  # columns are narrow then
    for axes, (name, counts) in zip(grid, matrices.items(), strict=True):
        counts = np.asarray(counts)
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(share, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(counts):
            colour = "black" if share[i, j] > 0.55 else "white"
            axes.text(j, i, value, ha="center", va="center", fontsize=SMALL, color=colour)
        axes.set_xticks(range(len(classes)), names, fontsize=below)
        axes.set_yticks(range(len(classes)), names, fontsize=TINY)
        axes.set_xlabel("answered", fontsize=SMALL)
        axes.set_title(name, fontsize=SMALL)
    grid[0].set_ylabel("truth", fontsize=SMALL)
    if title:
        figure.suptitle(title, fontsize=SMALL, weight="bold")
    return figure


def results_bars(rows: Sequence[Mapping], metric: str = "aca") -> Figure:
    """Rows of results.json: one group a set, one bar a model, the line its 95% interval, the dash what guessing gives."""
    sets, models = (list(dict.fromkeys(row[key] for row in rows)) for key in ("dataset", "model"))
    colours, width = named_colours(models), 0.8 / len(models)
    figure = Figure((WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        place = sets.index(row["dataset"]) + width * (models.index(row["model"]) - (len(models) - 1) / 2)
        value, (low, high) = row["metrics"][metric], row["ci95"][metric]
        axes.bar(place, value, width * 0.92, color=colours[row["model"]], alpha=0.85)
        axes.plot([place, place], [low, high], color="black", linewidth=1.2)
        axes.text(place, 0.02, f"{value:.2f}", ha="center", fontsize=TINY, color="white", weight="bold")
        guess = 0.5 if metric == "auc" else 1 / len(row["classes"])
        axes.plot([place - width / 2, place + width / 2], [guess, guess], color="black", linewidth=1.2, linestyle=(0, (3, 2)))
    axes.set_xticks(range(len(sets)), sets, fontsize=SMALL)
    axes.set_ylim(0, 1.02)
    axes.set_title(f"{metric.upper()}, with 95% intervals; dashed: what guessing gives", fontsize=SMALL, loc="left")
    plain(axes)
    handles = [Box((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(handles, models, loc="outside upper center", ncols=len(models), fontsize=SMALL, frameon=False)
    return figure


# -------------------------------------------------------------------------------------------------- tables, verdicts

VERDICT_COLOURS = {"confirmed": COLOURS[1], "refuted": COLOURS[0], "cannot tell": COLOURS[2]}


def verdicts(rows: Sequence[Mapping]) -> Figure:
    """Every verdict as its effect and 95% interval, a claim a line; the paper's own difference as a diamond.

    rows  as claims.judge gives them, or results/claims.json holds them, of one kind of data
    """
    figure = Figure((WIDTH, 0.32 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        colour = VERDICT_COLOURS[row["verdict"]]
        axes.plot(row["interval"], [place, place], color=colour, lw=2)
        axes.plot(row["effect"], place, "o", color=colour, ms=5)
        if "paper" in row:
            axes.plot(row["paper"], place, "D", mfc="none", color="black", ms=5)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=TINY)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("difference in ACA, 95% interval (diamond: the paper's)")
    for verdict, colour in VERDICT_COLOURS.items():
        axes.plot([], [], "o-", color=colour, label=verdict)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL)
    plain(axes, "x")
    return figure


def curves(lines: Mapping[str, Mapping[float, Sequence[float]]], xlabel: str, ylabel: str = "ACA", log: bool = False) -> Figure:
    """Named lines of mean and standard deviation: {name: {x: values of the seeds}}."""
    figure = Figure((WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    for (name, points), colour, style in zip(lines.items(), COLOURS * 3, STYLES * 3, strict=False):
        x = sorted(points)
        mean, spread = (np.array([f(points[v]) for v in x]) for f in (np.mean, np.std))
        axes.plot(x, mean, style, marker="o", ms=4, color=colour, label=name)
        axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.15, lw=0)
    if log:
        axes.set_xscale("symlog", linthresh=1)
    ticks = sorted({x for points in lines.values() for x in points})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(frameon=False, fontsize=SMALL)
    plain(axes)
    return figure


def plain(axes, grid: str = "y") -> None:
    """No box, small ticks, a faint grid behind."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TINY)
    axes.grid(axis=grid, color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
