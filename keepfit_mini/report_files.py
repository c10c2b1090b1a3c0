"""The commands train-reports and generate-reports: files in, a file of reports out.

Not about: how a report is learned (report_training.py) or written (report_generation.py).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .config import PRESETS, InputError, check_out, write_aside
from .model import KeepFIT
from .report_generation import PAPER, ReportConfig, ReportModel, chosen_views, write_reports
from .report_search import mean_log_likelihood
from .report_training import PUBLISHED, ReportTraining, say_thinned, train_reports
from .studies import read_studies

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
ENDINGS = (".csv", ".json", ".txt")


SIZES = {"mini": (ReportConfig(), ReportTraining()), "paper": (PAPER, PUBLISHED)}


def train(
    annotation: Path, out: Path, encoder: str | None = None, preset: str = "mini", language: str = "en",
    epochs: int | None = None, seed: int = 0, missing: str = "refuse", root: Path | None = None, limit: int | None = None,
) -> ReportModel:  # fmt: skip
    """Studies of an annotation -> a run folder that writes reports.

    encoder   folder or hub name of a pretrained KeepFIT to begin with         preset  "mini" or "paper", see SIZES
    missing, root  as read_studies has them                                    limit   words a report at most (zh: characters)
    InputError: as read_studies and train_reports have it, a setting out of its range, no such encoder; nothing is written then.
    """
    config, training = SIZES[preset]
    config = dataclasses.replace(config, language=language, limit=config.limit if limit is None else limit)
    keepfit = KeepFIT.from_pretrained(encoder) if encoder else None
    model_config = None if encoder else PRESETS[preset][0]
    return train_reports(
        read_studies(annotation, root, missing, language), out, keepfit, model_config, config,
        dataclasses.replace(training, seed=seed, epochs=training.epochs if epochs is None else epochs),
    )  # fmt: skip


def studies_named(
    given: Sequence[Path], split: str = "test", missing: str = "refuse", root: Path | None = None
) -> list[tuple[str, list[Path]]]:
    """What --images names -> (name, pictures) of each study.

    A folder is a study of the pictures in it, in the order of their names (numbers count as numbers); picture files named
    one by one are one study together, in the order given; a .json is an annotation in FFA-IR's layout, of which `split` is taken.
    Where two studies have the same name, their paths are the names.
    root     of an annotation: the folder that its Image_path starts from; None: its own, or images in it
    missing  of an annotation: "refuse" a picture that is not there or does not decode, or "drop" it (read_studies)
    InputError: nothing there, something named twice, single pictures of several folders, an annotation that read_studies refuses.
    """
    found: list[tuple[str, str, list[Path]]] = []  # name, longer name, pictures
    places = [os.path.realpath(path) for path in given]  # unlike resolve(), it bears a link in a circle
    if twice := [path for i, path in enumerate(given) if places[i] in places[:i]]:
        raise InputError("is named twice: give it once", twice[0])
    single = [path for path in given if path.suffix.lower() != ".json" and not path.is_dir()]
    for path in single:
        if not path.is_file():
            raise InputError("no such picture or folder: give pictures of one study, folders of pictures, or an annotation", path)
    if len(folders := list({os.path.realpath(path.parent): path.parent for path in single}.values())) > 1:
        names = " and ".join(map(str, folders[:2])) + (f" and {len(folders) - 2} more" if folders[2:] else "")
        raise InputError(f"single pictures are one study together, but these lie in {names}: give the folders, one a study")
    if single:
        name = single[0].stem if len(single) == 1 else single[0].parent.name or "study"
        found.append((name, str(single[0]), single))
    for path in given:
        if path.is_dir():
            pictures = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=by_number)
            if not pictures:
                inner = any(p.is_dir() for p in path.iterdir())
                mend = "give the folders in it, one a study" if inner else f"put its pictures there ({', '.join(PICTURES)})"
                raise InputError(f"holds no picture: {mend}", path)
            found.append((path.absolute().name, str(path), pictures))
        elif path.suffix.lower() == ".json":
            studies = read_studies(path, root, missing, None, split)
            found += [(study.id, f"{path}: {study.id}", list(study.images)) for study in studies]
    times = Counter(name for name, _, _ in found)
    return [(name if times[name] == 1 else longer, pictures) for name, longer, pictures in found]


def by_number(path: Path) -> tuple[bool, list[int], str]:
    """2.jpg before 10.jpg, 1_2.jpg before 1_10.jpg; names without a number come last."""
    numbers = [int(digits) for digits in re.findall("[0-9]+", path.stem)]
    return not numbers, numbers, path.name


def printable(path: str | Path) -> str:
    """A name that is no UTF-8, as a file can hold it."""
    return os.fsencode(path).decode("utf-8", "replace")


def generate(
    run: str | Path, images: Sequence[Path], out: str | Path, width: int = 3, split: str = "test", missing: str = "refuse",
    root: Path | None = None, block: int | None = None,
) -> list[dict]:  # fmt: skip
    """Write a report for each study into `out` (.csv, .json or .txt) and return the rows.

    images   as studies_named has them, as well as split, missing and root
    width    of the beam, 1: greedy          block  no run of so many words is written twice (0: may); None: as trained
    A row has study, images (those that were read), report, mean_log_likelihood (a word) and ended (False: cut at the limit).
    InputError: no run that writes reports, width or block out of range, `out` of another ending, what studies_named refuses, a
    picture that does not decode. If one study fails, nothing is written.
    """
    out = Path(out)
    check_out(out, ENDINGS)
    if width < 1:
        raise InputError(f"the beam's width is {width}: give 1 (greedy) or more")
    model = ReportModel.load(run)
    if block is not None:
        model.config = dataclasses.replace(model.config, block=block)
    studies = studies_named(images, split, missing, root)
    say_thinned([pictures for _, pictures in studies], model.config.views)
    texts, written = write_reports(model, [pictures for _, pictures in studies], width)
    rows = [
        {"study": printable(name), "images": [printable(image) for image in chosen_views(pictures, model.config.views)],
         "report": text, "mean_log_likelihood": round(mean_log_likelihood(how), 4), "ended": how.ended}
        for (name, pictures), text, how in zip(studies, texts, written, strict=True)
    ]  # fmt: skip
    if out.suffix.lower() == ".json":
        content = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    elif out.suffix.lower() == ".csv":
        stream = io.StringIO()
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "images": ";".join(row["images"])} for row in rows)
        content = stream.getvalue()
    else:
        content = "".join(f"{row['study']}\n{row['report']}\n\n" for row in rows)
    write_aside(out, content)
    return rows
