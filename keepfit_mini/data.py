"""Batches: a manifest's frame -> a public loader (label prompts) and an expert loader (captions) (paper section 3.1).

Chance is keyed by seed, epoch and row, so a row looks the same at a visit whatever came before, in whichever process.
Not about: reading manifests (manifests.py) and files (pictures.py), or models.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from .pictures import UNREADABLE, fit_square, read_picture
from .prompts import training_prompt

CACHE_BYTES = 2 * 2**30  # resized pictures kept in memory; beyond it they are read again at each visit


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
