"""Table 2b of the paper: reports of angiograms, with and without expert pretraining -> DIR/reports.json, DIR/reports.md.

For each seed: drawn studies of its own; the image encoder pretrained on their reports (identity targets) without and with the
expert pairs; from each, a writer trained on the same studies; scores on the test studies, that nothing was chosen on. Controls:
a writer that learned another study's report, reports asked for with another patient's pictures, every finding listed for all.
Studies, weights and order all change with the seed, so the interval over seeds of the paired difference holds all chance.
Not about: the model and its training (report_generation.py, report_training.py).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import torch
from scipy.stats import t as student
from tqdm.auto import tqdm

from .config import PRESETS, InputError, write_aside
from .drawn_studies import draw_studies
from .phantom import Finding
from .phantom_phases import FINDING_PLACES
from .report_findings import clinical_score, read_findings
from .report_generation import ReportConfig, ReportModel, read_views, write_reports
from .report_scores import METEOR_NOTE, SCORES, score_reports
from .report_search import mean_log_likelihood, search
from .report_training import ReportTraining, train_reports
from .studies import Study, manifest_of, read_studies
from .table_text import markdown, spread
from .trainer import pretrain

# variant of pretraining -> its name in the table; "none": the encoder begins at random
PRETRAINED = {"none": "no pretraining", "public-only": "FFA reports", "revision+mixed": "FFA reports + atlas (KeepFIT)"}
CONTROL = "shuffled reports"  # KeepFIT's encoder, a writer of others' reports
PAIRS = {
    "KeepFIT minus FFA reports": ("revision+mixed", "public-only"),
    "KeepFIT minus no pretraining": ("revision+mixed", "none"),
    "FFA reports minus no pretraining": ("public-only", "none"),
}
PAPER = {"FFA-IR": (0.321, 0.211, 0.154, 0.122, 0.198, 0.268, 0.283),
         "FFA-IR + MM": (0.363, 0.244, 0.171, 0.127, 0.149, 0.302, 0.314)}  # fmt: skip
CLINICAL = tuple(f"{kind}_{what}" for kind in ("finding", "place", "severity", "exact") for what in ("precision", "recall"))
CHECKS = ("another_patient_finding_f1", "all_listed_finding_f1", "all_listed_exact_f1", "different_reports",
          "beam_log_likelihood", "greedy_log_likelihood", "beam_worse")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is drawn and learned. Half of what a good writer gets (train-reports on 3,000 studies): pretraining can only
    matter where reports are scarce, and sixteen runs shall fit into three hours on two cores."""

    studies: int = 1500
    pixels: int = 64
    pretrain_epochs: int = 4
    epochs: int = 12


FULL, FAST = Size(), Size(studies=600, pretrain_epochs=2, epochs=8)


def reproduce_reports(
    out: str | Path = "results", fast: bool = False, seeds: Sequence[int] | None = None, progress: bool = True,
    size: Size | None = None,
) -> list[dict]:  # fmt: skip
    """Run what is missing (a file a run in DIR/report_runs), write DIR/reports.json and .md, return the rows.

    fast: 600 studies and one seed, minutes on two cores. A run with other settings is made anew; after
    a change of the code it is not: delete its file, and DIR/data if drawings changed. InputError: `out` is a file.
    """
    out, size = Path(out), size or (FAST if fast else FULL)
    if out.exists() and not out.is_dir():
        raise InputError("is a file: give --out a folder", out)
    seeds = list(seeds or range(1 if fast else 5))
    plan = [(seed, variant) for seed in seeds for variant in PRETRAINED] + [(seeds[0], CONTROL)]  # one control is enough
    bar = tqdm(plan, desc="runs", disable=not progress)
    rows = []
    for seed, variant in bar:
        bar.set_postfix_str(f"{variant}, seed {seed}")
        file = out / "report_runs" / f"{'fast' if fast else 'drawn'}-{variant.replace(' ', '-')}-seed{seed}.json"
        settings = {"size": dataclasses.asdict(size), "report": dataclasses.asdict(ReportConfig()),
                    "training": dataclasses.asdict(training_of(size, seed, variant))}  # fmt: skip
        row = known(file, settings)
        if row is None:
            row = {"variant": variant, "seed": seed, **one_run(variant, seed, size, out, progress), "settings": settings}
            write_aside(file, json.dumps(row, ensure_ascii=False, indent=1) + "\n")
        rows.append({name: value for name, value in row.items() if name not in ("settings", "examples")})
    changes = {name: differences(rows, *pair) for name, pair in PAIRS.items()}
    write_aside(out / "reports.json", json.dumps({"rows": rows, "differences": changes}, indent=1) + "\n")
    write_aside(out / "reports.md", page(rows, size))
    return rows


