"""Manifests -> one small manifest: a modality, n pictures a finding, split so that no patient and no book figure is on two sides.

Findings come from the labels, and from the words of the caption where a row has no label. All is drawn from one seed. Not about:
pictures that two sets share under other names (leaks.py), fractions of a training set (manifests.keep_share).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .config import InputError, write_aside
from .manifests import picture_paths, read_manifest
from .patients import bare_patients, groups, patients, read_rows

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
DENIED = re.compile(r"\b(?:no|not|without|absence of|free of|rule[sd]? out)\b[^.;]{0,40}$", re.IGNORECASE)


def read_sources(
    manifests: Sequence[str | Path], root: str | Path | None = None, column: str | None = None, pattern: str | None = None
) -> pd.DataFrame:
    """Manifests as one frame: every column they have, image (full path), modality, labels (list), text, file, patient, who,
    group.

    patient     as patients.bare_patients; a subset says it, and so names the same people as its sources
    who, group  as patients.patients (without a source: of that manifest alone) and patients.groups
    InputError: as read_manifest; the same picture in two rows.
    """
    frames = []
    for path in manifests:
        cells = read_rows(path)
        who, bare = patients(cells, column, pattern), bare_patients(cells, column, pattern)
        if "source" not in cells:  # numbers of different manifests are different people
            who = [f"{path}/{one}" if one else "" for one in who]
        for name, values in read_manifest(path, root=root).items():
            cells[name] = values
        frames.append(cells.assign(patient=bare, who=who))
    frame = pd.concat(frames, ignore_index=True)
    strings = [name for name in frame if name not in ("labels", "attributes", "row")]
    frame[strings] = frame[strings].fillna("")
    frame["group"] = groups(frame, frame["who"])
    real = frame["image"].map(os.path.realpath)
    if real.duplicated().any():
        i = int(real.duplicated().to_numpy().argmax())
        first = frame[real == real[i]].iloc[0]
        again = f"picture {frame['image'][i]} stands in {first['file']}, row {first['row']} already"
        raise InputError(f"{again}: delete one of the two rows", frame["file"][i], int(frame["row"][i]))
    return frame


def shows(frame: pd.DataFrame, finding: str, captions: bool = False) -> np.ndarray:
    """(rows,) booleans. finding: "NAME" or "NAME=word|word": the labels that are one of these, or, in rows without a label
    (captions: in all), texts that have one of them as whole words and do not deny it ("no ...", "without ...").
    """
    name, _, words = finding.partition("=")
    wanted = [word.strip().lower() for word in [name, *words.split("|")] if word.strip()]
    if not wanted:
        raise InputError(f"{finding!r} names no finding: give NAME or NAME=word|word")
    regex = re.compile(r"\b(?:" + "|".join(map(re.escape, wanted)) + r")\b", re.IGNORECASE)
    out = []
    for labels, text in zip(frame["labels"], frame["text"], strict=True):
        hit = any(label.lower() in wanted for label in labels)
        if captions or not labels:
            hit = hit or any(not DENIED.search(text[: match.start()]) for match in regex.finditer(text))
        out.append(hit)
    return np.array(out, dtype=bool)


def choose(
    frame: pd.DataFrame, findings: Sequence[str] = (), per_finding: int | None = None, seed: int = 0, captions: bool = False
) -> pd.DataFrame:
    """Rows that show one of the findings, with a column `finding`; n = per_finding of each, None: all that there are.

    findings empty: every label. A row that shows several counts for the rarest of them, once. InputError: a finding with
    fewer than n rows, with how many there are of it, or with none at all.
    """
    findings = list(findings) or sorted({label for labels in frame["labels"] for label in labels})
    if not findings:
        raise InputError("no row has a label: name findings to look for in the captions with --findings")
    if per_finding is not None and per_finding < 1:
        raise InputError(f"--per-finding {per_finding}: give a whole number of 1 or more")
    seen = {finding: shows(frame, finding, captions) for finding in findings}
    free, chance = np.ones(len(frame), dtype=bool), np.random.default_rng([seed, 11])
    taken: dict[int, str] = {}
    short = []
    for finding in sorted(findings, key=lambda one: (seen[one].sum(), one)):
        name, rows = finding.partition("=")[0].strip(), np.flatnonzero(seen[finding] & free)
        if len(rows) < (per_finding or 1):
            short.append(f"{name} {len(rows)}" + (f" (and {seen[finding].sum() - len(rows)} that count for a rarer finding)"
                                                  if seen[finding].sum() > len(rows) else ""))  # fmt: skip
            continue
        rows = np.sort(chance.permutation(rows)[:per_finding]) if per_finding else rows
        free[rows] = False
        taken |= dict.fromkeys(rows.tolist(), name)
    if short:
        wanted = f"{per_finding} rows each" if per_finding else "a row each"
        raise InputError(f"not enough rows for {wanted}: there are of {', '.join(short)[:500]}: ask for fewer, or leave them out")
    order = sorted(taken)
    return frame.iloc[order].assign(finding=[taken[i] for i in order]).reset_index(drop=True)


def split_groups(frame: pd.DataFrame, shares: dict[str, float], seed: int = 0) -> list[str]:
    """The split of each row, groups whole, each finding near its share: groups, the largest first and else in the order that
    the seed says, go where the rows of their findings are missed most. InputError: shares that do not add to 1, an empty split.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"splits {shares}: give shares above 0 that add up to 1")
    counts = pd.crosstab(frame["group"], frame["finding"])  # (groups, findings)
    counts = counts.iloc[np.random.default_rng([seed, 12]).permutation(len(counts))]
    counts = counts.iloc[np.argsort(-counts.sum(axis=1).to_numpy(), kind="stable")]
    names, weight = list(shares), np.array(list(shares.values()))
    missed = weight[:, None] * counts.sum().to_numpy()[None]  # (splits, findings) rows that are still to come
    of_group = {}
    for group, own in zip(counts.index, counts.to_numpy(), strict=True):
        best = int(np.argmax((missed * (own > 0)).sum(axis=1)))
        missed[best] -= own
        of_group[group] = names[best]
    out = [of_group[group] for group in frame["group"]]
    for name in names:
        if name not in out:
            most = f"{len(frame)} rows of {len(counts)} patients or figures"
            raise InputError(f"nothing is left for {name!r}: {most} are too few, ask for more rows or for fewer splits")
    return out


