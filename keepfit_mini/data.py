"""Manifests and batches: CSV rows -> a public loader (labels) and an expert loader (captions) (paper section 3.1).

A manifest has one row an image: `image` (path beside the CSV), `modality`, `label` (categories joined by ;), `text`, ...
The authors' frames (`image, atributes, categories` as list literals; `image, caption`) read as well, without eval.
Chance is keyed by seed, epoch and row, so a row looks the same at a visit whatever came before. Not about: models.
"""

from __future__ import annotations

import ast
import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from .config import InputError
from .prompts import is_excluded, training_prompt

CACHE_BYTES = 2 * 2**30  # resized pictures kept in memory; beyond it they are read again at each visit
HEADERS_CHECKED = 1000
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises on a broken file


# --------------------------------------------------------------------------------------------------------- manifests


def read_manifest(path: str | Path, need: str | None = None) -> pd.DataFrame:
    """CSV -> frame with image (full path), modality, labels (list), attributes (list), text, file, row.

    need  "label" or "text": a row without it is refused; None: one of the two columns must exist.
    row counts as a spreadsheet does: the header is row 1. InputError names file, row and mend.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such manifest: give the path of a CSV file", path)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except pd.errors.EmptyDataError as error:
        raise InputError("the file is empty: write a header line `image,label,text` and a row an image", path) from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8 ({' '.join(str(error).split())}): save it as one", path) from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus cells for an index
        raise InputError("a row has more cells than the header: put quotes around cells that hold commas", path)
    found = ", ".join(map(str, frame.columns))[:80]
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    if "image" not in frame:
        raise InputError(f"no column `image` (found: {found}): name it in the header, with commas between columns", path)
    frame["row"] = range(2, len(frame) + 2)
    frame = frame[(frame.drop(columns="row") != "").any(axis=1)].reset_index(drop=True)  # blank lines count, but hold nothing
    if frame.empty:
        raise InputError("the header has no rows under it: add a row an image", path)
    frame = frame.rename(columns={"caption": "text"} if "text" not in frame else {})
    rows = frame["row"].tolist()
    if "categories" in frame and "label" not in frame:
        frame["labels"] = [literal_list(v, path, row) for v, row in zip(frame["categories"], rows, strict=True)]
        if "text" not in frame:  # their expert frames keep the caption there
            frame["text"] = [", ".join(labels) for labels in frame["labels"]]
    elif "label" in frame:
        frame["labels"] = [[part.strip() for part in value.split(";") if part.strip()] for value in frame["label"]]
    elif "text" in frame:
        frame["labels"] = [[] for _ in rows]
    else:
        raise InputError(f"no column `label` or `text` (found: {found}): name one of them in the header", path)
    attributes = frame["atributes"] if "atributes" in frame else ["[]"] * len(frame)
    frame["attributes"] = [literal_list(v, path, row) for v, row in zip(attributes, rows, strict=True)]
    frame["file"] = str(path)
    for name, default in (("text", ""), ("modality", "CFP")):
        frame[name] = frame[name].str.strip().replace("", default) if name in frame else default
    for image, labels, text, row in zip(frame["image"], frame["labels"], frame["text"], rows, strict=True):
        if not image.strip():
            raise InputError("the image cell is empty: give the picture's path or delete the row", path, row)
        if need == "label" and not labels:
            raise InputError("no label: the public side needs one in every row; add it or delete the row", path, row)
        if need == "text" and not text:
            raise InputError("no text: the expert side needs a caption in every row; add it or delete the row", path, row)
    frame["image"] = [str(path.parent / image.strip()) for image in frame["image"]]
    for image, row in zip(frame["image"], rows, strict=True):
        if not is_file(image):
            raise InputError(f"picture {image[:200]} is missing: mend the path or delete the row", path, row)
    return frame[["image", "modality", "labels", "attributes", "text", "file", "row"]]


def is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or no path at all: a caption in the image column, say
        return False


def literal_list(text: str, path: Path, row: int) -> list[str]:
    """A Python list literal of strings, as the authors' frames hold; parsed, never evaluated."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{text[:40]!r} is not a list like ['glaucoma']: mend the cell", path, row)
    return [item.strip() for item in value if item.strip()]


