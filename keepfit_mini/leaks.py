"""What two manifests share: file names, bytes, near-equal pictures, patients. A test set that a model has seen measures memory.

The paper's own test set shares 112 file names with its pretraining list. Where pictures are absent names and patients still
tell. Not about: which of two copies to keep (subset.py keeps patients apart).

Near-equal: ImageHash's perceptual hash of the square inside the retina disc. On the whole photograph the disc's outline and the
camera's colour make strangers alike; `calibrate` measures it, and the defaults are chosen from that (results/leaks.json).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from tqdm import tqdm

from .config import InputError, file_sha256
from .manifests import picture_paths
from .patients import base_names, patients, read_rows
from .pictures import UNREADABLE
from .preparing import load, retina_box

INSIDE = 0.7  # side of the square inside a disc, as a share of the disc's diameter
HASHES = ("phash", "dhash", "whash", "ahash")
BLOCK = 2048  # rows of A compared at a time: a distance matrix of a block, never of all
COLUMNS = ["kind", "a_row", "a_image", "b_row", "b_image", "b_more", "what"]


@dataclass(frozen=True)
class Likeness:
    """How near-equal pictures are found: hash_size**2 bits each, alike if at most `distance` of them differ."""

    kind: str = "phash"
    hash_size: int = 16
    distance: int = 32

    def __post_init__(self):
        if self.kind not in HASHES or not 2 <= self.hash_size <= 64 or not 0 <= self.distance < self.hash_size**2:
            mend = f"give one of {', '.join(HASHES)}, a size of 2 to 64 and a distance under its square"
            raise InputError(f"hash {self.kind}, size {self.hash_size}, distance {self.distance}: {mend}")
        if self.kind == "whash" and self.hash_size & (self.hash_size - 1):
            raise InputError(f"hash size {self.hash_size}: whash needs a power of two")


def square_inside(picture: Image.Image) -> Image.Image:
    """RGB picture -> the square inside its disc, in which no border and no outline of the camera is left."""
    left, top, right, bottom = retina_box(picture)
    side = INSIDE * min(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return picture.crop((round(x - side), round(y - side), round(x + side), round(y + side)))


def bits_of(square: Image.Image, likeness: Likeness) -> np.ndarray:
    """RGB picture, as from square_inside -> (hash_size**2,) booleans."""
    try:
        import imagehash
    except ImportError as error:
        raise InputError("near-equal pictures need the package ImageHash: pip install ImageHash, or give --no-near") from error
    name = "average_hash" if likeness.kind == "ahash" else likeness.kind
    return getattr(imagehash, name)(square, likeness.hash_size).hash.ravel()


def near(a: np.ndarray, b: np.ndarray, distance: int) -> list[tuple[int, int, int]]:
    """(A, bits), (B, bits) booleans -> (row of a, row of b, Hamming distance) of the pairs up to the distance.

    As products of +-1 matrices, a block at a time: bits that agree minus bits that differ.
    """
    found, other = [], (b * np.float32(2) - 1).T  # (bits, B)
    for start in range(0, len(a), BLOCK):
        apart = (a.shape[1] - (a[start : start + BLOCK] * np.float32(2) - 1) @ other) / 2  # (block, B)
        for i, j in np.argwhere(apart <= distance):
            found.append((start + int(i), int(j), int(apart[i, j])))
    return found


class Pictures:
    """One manifest: its different pictures, what can be opened of them, and hashes that are computed once a kind."""

    def __init__(self, path: str | Path, root: str | Path | None = None, column: str | None = None, pattern: str | None = None):
        self.path = Path(path)
        frame = read_rows(self.path)
        frame["who"] = patients(frame, column, pattern)
        self.frame = frame.drop_duplicates("image", ignore_index=True)
        self.rows = len(frame)
        self.files: list[str | None] = []
        for image, row in zip(self.frame["image"], self.frame["row"], strict=True):
            try:
                self.files += picture_paths([image], [row], self.path, root)
            except InputError:  # absent, or in a folder that may not be looked into: names still tell
                self.files.append(None)
        self.absent = self.files.count(None)
        self.hashes: tuple[str, int] | None = None  # kind and size of those in bits
        self.bits = np.zeros((0, 0), dtype=bool)
        self.hashed: list[int] = []
        self.unreadable = 0

    def hash(self, likeness: Likeness, progress: bool = True) -> None:
        if self.hashes != (likeness.kind, likeness.hash_size):
            bits, self.hashed, self.unreadable = [], [], 0
            there = [(i, file) for i, file in enumerate(self.files) if file]
            for i, file in tqdm(there, desc=self.path.name, unit="picture", disable=None if progress else True):
                try:
                    picture = load(file, 512)
                except UNREADABLE as error:
                    self.unreadable += 1
                    print(f"passed over: {file} does not decode ({error})", file=sys.stderr)
                    continue
                bits.append(bits_of(square_inside(picture), likeness))
                self.hashed.append(i)
            self.bits = np.array(bits).reshape(len(bits), likeness.hash_size**2)
            self.hashes = likeness.kind, likeness.hash_size


def leaks(a: Pictures, b: Pictures, likeness: Likeness | None = Likeness(), progress: bool = True) -> pd.DataFrame:  # noqa: B008
    """Pairs of pictures as COLUMNS: kind "name", "bytes", "near" or "patient"; rows as a spreadsheet counts.

    For names, bytes and patients each picture of a stands once, with the first of b's that fits and how many more do (b_more);
    for near-equal pictures every pair is listed. likeness None: pixels are not looked at.
    what  the name, the SHA-256, the Hamming distance or the patient
    """
    out = []

    def same(kind: str, keys: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> None:
        index: dict[str, list[int]] = {}
        for j, own in enumerate(others):
            for key in set(own):
                index.setdefault(key, []).append(j)
        for i, own in enumerate(keys):
            hits = {j: key for key in sorted(set(own)) for j in index.get(key, ())}
            if hits:
                first = min(hits)
                out.append((kind, i, first, len(hits) - 1, hits[first]))

    same("name", names(a.frame), names(b.frame))
    sizes = [{Path(file).stat().st_size for file in one.files if file} for one in (a, b)]
    both = sizes[0] & sizes[1]  # only files of equal size can be equal
    digests = [[[file_sha256(Path(file))] if file and Path(file).stat().st_size in both else [] for file in one.files]
               for one in (a, b)]  # fmt: skip
    same("bytes", *digests)
    if likeness:
        for one in (a, b):
            one.hash(likeness, progress)
        for i, j, distance in near(a.bits, b.bits, likeness.distance):
            out.append(("near", a.hashed[i], b.hashed[j], 0, str(distance)))
    same("patient", *[[[who] if who else [] for who in one.frame["who"]] for one in (a, b)])
    return pd.DataFrame(
        [(kind, a.frame["row"][i], a.frame["image"][i], b.frame["row"][j], b.frame["image"][j], more, what)
         for kind, i, j, more, what in out], columns=COLUMNS)  # fmt: skip


def names(frame: pd.DataFrame) -> list[list[str]]:
    """The file names that a picture goes by: now, and before it was renamed."""
    columns = [base_names(frame, column) for column in ("image", "orig_name") if column in frame]
    return [[name for name in own if name] for own in zip(*columns, strict=True)]


def summary(a: Pictures, b: Pictures, pairs: pd.DataFrame, likeness: Likeness | None) -> str:
    """A few lines for a person. Numbers of patients of different sources are not the same people, and are not compared."""
    lines = [f"{a.path} ({len(a.frame)} pictures in {a.rows} rows) and {b.path} ({len(b.frame)} in {b.rows})"]
    for one in (a, b):
        if one.absent:
            lines.append(f"  {one.path.name}: {one.absent} pictures are absent, or outside the folders that may be read (--root)")
    of = {kind: pairs[pairs["kind"] == kind] for kind in ("name", "bytes", "near", "patient")}

    def line(what: str, count: object, comment: str) -> None:
        lines.append(f"  {what:20}{count:>7}   {comment}")

    line("same file name", of["name"]["what"].nunique(), f"names, on {len(of['name'])} pictures of the first")
    if any(a.files) and any(b.files):
        line("same bytes", len(of["bytes"]), "pictures of the first")
        if likeness:
            alike = of["near"]["a_row"]
            how = f"{likeness.kind}: {likeness.distance} of {likeness.hash_size**2} bits or fewer differ"
            line("near-equal", alike.nunique(), f"pictures of the first, in {len(alike)} pairs ({how})")
            hidden = alike[~alike.isin(pd.concat([of["name"], of["bytes"]])["a_row"])]
            line("  under other names", hidden.nunique(), "of these: look at them, photographs of the fundus are alike")
    else:
        line("bytes, likeness", "-", "not compared: one side has no pictures")
    unknown = [one.path.name for one in (a, b) if not one.frame["who"].any()]
    if unknown:
        line("same patient", "-", f"not known in {' and '.join(unknown)}: --patient-column or --patient-pattern")
    else:
        line("same patient", of["patient"]["what"].nunique(), f"patients, on {len(of['patient'])} pictures of the first")
    return "\n".join(lines)


def another_copy(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """The picture as another data set might hold it: other size, border, brightness, JPEG quality."""
    scale, light = chance.uniform(0.5, 1.5), chance.uniform(0.85, 1.15)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    side = int(chance.uniform(0, 0.25) * picture.width)
    picture = ImageOps.expand(picture, (side, side // 3, side, side // 3), fill=(2, 2, 2))
    stream = io.BytesIO()
    picture.point(lambda v: min(255, int(v * light))).save(stream, "JPEG", quality=int(chance.integers(60, 91)))
    return Image.open(stream).convert("RGB")


def all_pictures(one: Pictures) -> list[Image.Image]:
    """Every picture that is there. InputError: none is, or one does not decode (a measurement passes nothing over)."""
    out = []
    for file in filter(None, one.files):
        try:
            out.append(load(file, 512))
        except UNREADABLE as error:
            raise InputError(f"does not decode ({error}): mend it, or leave its row out to calibrate", file) from error
    if not out:
        raise InputError("not one of its pictures is there: calibrate on sets that have them (--root)", one.path)
    return out


def calibrate(a: Pictures, b: Pictures, seed: int = 0) -> list[dict]:
    """Two sets that share nothing -> for each kind and size of hash: pairs called near by mistake, and copies of a found.

    Distances are shares of the bits. "copies" are of another_copy; "between" are pairs of a and b, "within" pairs of a.
    InputError as all_pictures.
    """
    there = [all_pictures(one) for one in (a, b)]
    chance = np.random.default_rng(seed)
    there.append([another_copy(picture, chance) for picture in there[0]])
    squares = [[square_inside(picture) for picture in some] for some in there]
    out = []
    for kind in HASHES:
        for size in (8, 16):
            own, other, copies = (np.array([bits_of(one, Likeness(kind, size, 1)) for one in some]) for some in squares)
            apart = (own != copies).sum(1)
            for share in (0.05, 0.1, 0.125, 0.15, 0.2):
                limit = int(share * size**2)
                out.append({
                    "hash": kind, "size": size, "distance": limit,
                    "copies_found": round(float((apart <= limit).mean()), 3),
                    "false_between": len(near(own, other, limit)), "of_between": len(own) * len(other),
                    "near_within": sum(i < j for i, j, _ in near(own, own, limit)), "of_within": len(own) * (len(own) - 1) // 2,
                })  # fmt: skip
    return out
