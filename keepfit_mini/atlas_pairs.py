"""Figures and captions -> one row a panel: which text belongs to which picture (paper section 2.2, step 2, alignment).

Letters printed at the pictures decide; without them reading order does. Letters that are missing, more letters than pictures,
pictures without a text: said in `notes`, never guessed silently. Confidence under 0.5 asks for a person's look.
Not about: the grammar of a caption (atlas_captions.py) and cutting (atlas_panels.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from .atlas_captions import Caption, split_caption
from .atlas_panels import SURE, cut_panels, white_line

FLAG = 0.5  # a row of less confidence is to be looked at


@dataclass
class Pair:
    """One picture and its text in each language, as printed; a missing picture or text is an empty cell."""

    image: str
    panel: str
    texts: dict[str, str]
    confidence: float
    notes: list[str] = field(default_factory=list)


def pair_figure(
    folder: Path, images: list[str], printed: list[str], captions: dict[str, str], confidence: float = 1.0
) -> list[Pair]:
    """One figure. images: files under `folder` in reading order; printed: the letter at each, or ""; captions: language -> text.

    Cuts a picture that holds several panels, and writes them beside it. Letters without a picture come back with image "".
    """
    many = len(images) if len(images) > 1 else None
    taken_apart = {language: split_caption(text, many) for language, text in captions.items()}
    letters = sorted({letter for caption in taken_apart.values() for letter in caption.texts})
    notes = [note for caption in taken_apart.values() for note in caption.notes]
    if not letters:
        return _whole_figure(images, printed, taken_apart, confidence, notes)
    everything = [chr(c) for c in range(ord("A"), ord(letters[-1]) + 1)]
    single_own = len(images) == 1 and len(letters) == 1 and any(caption.own for caption in taken_apart.values())
    inside = sum(map(len, printed)) if any(len(letter) > 1 for letter in printed) else 0
    if (len(images) < len(letters) or inside > len(images)) and not single_own:
        wanted = inside or (len(everything) if len(images) == 1 else len(letters))
        images, printed, cut = cut_figure(folder, images, printed, wanted)
        if cut < SURE:
            confidence = min(confidence, 0.45 * cut / SURE)
            notes.append("where the picture is to be cut is not clear")
    if single_own:
        with Image.open(folder / images[0]) as opened:
            if white_line(opened):
                confidence = min(confidence, 0.45)
                notes.append("the picture seems to hold several panels")
    where, sure, said = _places(images, printed, letters, everything, single_own)
    notes += said
    pairs = []
    for letter in letters:
        texts = {language: caption.full(letter) for language, caption in taken_apart.items()}
        own, lacking = min(confidence, sure), []
        for language, caption in taken_apart.items():
            if letter in caption.doubtful:
                own = min(own, 0.4)
            if caption.texts and letter not in caption.texts:
                lacking.append(f"panel {letter} is not in the {language} caption")
                own = min(own, 0.4)
            elif caption.head and not caption.texts and len(letters) > 1:
                lacking.append(f"the {language} caption names no panels: its whole text stands here")
                own = min(own, 0.45)
        image = images[where[letter]] if letter in where else ""
        if not image:
            own, lacking = 0.0, [*lacking, f"no picture for panel {letter}"]
        pairs.append(Pair(image, letter, texts, round(own, 2), [*notes, *lacking]))
    used = set(where.values())
    for i, image in enumerate(images):
        if i not in used:
            pairs.append(Pair(image, printed[i], {}, 0.0, [*notes, "the caption has no text for this picture"]))
    return pairs


def _whole_figure(
    images: list[str], printed: list[str], captions: dict[str, Caption], confidence: float, notes: list[str]
) -> list[Pair]:
    """A caption without panels belongs to its picture; to several of them only with a question mark, unless letters tie them."""
    texts = {language: caption.head for language, caption in captions.items()}
    if any(caption.doubtful for caption in captions.values()):
        confidence = min(confidence, 0.45)
    if len(images) > 1:
        notes = [*notes, f"one text for {len(images)} pictures"]
        confidence = min(confidence, 0.8 if all(printed) and len(set(printed)) == len(images) else 0.45)
    if not images:
        return [Pair("", "", texts, 0.0, [*notes, "a caption without a picture"])]
    panels = printed if len(images) > 1 else [""]
    return [Pair(image, panel, texts, round(confidence, 2), list(notes)) for image, panel in zip(images, panels, strict=True)]


def _places(
    images: list[str], printed: list[str], letters: list[str], everything: list[str], single_own: bool
) -> tuple[dict[str, int], float, list[str]]:
    """letter -> index of its picture; how sure; what to say."""
    given = [letter for letter in printed if letter]
    if single_own:
        odd = bool(given) and given != letters
        return {letters[0]: 0}, 0.4 if odd else 0.95, ["the letter at the picture is another"] if odd else []
    if given and len(given) == len(images) and len(set(given)) == len(given):
        where = {letter: printed.index(letter) for letter in letters if letter in printed}
        whole = set(given) == set(letters)
        return (
            where,
            1.0 if whole else 0.6,
            [] if whole else [f"letters at the pictures: {' '.join(given)}; in the caption: {' '.join(letters)}"],
        )
    in_order = {letter: i for i, letter in enumerate(everything) if i < len(images)}
    fits = all(in_order.get(letter) == i for i, letter in enumerate(printed) if letter)
    where = {letter: in_order[letter] for letter in letters if letter in in_order}
    if len(images) == len(everything) and fits:
        return where, 0.95 if letters == everything else 0.6, []
    if len(images) == len(letters):
        return (
            {letter: i for i, letter in enumerate(letters)},
            0.4,
            [f"{len(images)} pictures for the letters {' '.join(letters)}"],
        )
    what = "more letters than pictures" if len(images) < len(letters) else "more pictures than letters"
    return where, 0.3, [f"{what}: {len(images)} pictures, letters {' '.join(letters)}"]


def cut_figure(folder: Path, images: list[str], printed: list[str], wanted: int) -> tuple[list[str], list[str], float]:
    """Cut pictures until there are `wanted`: the only one, or each into equally many. -> files, letters, how sure the cut is."""
    printed = [letter if len(letter) == 1 or wanted == sum(map(len, printed)) else "" for letter in printed]
    if not images or wanted % len(images):
        return images, printed, 1.0
    files: list[str] = []
    least = 1.0
    cuts = []
    for name in images:
        with Image.open(folder / name) as opened:
            picture = opened.convert("RGB")
        cells, sure = cut_panels(picture, wanted // len(images))
        if not cells or (len(images) > 1 and sure < SURE):
            return images, printed, 1.0  # several pictures that hold nothing to be cut: too few, and said so
        least = min(least, sure)
        cuts.append((name, picture, cells))
    for name, picture, cells in cuts:
        for cell in cells:
            file = f"{name.rsplit('.', 1)[0]}-{len(files) + 1}.png"
            picture.crop(cell).save(folder / file)
            files.append(file)
    spelt = "".join(sorted("".join(printed)))
    return files, list(spelt) if len(spelt) == len(files) else [""] * len(files), least