def read_manifests(paths: Sequence[str | Path] | str | Path, need: str | None = None) -> pd.DataFrame:
    """Several manifests as one frame; each row remembers its file and row."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    return pd.concat([read_manifest(path, need) for path in paths], ignore_index=True)


def exclude_categories(frame: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """Leave out rows one of whose categories contains one of the words, and say how many (paper section 3.1).

    InputError: a word with a comma that matches nothing, which was meant to be several.
    """
    for word in words:
        count = sum(is_excluded(labels, [word]) for labels in frame["labels"])
        if not count and "," in word:
            raise InputError(f"--exclude-categories {word!r} matches no label: put spaces between words, not commas")
        what = (
            f"left out: {count} public rows whose label contains {word!r}"
            if count
            else f"WARNING: no public label contains {word!r}"
        )
        print(what, file=sys.stderr)
    keep = [not is_excluded(labels, list(words)) for labels in frame["labels"]]
    return frame[keep].reset_index(drop=True)


def fingerprint(frame: pd.DataFrame | None) -> str:
    """Changes with the pictures' names, labels or texts, so that a resume with other data is noticed."""
    if frame is None:
        return ""
    rows = zip(frame["image"].map(lambda path: Path(path).name), frame["labels"], frame["text"], strict=True)
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()


def keep_share(frame: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """A share of the rows in their old order, at least two; the same for the same seed, and 10% lie within 25%."""
    if share == 1:
        return frame
    chosen = np.random.default_rng([seed, 2]).permutation(len(frame))[: max(2, round(share * len(frame)))]
    return frame.iloc[np.sort(chosen)].reset_index(drop=True)


def drop_undecodable(frame: pd.DataFrame, max_bad: float) -> pd.DataFrame:
    """Open the first 1,000 headers; name and leave out the bad ones, InputError past max_bad of all rows."""
    bad = []
    for i, image in enumerate(frame["image"].head(HEADERS_CHECKED)):
        try:
            Image.open(image).close()
        except UNREADABLE as error:
            bad.append(i)
            report_bad(frame, i, error)
    limit_bad(frame, bad, max_bad)
    if len(bad) == len(frame):
        raise InputError("not one picture decodes: mend them", frame["file"].iloc[0])
    return frame.drop(index=bad).reset_index(drop=True)


def report_bad(frame: pd.DataFrame, index: int, error: object) -> None:
    row = frame.iloc[index]
    print(f"passed over: {row['file']}, row {row['row']}: {row['image']} does not decode ({error})", file=sys.stderr)


def limit_bad(frame: pd.DataFrame, bad: Sequence[int], max_bad: float) -> None:
    """InputError naming the last bad row once more than max_bad of the rows are bad."""
    if len(bad) > max_bad * len(frame):
        row = frame.iloc[bad[-1]]
        raise InputError(
            f"picture {row['image']} does not decode, the {len(bad)}th of {len(frame)} rows ({max_bad:.1%} are allowed): "
            "mend the pictures or raise --max-bad",
            row["file"],
            row["row"],
        )


# ---------------------------------------------------------------------------------------------------------- pictures


def read_picture(path: str | Path) -> Tensor:
    """File -> uint8 (3,H,W), RGB, turned upright; an alpha channel is laid aside, grey becomes three equal channels.

    Sixteen bits are brought down to eight (Pillow would make nearly all of them white). One of UNREADABLE if broken.
    """
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):
            values = np.asarray(upright).astype(np.int64)
            upright = Image.fromarray((values // (257 if values.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
        return F.pil_to_tensor(upright.convert("RGB"))


def fit_square(picture: Tensor, size: int) -> Tensor:
    """uint8 (3,H,W) -> float32 (3,size,size) in [0,1]: aspect kept, black at the right and the bottom, no mean/std."""
    height, width = picture.shape[-2:]
    longer = max(height, width) / size
    pixels = picture.float() / 255
    if (height, width) != (size, size):
        pixels = F.resize(pixels, [max(1, int(height / longer)), max(1, int(width / longer))], antialias=True)
    return F.pad(pixels, [0, 0, size - pixels.shape[-1], size - pixels.shape[-2]])


# Paper section 3.1: flip, affine, brightness and contrast; public pictures only.
AUGMENT = v2.Compose(
    [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomApply([v2.RandomAffine(degrees=5, scale=(0.9, 1.0))], p=0.25),
        v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.25),
    ]
)


def key(*numbers: int) -> int:
    """A seed from several numbers, well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def augment(picture: Tensor, seed: int) -> Tensor:
    """One random version of a picture (3,H,W), the same for the same seed; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would reach every GPU
        return AUGMENT(picture)


class Pictures(Dataset):
    """One side of training: index (epoch, row) -> {"image" (3,S,S), "text", "category", "row"}.

    prompts  True (public side): a category is drawn and put into a prompt; False (expert side): the row's own text.
    views    n > 0: the row has n fixed versions, of which a visit draws one (their activations may be kept)
    A picture that does not decode gives {"row", "bad": reason}, which collate sets aside.
    """

    def __init__(self, frame: pd.DataFrame, size: int, seed: int, prompts: bool, augmented: bool, views: int = 0):
        self.frame, self.size, self.seed, self.prompts = frame, size, seed, prompts
        self.augmented, self.views = augmented, views if augmented else min(views, 1)
        self.images, self.texts = frame["image"].tolist(), frame["text"].tolist()
        self.labels, self.attributes = frame["labels"].tolist(), frame["attributes"].tolist()
        # (picture, view) -> (C,h,w); filled in by frozen_stages.keep_activations
        self.activations: dict[tuple[str, int], Tensor] | None = None
        self._resized: dict[int, Tensor] = {}
        self._room = CACHE_BYTES // (3 * size * size)

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, row: int, visit: int) -> Tensor:
        """Pixels (3,S,S) in [0,1] of one version of a row."""
        pixels = self._resized.get(row)
        if pixels is None:
            pixels = (fit_square(read_picture(self.images[row]), self.size) * 255).round().to(torch.uint8)
            if len(self._resized) < self._room:
                self._resized[row] = pixels
        if self.augmented:
            pixels = augment(pixels, key(self.seed, row, visit))
        return pixels.float() / 255

    def __getitem__(self, index: tuple[int, int]) -> dict:
        epoch, row = index
        chance = random.Random(key(self.seed, epoch, row, 1))
        visit = chance.randrange(self.views) if self.views else epoch
        item = {"row": row, "category": "", "text": self.texts[row]}
        if self.prompts:
            item["category"] = chance.choice(self.labels[row])
            attribute = chance.choice(self.attributes[row]) if self.attributes[row] else ""
            item["text"] = training_prompt(item["category"], attribute, chance)
        if self.activations is not None:
            kept = self.activations.get((self.images[row], visit))
            return {"row": row, "bad": "as said before"} if kept is None else {**item, "activation": kept}
        try:
            return {**item, "image": self.picture(row, visit)}
        except UNREADABLE as error:
            return {"row": row, "bad": str(error)}


