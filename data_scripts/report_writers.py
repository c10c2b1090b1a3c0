"""How well does a writer of reports do with another seed, in Chinese, and without what the paper's recipe leaves out?

    python data_scripts/report_writers.py --out results/report_writers.json   # a training takes ten minutes on two quiet cores

Each seed draws 3,000 studies of its own. Arms:

    en            the defaults
    zh            the defaults, in Chinese: a word is a character, of which 90 would cut 6% of the reports, 120 none
    words only    no tags are asked (tag_weight 0), 24 epochs: it learns more slowly, and takes fifteen minutes
    mean          the decoder reads the mean of the views (as published)
    block 3       the writer of `en`, which may write no trigram twice (as published)
    no late       the writer of `en`, which is given every study without its last frame

Choices were made on val studies, so all arms are scored there; `en` and `zh`, the recipe that was chosen, on the test
studies as well. A row that is in the file is kept. Pictures and runs lie in the folder --work.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

import torch

from keepfit_mini.config import PRESETS, versions, write_aside
from keepfit_mini.drawn_studies import draw_studies
from keepfit_mini.report_findings import clinical_score, read_findings
from keepfit_mini.report_generation import ReportConfig, ReportModel, write_reports
from keepfit_mini.report_training import ReportTraining, train_reports
from keepfit_mini.studies import Study, read_studies

STUDIES, PIXELS = 3000, 64
CONFIGS = {"zh": {"language": "zh", "limit": 120}, "mean": {"joined": "mean"}, "block 3": {"block": 3}}
TRAININGS = {"words only": {"tag_weight": 0.0, "epochs": 24}}
ARMS = ("en", "zh", "words only", "mean", "block 3", "no late")


def studies_of(seed: int, work: Path) -> list[Study]:
    folder = work / f"studies-{STUDIES}-{PIXELS}-seed{seed}"
    if not (folder / "annotation.json").is_file():
        draw_studies(folder, STUDIES, PIXELS, seed)
    return read_studies(folder / "annotation.json")


def writer_of(arm: str, seed: int, studies: list[Study], work: Path) -> tuple[ReportModel, float]:
    """-> (a writer, minutes that its training took)."""
    trained = "en" if arm in ("block 3", "no late") else arm
    run = work / f"writer-{trained.replace(' ', '-')}-seed{seed}"
    if not run.is_dir():
        model_config = dataclasses.replace(PRESETS["mini"][0], image_size=PIXELS)
        config = ReportConfig(**CONFIGS.get(trained, {}))
        train_reports(studies, run, None, model_config, config, ReportTraining(seed=seed, **TRAININGS.get(trained, {})))
    model = ReportModel.load(run)
    model.config = dataclasses.replace(model.config, **CONFIGS.get(arm, {}))
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return model, last["seconds"] / 60


def scores(model: ReportModel, studies: list[Study], late: bool = True) -> dict[str, float]:
    """Precision, recall and F1 of the findings written: by name, with place, with severity, with both."""
    texts, _ = write_reports(model, [study.images if late else study.images[:-1] for study in studies])
    found = clinical_score([read_findings(text, model.config.language) for text in texts], [study.findings for study in studies])
    return {name: round(float(value), 4) for name, value in found.items() if name.endswith(("precision", "recall", "f1"))}


def measure(arm: str, seed: int, work: Path) -> dict:
    studies = studies_of(seed, work)
    model, minutes = writer_of(arm, seed, studies, work)
    splits = ("val", "test") if arm in ("en", "zh") else ("val",)
    found = {split: scores(model, [study for study in studies if study.split == split], arm != "no late") for split in splits}
    return {"arm": arm, "seed": seed, "train_minutes": round(minutes, 1), "threads": torch.get_num_threads(), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/report_writers.json"), help="JSON to write")
    parser.add_argument("--work", type=Path, default=Path("runs/report_writers"), help="where pictures and runs lie")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    given = parser.parse_args()

    def kept() -> dict:
        return json.loads(given.out.read_text()) if given.out.is_file() else {"rows": []}

    for seed in given.seeds:
        for arm in given.arms:
            if any((row["arm"], row["seed"]) == (arm, seed) for row in kept()["rows"]):
                continue
            begin, row = time.perf_counter(), measure(arm, seed, given.work)
            rows = sorted([*kept()["rows"], row], key=lambda row: (ARMS.index(row["arm"]), row["seed"]))
            about = {"command": "python data_scripts/report_writers.py", "studies": STUDIES, "cores": os.cpu_count()}
            write_aside(given.out, json.dumps({**about, "versions": versions(), "rows": rows}, indent=1) + "\n")
            print(f"{arm}, seed {seed}: {row} ({(time.perf_counter() - begin) / 60:.1f} minutes)")


if __name__ == "__main__":
    main()
