"""What frozen stages give is computed once for n versions of each picture and kept (TrainConfig.views).

An epoch then costs only the stages that learn. Kept in memory: right for thousands of pictures, not for a million.
With a cache folder it is also kept on disk, so that the next run with the same pictures and seed finds it there.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm.auto import tqdm

from . import kept
from .data import Pictures
from .model import KeepFIT
from .pictures import UNREADABLE, limit_bad, report_bad


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
    file = None if cache is None else Path(cache) / f"{fingerprint(encoder, pictures, todo)}.safetensors"
    found = None if file is None else kept.load(file, len(todo))
    if found is not None:
        pictures.activations = dict(zip(names, found, strict=True))
        return []
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
                activations = encoder.frozen(torch.stack(list(pixels.values())).to(device)).half().cpu()  # (64, C, h, w)
            store.update(zip(pixels, activations, strict=True))
    pictures.activations = store
    if file is not None and not bad:
        kept.keep(torch.stack([store[name] for name in names]), file)
    return bad


def fingerprint(encoder, pictures: Pictures, todo: list[tuple[int, int]]) -> str:
    """Changes with the frozen weights, the pictures' bytes and whatever decides how they are augmented."""
    chance = pictures.seed if pictures.augmented else None
    about = ("activations", pictures.size, chance, encoder.mean.tolist(), encoder.std.tolist(), todo)
    stages = encoder.stages()[: encoder.frozen_stages]
    state = [(f"{i}.{name}", tensor) for i, stage in enumerate(stages) for name, tensor in stage.state_dict().items()]
    return kept.fingerprint(about, state, [pictures.images[row] for row, view in todo if view == 0])
