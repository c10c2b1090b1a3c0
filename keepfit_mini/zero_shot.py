"""Zero-shot scoring: a class is a text, a picture belongs to the nearest (paper section 3.2, "zero-shot").

    class vectors W (C,D) from names, from expert descriptions, or from both;  probabilities = softmax(s V W^T)

Not about: adapters and probes that see labelled shots (few_shot.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .config import InputError, versions
from .features import picture_features
from .manifests import read_manifest
from .metrics import bootstrap, class_recall, score
from .model import KeepFIT
from .prompts import class_prompts


@torch.inference_mode()
def class_vectors(model: KeepFIT, classes: Sequence[str], prompts: str = "both") -> Tensor:
    """C class names -> W (C,D): the mean over a class's prompts, not normalised again (as published).

    prompts  "names": the name alone; "descriptions": its findings alone; "both": findings and name (the paper's).
    InputError: a class without a description where one is needed.
    """
    model.eval()
    texts = [class_prompts(name, prompts) for name in classes]  # C lists
    vectors = model.encode_text([text for group in texts for text in group])  # (sum of prompts, D)
    return torch.stack([group.mean(0) for group in vectors.split([len(group) for group in texts])])  # (C, D)


@torch.inference_mode()
def probabilities(model: KeepFIT, image: Tensor, classes: Tensor) -> Tensor:
    """V (N,D), W (C,D) -> (N,C)."""
    return (model.scale.cpu() * image.cpu() @ classes.cpu().T).softmax(dim=1)


def labelled_rows(
    path: str | Path, classes: Sequence[str], root: str | Path | None = None
) -> tuple[pd.DataFrame, np.ndarray, int]:
    """A manifest -> rows that have exactly one of the classes, their class numbers (N,), how many were left out.

    root  as in manifests.read_manifest
    """
    wanted = [name.strip().casefold() for name in classes]
    if len(set(wanted)) < max(2, len(wanted)):
        raise InputError(f"classes {', '.join(classes)!r}: give two or more different names")
    frame = read_manifest(path, root=root)
    found = [[wanted.index(c) for c in {v.casefold() for v in labels} if c in wanted] for labels in frame["labels"]]
    keep = np.array([len(f) == 1 for f in found])
    truth = np.array([f[0] for f in found if len(f) == 1], dtype=int)
    for number, name in enumerate(classes):
        if number not in truth:
            seen = ", ".join(sorted({v for labels in frame["labels"] for v in labels})[:8]) or "none"
            raise InputError(f"no row has the class {name!r} (labels there: {seen}): correct --classes", path)
    return frame[keep].reset_index(drop=True), truth, int((~keep).sum())


def labelled_features(
    model: KeepFIT, frame: pd.DataFrame, dataset: str | Path, cache: str | Path | None, progress: bool
) -> dict[str, Tensor]:
    """What features.picture_features gives for labelled_rows' pictures. InputError: one that does not decode, with its row."""
    try:
        return picture_features(model, frame["image"].tolist(), cache, progress=progress)
    except OSError as error:
        raise InputError(f"picture {error}: mend it or delete the row", dataset, int(frame["row"][error.index])) from error


def describe(dataset: str | Path, classes: Sequence[str], truth: np.ndarray, left_out: int) -> dict:
    """What the JSON of every protocol says of its pictures."""
    return {"dataset": Path(dataset).stem, "classes": list(classes), "n": len(truth), "left_out": left_out}


def zero_shot(
    model: KeepFIT,
    dataset: str | Path,
    classes: Sequence[str],
    prompts: str = "both",
    seed: int = 0,
    progress: bool = True,
    cache: str | Path | None = None,
    root: str | Path | None = None,
) -> dict:
    """Score a manifest -> the JSON of `evaluate`, plus "recall" per class, "confusion" (C,C, rows are truth), and
    "truth" and "guess" of each picture, so that two runs can be compared picture by picture.

    cache  a folder that keeps the pictures' features for the next call (features.py)
    root   a folder under which pictures may lie too (manifests.py)
    InputError: no row of a class, a picture that does not decode (an evaluation never passes one over).
    """
    frame, truth, left_out = labelled_rows(dataset, classes, root)
    vectors = class_vectors(model, classes, prompts)  # (C, D)
    image = labelled_features(model, frame, dataset, cache, progress)["vectors"]  # (N, D)
    guess = probabilities(model, image, vectors).numpy()  # (N, C)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, guess.argmax(1)), 1)
    return {
        "protocol": "zero-shot",
        "prompts": prompts,
        **describe(dataset, classes, truth, left_out),
        "metrics": score(truth, guess),
        "recall": dict(zip(classes, class_recall(truth, guess), strict=True)),
        "confusion": confusion.tolist(),
        "truth": truth.tolist(),
        "guess": guess.argmax(1).tolist(),
        "per_fold": [],
        "ci95": bootstrap(truth, guess, seed),
        "seed": seed,
        "versions": versions(),
    }
