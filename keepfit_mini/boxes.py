"""Geometry of boxes: (left, top, right, bottom), in points from a page's upper left corner. Not about: what lies in them."""

from __future__ import annotations

Box = tuple[float, float, float, float]


def union(boxes: list[Box]) -> Box:
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap(a: Box, b: Box, axis: int) -> float:
    """How far two boxes share a span, as a share of the shorter one. axis: 0 across, 1 down."""
    shared = min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis])
    return shared / max(1e-6, min(a[axis + 2] - a[axis], b[axis + 2] - b[axis]))


def distance(a: Box, b: Box) -> float:
    across = max(0.0, b[0] - a[2], a[0] - b[2])
    down = max(0.0, b[1] - a[3], a[1] - b[3])
    return (across**2 + down**2) ** 0.5


def alike(a: Box, b: Box) -> bool:
    """Of about the same height or width."""
    return any(max(x, y) < 1.4 * min(x, y) for x, y in ((a[2] - a[0], b[2] - b[0]), (a[3] - a[1], b[3] - b[1])))


def spread(members: list[Box]) -> float:
    """The longest jump on the way through all pictures (the longest edge of their minimum spanning tree), less a usual gap."""
    joined, rest, longest = members[:1], members[1:], 0.0
    while rest:
        gap, k = min((min(distance(box, one) for one in joined), k) for k, box in enumerate(rest))
        longest = max(longest, gap)
        joined.append(rest.pop(k))
    return max(0.0, longest - 25.0)


def between(box: Box, a: Box, b: Box) -> bool:
    """Does a box stand between two others that face each other across it?"""
    for axis in (0, 1):
        low, high = (a, b) if a[axis] < b[axis] else (b, a)
        if (
            low[axis + 2] <= box[axis] + 3
            and box[axis + 2] <= high[axis] + 3
            and overlap(box, a, 1 - axis) > 0.2
            and overlap(box, b, 1 - axis) > 0.2
        ):
            return True
    return False
