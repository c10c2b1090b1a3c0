"""Few-shot scoring: K labelled pictures a class, then the rest is told apart; five folds (paper, tables 1 and 2).

    pictures --features.py--> features, once --split, a fold--> shots, test --adapters.py--> probabilities --> scores

Not about: how an adapter learns (adapters.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .adapters import PROTOCOLS, adapt
from .config import InputError, versions
from .data import key
from .features import picture_features
from .metrics import METRICS, bootstrap_folds, class_recall, quick_score
from .model import KeepFIT
from .zero_shot import class_vectors, describe, labelled_features, labelled_rows


def split(
    labels: Sequence, shots: int | str, fold: int, test_share: float = 0.2, names: Sequence[str] | None = None
) -> tuple[list[int], list[int]]:
    """Rows to learn from and rows to test on, class by class, as the authors' code draws them for this fold.

    labels  a class a row; `names`, by class number, are for the message of a refusal only
    shots   rows of each class: a whole number, "all" that are not test, or a share of the class such as "20%"
    InputError: a class with too few rows for both sides, shots that are none of these.
    """
    labels = np.asarray(labels).tolist()
    order = list(range(len(labels)))
    random.Random(fold).shuffle(order)
    train, test = [], []
    for label in sorted(set(labels)):
        rows = [row for row in order if labels[row] == label]
        tested = int(test_share * len(rows))
        wanted = shots_of_class(shots, len(rows), tested)
        if not tested or not wanted or tested + wanted > len(rows):
            name = names[label] if names is not None else label
            raise InputError(
                f"class {name!r} has {len(rows)} rows, of which {tested} would be tested ({test_share:.0%}) and {wanted} learnt "
                f"from (shots {shots}): both take one or more, together no more than there are; change the shots or add rows"
            )
        test += rows[:tested]
        train += rows[tested : tested + wanted]
    return train, test


def shots_of_class(shots: int | str, rows: int, tested: int) -> int:
    """How many rows of a class are learnt from. InputError: neither a whole number nor "all" nor a share such as "20%"."""
    text = str(shots).strip()
    if text == "all":
        return rows - tested
    if re.fullmatch(r"\d+", text):
        return int(text)
    if re.fullmatch(r"\d+(\.\d*)?%", text):
        return int(float(text[:-1]) / 100 * rows)
    raise InputError(f"shots {shots!r}: give a whole number, 'all', or a share of each class such as '20%'")


def few_shot(
    model: KeepFIT,
    dataset: str | Path,
    classes: Sequence[str],
    protocol: str,
    shots: int | str = 5,
    folds: int = 5,
    prompts: str = "both",
    published: bool = False,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: bool = True,
    root: str | Path | None = None,
) -> dict:
    """Score a manifest by one of PROTOCOLS -> the JSON of `evaluate`: means over folds, a metric dict a fold.

    shots      as in `split`; folds: how many splits, fold f is drawn by seed f
    prompts    what the adapters' class vectors are made of; the linear probe sees no text (None in the JSON)
    published  as the authors' code does it: adapters.py, and the Tip-Adapters see test pictures augmented at random
    seed       of the adapters and the bootstrap
    cache      a folder that keeps the pictures' features for the next call (features.py)
    root       a folder under which pictures may lie too (manifests.py)
    "truth" and "guess" hold a list a fold, in the order of `split`. "ci95" draws the set's pictures anew, not the shots.
    InputError: no row of a class, too few rows, a picture that does not decode.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r} is unknown: give one of {', '.join(PROTOCOLS)}")
    if folds < 1:
        raise InputError(f"folds is {folds}: give a whole number of 1 or more")
    probe = protocol == "linear-probe"
    kind = "features" if probe else "vectors"
    frame, truth, left_out = labelled_rows(dataset, classes, root)
    try:
        splits = [split(truth, shots, fold, names=classes) for fold in range(folds)]
    except InputError as error:
        raise InputError(str(error), dataset) from error
    vectors = None if probe else class_vectors(model, classes, prompts)  # (C, D)
    found = labelled_features(model, frame, dataset, cache, progress)
    guesses = []
    for fold, (train, test) in enumerate(splits):
        tested = found[kind][test]  # (n, width or D)
        if published and protocol.startswith("tip-adapter"):
            asked = frame["image"][test].tolist()
            tested = picture_features(model, asked, cache, progress=progress, augment_seed=key(seed, fold))[kind]
        guess = adapt(protocol, found[kind][train], truth[train], tested, vectors, model.scale, published, seed)
        guesses.append(guess.numpy())  # (n, C)
    truths = [truth[test] for _, test in splits]
    per_fold = [quick_score(*pair) for pair in zip(truths, guesses, strict=True)]
    recall = np.mean([class_recall(*pair) for pair in zip(truths, guesses, strict=True)], axis=0)  # (C,)
    return {
        "protocol": protocol,
        "prompts": None if probe else prompts,
        **describe(dataset, classes, truth, left_out),
        "shots": int(shots) if str(shots).isdecimal() else shots,
        "folds": folds,
        "published": published,
        "metrics": {name: float(np.mean([scores[name] for scores in per_fold])) for name in METRICS},
        "recall": dict(zip(classes, recall.tolist(), strict=True)),
        "truth": [rows.tolist() for rows in truths],
        "guess": [guess.argmax(1).tolist() for guess in guesses],
        "per_fold": per_fold,
        "ci95": bootstrap_folds(truth, [test for _, test in splits], guesses, seed),
        "seed": seed,
        "versions": versions(),
    }
