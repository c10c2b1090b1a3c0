"""Angiogram studies: an annotation in FFA-IR's layout -> studies of several pictures and a report, checked.

FFA-IR (Li et al., NeurIPS 2021 data sets track) keeps {"train" | "val" | "test": {case: {En_Report, Zh_Report, Image_path}}};
R2Gen's layout {split: [{id, report, image_path}]} reads as well. Paper section 3.4: the public side of FFA pretraining, and
what reports are learned from. An annotation is a stranger's: nothing is evaluated, pictures must lie in the pictures' folder.
Not about: pixels (pictures.py), drawn studies (drawn_studies.py), words of a report (report_findings.py).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path

import pandas as pd

from .config import InputError
from .manifests import literal_list, picture_paths
from .phantom import Finding
from .pictures import UNREADABLE, open_picture, read_picture

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
# What a case's fields are called, in lower case.
FIELDS = {
    "report": ("en_report", "report"),
    "report_zh": ("zh_report", "ch_report", "cn_report"),
    "images": ("image_path", "image_paths", "images"),
    "id": ("id", "case_id"),
    "findings": ("findings",),
    "phases": ("phases",),
}
NAMED = 5  # so many studies that are left out are named on standard error, the others counted


@dataclass(frozen=True)
class Study:
    """One examination: pictures in time order, a report in one or two languages ("" = none), and what is known of the truth.

    findings  of a drawn study (else empty)
    phases    one a picture, or empty: not known
    """

    id: str
    images: tuple[Path, ...]
    report: str
    report_zh: str
    split: str
    findings: tuple[Finding, ...] = ()
    phases: tuple[str, ...] = ()

    def report_in(self, language: str) -> str:
        """Its report in "en" or "zh", "" if it has none."""
        return self.report if language == "en" else self.report_zh


class Studies(list):
    """A list of Study, and what was left out of it.

    left_out        (study, reason) of each study that is not in the list
    left_out_views  (study, reason) of each picture that is in no study, that of a study left out for want of any included
    """

    def __init__(self, studies: Sequence[Study] = (), left_out: Sequence = (), left_out_views: Sequence = ()):
        super().__init__(studies)
        self.left_out: list[tuple[str, str]] = list(left_out)
        self.left_out_views: list[tuple[str, str]] = list(left_out_views)


def read_studies(
    annotation: str | Path, images: str | Path | None = None, missing: str = "refuse", language: str | None = "en",
    split: str | None = None,
) -> Studies:  # fmt: skip
    """Annotation JSON -> Studies in the file's order.

    images    folder that Image_path starts from; None: the annotation's own, or `images` in it if they lie there
    missing   a picture that is not there or does not decode: "refuse", by its header alone, the pixels are not read; or "drop":
              each picture is decoded wholly (slow: as long as an epoch's reading), and one that is cut off is left out and
              counted too, and its study if it has no other
    language  "en" or "zh": a study whose report in it is empty is left out and counted, the first five are named on standard
              error; None: a study needs no report (one is to be written). A report without a letter or a digit is empty
    split     "train", "val" or "test": the other cases' pictures and reports are not looked at; None: all
    A picture outside `images` (and outside KEEPFIT_DATA) is always refused.
    InputError: no JSON or not in this layout, no study, a case twice, no picture in a case, ...; names file, case and mend.
    """
    annotation, found = Path(annotation), Studies()
    if missing not in ("refuse", "drop") or language not in ("en", "zh", None):
        raise InputError(f"read_studies: missing {missing!r} must be refuse or drop, language {language!r} en, zh or None")
    if split not in (None, *SPLITS.values()):
        raise InputError(f"read_studies: split {split!r} must be train, val, test or None")
    table = [one for one in cases(annotation) if split in (None, one[0])]
    if not table:
        raise InputError(f"has no study of the {split} split: give --split another", annotation)
    names = [image_names(fields["images"], annotation, case) for _, case, fields in table]
    folder = folder_of(names, annotation, images)
    for (part, case, fields), pictures in zip(table, names, strict=True):
        reports = {name: text_of(fields[name], annotation, case) for name in ("report", "report_zh")}
        if language and not reports["report" if language == "en" else "report_zh"]:
            leave_out(found.left_out, case, f"its report ({language}) has no word")
            continue
        phases = strings_of(fields["phases"], annotation, case)
        if phases and len(phases) != len(pictures):
            raise unfit(annotation, case, f"{len(pictures)} pictures, but {len(phases)} Phases: give one each")
        paths, bad = views(pictures, folder, annotation, case, missing)
        found.left_out_views += [(case, reason) for reason in bad.values()]
        if not paths:
            leave_out(found.left_out, case, f"none of its {len(pictures)} pictures can be used")
            continue
        phases = tuple(phase for i, phase in enumerate(phases) if i not in bad)
        findings = findings_of(fields["findings"], annotation, case)
        found.append(Study(case, paths, split=part, findings=findings, phases=phases, **reports))
    for what, count in (("studies", len(found.left_out)), ("pictures", len(found.left_out_views))):
        if count:
            print(f"left out of {annotation}: {count} {what}", file=sys.stderr)
    if not found:
        raise InputError("no study is left: mend what was left out, or name the folder of pictures (--root)", annotation)
    return found


def unfit(annotation: Path, case: object, what: str) -> InputError:
    return InputError(f"case {str(case)[:80]!r}: {what}", annotation)


def leave_out(left_out: list[tuple[str, str]], case: str, reason: str) -> None:
    if len(left_out) < NAMED:
        print(f"passed over: study {case[:80]!r}: {reason}", file=sys.stderr)
    left_out.append((case, reason))


# ------------------------------------------------------------------------------------------------- the layout of the file


def cases(annotation: Path) -> list[tuple[str, str, dict]]:
    """Annotation -> (split, case, {field: value or None}) of every case."""
    if not annotation.is_file():
        raise InputError("no such annotation: give the path of a JSON file", annotation)

    def once(pairs: list[tuple[str, object]]) -> dict:
        if len(names := dict(pairs)) < len(pairs):
            twice = next(name for i, (name, _) in enumerate(pairs) if name in [earlier for earlier, _ in pairs[:i]])
            raise InputError(f"{twice[:80]!r} stands twice in one object: rename or delete one", annotation)
        return names

    try:
        content = json.loads(annotation.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"not JSON in UTF-8 ({error}): save it as such", annotation) from error
    splits = [key for key in content if key.strip().lower() in SPLITS] if isinstance(content, dict) else []
    if not splits:
        raise InputError('no split: an annotation is an object like {"train": {...}, "val": {...}, "test": {...}}', annotation)
    for key in [key for key in content if key not in splits]:
        print(f"passed over: {key[:80]!r} in {annotation} is no split: they are {', '.join(SPLITS)}", file=sys.stderr)
    found, seen = [], set()
    for key in splits:
        members = content[key]
        if not isinstance(members, dict | list):
            raise InputError(f"split {key!r} is no object by case, and no list of objects with an id: make it one", annotation)
        named = members.items() if isinstance(members, dict) else [(None, member) for member in members]
        for i, (case, member) in enumerate(named, 1):
            if not isinstance(member, dict):
                raise unfit(annotation, i if case is None else case, f"in {key!r} it is no object with a report and images")
            lower = {str(name).strip().lower(): value for name, value in member.items()}
            fields = {field: next((lower[n] for n in names if lower.get(n) is not None), None) for field, names in FIELDS.items()}
            case = fields["id"] if case is None else case
            if not isinstance(case, str | int) or isinstance(case, bool) or not str(case).strip():
                raise unfit(annotation, i, f"in {key!r} it has no id: give each case a name of its own")
            case = str(case).strip()
            if case in seen:
                raise unfit(annotation, case, "stands twice: a study belongs to one split, once; rename or delete one")
            seen.add(case)
            found.append((SPLITS[key.strip().lower()], case, fields))
    if not found:
        raise InputError("holds no case: add some to its splits", annotation)
    return found


def text_of(value: object, annotation: Path, case: str) -> str:
    """A report with single spaces; null and nothing but spaces and signs are "", as is an absent one."""
    if value is not None and not isinstance(value, str):
        raise unfit(annotation, case, "its report is no text: put it between quotes")
    text = " ".join((value or "").encode("utf-8", "replace").decode().split())
    return text if re.search(r"[^\W_]", text) else ""


def strings_of(value: object, annotation: Path, case: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise unfit(annotation, case, f"{str(value)[:40]!r} is not a list of texts: mend it")
    return value


def image_names(value: object, annotation: Path, case: str) -> list[str]:
    """Image_path: a list, one path, or a string that holds a list literal (parsed, never evaluated)."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = literal_list(value.strip(), annotation, 0)
        except InputError as error:
            raise unfit(annotation, case, f"Image_path {value[:40]!r} is not a list like ['1.jpg']: mend it") from error
    elif isinstance(value, str):
        value = [value]
    names = [name.strip() for name in strings_of(value, annotation, case) if name.strip()]
    if not names:
        raise unfit(annotation, case, "no image: give it an Image_path or delete it")
    return names


def findings_of(value: object, annotation: Path, case: str) -> tuple[Finding, ...]:
    """Findings as drawn studies have them; others may keep something else under that name, which is passed over."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return ()
    keys = ("name", "severity", "place")
    if not all(isinstance(item.get(key), str) for item in value for key in keys):
        raise unfit(annotation, case, "each of its Findings needs a name, a severity and a place: mend them")
    return tuple(Finding(*(item[key] for key in keys)) for item in value)


# ----------------------------------------------------------------------------------------------------------- the pictures


def folder_of(names: Sequence[Sequence[str]], annotation: Path, images: str | Path | None) -> Path:
    """The folder of the pictures: the one named, or that beside the annotation or `images` there in which one of them lies."""
    if images is not None:
        if not Path(images).is_dir():
            raise InputError("no such folder of pictures: give the one that Image_path starts from", images)
        return Path(images)
    here, below = annotation.parent, annotation.parent / "images"
    tried = [name for case in names for name in case][:100]
    lie_in = [any(isfile(folder / name) for name in tried) for folder in (here, below)]  # noqa: PTH113, any name at all
    return below if lie_in == [False, True] else here


def views(
    names: Sequence[str], folder: Path, annotation: Path, case: str, missing: str
) -> tuple[tuple[Path, ...], dict[int, str]]:
    """A case's pictures -> paths that can be opened ("drop": decoded), and {number: reason} of the others: "refuse" refuses."""
    place = folder / annotation.name  # picture_paths starts from a file's folder
    try:
        paths = picture_paths(names, [0] * len(names), place, None)
    except InputError:  # which one, and why?
        paths = [one_path(name, place, annotation, case) for name in names]
    bad = {}
    for i, (name, path) in enumerate(zip(names, paths, strict=True)):
        try:
            if path is None:
                raise OSError("no such file")
            if missing == "drop":
                read_picture(path)
            else:
                open_picture(path).close()
        except UNREADABLE as error:
            bad[i] = f"picture {name[:200]} " + ("is missing" if path is None else f"does not decode ({error})")
            if missing == "refuse":
                mend = "mend it, name the folder of pictures (--root), or leave such views out (--missing drop)"
                raise unfit(annotation, case, f"{bad[i]}, looked for in {folder}: {mend}") from error
    return tuple(Path(path) for i, path in enumerate(paths) if i not in bad), bad


def one_path(name: str, place: Path, annotation: Path, case: str) -> str | None:
    """The path of a picture, None if it is missing. InputError: it leaves the folder."""
    try:
        return picture_paths([name], [0], place, None)[0]
    except InputError:
        try:
            inside = (place.parent / name).resolve().is_relative_to(place.parent.resolve())
        except (OSError, ValueError, RuntimeError):  # no path at all, or a link in a circle
            inside = True
        if not inside:
            what = f"picture {name[:200]} leaves the folder of pictures {place.parent}: move it there"
            raise unfit(annotation, case, what) from None
        return None


# ------------------------------------------------------------------------------------------------------------ as manifest


def manifest_of(studies: Sequence[Study], language: str = "en", source: str = "angiogram studies") -> pd.DataFrame:
    """Studies -> a manifest with a row a view (image absolute, text = the study's report), for pretraining by pairs.

    language  "en" or "zh": that report is `text`; `text_zh` is always the Chinese one
    Views of one study share their text and `study`. Written elsewhere than in the pictures' folder, it needs --root.
    InputError: another language, or a study without a report in it.
    """
    if language not in ("en", "zh"):
        raise InputError(f"manifest_of: language {language!r} must be en or zh")
    rows = []
    for study in studies:
        text = study.report_in(language)
        if not text:
            raise InputError(f"manifest_of: study {study.id!r} has no report in {language!r}: read them with that language")
        rows += [{"image": str(image.absolute()), "modality": "FFA", "label": "", "text": text, "text_zh": study.report_zh,
                  "source": source, "split": study.split, "study": study.id} for image in study.images]  # fmt: skip
    columns = ["image", "modality", "label", "text", "text_zh", "source", "split", "study"]
    return pd.DataFrame(rows, columns=columns)
