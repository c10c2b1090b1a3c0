"""Which pictures of a page belong to which caption (paper section 2.2, step 1: "one figure - one caption, several - one").

Every caption proposes sets of pictures (those over it, under it, beside it, nearest rows first), each at a price
(atlas_proposals.py). The cheapest choice for the whole page wins; a second best that is hardly dearer lowers the confidence.
Not about: how captions are found (atlas_printed.py).
"""

from __future__ import annotations

from itertools import product
from math import prod

from .atlas_blocks import printed_letters, printed_numbers
from .atlas_order import best_place, letters_at, reading_order
from .atlas_pages import Page
from .atlas_pictures import Picture
from .atlas_printed import PrintedCaption
from .atlas_proposals import Figure, choices_of
from .boxes import area, distance, overlap, union

LEFT_OVER = 0.9  # price of a picture without a caption
MOST = 60_000  # ways to share out the pictures of a page that are looked at


def figures_of(pages: list[Page], captions: list[PrintedCaption]) -> tuple[list[Figure], list[tuple[int, Picture]]]:
    """-> figures in the order of the book, and the pictures that no caption claims, with their pages."""
    figures, left = [], []
    for page in pages:
        here = _numbered([caption for caption in captions if caption.page == page.number])
        here = [figure for figure in here if not _belongs_before(figure, here, page, figures)]
        free = match_page(page, here)
        doubt_neighbours(page, here, free)
        figures += here
        left += [(page.number, picture) for picture in free]
    left = _across_pages(figures, left)
    by_number = {page.number: page for page in pages}
    for figure in figures:
        order_pictures(figure, by_number[figure.page])
    figures = _merged(figures)
    doubt_same_numbers(figures)
    return figures, left


def doubt_same_numbers(figures: list[Figure]) -> None:
    """One number on neighbouring pages is seldom two figures; captions of single panels ("Figure 2-12A.") are meant so."""
    for figure in figures:
        for other in figures:
            close = other is not figure and other.number == figure.number and abs(other.page - figure.page) <= 2
            if close and not any(caption.own for caption in figure.captions):
                figure.confidence = min(figure.confidence, 0.45)
                figure.notes.append(f"its number stands on page {other.page} too")


def _numbered(captions: list[PrintedCaption]) -> list[Figure]:
    """Captions of one page -> figures: those of one number together, unless each has a panel letter of its own."""
    figures: list[Figure] = []
    for caption in captions:
        fitting = [f for f in figures if f.number == caption.number and caption.language not in {c.language for c in f.captions}]
        if fitting:
            fitting[-1].captions.append(caption)
        else:
            figures.append(Figure(caption.number, [caption], caption.page))
    return figures


def _belongs_before(figure: Figure, here: list[Figure], page: Page, before: list[Figure]) -> bool:
    """Is this the other language of a figure whose pictures stand on the page before? Then it joins that figure at once.

    Not where this page has pictures that fit it and that no other caption needs: a book may print them twice."""
    mates = [f for f in before if f.number == figure.number and f.pictures and 1 <= page.number - f.page <= 2
             and not {c.language for c in figure.captions} & {c.language for c in f.captions}]  # fmt: skip
    if not mates:
        return False
    needed = sum(f.expected for f in here if f is not figure)
    if len(page.pictures) >= needed + figure.expected:
        return False
    mates[-1].captions += figure.captions
    return True


# -------------------------------------------------------------------------------------------------------------- one page


def match_page(page: Page, figures: list[Figure]) -> list[Picture]:
    """Give each figure its pictures; returns those that are left."""
    pictures = page.pictures
    if not pictures or not figures:
        return list(pictures)
    if _stacked(page, figures):
        return []
    choices = [choices_of(page, figures, i) for i in range(len(figures))]
    while prod(map(len, choices)) > MOST:  # a page with very many captions: drop the dearest proposals, never "no picture"
        longest = max(choices, key=len)
        longest.remove(max((choice for choice in longest if choice.pictures), key=lambda choice: choice.price))
    best, second = None, None
    for picked in product(*choices):
        used = [p for choice in picked for p in choice.pictures]
        if len(used) != len(set(used)):
            continue
        price = sum(choice.price for choice in picked) + LEFT_OVER * (len(pictures) - len(used))
        if best is None or price < best[0]:
            best, second = (price, picked), best
        elif second is None or price < second[0]:
            second = price, picked
    for i, (figure, choice) in enumerate(zip(figures, best[1], strict=True)):
        figure.pictures = [pictures[p] for p in sorted(choice.pictures)]
        if second and second[1][i].pictures != choice.pictures:
            margin = second[0] - best[0]
            if margin < 0.5:
                figure.confidence = min(figure.confidence, 0.3 + 0.4 * margin)
                figure.notes.append("other pictures of the page would fit nearly as well")
    used = {p for choice in best[1] for p in choice.pictures}
    for i, (figure, chosen) in enumerate(zip(figures, best[1], strict=True)):  # what is left would have fitted it as well
        free = set(range(len(pictures))) - used
        rivals = [c for c in choices[i] if c.pictures and c.pictures <= free and c.price < chosen.price + 0.5]
        if rivals and chosen.pictures:
            figure.confidence = min(figure.confidence, 0.4)
            figure.notes.append("other pictures of the page, which no caption claims, would fit as well")
    return [picture for p, picture in enumerate(pictures) if p not in used]