def training_of(size: Size, seed: int, variant: str) -> ReportTraining:
    return ReportTraining(epochs=size.epochs, seed=seed, shuffle=variant == CONTROL)


def known(file: Path, settings: dict) -> dict | None:
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if row.get("settings") == json.loads(json.dumps(settings)) else None


# ----------------------------------------------------------------------------------------------------------------- one run


def one_run(variant: str, seed: int, size: Size, out: Path, progress: bool) -> dict:
    """Draw (once a seed), pretrain (once an encoder), train the writer, score it on the test studies."""
    folder = out / "data" / f"studies-{size.studies}-{size.pixels}-seed{seed}"
    if not (folder / "annotation.json").is_file():
        draw_studies(folder, size.studies, size.pixels, seed, progress=progress)
    studies = read_studies(folder / "annotation.json")
    encoder_variant = "revision+mixed" if variant == CONTROL else variant
    encoder = None if encoder_variant == "none" else encoder_of(encoder_variant, seed, size, studies, folder, progress)
    model_config = dataclasses.replace(PRESETS["mini"][0], image_size=size.pixels)
    run = out / "models" / f"reports-{size.studies}-{variant.replace(' ', '-')}-seed{seed}"
    shutil.rmtree(run, ignore_errors=True)
    begin = time.perf_counter()
    model = train_reports(studies, run, encoder, model_config, ReportConfig(), training_of(size, seed, variant), progress)
    seconds = time.perf_counter() - begin
    scores = measured(model, [study for study in studies if study.split == "test"], progress)
    return {**scores, "train_seconds": round(seconds, 1)}


def encoder_of(variant: str, seed: int, size: Size, studies: list[Study], folder: Path, progress: bool):
    """A KeepFIT pretrained on the train studies' views and reports, and, in its variant, on the atlas."""
    manifest, run = folder / "public.csv", folder / "models" / f"{variant}-{size.pretrain_epochs}-epochs"
    manifest_of([study for study in studies if study.split == "train"]).to_csv(manifest, index=False)
    model_config = dataclasses.replace(PRESETS["mini"][0], image_size=size.pixels)
    config = dataclasses.replace(PRESETS["mini"][1], variant=variant, seed=seed, epochs=size.pretrain_epochs, targets="identity",
                                 public_texts="reports", augment=False)  # fmt: skip
    expert = folder / "expert.csv" if config.uses_experts else None
    return pretrain(model_config, config, manifest, expert, run, resume=run.is_dir(), progress=progress)


