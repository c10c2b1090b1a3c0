"""One picture that holds several panels -> the panels (paper section 2.2, step 1: sub-figures).

The caption says how many there are. Every way to set that many in rows is tried (2 x 3; 3 over 2, with smaller or with larger
pictures below); a white, black or grey line of one colour between cells, or a sharp edge from top to bottom, speaks for it,
cells much longer than wide speak against it.
Not about: which caption (atlas_layout.py) and which text (atlas_captions.py).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

Cell = tuple[int, int, int, int]  # left, top, right, bottom in pixels

WINDOW = 0.17  # of a cell: how far a line may lie from where equal cells would put it
SURE = 0.6  # a grid of this score is taken; below it the cut is flagged
EVEN = 6.0  # grey levels: a line that varies less is of one colour; the noise of a scan varies more
LONGEST = 2.6  # a panel is seldom longer, in widths


def cut_panels(image: Image.Image, count: int) -> tuple[list[Cell], float]:
    """-> `count` cells row by row, and how sure the cut is (0 to 1). count 1: the whole picture."""
    width, height = image.size
    if count < 2:
        return [(0, 0, width, height)], 1.0
    scale = min(1.0, 1400 / max(width, height))
    small = image if scale == 1 else image.resize((round(width * scale), round(height * scale)), Image.BOX)
    grey = np.asarray(small.convert("L"), np.float32)
    tried = [found for rows, fill in grids(count) if (found := _grid(grey, rows, fill))]
    if not tried:
        return [], 0.0
    tried.sort(key=lambda found: -found[1])
    cells, score = tried[0]
    if len(tried) > 1 and tried[1][1] > 0.85 * score:
        score = min(score, SURE - 0.05)  # two grids fit alike
    score = float(score) * min(1.0, float(grey.std()) / 8)  # where there is nothing to see, nothing parts it
    return [tuple(round(v / scale) for v in cell) for cell in cells], score


def white_line(image: Image.Image) -> bool:
    """Does a line of paper part the picture from side to side, a panel's size on either side? Then it holds several panels."""
    grey = np.asarray(image.convert("L"), np.float32)
    for axis in (0, 1):
        low, high = np.percentile(grey, [4, 96], axis=axis)
        paper = (low > 245) & (high - low < EVEN)  # of one colour, and white: a bright layer of a scan is neither
        fifth = len(paper) // 5
        middle = np.flatnonzero(paper[fifth : len(paper) - fifth])
        if middle.size and not paper[:fifth].all() and not paper[-fifth:].all():
            return True
    return False


def grids(count: int) -> list[tuple[tuple[int, ...], bool]]:
    """Panels in each row, and whether a shorter row fills the width with larger ones.

    3 -> (3,), (2, 1), (2, 1) and (1, 2) filled, (1, 1, 1)."""
    found = []
    for rows in range(1, min(count, 6) + 1):
        columns = -(-count // rows)
        rest = count - (rows - 1) * columns
        if columns <= 6 and rest >= 1:
            last_short, first_short = (columns,) * (rows - 1) + (rest,), (rest,) + (columns,) * (rows - 1)
            found += [(last_short, False)]
            found += [(last_short, True), (first_short, True)] if rest < columns else []
    return found


def _grid(grey: np.ndarray, rows: tuple[int, ...], fill: bool) -> tuple[list[Cell], float] | None:
    height, width = grey.shape
    columns = max(rows)
    if height // len(rows) < 12 or width // columns < 12:
        return None
    cells, evidence = [], []
    lines = _cuts(grey.T, [1 / members if fill else 1.0 for members in rows])
    evidence += [score for _, _, score in lines]
    edges = [0, *[v for a, b, _ in lines for v in (a, b)], height]
    for r, members in enumerate(rows):
        top, bottom = edges[2 * r], edges[2 * r + 1]
        band = grey[top:bottom]
        left, right = (0, width) if members == columns or fill else _last_row(band, members, columns)
        if bottom - top < 10 or right - left < 10 * members:
            return None
        if right - left < width:  # a picture outside the row's cells speaks against it
            low, high = np.percentile(band, [2, 98], axis=0)
            busy = high - low > 30
            evidence.append(1 - float(busy[:left].sum() + busy[right:].sum()) / (width - right + left))
        between = _cuts(band[:, left:right], [1.0] * members)
        evidence += [score for _, _, score in between]
        sides = [0, *[v for a, b, _ in between for v in (a, b)], right - left]
        cells += [(left + sides[2 * c], top, left + sides[2 * c + 1], bottom) for c in range(members)]
    if min(min(c[2] - c[0], c[3] - c[1]) for c in cells) < 10:
        return None
    cells = [_trim(grey, cell) for cell in cells]
    long = max(max((c[2] - c[0]) / (c[3] - c[1]), (c[3] - c[1]) / (c[2] - c[0])) for c in cells)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in cells]
    score = 0.5 * float(np.mean(evidence)) + 0.5 * min(evidence)
    score *= min(1.0, (LONGEST / long) ** 1.5) * min(1.0, (3.0 * min(areas) / max(areas)) ** 0.5)
    return cells, score


