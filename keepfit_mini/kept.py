"""One tensor in one file, named by a hash of everything that it depends on: it is either right or not found.

features.py keeps what the encoder gives, frozen_stages.py what its frozen stages give. A file that cannot be read or written
costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = "keepfit_mini kept tensor 3"  # another number makes every kept file a stranger


def fingerprint(about: object, tensors: Iterable[tuple[str, Tensor]], files: Iterable[str | Path]) -> str:
    """SHA-256 over what `about` prints, named tensors and the bytes of files, in order. OSError: a file that is not there."""
    digest = hashlib.sha256(repr((FORMAT, about)).encode())
    for name, tensor in tensors:
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    for path in files:
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load(file: Path, rows: int) -> Tensor | None:
    """What `keep` wrote, if it has so many rows; None where there is nothing whole."""
    try:
        found = load_file(file)
    except (OSError, SafetensorError):
        return None
    return found["kept"] if set(found) == {"kept"} and len(found["kept"]) == rows else None


def keep(tensor: Tensor, file: Path) -> None:
    """Write beside the file, then rename."""
    part = file.with_name(f"{file.stem}.{os.getpid()}.part")  # two processes may come to the same file at once
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"kept": tensor}, part)
        part.replace(file)
    except (OSError, SafetensorError) as error:
        print(f"not kept: {file.parent} cannot be written ({error})", file=sys.stderr)
