"""Picture files -> features and vectors; the pass through the encoder is kept on disk for the next protocol, shot or fold.

    features (N, width)  what the image encoder gives: the linear probe's input
    vectors  V (N, D)    the features projected to length one, as compared with texts: the adapters' input

Only features are kept, the projection costs nothing: models that share a frozen encoder share a file. The name of a file is a
hash of everything that it depends on, so a file is either right or not found.
Not about: what is done with them (zero_shot.py, few_shot.py).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from .data import UNREADABLE, augment, fit_square, key, read_picture
from .model import KeepFIT

FORMAT = "keepfit_mini features 2"  # another number makes every kept file a stranger


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
    kept = None if file is None else load_kept(file, len(images))
    features = encode(model, images, batch_size, progress, augment_seed) if kept is None else kept
    if file is not None and kept is None:
        keep(features, file)
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


# ----------------------------------------------------------------------------------------------------------- on disk


def fingerprint(model: KeepFIT, images: Sequence[str | Path], augment_seed: int | None = None) -> str:
    """SHA-256 over the encoder's state, how pixels are prepared, and the bytes of each picture, in order."""
    digest, config, encoder = hashlib.sha256(), model.config, model.image_encoder
    digest.update(repr((FORMAT, config.image_encoder, config.image_size, augment_seed)).encode())
    for name, tensor in [*encoder.named_parameters(), *encoder.named_buffers()]:  # mean and std are buffers
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    for i, path in enumerate(images):
        try:
            with Path(path).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise broken(path, i, error) from error
    return digest.hexdigest()


def load_kept(file: Path, rows: int) -> Tensor | None:
    """What `keep` wrote; None where there is nothing whole."""
    try:
        found = load_file(file)
    except (OSError, SafetensorError):
        return None
    return found["features"] if set(found) == {"features"} and len(found["features"]) == rows else None


def keep(features: Tensor, file: Path) -> None:
    """Write beside the file, then rename. A folder that cannot be written costs time at the next call, nothing else."""
    part = file.with_name(f"{file.stem}.{os.getpid()}.part")  # two processes may come to the same file at once
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"features": features}, part)
        part.replace(file)
    except (OSError, SafetensorError) as error:
        print(f"features are not kept: {file.parent} cannot be written ({error})", file=sys.stderr)
