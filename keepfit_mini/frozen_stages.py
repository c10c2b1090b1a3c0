"""What frozen stages give is computed once for n versions of each picture and kept (TrainConfig.views).

An epoch then costs only the stages that learn. Kept in memory: right for thousands of pictures, not for a million.
"""

from __future__ import annotations

import torch
from tqdm.auto import tqdm

from .data import UNREADABLE, Pictures, limit_bad, report_bad
from .model import KeepFIT


def keep_activations(model: KeepFIT, pictures: Pictures, device, progress: bool, max_bad: float) -> list[int]:
    """Compute the frozen stages once for every version of every picture; kept as float16 in pictures.activations.

    Rows that show the same picture share it. A picture that does not decode is named, its rows are passed over.

    Returns the rows that were named.
    """
    encoder, views = model.image_encoder.eval(), pictures.views
    rows = list({image: row for row, image in reversed(list(enumerate(pictures.images)))}.values())  # a row a picture
    todo, store, bad = [(row, view) for row in sorted(rows) for view in range(views)], {}, []
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
    return bad
