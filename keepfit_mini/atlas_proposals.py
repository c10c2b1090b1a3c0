"""A figure, and the sets of pictures that may be its own: proposed from where its captions stand, each at a price.

A price rises with pictures too few or too many for the panel letters, with distance, with another caption between. Not about:
which proposals of a page go together (atlas_layout.py). Paper section 2.2, step 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .atlas_blocks import printed_letters
from .atlas_order import best_place, letters_at, rows_of
from .atlas_pages import Page
from .atlas_pictures import Picture
from .atlas_printed import PrintedCaption
from .boxes import Box, alike, between, distance, overlap, spread, union

ALONE = 4.0  # price of a caption without a picture
BLOCKED = 3.0  # price of another caption between
FAR = 60.0  # points: a distance that costs 1


@dataclass
class Figure:
    """One figure of the book: its captions (one a language), its pictures in reading order, the letters printed at them."""

    number: str
    captions: list[PrintedCaption]
    page: int
    pictures: list[Picture] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)  # one a picture, "" where none is printed
    confidence: float = 1.0
    notes: list[str] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """How many panels its captions name, and a missing letter counts too; 1 where they name none."""
        return max([1, *(ord(max(letters)) - ord("A") + 1 for caption in self.captions
                         if (letters := caption.letters) and not caption.own)])  # fmt: skip


@dataclass
class Choice:
    """A set of pictures, by their numbers on the page, at a price; the empty set is "none"."""

    pictures: frozenset[int]
    price: float


def choices_of(page: Page, figures: list[Figure], i: int) -> list[Choice]:
    """The sets of pictures that figure i may own, cheapest first, and "none"."""
    figure = figures[i]
    letters = letters_at([picture.box for picture in page.pictures], printed_letters(page))
    own = [box for caption in figure.captions for box in caption.boxes(page.number)]
    others = [box for k, f in enumerate(figures) if k != i for caption in f.captions for box in caption.boxes(page.number)]
    boxes = [picture.box for picture in page.pictures]
    sets: dict[frozenset[int], float] = {frozenset(): ALONE}

    def offer(members: list[int], prior: float) -> None:
        chosen = frozenset(members)
        if chosen:
            printed = best_place(letters, sorted(chosen))
            spelt = spelling(printed)
            panels = sum(max(1, len(letter)) for letter in printed)
            price = prior + price_of(chosen, boxes, own, others, figure.expected, panels, spelt < 0) + spelt
            sets[chosen] = min(price, sets.get(chosen, price))

    anchors = [*own, union(own)] if len(own) > 1 else own
    for anchor in anchors:
        for prior, side in ((0.0, "over"), (0.2, "under"), (0.3, "left"), (0.3, "right")):
            members = [p for p, box in enumerate(boxes) if lies(box, anchor, side)]
            narrow = [p for p in members if overlap(boxes[p], anchor, 0 if side in ("over", "under") else 1) > 0.3]
            for pool in (members, narrow):
                pool = sorted(pool, key=lambda p: distance(boxes[p], anchor))
                rows = rows_of([boxes[p] for p in pool], 1 if side in ("over", "under") else 0)
                taken: list[int] = []
                for row in sorted(rows, key=lambda row: min(distance(boxes[pool[m]], anchor) for m in row)):
                    taken += [pool[m] for m in row]
                    offer(taken, prior)
                offer(pool[: figure.expected], prior + 0.2)
                for count in {figure.expected, len(pool)}:
                    offer(nearest_neighbours(pool, boxes, count), prior)
    within = [p for p, box in enumerate(boxes) if all(distance(box, anchor) < 40 for anchor in own)] if len(own) > 1 else []
    offer(within, 0.2)
    offer(list(range(len(boxes))), 0.4)
    found = sorted((Choice(chosen, price) for chosen, price in sets.items() if chosen), key=lambda choice: choice.price)
    return [*found[:23], Choice(frozenset(), ALONE)]


def nearest_neighbours(pool: list[int], boxes: list[Box], count: int) -> list[int]:
    """From the picture next to the caption on to its nearest neighbours of about the same size, up to `count`."""
    taken = pool[:1]
    rest = [p for p in pool[1:] if alike(boxes[p], boxes[pool[0]])]
    while rest and len(taken) < count:
        p = min(rest, key=lambda p: min(distance(boxes[p], boxes[t]) for t in taken))
        taken.append(p)
        rest.remove(p)
    return taken


def spelling(letters: list[str]) -> float:
    """Letters printed at the pictures that are A, B, C, ... speak for a set, the same one twice or a gap against it."""
    given = sorted(letter for letter in letters if len(letter) == 1)
    if not given:
        return 0.0
    if len(given) != len(set(given)):
        return 1.5
    whole = len(given) == len(letters) and given == [chr(ord("A") + i) for i in range(len(given))]
    return -0.5 if whole and len(given) > 1 else 0.0 if whole else 0.6


def lies(box: Box, anchor: Box, side: str) -> bool:
    """Does the picture lie on this side of the caption? A few points of overlap are a matter of taste of the typesetter."""
    slack = 6.0
    return {"over": box[3] <= anchor[1] + slack, "under": box[1] >= anchor[3] - slack,
            "left": box[2] <= anchor[0] + slack, "right": box[0] >= anchor[2] - slack}[side]  # fmt: skip


def price_of(
    chosen: frozenset[int], boxes: list[Box], own: list[Box], others: list[Box], expected: int, panels: int, spelt: bool
) -> float:
    """What a set of pictures costs a caption that names `expected` panels; panels: how many the letters inside them say."""
    members = [boxes[p] for p in chosen]
    whole, anchor = union(members), union(own)
    n = len(members)
    if expected in (n, panels):
        price = 0.0
    elif n < expected:  # one picture may hold several panels, and be cut
        price = 0.6 + 0.5 * (expected - n) / expected if n == 1 else 0.8 * (expected - n)
    elif expected == 1 and spelt:  # A, B, C at the pictures, and one text for all of them
        price = 0.3 * (n - 1)
    else:
        price = (1.2 if expected > 1 else 2.0) * (n - expected)
    price += min(distance(box, caption) for box in members for caption in own) / FAR
    price += spread(members) / FAR
    middle = abs((whole[0] + whole[2]) / 2 - (anchor[0] + anchor[2]) / 2) if overlap(whole, anchor, 0) > 0 else 0
    price += middle / 300
    if overlap(whole, anchor, 0) <= 0 and overlap(whole, anchor, 1) <= 0:
        price += 1.0  # across a corner
    for box in others:  # another caption inside the figure, or between it and its own caption
        if overlap(box, whole, 0) > 0 and overlap(box, whole, 1) > 0 or between(box, whole, anchor):
            price += BLOCKED
    price += 0.5 * any(not alike(box, members[0]) for box in members)
    inside = sum(
        1 for p, box in enumerate(boxes) if p not in chosen and overlap(box, whole, 0) > 0.5 and overlap(box, whole, 1) > 0.5
    )
    return price + 1.5 * inside
