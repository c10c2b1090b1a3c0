"""An original data set -> a manifest of pictures at one size: retina disc cropped, shorter side scaled, JPEG.

Sets come as class sub-folders or as a CSV beside a folder, with black borders, at up to 4,000 pixels a side. What is done is
kept: a second run makes only what is missing. Not about: where sets come from (data_sets.py), how pictures are augmented.
"""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from scipy import ndimage
from tqdm import tqdm

from .config import InputError, write_aside
from .pictures import MAX_PIXELS, UNREADABLE, limit_bad, open_picture, read_picture, stumbling
from .set_folder import SPLITS, list_pictures, listed_in_csv, walk

BATCH = 512  # pictures handed to the workers at a time: the list of what is to be done may be long, the queue is not
LOOK = 256  # pixels of the longer side of the copy on which the disc is sought
LONGEST = 65_500  # pixels a side: libjpeg writes no more


@dataclass(frozen=True)
class Settings:
    size: int = 512  # pixels of the shorter side
    quality: int = 95  # of the JPEG
    crop: bool = True  # to the retina disc

    def __post_init__(self):
        if not 16 <= self.size <= 8192 or not 1 <= self.quality <= 100:
            raise InputError(f"size {self.size}, quality {self.quality}: give 16 to 8192 pixels and a quality of 1 to 100")


def retina_box(picture: Image.Image) -> tuple[int, int, int, int]:
    """RGB picture -> (left, top, right, bottom) of the disc without its dark border; the whole picture where none is seen.

    The largest connected part brighter than the border, so that a caption or a speck in a corner is no part of it. A part
    smaller than a tenth of the picture is no disc: a photograph that is dark all over stays whole.
    """
    scale = max(1.0, max(picture.size) / LOOK)
    small = picture.resize((max(1, round(picture.width / scale)), max(1, round(picture.height / scale))), Image.Resampling.BOX)
    bright = np.asarray(small).max(axis=2).astype(float)  # (h, w): red alone lights a dim rim
    edge = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    border, top = np.percentile(edge, 10), np.percentile(bright, 95)
    mask = bright > border + max(6.0, 0.08 * (top - border))  # a border's noise stays under six grey levels
    parts, count = ndimage.label(ndimage.binary_opening(mask, iterations=1))  # thin writing that touches the disc goes
    whole = (0, 0, picture.width, picture.height)
    if not count or border > 40:  # no dark border: nothing to cut
        return whole
    largest = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    if largest.sum() < 0.1 * largest.size:
        return whole
    rows, columns = np.flatnonzero(largest.any(axis=1)), np.flatnonzero(largest.any(axis=0))
    left, upper = int(columns[0] * scale), int(rows[0] * scale)
    return left, upper, min(picture.width, round((columns[-1] + 1) * scale)), min(picture.height, round((rows[-1] + 1) * scale))


def load(path: str | Path, longer: int | None = None) -> Image.Image:
    """File -> RGB picture, upright; a JPEG may come at a half, a quarter or an eighth, its longer side still `longer` or more.

    One of pictures.UNREADABLE if it is broken.
    """
    with stumbling(), open_picture(path) as picture:
        if picture.format != "JPEG":
            return Image.fromarray(read_picture(path).permute(1, 2, 0).numpy())
        if longer:
            share = longer / max(picture.size)
            picture.draft("RGB", (math.ceil(picture.width * share), math.ceil(picture.height * share)))
        return ImageOps.exif_transpose(picture).convert("RGB")


def prepared(path: str | Path, settings: Settings) -> Image.Image:
    """File -> its disc, the shorter side settings.size pixels long, aspect kept.

    Where the disc is, a small copy tells: then no more pixels are decoded and resized than are needed (three times as fast).
    One of pictures.UNREADABLE if it is broken, or so narrow that it would grow beyond what can be read or saved.
    """
    picture = load(path, LOOK)
    box = retina_box(picture) if settings.crop else (0, 0, *picture.size)
    shorter = min(box[2] - box[0], box[3] - box[1])
    before, needed = picture.size, math.ceil(max(picture.size) * settings.size / shorter)
    if needed > max(before):
        picture = load(path, needed)
    x, y = picture.width / before[0], picture.height / before[1]
    picture = picture.crop((round(box[0] * x), round(box[1] * y), round(box[2] * x), round(box[3] * y)))
    scale = settings.size / min(picture.size)
    size = tuple(max(settings.size, round(side * scale)) for side in picture.size)
    if max(size) > LONGEST or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"too narrow: with a shorter side of {settings.size} pixels it would be {size[0]} x {size[1]}")
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def stamp(path: str | Path, settings: Settings) -> bytes:
    """What a prepared picture was made of and how: stands in the JPEG, so that a later run knows a right one."""
    state = Path(path).stat()
    return f"keepfit_mini {settings.size} {settings.quality} {settings.crop} {state.st_size} {state.st_mtime_ns}".encode()


def stamped(path: Path) -> bool:
    """Whether an earlier run made this picture, whatever of."""
    try:
        with open_picture(path) as picture:
            comment = picture.info.get("comment", b"")
    except UNREADABLE:
        return False
    return isinstance(comment, bytes) and comment.startswith(b"keepfit_mini ")


def check_out(source: Path, out: Path) -> None:
    """Both resolved. InputError: originals, or whatever else a person put there, could be overwritten.

    A run that broke off has left no manifest yet, but its pictures are stamped.
    """
    pictures = out / "pictures"
    if source.is_relative_to(pictures.resolve()):
        raise InputError("the originals lie in its pictures/ and would be overwritten: choose another folder to write to", out)
    if out == source or (out.exists() and not (out.is_dir() and (pictures.is_dir() or not any(out.iterdir())))):
        raise InputError("is not a folder that this made: choose another one to write to", out)
    there = walk(pictures)
    if there and not any(stamped(pictures / one) for one in there):
        raise InputError("the pictures there are not of this program's making: choose another folder to write to", pictures)


