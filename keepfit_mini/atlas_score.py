"""How right is a built manifest? Its rows against the truth of a drawn atlas (drawn_atlas.py writes it beside the PDF).

A picture of the book is found again by what it shows, not by its number; its pair is right when figure, panel and text are.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .atlas_pairs import FLAG

ALIKE = 0.98  # share of a text that must be as in the truth; for a scan the reader of letters is not what is judged
ALIKE_SCAN = 0.9


def small(path: Path) -> np.ndarray:
    """A picture whole, and without its border, each as 16x16 colours of mean 0 and length 1: (2, 768).

    The border: rows and columns of which hardly anything is neither black nor white; a panel's letter may stand in it."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    grey = np.asarray(picture.convert("L"))
    shown = (grey > 24) & (grey < 250)
    columns, rows = (np.flatnonzero(shown.mean(axis) > 0.2 * shown.mean(axis).max()) for axis in (0, 1))
    inside = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if columns.size and rows.size else None
    both = [np.asarray(one.resize((16, 16), Image.BOX), np.float32).ravel() for one in (picture, picture.crop(inside))]
    values = np.stack([one - one.mean() for one in both])
    return values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-6)


def plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def same_text(built: str, true: str, alike: float) -> bool:
    built, true = plain(built), plain(true)
    return built == true or bool(true) and SequenceMatcher(None, built, true, autojunk=False).ratio() >= alike


def score_atlas(
    folder: str | Path, truth: str | Path, root: str | Path, scan: bool = False
) -> tuple[dict[str, float], pd.DataFrame]:
    """-> counts and shares, and the truth's rows with what was built from them (built, right, flagged, why).

    folder  an atlas that was built; truth: <stem>_truth.csv; root: the folder to which the truth's pictures are relative
    right   of the pictures that have a text, the share whose figure, panel, English and Chinese text are right
    silent  wrong, and neither flagged (confidence under 0.5) nor listed in unpaired.csv
    alarms  of the right ones, the share that is flagged
    """
    folder, alike = Path(folder), ALIKE_SCAN if scan else ALIKE
    read = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    true, built = pd.read_csv(truth, **read), pd.read_csv(folder / "manifest.csv", **read)
    unpaired = pd.read_csv(folder / "unpaired.csv", **read)
    rows = pd.concat([built, unpaired[unpaired["image"] != ""].assign(confidence="0")], ignore_index=True).fillna("")
    looks = [small(folder / image) for image in rows["image"]]
    result = []
    for page, here in true.groupby("page", sort=False):
        near = [i for i, p in enumerate(rows["page"]) if int(p) == int(page)]
        originals = [small(Path(root) / image) for image in here["image"]]
        alike_by = [[float((a * looks[i]).sum(1).max()) for i in near] for a in originals]
        likeness = np.array(alike_by) if near else np.zeros((len(here), 0))
        taken: dict[int, int] = {}
        while likeness.size and likeness.max() > 0.6:  # the most alike first, each once
            a, b = np.unravel_index(likeness.argmax(), likeness.shape)
            taken[int(a)] = near[int(b)]
            likeness[a, :] = likeness[:, b] = -1
        doubted = {rows["figure"][i] for i in near if float(rows["confidence"][i]) < FLAG}  # figures that ask for a look here
        for a, (_, row) in enumerate(here.iterrows()):
            found = judged(row, rows.iloc[taken[a]] if a in taken else None, alike)
            result.append({**row, **found, "flagged": found["flagged"] or not found["built"] and row["figure"] in doubted})
    table = pd.DataFrame(result)
    asked = table[(table["text"] != "") | (table["text_zh"] != "")]
    without = table[(table["text"] == "") & (table["text_zh"] == "")]
    right = asked["right"].mean() if len(asked) else 1.0
    wrong = asked[~asked["right"]]
    return {
        "pictures": len(table), "with text": len(asked), "right": round(float(right), 4), "wrong": len(wrong),
        "silent": int((~wrong["flagged"]).sum() + (~without["flagged"]).sum()),
        "alarms": round(float(asked.loc[asked["right"], "flagged"].mean()), 4) if right else 0.0,
        "modality": round(float(table.loc[table["built"], "modality_right"].mean()), 4),
    }, table  # fmt: skip


def judged(true: pd.Series, built: pd.Series | None, alike: float) -> dict:
    """One picture: found, right, flagged, and what is wrong. A picture that should have no text is right without one."""
    if built is None:
        return {"built": False, "right": False, "flagged": False, "why": "the picture was not found", "modality_right": False}
    why = [name for name in ("figure", "panel") if built[name] != true[name]]
    why += [name for name in ("text", "text_zh") if not same_text(built[name], true[name], alike)]
    blank = built["text"] == built["text_zh"] == ""
    flagged = blank or float(built["confidence"]) < FLAG
    return {"built": True, "right": not why, "flagged": flagged, "why": ", ".join(why),
            "modality_right": built.get("modality", "") in ("", true["modality"]),
            "built_figure": built["figure"], "built_panel": built["panel"], "built_text": built["text"],
            "built_text_zh": built["text_zh"], "built_image": built["image"], "confidence": built["confidence"],
            "built_notes": built.get("notes", "")}  # fmt: skip
