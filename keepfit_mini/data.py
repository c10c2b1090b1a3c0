"""Batches: a manifest's frame -> a public loader (label prompts) and an expert loader (captions) (paper section 3.1).

Chance is keyed by seed, epoch and row, so a row looks the same at a visit whatever came before, in whichever process.
Not about: reading manifests (manifests.py) and files (pictures.py), or models.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from .pictures import UNREADABLE, read_square
from .prompts import training_prompt
from .resized import ResizedPictures

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


class Strings:
    """Many strings in two arrays. A list's reading would write (reference counts), and forked readers would copy it all."""

    def __init__(self, strings: Iterable[str]):
        parts = [string.encode("utf-8", "surrogatepass") for string in strings]
        self.text = np.frombuffer(b"".join(parts), dtype=np.uint8)
        self.ends = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> str:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.text[self.ends[i] : self.ends[i + 1]].tobytes().decode("utf-8", "surrogatepass")


class Pictures(Dataset):
    """One side of training: index (epoch, row) -> {"image" (3,S,S), "text", "category", "row"}.

    prompts  True (public side): a category is drawn and put into a prompt; False (expert side): the row's own text.
    views    n > 0: the row has n fixed versions, of which a visit draws one (their activations may be kept)
    cache    bytes of disk for resized pictures
    A picture that does not decode gives {"row", "bad": reason}, which collate sets aside.
    """

    def __init__(
        self, frame: pd.DataFrame, size: int, seed: int, prompts: bool, augmented: bool, views: int = 0, cache: float = 0
    ):
        self.frame, self.size, self.seed, self.prompts = frame, size, seed, prompts
        self.augmented, self.views = augmented, views if augmented else min(views, 1)
        self.images, self.texts = Strings(frame["image"]), Strings(frame["text"])
        self.labels, self.attributes = frame["labels"].tolist(), frame["attributes"].tolist()
        # (picture, view) -> (C,h,w); filled in by frozen_stages.keep_activations
        self.activations: dict[tuple[str, int], Tensor] | None = None
        self.resized = ResizedPictures(len(frame), size, cache)

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, row: int, visit: int) -> Tensor:
        """Pixels (3,S,S) in [0,1] of one version of a row."""
        pixels = self.resized.get(row)
        if pixels is None:
            pixels = read_square(self.images[row], self.size)
            self.resized.put(row, pixels)
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


def cuts(rows: int, size: int, first: int = 0, least: int = 2) -> list[tuple[int, int]]:
    """(begin, end) of each batch that holds rows first ... rows - 1, `size` in each; a last one under `least` joins the
    one before: a row alone has nothing to be told from, and each process needs one."""
    begins = list(range(first, rows, size))
    if len(begins) > 1 and rows - begins[-1] < least:
        begins.pop()
    return list(zip(begins, [*begins[1:], rows], strict=True))


class Visits:
    """What each step of one epoch sees, as a batch sampler: lists of (epoch, row); of W processes each takes its part.

    parts        (begin, end) of each step's joined batch in the epoch's sequence of rows
    replacement  False: the sequence holds every row once, shuffled (public). True: each is drawn from all rows (expert)
    The order and the draws depend on seed and epoch alone: whoever comes later, in however many processes, goes on in them.
    """

    def __init__(self, rows: int, parts: list[tuple[int, int]], seed: int, epoch: int, replacement: bool, rank=0, world=1):
        self.rows, self.parts, self.seed, self.epoch = rows, parts, seed, epoch
        self.replacement, self.rank, self.world = replacement, rank, world

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = np.random.default_rng([self.seed, self.epoch, int(self.replacement)])
        if self.replacement:
            rows = generator.integers(self.rows, size=self.parts[-1][1] if self.parts else 0)
        else:
            rows = generator.permutation(self.rows)
        for begin, end in self.parts:
            mine = np.array_split(rows[begin:end], self.world)[self.rank]
            yield [(self.epoch, int(row)) for row in mine]
