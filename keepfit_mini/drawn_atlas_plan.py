"""Which rows of a manifest make a figure of a drawn atlas, what its captions say, and the truth about both.

All is drawn from a seed: layouts, caption styles, distractors (cross references, heads) and faults. The truth says what was
printed. Not about: how a figure is set (drawn_atlas_layouts.py) and on which page it lies (drawn_atlas_pages.py).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from . import drawn_atlas_layouts as sheet
from .config import InputError
from .drawn_atlas_layouts import BILINGUAL, PLACES, TIGHTNESS, Figure, Panel
from .drawn_atlas_type import Type, encodes
from .manifests import read_manifest

FAULTS = ("letter missing", "more letters than pictures", "no caption")
MARKS = ("{},", "{}.", "{}．", "({})", "{}:")
NUMBERS = ("{chapter}-{i}", "{chapter}-{section}-{i}", "{chapter}.{i}")
LABELS = {"en": ("FIGURE {}.", "Figure {}", "Figure {}.", "Fig. {}"), "zh": ("图{}", "图 {}")}
SHAPES = {1: ("single",), 2: ("row", "composite"), 3: ("row", "composite"), 4: ("row", "grid", "composite"),
          5: ("grid", "composite"), 6: ("grid", "composite"), 7: ("grid",), 8: ("grid",)}  # fmt: skip
COUNTS = ((1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 7, 8), (1, 4, 4, 6, 6, 7, 8, 8, 8, 8, 8))  # pictures a figure: loose, dense
SAME = {"text": r"\(?\b(?:same|identical) (?:person|patient|eye|case)s? as (?:that )?(?:shown )?(?:in )?Fig(?:ure|\.)?s?\.? ?"
                r"\d[\w.-]*\w(?:\.?\)|[.,])?",
        "text_zh": r"（?与图 ?\d[\w.-]*为同一(?:患者|病人|人|眼)）?[。，]?"}  # fmt: skip
HEADS = {"en": ("Findings at the posterior pole.", "Views of the ocular fundus.", "Examples of the same kind."),
         "zh": ("后极部表现。", "眼底所见。", "同类举例。")}  # fmt: skip


class Deck:
    """Draws from all of its cards before one comes again."""

    def __init__(self, cards, rng):
        self.cards, self.rng, self.left = list(cards), rng, []

    def next(self):
        self.left = self.left or [self.cards[i] for i in self.rng.permutation(len(self.cards))]
        return self.left.pop()


def read_panels(manifest: Path, languages: str, root: str | Path | None) -> list[tuple[str, Panel]]:
    """Rows of a manifest -> (group or "", panel). InputError: as read_manifest, and a row that lacks a language's text."""
    frame = read_manifest(manifest, root=root)
    cells = pd.read_csv(manifest, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    cells.columns = [str(name).strip().lower() for name in cells.columns]
    for language, column in (("en", "text"), ("zh", "text_zh")):
        if languages in (language, "both") and column not in cells:
            raise InputError(f"no column `{column}`: captions are printed from it; add it, or choose another language", manifest)
    panels = []
    for file, modality, row in zip(frame["image"], frame["modality"], frame["row"], strict=True):
        cell = {name: " ".join(str(value).split()) for name, value in cells.iloc[row - 2].items()}
        truth = {"image": cell["image"], "modality": modality, "fault": "", "panel": ""}
        for language, column in (("en", "text"), ("zh", "text_zh")):
            text = cell.get(column, "") if languages in (language, "both") else ""
            if not text and languages in (language, "both"):
                raise InputError(f"`{column}` is empty: every picture needs a caption; add it or delete the row", manifest, row)
            ends = "." if language == "en" else "。"
            truth[column] = text + ends if text and text[-1] not in ".。!?！？" else text
            truth["head" + column[4:]] = cell.get("head" + column[4:], "")
        panel = Panel(Path(file), "", truth, row, manifest)
        try:
            with Image.open(file) as picture:
                panel.size = picture.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{truth['image']} is no readable picture ({error}): mend it or delete the row", manifest,
                             row) from error  # fmt: skip
        panels.append((cell.get("group", ""), panel))
    return panels