def _cuts(grey: np.ndarray, shares: list[float]) -> list[tuple[int, int, float]]:
    """Columns of grey (H,W) that part it in these shares: (where the left part ends, where the right one begins, evidence)."""
    width = grey.shape[1]
    if len(shares) < 2:
        return []
    ends = np.cumsum(shares) / sum(shares) * width
    low, high = np.percentile(grey, [4, 96], axis=0)
    spread = high - low  # (W,) small where a column has one colour
    jump = np.abs(np.diff(grey, axis=1)).mean(0)
    jump = np.concatenate([[0], jump])
    usual = np.median(jump) + 1.0
    found = []
    for i, at in enumerate(ends[:-1]):
        part = width * min(shares[i : i + 2]) / sum(shares)
        reach, widest = max(2, round(WINDOW * part)), 0.35 * part
        a, b = max(1, round(at) - reach), min(width - 1, round(at) + reach + 1)
        flat = np.clip(1.2 * (1 - spread[a:b] / 45), 0, 1)  # a band that JPEG has made a little uneven is even enough
        sharp = np.clip((jump[a:b] / usual - 2.0) / 5, 0, 1) * 0.9
        nearness = 1 - 0.2 * np.abs(np.arange(a, b) - at) / reach
        value = np.maximum(flat, sharp) * nearness
        k = int(value.argmax())
        level, c = float(np.median(grey[:, a + k])), a + k
        if flat[k] >= sharp[k] and level >= 60:  # a band of paper: its whole width is no picture
            left, right = c, c
            while left - 1 > max(1, at - widest) and paper(spread, grey, level, left - 1):
                left -= 1
            while right + 1 < min(width, at + widest) and paper(spread, grey, level, right + 1):
                right += 1
            found.append((left, right + 1, float(flat[k])))
        else:  # a sharp edge; or black, which may be the rim of two round fields: where equal cells would part it
            found.append((c, c, float(max(flat[k], sharp[k]))))
    return found


def paper(spread: np.ndarray, grey: np.ndarray, level: float, column: int) -> bool:
    """Is this column of the same colour as the band?"""
    return spread[column] < 45 and abs(np.median(grey[:, column]) - level) < 25


def _last_row(band: np.ndarray, members: int, columns: int) -> tuple[int, int]:
    """Where the cells of an incomplete row lie: at the left, in the middle or at the right, wherever the band is not empty."""
    low, high = np.percentile(band, [2, 98], axis=0)
    busy = np.flatnonzero(high - low > 30)
    whole = band.shape[1]
    wide = round(whole * members / columns)
    if not busy.size:
        return 0, wide
    starts = (0, (whole - wide) // 2, whole - wide)
    outside = [int(((busy < start) | (busy >= start + wide)).sum()) for start in starts]
    start = starts[outside.index(min(outside))]
    return start, start + wide


def _trim(grey: np.ndarray, cell: Cell) -> Cell:
    """Without the paper around it, and without a band of one colour that fills the cell up (a letter may stand in it)."""
    left, top, right, bottom = cell
    part = grey[top:bottom, left:right]
    for axis in (0, 1):
        low = np.percentile(part, 3, axis=axis)
        ink = np.flatnonzero(low < 215)
        if ink.size and ink[-1] - ink[0] > 10:
            first, last = int(ink[0]), int(ink[-1]) + 1
            if axis == 0:
                left, right = left + first, left + last
            else:
                top, bottom = top + first, top + last
            part = grey[top:bottom, left:right]
    for axis in (0, 1):
        part = grey[top:bottom, left:right]
        first, last = _band(part, axis), _band(np.flip(part, 1 - axis), axis)
        if (first > 0) != (last > 0):  # on both sides it may be the camera's own border
            if axis == 0:
                left, right = left + first, right - last
            else:
                top, bottom = top + first, bottom - last
    return left, top, right, bottom


def _band(part: np.ndarray, axis: int) -> int:
    """How many of the first columns (axis 0) or rows (axis 1) have one and the same colour; 0 where hardly any or most do."""
    low, middle, high = np.percentile(part, [10, 50, 90], axis=axis)
    rim = max(1, len(middle) // 50)  # the outermost lines may hold a blurred edge
    other = ((high - low >= EVEN) | (abs(middle - middle[rim]) >= EVEN))[rim:]
    size = rim + int(other.argmax())
    return size if 0.03 * len(middle) < size < 0.4 * len(middle) else 0