def collate(items: list[dict]) -> dict:
    """Items -> {"image" or "activation" (B,...), "text", "category", "row" (lists of B), "bad" [(row, reason)]}."""
    good = [item for item in items if "bad" not in item]
    batch = {name: [item[name] for item in good] for name in ("text", "category", "row")}
    batch["bad"] = [(item["row"], item["bad"]) for item in items if "bad" in item]
    pixels = next((name for name in ("image", "activation") if good and name in good[0]), None)
    if pixels:
        batch[pixels] = torch.stack([item[pixels] for item in good])
    return batch


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches that hold every row once. A last row alone joins the batch before: alone it has nothing to differ from."""
    return max(1, -(-(rows - 1) // batch_size))


class Visits:
    """Which rows each step of an epoch sees: lists of (epoch, row), one a batch.

    replacement  False: every row once, shuffled (public; the last batch takes what is left). True: drawn uniformly (expert).
    """

    def __init__(self, rows: int, batch_size: int, steps: int, seed: int, replacement: bool):
        self.rows, self.batch_size, self.steps, self.seed, self.replacement = rows, batch_size, steps, seed, replacement
        self.epoch, self.first_step = 0, 0

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = np.random.default_rng([self.seed, self.epoch, int(self.replacement)])
        if self.replacement:
            rows = generator.integers(self.rows, size=self.steps * self.batch_size)
        else:
            rows = generator.permutation(self.rows)
        for step in range(self.first_step, self.steps):
            end = len(rows) if step == self.steps - 1 else (step + 1) * self.batch_size
            yield [(self.epoch, int(row)) for row in rows[step * self.batch_size : end]]
