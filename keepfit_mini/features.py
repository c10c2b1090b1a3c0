"""Picture files -> features and vectors; the pass through the encoder is kept on disk for the next protocol, shot or fold.

    features (N, width)  what the image encoder gives: the linear probe's input
    vectors  V (N, D)    the features projected to length one, as compared with texts: the adapters' input

Only features are kept, the projection costs nothing: models that share a frozen encoder share a file (kept.py).
Not about: what is done with them (zero_shot.py, few_shot.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import kept
from .data import augment, key
from .model import KeepFIT
from .pictures import UNREADABLE, fit_square, read_picture


def picture_features(
    model: KeepFIT,
    images: Sequence[str | Path],
    cache: str | Path | None = None,
    batch_size: int = 32,
    progress: bool = True,
    augment_seed: int | None = None,
) -> dict[str, Tensor]:
    """N picture files -> {"features" (N, width), "vectors" (N, D)} on the CPU.

    cache         a folder where features are kept; a file there that cannot be read is computed and written anew
    augment_seed  each picture is augmented at random first, by this seed and its place (the published Tip-Adapter)
    OSError: the first picture that does not decode, with its place as .index.
    """
    file = None if cache is None else Path(cache) / f"{fingerprint(model, images, augment_seed)}.safetensors"
    features = None if file is None else kept.load(file, len(images))
    if features is None:
        features = encode(model, images, batch_size, progress, augment_seed)
        if file is not None:
            kept.keep(features, file)
    with torch.inference_mode():
        vectors = model.eval().image_projection(features.to(next(model.parameters()).device))  # (N, D)
    return {"features": features, "vectors": vectors.float().cpu()}


@torch.inference_mode()
def encode(
    model: KeepFIT, images: Sequence[str | Path], batch_size: int, progress: bool, augment_seed: int | None
) -> Tensor:
    """Features (N, width), always computed."""
    model.eval()
    size, device = model.config.image_size, next(model.parameters()).device
    features = []
    for start in tqdm(range(0, len(images), batch_size), desc="encode", disable=not progress):
        pixels = []
        for i, path in enumerate(images[start : start + batch_size], start):
            try:
                picture = fit_square(read_picture(path), size)
            except UNREADABLE as error:
                raise broken(path, i, error) from error
            pixels.append(picture if augment_seed is None else augment(picture, key(augment_seed, i)))
        features.append(model.image_encoder(torch.stack(pixels).to(device)).float().cpu())  # (b, width)
    return torch.cat(features)


def broken(path: str | Path, index: int, error: Exception) -> OSError:
    failure = OSError(f"{path} does not decode ({error})")
    failure.index = index
    return failure


def fingerprint(model: KeepFIT, images: Sequence[str | Path], augment_seed: int | None = None) -> str:
    """Changes with the encoder's state, how pixels are prepared, and the bytes of each picture, in order."""
    about = ("features", model.config.image_encoder, model.config.image_size, augment_seed)
    encoder = model.image_encoder
    state = [*encoder.named_parameters(), *encoder.named_buffers()]  # mean and std are buffers
    try:
        return kept.fingerprint(about, state, images)
    except OSError as error:
        raise broken(error.filename, [str(path) for path in images].index(str(error.filename)), error) from error