def plan(rows: list[tuple[str, Panel]], languages: str, seed: int, tight: int, faults: float, wide: bool) -> list[Figure]:
    """Panels in their order -> figures with their captions. Rows of one `group` make a figure; others are counted out.

    wide: there is a font for what the core fonts lack (ligatures, the full-width stop).
    """
    rng = np.random.default_rng([seed, 21])
    loose = tight < 2
    counts, numbers = Deck(COUNTS[TIGHTNESS[tight][2]], rng), Deck(NUMBERS, rng)
    marks = Deck([each for each in MARKS if wide or encodes(each)], rng)
    labels = {language: Deck(LABELS[language], rng) for language in LABELS}
    bilingual, letters, kinds = (Deck(cards, rng) for cards in (BILINGUAL, sheet.LETTERS, FAULTS))
    shapes = {count: Deck(cards, rng) for count, cards in SHAPES.items()}
    places = {arrangement: Deck(cards, rng) for arrangement, cards in PLACES.items()}
    figures: list[Figure] = []
    chapter, i, left, pending, style = int(rng.integers(1, 4)), 0, 0, False, {}
    while rows:
        group = rows[0][0]
        same = next((k for k, row in enumerate(rows) if row[0] != group), len(rows))
        count = same if group else min(counts.next(), same)
        if count > 8:
            first = rows[0][1]
            raise InputError(f"group {group!r} has {count} pictures: a figure holds 8 at most", first.manifest, first.row)
        panels, rows = [replace(panel, truth=dict(panel.truth)) for _, panel in rows[:count]], rows[count:]
        if left == 0:  # a new chapter has a style of its own
            if pending:
                figures[-1].place, pending = "under", False
            chapter, i, left = chapter + 1, 0, int(rng.integers(7, 13)) if loose else 40
            style = {"mark": marks.next(), "number": numbers.next(), "bold": rng.random() < 0.6,
                     "ligatures": rng.random() < 0.3 and wide,
                     "label": {language: deck.next() for language, deck in labels.items()},
                     "body": languages if languages != "both" else str(rng.choice(["en", "zh"])),
                     "type": Type(str(rng.choice(["Times", "Helvetica"])), str(rng.choice(["serif", "sans"])),
                                  TIGHTNESS[tight][1], rng.random() < 0.5, rng.random() < 0.6),
                     "place": "under" if figures and rng.random() < 0.2 else ""}  # fmt: skip
        i, left = i + 1, left - 1
        number = style["number"].format(chapter=chapter, section=1 + (i - 1) // 4, i=1 + (i - 1) % 4 if
                                        "{section}" in style["number"] else i)  # fmt: skip
        arrangement = shapes[count].next()
        captions = bilingual.next() if languages == "both" else languages
        captions = "one after the other" if captions == "facing pages" and not loose else captions
        place = "pair" if pending else style["place"] or places[arrangement].next()
        if captions == "facing pages" and not pending:
            place = "under"
        pending = place == "pair" and not pending
        if captions in BILINGUAL and place not in ("under", "over") and captions != "one line":
            captions = "one after the other"
        fault = kinds.next() if rng.random() < faults and count > 1 else ""
        letter = "none" if count == 1 else letters.next()
        if arrangement == "composite" and letter in ("under", "near"):
            letter = "burnt"
        if letter == "burnt" and min(min(panel.size) for panel in panels) < 96:
            letter = "corner"  # in few pixels a letter cannot be read, and would hide what is to be seen
        if fault in FAULTS[:2]:
            letter = "corner"  # a gap in the letters is seen only where they are printed
        for panel, name in zip(panels, "ABCDEFGH", strict=False):
            panel.letter = name if count > 1 else ""
        columns = sheet.shape(arrangement, count, loose, rng)
        figure = Figure(number, panels, arrangement, place, captions, columns, letter, style, {}, int(rng.integers(1 << 31)),
                        chapter)  # fmt: skip
        write_captions(figure, languages, fault, [f for f in figures if f.chapter == chapter], rng, bool(group))
        figures.append(figure)
    if pending:
        figures[-1].place = "under"
    return figures