def prepare_one(job: tuple[str, str], settings: Settings) -> str:
    """(file, target) -> "made", "kept", or why the file cannot be read. OSError: the target cannot be written."""
    path, target = job
    try:
        mark = stamp(path, settings)
        try:
            with open_picture(target) as there:
                if there.info.get("comment") == mark:
                    return "kept"
        except UNREADABLE:
            pass  # none, or another file
        stream = io.BytesIO()
        prepared(path, settings).save(stream, "JPEG", quality=settings.quality, comment=mark)
    except UNREADABLE as error:
        return f"does not decode ({' '.join(str(error).split())[:200]})"
    place = Path(target)
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    part.write_bytes(stream.getbuffer())
    part.replace(place)
    return "made"


def fresh_processes() -> multiprocessing.context.BaseContext:
    """Workers that begin without this process's threads; from one that has torch loaded already where there is such a server."""
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def one_thread() -> None:
    """A worker: the processes share the cores, their libraries need not."""
    import torch

    torch.set_num_threads(1)


def targets(names: list[str]) -> list[str]:
    """Paths below the source -> paths below `pictures`, all different on any file system; the folders stay."""
    wanted = [str(Path(name).with_suffix(".jpg")) for name in names]
    often = pd.Series([name.lower() for name in wanted]).duplicated(keep=False)
    taken, out = set(), []
    for name, want, twice in zip(names, wanted, often, strict=True):
        target = f"{name}.jpg" if twice else want  # a.png and a.tif side by side: a.png.jpg, a.tif.jpg
        while target.lower() in taken:
            target = f"{target.removesuffix('.jpg')}_.jpg"
        taken.add(target.lower())
        out.append(target)
    return out


def prepare(
    source: str | Path, out: str | Path, settings: Settings | None = None, table: str | Path | None = None,
    columns: dict[str, str] | None = None, *, merge: bool = False, modality: str = "CFP", name: str | None = None,
    workers: int = 1, max_bad: float = 0.01, progress: bool = True,
) -> dict[str, int]:  # fmt: skip
    """Write out/pictures/... and, last, out/manifest.csv (image, modality, label, text, patient, source, split, orig_name).

    table    a CSV that says which pictures there are; None: every picture under source, labelled by its folder
    columns  which of its columns hold "image", "label", "text", "patient"; a label may be several joined by ;
    merge    a picture in several rows gets all their labels; else such rows are refused
    workers  processes (1: this one). name: the manifest's `source`, None = the folder's name
    Returns {"made", "kept", "bad", "rows"}. InputError: nothing there, a missing picture, more than max_bad that do not decode,
    an `out` whose pictures no earlier run made.
    """
    settings, source, out = settings or Settings(), Path(source).resolve(), Path(out).resolve()
    if not source.is_dir():
        raise InputError("no such folder: give the folder that holds the original pictures", source)
    if not 0 <= max_bad <= 1 or workers < 1:
        raise InputError(f"--max-bad {max_bad}, --workers {workers}: give a share from 0 to 1, and 1 process or more")
    check_out(source, out)
    frame = listed_in_csv(Path(table), source, out, columns or {}, merge) if table else list_pictures(source, out)
    below = frame["below"].tolist()
    frame["target"] = [str(Path("pictures") / target) for target in targets(below)]
    try:
        states = run(list(zip(frame["image"], [str(out / target) for target in frame["target"]], strict=True)),
                     frame, settings, workers, max_bad, progress)  # fmt: skip
    except BrokenProcessPool as error:
        raise InputError("a process died (too little memory?): run again with --workers 1, what is done is kept", out) from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot be written ({reason}): make room, then run again, what is done is kept", out) from error
    good = [state in ("made", "kept") for state in states]
    if not any(good):
        raise InputError("not one picture decodes: mend them", source)
    manifest = pd.DataFrame({
        "image": [Path(target).as_posix() for target in frame["target"]], "modality": modality, "label": frame["label"],
        "text": frame["text"], "patient": frame["patient"], "source": name or source.name,
        "split": [SPLITS.get(Path(one).parts[0].lower(), "") if len(Path(one).parts) > 1 else "" for one in below],
        "orig_name": [Path(one).name for one in below],
    })[good]  # fmt: skip
    write_aside(out / "manifest.csv", manifest.to_csv(index=False))
    return {"made": states.count("made"), "kept": states.count("kept"), "bad": good.count(False), "rows": len(manifest)}


def run(jobs: list, frame: pd.DataFrame, settings: Settings, workers: int, max_bad: float, progress: bool) -> list[str]:
    """What prepare_one says of each job; unreadable ones are named as they come, and too many end it."""
    states, bad = [], []
    work = partial(prepare_one, settings=settings)
    pool = ProcessPoolExecutor(workers, fresh_processes(), one_thread) if workers > 1 else None
    try:
        with tqdm(total=len(jobs), unit="picture", disable=None if progress else True) as bar:
            for start in range(0, len(jobs), BATCH):
                batch = jobs[start : start + BATCH]
                for state in pool.map(work, batch, chunksize=8) if pool else map(work, batch):
                    if state not in ("made", "kept"):
                        bad.append(len(states))
                        bar.write(f"passed over: {jobs[len(states)][0]} {state}", file=sys.stderr)
                        limit_bad(frame, bad, max_bad)
                    states.append(state)
                    bar.update()
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    return states