def write_subset(
    frame: pd.DataFrame, out: str | Path, copy: bool = False, separate: bool = False, root: str | Path | None = None
) -> list[Path]:
    """out ends in .csv: one manifest, pictures stay where they are. Else a new folder with manifest.csv (separate: one CSV a
    split) and, with copy, the pictures. Returns the manifests.

    root  a folder that readers of the manifest will allow. InputError: out is there already; pictures in a place where a
    manifest in that folder may not name them (its own folder and below, KEEPFIT_DATA, root); a place that cannot be written.
    """
    out = Path(out).resolve()
    if out.exists():
        raise InputError("exists already: choose another name, or delete it", out)
    if (one := out.suffix.lower() == ".csv") and (copy or separate):
        raise InputError("is a file: give --out a folder for --copy and --separate", out)
    originals = [os.path.realpath(image) for image in frame["image"]]
    beside = out.parent if one else out
    if copy:
        names = [f"pictures/{i:06d}_{Path(image).name}" for i, image in enumerate(originals)]
    else:
        names = [Path(os.path.relpath(image, beside)).as_posix() for image in originals]
    rows = columns_to_write(frame, names)
    part = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)  # before the pictures are looked for: paths are relative to it
        if one:
            picture_paths(names, range(2, len(names) + 2), out, root)
            write_aside(out, rows.to_csv(index=False))
            return [out]
        part = Path(tempfile.mkdtemp(prefix=f"{out.name}.", suffix=".part", dir=out.parent))
        part.chmod(0o755)
        if copy:
            (part / "pictures").mkdir()
            for name, image in zip(names, originals, strict=True):
                shutil.copyfile(image, part / name)
        else:  # relative paths are those of the folder that comes here
            picture_paths(names, range(2, len(names) + 2), part / "manifest.csv", root)
        splits = sorted(set(rows["split"]))
        files = {f"{name}.csv": rows[rows["split"] == name] for name in splits} if separate else {"manifest.csv": rows}
        for name, some in files.items():
            some.to_csv(part / name, index=False)
        part.rename(out)
    except InputError as error:
        what = f"a manifest there may not name pictures that lie elsewhere ({names[0]})"
        mend = "give --copy, or --out FILE.csv above the pictures, or set KEEPFIT_DATA to their folder"
        raise InputError(f"{what}: {mend}", out) from error
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error}): make room, or choose another folder", out) from error
    finally:
        if part:
            shutil.rmtree(part, ignore_errors=True)
    return [out / name for name in files]


def columns_to_write(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The manifest's columns first, then what else the sources had.

    Patients are called what their sources call them: without a `source`, equal numbers of two manifests look like one person.
    """
    old = frame["orig_name"] if "orig_name" in frame else [""] * len(frame)
    frame = frame.assign(
        orig_name=[name or Path(image).name for name, image in zip(old, frame["image"], strict=True)],
        image=names, label=[";".join(labels) for labels in frame["labels"]],
    )  # fmt: skip
    first = ["image", "modality", "label", "text", "finding", "split", "patient", "orig_name"]
    gone = {*first, "labels", "attributes", "file", "row", "who", "group", "caption", "categories", "atributes"}
    return frame[first + [name for name in frame if name not in gone and not name.startswith("unnamed")]]


def counts(frame: pd.DataFrame) -> str:
    """Rows of each finding in each split, for a terminal."""
    table = pd.crosstab(frame["finding"], frame["split"], margins=True, margins_name="all")
    known = list(SHARES)
    order = sorted(set(frame["split"]), key=lambda name: (known.index(name) if name in known else len(known), name))
    return table[[*order, "all"]].to_string()