def measured(model: ReportModel, test: list[Study], progress: bool) -> dict:
    """Scores of the test studies' reports, the controls, and a few reports to read."""
    images, true = [study.images for study in test], [study.findings for study in test]
    texts, beam = write_reports(model, images, progress=progress)
    _, greedy = write_reports(model, images, width=1, progress=progress)
    swapped, _ = write_reports(model, images[1:] + images[:1], progress=progress)
    row = {name: round(value, 5) for name, value in score_reports(texts, [study.report for study in test]).items()}
    clinical = clinical_score([read_findings(text) for text in texts], true)
    row |= {name: round(float(clinical[name]), 5) for name in CLINICAL}
    everything = [Finding(name, "moderate", places[0]) for name, places in FINDING_PLACES.items()]
    listed = clinical_score([everything] * len(test), true)
    likely = [[mean_log_likelihood(report) for report in found] for found in (beam, greedy)]
    row |= {
        "another_patient_finding_f1": clinical_score([read_findings(text) for text in swapped], true)["finding_f1"],
        "different_reports": len(set(texts)),
        "all_listed_finding_f1": listed["finding_f1"], "all_listed_exact_f1": listed["exact_f1"],
        "beam_log_likelihood": mean(likely[0]), "greedy_log_likelihood": mean(likely[1]),
        "beam_worse": sum(b < g - 1e-6 for b, g in zip(*likely, strict=True)),
    }  # fmt: skip
    row |= {name: round(float(row[name]), 5) for name in CHECKS}
    row["cache_speedup"] = cache_speedup(model, images[:32])
    examples = [{"study": study.id, "true": study.report, "written": text} for study, text in zip(test[:10], texts, strict=False)]
    return {**row, "test_studies": len(test), "examples": examples}


@torch.inference_mode()
def cache_speedup(model: ReportModel, images: Sequence) -> float:
    """How many times faster the search is with keys and values kept."""
    pixels = torch.cat([read_views(views, model.model_config.image_size) for views in images]).to(model.place.device)
    memory, seen = model.encode(pixels.float() / 255, [len(views) for views in images])
    seconds = []
    for keep in (True, False):
        begin = time.perf_counter()
        search(model.decoder, memory, seen, model.config.limit, keep=keep)
        seconds.append(time.perf_counter() - begin)
    return round(seconds[1] / seconds[0], 2)


# --------------------------------------------------------------------------------------------------------------- the table


def differences(rows: list[dict], more: str = "revision+mixed", less: str = "public-only") -> dict[str, dict]:
    """metric -> score of `more` minus that of `less`, paired by seed: mean, 95% interval (Student's t over seeds), by seed."""
    by = {(row["variant"], row["seed"]): row for row in rows}
    seeds = sorted(seed for variant, seed in by if variant == more and (less, seed) in by)
    found = {}
    for metric in (*SCORES, *CLINICAL):
        each = [by[more, seed][metric] - by[less, seed][metric] for seed in seeds]
        one = {"effect": round(mean(each), 5), "by_seed": [round(value, 5) for value in each]}
        if len(each) > 1:
            half = student.ppf(0.975, len(each) - 1) * stdev(each) / len(each) ** 0.5
            one["interval"] = [round(mean(each) - half, 5), round(mean(each) + half, 5)]
        found[metric] = one
    return found


def in_short(found: dict) -> str:
    """reports.json -> README's table: a pretraining a row, and what the atlas changes, paired by seed."""
    shown = {"finding_precision": "findings: precision", "finding_recall": "recall", "exact_precision": "with place and severity",
             "exact_recall": "recall", "bleu4": "BLEU-4", "meteor": "METEOR, no synonyms", "rouge_l": "ROUGE-L",
             "cider": "CIDEr"}  # fmt: skip
    lines = []
    for variant in (*PRETRAINED, CONTROL):
        mine = [row for row in found["rows"] if row["variant"] == variant]
        lines.append([PRETRAINED.get(variant, CONTROL), str(len(mine)), *(spread([row[name] for row in mine]) for name in shown)])
    for pair, changes in found["differences"].items():
        lines.append([f"*{pair}*", "", *(interval_of(changes[name]) for name in shown)])
    return markdown(["image encoder pretrained on", "seeds", *shown.values()], lines)


