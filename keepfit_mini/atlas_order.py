"""In which order the pictures of a figure are read, and which letters are printed at them (paper section 2.2, step 1).

Not about: which pictures make a figure (atlas_layout.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from .boxes import Box

PLACES = ("inside", "under", "over", "left")


def rows_of(boxes: list[Box], axis: int) -> list[list[int]]:
    """Indices in rows (axis 1) or columns (axis 0): what shares more than half its height with a row belongs to it."""
    rows: list[tuple[float, float, list[int]]] = []
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i][axis]):
        low, high = boxes[i][axis], boxes[i][axis + 2]
        for k, (start, end, members) in enumerate(rows):
            if min(end, high) - max(start, low) > 0.5 * min(end - start, high - low):
                rows[k] = (min(start, low), max(end, high), [*members, i])
                break
        else:
            rows.append((low, high, [i]))
    return [members for _, _, members in rows]


def reading_order(boxes: list[Box]) -> tuple[list[int], bool]:
    """Indices row by row, from left to right; and whether that is sure (white lines part the rows, or there is one)."""
    if len(boxes) < 2:
        return list(range(len(boxes))), True

    def cut(members: list[int], axis: int) -> list[list[int]]:
        parts: list[list[int]] = []
        reach = float("-inf")
        for i in sorted(members, key=lambda i: boxes[i][axis]):
            size = boxes[i][axis + 2] - boxes[i][axis]
            if boxes[i][axis] >= reach - 0.15 * size:
                parts.append([])
            parts[-1].append(i)
            reach = max(reach, boxes[i][axis + 2])
        return parts

    def order(members: list[int]) -> tuple[list[int], bool]:
        if len(members) == 1:
            return members, True
        for axis in (1, 0):
            parts = cut(members, axis)
            if len(parts) > 1:
                ordered = [order(part) for part in parts]
                sure = all(s for _, s in ordered)
                if axis == 0 and sum(len(part) > 1 for part in parts) > 1:
                    sure = False  # columns of several pictures each, without rows: read down or across?
                return [i for part, _ in ordered for i in part], sure
        rows = rows_of([boxes[i] for i in members], 1)
        return [members[k] for row in rows for k in sorted(row, key=lambda k: boxes[members[k]][0])], False

    return order(list(range(len(boxes))))


def letters_at(boxes: list[Box], letters: list[tuple[str, Box]]) -> dict[str, list[str]]:
    """For each of PLACES the letter printed there at each picture of a page, "" where none; a figure has them in one place.

    A picture that holds several panels may have several letters inside: "ABCD"."""
    found: dict[str, list[list[str]]] = {place: [[] for _ in boxes] for place in PLACES}
    for letter, at in letters:
        x, y = (at[0] + at[2]) / 2, (at[1] + at[3]) / 2
        near: dict[str, tuple[float, int]] = {}
        for i, box in enumerate(boxes):
            across, beside = box[0] - 4 <= x <= box[2] + 4, box[1] - 4 <= y <= box[3] + 4
            gaps = {"inside": 0.0 if across and box[1] - 2 <= y <= box[3] + 2 else None, "under": y - box[3] if across else None,
                    "over": box[1] - y if across else None, "left": box[0] - x if beside else None}  # fmt: skip
            for place, gap in gaps.items():
                if gap is not None and -3 <= gap <= 26 and (place not in near or gap < near[place][0]):
                    near[place] = gap, i
        for place, (_, i) in near.items():
            found[place][i].append(letter)
    return {place: ["".join(one) for one in each] for place, each in found.items()}


def best_place(letters: dict[str, list[str]], members: Iterable[int]) -> list[str]:
    """The letters of some pictures in the place where most of them have one, each a different one."""
    members = list(members)

    def worth(place: str) -> tuple[int, int]:
        given = [letters[place][i] for i in members if letters[place][i]]
        return len(set(given)) - (len(given) - len(set(given))), -PLACES.index(place)

    place = max(PLACES, key=worth)
    return [letters[place][i] for i in members]