def write_captions(figure: Figure, languages: str, fault: str, before: list[Figure], rng: np.random.Generator, own: bool) -> None:
    """Fills figure.printed and the truth of its panels."""
    heads = {"en": "", "zh": ""}
    number = int(rng.integers(len(HEADS["en"]))) if rng.random() < 0.4 and len(figure.panels) > 1 and not own else None
    together = "and" if rng.random() < 0.5 else "-"
    extra = "a further view was taken a year later." if fault == FAULTS[1] else ""
    reference = refer(before, figure, rng) if before and rng.random() < 0.15 else None
    for language, column in (("en", "text"), ("zh", "text_zh")):
        if languages not in (language, "both"):
            continue
        first = figure.panels[0].truth
        head = heads[language] = first["head" + column[4:]] or (HEADS[language][number] if number is not None else "")
        runs: list[list[Panel]] = []
        for panel in figure.panels:
            if runs and all(panel.truth[c] == runs[-1][0].truth[c] for c in ("text", "text_zh")) and not fault:
                runs[-1].append(panel)
            else:
                runs.append([panel])
        parts = [head] if head else []
        for k, run in enumerate(runs):
            if fault == FAULTS[0] and k == 1:
                continue
            text = run[0].truth[column]
            if reference and k == len(runs) - 1:
                text += reference[language]
            parts.append(text if len(figure.panels) == 1 else mark(figure.style["mark"], run, together, language) + text)
        if extra:
            last = chr(ord(figure.panels[-1].letter) + 1)
            text = extra.capitalize() if language == "en" else "一年后再次拍摄。"
            parts.append(figure.style["mark"].format(last) + " " * (language == "en") + text)
        label = figure.style["label"][language].format(figure.number)
        text = " ".join(parts) if language == "en" else "".join(parts)
        if figure.style["ligatures"] and language == "en":
            for plain, joined in (("ffi", "ﬃ"), ("ffl", "ﬄ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ")):
                text = text.replace(plain, joined)
        if fault != FAULTS[2]:
            figure.printed[language] = f"{label} {text}", len(label) * figure.style["bold"]
    for k, panel in enumerate(figure.panels):
        truth, none = panel.truth, fault == FAULTS[2] or (fault == FAULTS[0] and k == 1)
        for language, column in (("en", "text"), ("zh", "text_zh")):
            text = re.sub(SAME[column], "", truth.pop(column), flags=re.I)
            truth[column] = "" if none else " ".join(f"{heads[language]}{' ' * (language == 'en')}{text}".split())
            truth.pop("head" + column[4:])
            truth["printed" + column[4:]] = figure.printed.get(language, ("",))[0]
        numbered = fault != FAULTS[2]
        truth |= {"figure": figure.number * numbered, "panel": panel.letter * numbered,
                  "letters": figure.letters, "fault": fault if none or fault == FAULTS[1] else ""}  # fmt: skip


def mark(style: str, run: list[Panel], together: str, language: str) -> str:
    names = run[0].letter
    if len(run) == 2 and together == "and":
        names += f" and {run[1].letter}" if language == "en" else f"和{run[1].letter}"
    elif len(run) > 1:
        names += f"-{run[-1].letter}"
    return style.format(names) + " " * (language == "en" and not style.endswith("．"))


def refer(before: list[Figure], figure: Figure, rng: np.random.Generator) -> dict[str, str]:
    """A cross reference to an earlier figure, as it stands behind a caption; the truth is without it."""
    other = before[rng.integers(len(before))]
    to = other.number + other.panels[0].letter
    who = ("person", "patient", "eye")[rng.integers(3)]
    english = f" Same {who} as Figure {to}." if rng.random() < 0.7 else f" (Same {who} as Fig. {to}.)"
    return {"en": english, "zh": f"与图{to}为同一患者。"}