def writers_in_short(found: dict) -> str:
    """report_writers.json (of data_scripts/report_writers.py) -> README's table: an arm a row, mean ± deviation over seeds.

    val: the arms are compared, so on the seeds that all of them have; test: all seeds."""
    names = {"en": "the defaults", "zh": "in Chinese, at most 120 characters",
             "words only": "words alone, no findings asked (as published), 24 epochs",
             "mean": "mean of the views (as published)", "block 3": "the defaults' writer, no trigram twice (as published)",
             "no late": "the defaults' writer, studies without their late frame"}  # fmt: skip
    shown = {"finding_precision": "findings: precision", "finding_recall": "recall", "exact_precision": "with place and severity",
             "exact_recall": "recall"}  # fmt: skip
    lines, arms = [], {row["arm"] for row in found["rows"]}
    shared = set.intersection(*({row["seed"] for row in found["rows"] if row["arm"] == arm} for arm in arms))
    for split in ("val", "test"):
        for arm, name in names.items():
            mine = [row for row in found["rows"] if row["arm"] == arm and split in row]
            mine = [row for row in mine if split == "test" or row["seed"] in shared]
            if mine:
                seeds = " ".join(str(row["seed"]) for row in mine)
                lines.append([split, name, seeds, *(spread([row[split][metric] for row in mine]) for metric in shown)])
    return markdown(["studies", "writer", "seeds", *shown.values()], lines)


def interval_of(change: dict) -> str:
    """One of `differences` -> "+.012 [-.010, +.034]"."""
    ends = "[{:+.3f}, {:+.3f}]".format(*change["interval"]) if "interval" in change else "one seed"
    return f"{change['effect']:+.3f} {ends}"


def page(rows: list[dict], size: Size) -> str:
    """DIR/reports.md."""
    seeds, found = len({row["seed"] for row in rows}), [differences(rows, *pair) for pair in PAIRS.values()]
    tested = next(row["test_studies"] for row in rows)

    def table(metrics: Sequence[str], paper: dict[str, Sequence[float]]) -> str:
        lines = []
        for variant in (*PRETRAINED, CONTROL):
            mine = [row for row in rows if row["variant"] == variant]
            lines.append([PRETRAINED.get(variant, CONTROL), *(spread([row[m] for row in mine]) for m in metrics)])
        lines += [[f"*paper: {name}*", *(spread([value]) for value in values)] for name, values in paper.items()]
        return markdown(["pretraining", *metrics], lines)

    changes = [[metric, *(interval_of(one[metric]) for one in found)] for metric in (*SCORES, *CLINICAL)]
    asked = {name: [row for row in rows if row["variant"] == name] for name in ("revision+mixed", CONTROL)}
    checks = [[name.replace("_", " "), *(spread([row[name] for row in mine]) for mine in asked.values())]
              for name in (*CHECKS, "cache_speedup", "train_seconds")]  # fmt: skip
    return "\n".join([
        "# Reports of angiograms, with and without expert pretraining (table 2b of the paper)", "",
        f"Drawn angiogram studies: {size.studies} a seed, a tenth of them tested; seeds: {seeds}; mean ± standard deviation.",
        "Unlike the paper's, each writer is also asked which findings the training reports name (report_tags.py), sees its views",
        "one by one instead of their mean, and may write a trigram twice.",
        METEOR_NOTE, "The paper's rows are another model on FFA-IR: they stand here for the pattern, not for the size.", "",
        table(SCORES, PAPER), "", "Findings read back from the written reports (report_findings.py):", "",
        table(CLINICAL, {}), "",
        f"Differences paired by seed, 95% intervals over seeds; of {len(changes)} intervals, one or two may miss by chance:", "",
        markdown(["metric", *PAIRS], changes), "",
        f"Checks on the {tested} test studies of a seed. Different reports: how many the writer has; from shuffled reports it",
        "learns to write nearly the same for everyone. Beam worse: studies whose beam search ended below the greedy report.", "",
        markdown(["", "KeepFIT's writer", CONTROL], checks), "",
    ])  # fmt: skip
