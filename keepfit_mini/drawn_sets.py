"""The demo's data, drawn: public pictures with labels only, an expert set with captions, and unseen sets.

The public labels lack some categories (WITHHELD); the expert captions describe the signs of all of them; the unseen
sets ask for them, in camera styles that no training set has. Category and camera are drawn independently.
Not here: how a picture is drawn (phantom.py) or described (captions.py).
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .captions import caption
from .config import InputError
from .phantom import CATEGORIES, draw

WITHHELD = ("pathologic myopia", "cataract", "macular hole", "retinitis pigmentosa")

# set -> which categories in which shares, in which cameras, of which source, and how many pictures of `images`.
_ALL = tuple(CATEGORIES["CFP"])
_PUBLIC = {c: 2.0 if c == "normal" else 1.0 for c in _ALL if c not in WITHHELD}
_OTHERS = [c for c in _PUBLIC if c not in ("normal", "glaucoma")]
_FIVES = ("normal", "age-related macular degeneration", "diabetic retinopathy", "glaucoma")


def _eighth(images):
    return max(24, images // 8)


SETS = {
    "public": {
        "shares": _PUBLIC, "count": lambda images: images, "split": "train",
        "sources": {"drawn hospital A": ("amber", "garnet"), "drawn hospital B": ("topaz", "coral"),
                    "drawn hospital C": ("umber",)}},
    "expert": {
        "shares": {c: 2.0 if c in WITHHELD else 1.0 for c in _ALL}, "count": lambda images: max(40, images * 2 // 5),
        "split": "train", "sources": {"drawn atlas": ("sienna", "amber", "topaz")}},
    "unseen_refuge": {
        "shares": {"glaucoma": 0.1, "normal": 0.7, **{c: 0.2 / len(_OTHERS) for c in _OTHERS}},
        "count": _eighth, "split": "test", "sources": {"drawn unseen, like REFUGE": ("pearl",)}},
    "unseen_fives": {
        "shares": dict.fromkeys(_FIVES, 1.0),
        "count": _eighth, "split": "test", "sources": {"drawn unseen, like FIVES": ("jade",)}},
    "unseen_odir": {
        "shares": dict.fromkeys(("normal", "pathologic myopia", "cataract"), 1.0),
        "count": _eighth, "split": "test", "sources": {"drawn unseen, like ODIR200x3": ("slate",)}},
}
COLUMNS = ["image", "modality", "label", "text", "text_zh", "source", "split", "findings", "drawn_category", "camera"]


def _apportion(shares, count):
    """Whole numbers that add up to `count`, as close to the shares as can be (largest remainders)."""
    exact = np.array(list(shares.values()), float) / sum(shares.values()) * count
    whole = np.floor(exact + 1e-9).astype(int)
    for i in np.argsort(whole - exact, kind="stable")[:count - whole.sum()]:
        whole[i] += 1
    return dict(zip(shares, whole.tolist(), strict=True))


def plan(images=1500, seed=0, unseen=None):
    """Every picture to be drawn, as dicts with set, file, category, camera, source, seed; nothing is drawn yet."""
    rows = []
    for number, (name, spec) in enumerate(SETS.items()):
        rng = np.random.default_rng([seed, 10 + number])
        count = unseen if unseen and spec["split"] == "test" else spec["count"](images)
        categories = [c for c, n in _apportion(spec["shares"], count).items() for _ in range(n)]
        styles = [(source, camera) for source, cameras in spec["sources"].items() for camera in cameras]
        for i, k in enumerate(rng.permutation(count)):
            source, camera = styles[rng.integers(len(styles))]
            rows.append({"set": name, "file": f"images/{name}/{i:05d}.jpg", "category": categories[k], "camera": camera,
                         "source": source, "split": spec["split"], "seed": int(rng.integers(1 << 31))})
    return rows


def _label(name, category):
    if name == "expert":
        return ""
    if name == "unseen_refuge":
        return "glaucoma" if category == "glaucoma" else "no glaucoma"
    return category


def _draw_row(row, folder, size):
    """Draw and save one picture of the plan; returns its row for the manifests. Depends on nothing but the row."""
    drawing = draw("CFP", row["category"], row["camera"], row["seed"], size)
    drawing.image.save(folder / row["file"], quality=95, subsampling=0)
    text, text_zh, named, named_zh = (
        caption(drawing, language, kind, row["seed"]) if row["set"] == "expert" else ""
        for kind in ("described", "named") for language in ("en", "zh"))
    return {
        "image": row["file"], "modality": "CFP", "label": _label(row["set"], row["category"]),
        "text": text, "text_zh": text_zh, "named": named, "named_zh": named_zh,
        "source": row["source"], "split": row["split"], "set": row["set"], "camera": row["camera"],
        "findings": ";".join(f"{f.name}:{f.severity}:{f.place}" for f in drawing.findings),
        "drawn_category": row["category"],
    }


def shuffle_captions(categories, rng):
    """A permutation (n,) that gives no row the caption of a row of its own category.

    Raises InputError where one category fills more than half of the rows."""
    categories = np.asarray(categories)
    if len(categories) < 2 or max(Counter(categories.tolist()).values()) * 2 > len(categories):
        raise InputError("shuffle_captions: one category fills more than half of the rows")
    order = rng.permutation(len(categories))
    while (own := np.flatnonzero(categories[order] == categories)).size:
        for i in own:  # swap with a row where both swaps help or at least do no harm
            helps = (categories[order] != categories[i]) & (categories[order[i]] != categories)
            j = rng.choice(np.flatnonzero(helps)) if helps.any() else rng.integers(len(order))
            order[[i, j]] = order[[j, i]]
    return order


def _manifests(table, seed):
    """set -> manifest (DataFrame): those of SETS, and the expert set with captions that name, or that were shuffled."""
    sets = {name: table[table["set"] == name].reset_index(drop=True) for name in SETS}
    expert = sets["expert"]
    sets["expert_named"] = expert.assign(text=expert["named"], text_zh=expert["named_zh"])
    order = shuffle_captions(expert["drawn_category"], np.random.default_rng([seed, 9]))
    shuffled = expert.iloc[order].reset_index(drop=True)
    sets["expert_shuffled"] = expert.assign(text=shuffled["text"], text_zh=shuffled["text_zh"])
    return {name: frame[COLUMNS] for name, frame in sets.items()}


def draw_sets(out, images=1500, size=64, seed=0, progress=True, unseen=None):
    """Draw the demo's sets into the folder `out`; returns {set: path of its manifest}.

    images: how many public pictures (the other sets follow from it); size: pixels a side; seed: same seed, same files;
    unseen: how many pictures each unseen set gets (None: an eighth of the public ones).
    One process: a second one would spend longer on importing the package than it would save.
    Sets of an earlier call are replaced; until all is drawn, `out` is left as it was.
    Raises InputError for images < 1, size < 16, seed < 0, or an `out` that is a file."""
    out = Path(out)
    if images < 1 or size < 16 or seed < 0:
        raise InputError(f"draw_sets: images {images}, size {size}, seed {seed} must be at least 1, 16 and 0")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder to write to")
    rows = plan(images, seed, unseen)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for name in SETS:
            (folder / "images" / name).mkdir(parents=True)
        table = [_draw_row(row, folder, size)
                 for row in tqdm(rows, desc="drawing", unit="picture", disable=not progress)]
        manifests = _manifests(pd.DataFrame(table), seed)
        for name, frame in manifests.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        (out / "images").mkdir(parents=True, exist_ok=True)
        for name in SETS:
            if (out / "images" / name).exists():
                shutil.rmtree(out / "images" / name)
            (folder / "images" / name).replace(out / "images" / name)
        for name in manifests:
            (folder / f"{name}.csv").replace(out / f"{name}.csv")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {name: out / f"{name}.csv" for name in manifests}
