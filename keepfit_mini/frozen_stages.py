"""What frozen stages give is computed once for n versions of each picture and kept (TrainConfig.views).

An epoch then costs only the stages that learn. Kept in memory: right for thousands of pictures, not for a million.
With a cache folder it is also kept on disk, so that the next run with the same pictures and seed finds it there.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from .data import UNREADABLE, Pictures, limit_bad, report_bad
from .model import KeepFIT

FORMAT = "keepfit_mini activations 1"  # another number makes every kept file a stranger


def keep_activations(
    model: KeepFIT, pictures: Pictures, device, progress: bool, max_bad: float, cache: Path | None = None
) -> list[int]:
    """Compute the frozen stages once for every version of every picture; kept as float16 in pictures.activations.

    Rows that show the same picture share it. A picture that does not decode is named, its rows are passed over.
    cache  a folder: what was computed before for these weights, pictures, versions and seed is read from there.

    Returns the rows that were named.
    """
    encoder, views = model.image_encoder.eval(), pictures.views
    rows = list({image: row for row, image in reversed(list(enumerate(pictures.images)))}.values())  # a row a picture
    todo, store, bad = [(row, view) for row in sorted(rows) for view in range(views)], {}, []
    names = [(pictures.images[row], view) for row, view in todo]
    file = None if cache is None else Path(cache) / f"{digest(encoder, pictures, todo)}.safetensors"
    if file is not None and file.is_file():
        try:
            pictures.activations = dict(zip(names, load_file(file)["activations"], strict=True))
            return []
        except (OSError, SafetensorError, KeyError, ValueError):  # cut off, or not ours: computed anew
            pass
    for start in tqdm(range(0, len(todo), 64), desc="frozen stages", disable=not progress):
        pixels = {}
        for row, view in todo[start : start + 64]:
            try:
                if row not in bad:
                    pixels[pictures.images[row], view] = pictures.picture(row, view)
            except UNREADABLE as error:
                bad.append(row)
                report_bad(pictures.frame, row, error)
                limit_bad(pictures.frame, bad, max_bad)
        if pixels:
            with torch.inference_mode():
                kept = encoder.frozen(torch.stack(list(pixels.values())).to(device)).half().cpu()  # (64, C, h, w)
            store.update(zip(pixels, kept, strict=True))
    pictures.activations = store
    if file is not None and not bad:
        write_tensors(file, {"activations": torch.stack([store[name] for name in names])})
    return bad


def digest(encoder, pictures: Pictures, todo: list[tuple[int, int]]) -> str:
    """Changes with the frozen weights, the pictures' bytes and whatever decides how they are augmented."""
    chance = pictures.seed if pictures.augmented else None
    found = hashlib.sha256(repr((FORMAT, pictures.size, chance, encoder.mean.tolist(), encoder.std.tolist(), todo)).encode())
    for stage in encoder.stages()[: encoder.frozen_stages]:
        for tensor in stage.state_dict().values():
            found.update(tensor.cpu().numpy().tobytes())
    for row, view in todo:
        if view == 0:
            found.update(Path(pictures.images[row]).read_bytes())
    return found.hexdigest()[:32]


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Written beside, then renamed: a reader never sees half of it."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")  # two processes may come to the same file at once
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part)
        part.replace(file)
    except (OSError, SafetensorError) as error:  # costs time at the next run, nothing else
        print(f"activations are not kept: {file.parent} cannot be written ({error})", file=sys.stderr)
        part.unlink(missing_ok=True)