def _stacked(page: Page, figures: list[Figure]) -> bool:
    """A plate: several pictures, and their captions, one a picture, in a stack away from them. True where it is one.

    Numbers printed at the pictures tell which is whose; without them reading order is a guess, and is flagged as one."""
    boxes = [picture.box for picture in page.pictures]
    if len(figures) < 2 or len(figures) != len(boxes) or any(figure.expected > 1 for figure in figures):
        return False
    columns = [union([box for caption in figure.captions for box in caption.boxes(page.number)]) for figure in figures]
    stack, plate = union(columns), union(boxes)
    if overlap(stack, plate, 1) > 0 or any(overlap(a, b, 0) < 0.5 for a in columns for b in columns):
        return False
    printed = letters_at(boxes, printed_numbers(page, {figure.number for figure in figures}))
    numbers = best_place(printed, range(len(boxes)))
    order, _ = reading_order(boxes)
    told = sorted(numbers) == sorted(figure.number for figure in figures)
    down = sorted(range(len(figures)), key=lambda k: columns[k][1])
    for k, p in zip(down, order, strict=True):
        figure = figures[k]
        figure.pictures = [page.pictures[numbers.index(figure.number) if told else p]]
        if not told:
            figure.confidence = min(figure.confidence, 0.45)
            figure.notes.append("captions stand apart from the pictures: taken in reading order")
    return True


def doubt_neighbours(page: Page, figures: list[Figure], free: list[Picture]) -> None:
    """A picture that nobody claims, right beside a figure and no smaller than its pictures, may be its own: look at both.

    Not where the letters at the figure's pictures are just those of its captions."""
    letters = letters_at([picture.box for picture in page.pictures], printed_letters(page))
    for figure in figures:
        own = [page.pictures.index(picture) for picture in figure.pictures]
        named = sorted({letter for caption in figure.captions for letter in caption.letters})
        if len(named) > 1 and sorted("".join(best_place(letters, own))) == named:
            continue
        for picture in free:
            near = any(distance(picture.box, page.pictures[i].box) < 40 for i in own)
            if near and any(area(picture.box) > 0.5 * area(page.pictures[i].box) for i in own):
                figure.confidence = min(figure.confidence, 0.45)
                figure.notes.append("a picture beside it has no caption")
                break


def order_pictures(figure: Figure, page: Page) -> None:
    """Reading order; and the letters that are printed in, over or under the pictures."""
    order, sure = reading_order([picture.box for picture in figure.pictures])
    figure.pictures = [figure.pictures[i] for i in order]
    if all(picture in page.pictures for picture in figure.pictures):
        letters = letters_at([picture.box for picture in page.pictures], printed_letters(page))
        figure.letters = best_place(letters, [page.pictures.index(picture) for picture in figure.pictures])
    else:
        figure.letters = [""] * len(figure.pictures)
    if not sure and not all(figure.letters):
        figure.confidence = min(figure.confidence, 0.45)
        figure.notes.append("the order of the pictures is not clear")


# ----------------------------------------------------------------------------------------------------------- whole book


def _across_pages(figures: list[Figure], left: list[tuple[int, Picture]]) -> list[tuple[int, Picture]]:
    """A caption without pictures and pictures without a caption on the page before or after: joined if the counts agree."""
    for figure in [f for f in figures if not f.pictures]:
        same = [f for f in figures if f.number == figure.number and f.pictures and abs(f.page - figure.page) <= 2]
        if same:
            continue  # its other language, or its continuation: _merged
        for page, confidence in ((figure.page - 1, 0.7), (figure.page + 1, 0.6)):
            free = [picture for number, picture in left if number == page]
            # Several captions without a picture are a list of figures, or one of them is meant and it is not known which.
            busy = any(f.page in (page, figure.page) and f is not figure and not f.pictures for f in figures)
            if free and not busy:
                figure.pictures, figure.page = free, page
                figure.confidence = min(figure.confidence, confidence if len(free) in (1, figure.expected) else 0.4)
                figure.notes.append(f"pictures on page {page}, caption on another")
                left = [(number, picture) for number, picture in left if number != page]
                break
    return left


def _merged(figures: list[Figure]) -> list[Figure]:
    """A figure's other language on a facing page, and its continuation, join it."""
    kept: list[Figure] = []
    for figure in figures:
        before = [f for f in kept if f.number == figure.number and abs(f.page - figure.page) <= 2]
        languages = {caption.language for caption in figure.captions}
        mates = [f for f in before if not languages & {c.language for c in f.captions}]
        if mates and (not figure.pictures or not mates[-1].pictures):
            mate = mates[-1]
            mate.captions += figure.captions
            if figure.pictures:
                mate.pictures, mate.letters, mate.page = figure.pictures, figure.letters, figure.page
            mate.confidence = min(mate.confidence, figure.confidence)
            mate.notes += [note for note in figure.notes if note not in mate.notes]
        else:
            kept.append(figure)
    return kept
