"""Every table of the paper from one command: pretrain what is missing, score what is missing, write one JSON a run.

    experiments/data.toml     on what: pictures, preset, sets to score        (drawn, real, real-frozen; fast)
    experiments/models.toml   what is trained: variant, expert side, settings  (flair, keepfit, mixed, ...)
    experiments/TABLE.toml    which models on which data, and the columns; "SET/PROTOCOL/SHOTS" names one score

    DIR/runs/DATA-MODEL-seedN.json   what a run scored         DIR/models/   the trained runs (may be deleted)
    DIR/data/                        the manifests

A run that is there with the same settings is not trained again, a score that is there is not computed again, so an
interrupted call loses at most the run that it was in. Not about: how tables are set (results.py) or judged (claims.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from .config import PRESETS, InputError, ModelConfig, TrainConfig, write_aside
from .drawn_sets import draw_sets
from .few_shot import few_shot
from .manifests import exclude_categories, read_manifest
from .model import KeepFIT
from .prompts import training_prompt
from .real_sets import prepare_real
from .trainer import pretrain
from .zero_shot import labelled_rows, zero_shot

EXPERIMENTS = Path(__file__).with_name("experiments")
SEEDS, FOLDS = 5, 5


# ------------------------------------------------------------------------------------------------------- the plan


def read_toml(name: str) -> dict:
    return tomllib.loads((EXPERIMENTS / f"{name}.toml").read_text(encoding="utf-8"))


def tables() -> list[str]:
    """Names of the tables that there are."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.toml") if path.stem not in ("data", "models", "claims"))


def tasks_of(table: dict, data: dict) -> list[str]:
    """The scores a table asks for on one kind of data: its columns without their metric, of sets that are there."""
    columns = [column.partition(":")[0] for column in table["columns"]]
    return [task for task in dict.fromkeys(columns) if task.partition("/")[0] in data["sets"]]


def plan(names: Sequence[str], kinds: Sequence[str], seeds: Sequence[int], fast: bool = False) -> list[dict]:
    """The runs that these tables need: {"data", "model", "seed", "tasks"}, a run once however many tables want it."""
    data, known, runs = read_toml("data"), read_toml("models"), {}
    for table in map(read_toml, names):
        asked = {"fast": table["models"]["drawn"]} if fast else {k: table["models"].get(k, []) for k in kinds}
        for seed in seeds:
            for kind, models in asked.items():
                for model in models:
                    if known[model].get("untrained") and seed != seeds[0]:
                        continue  # nothing in it is random
                    run = runs.setdefault((seed, kind, model), {"data": kind, "model": model, "seed": seed, "tasks": []})
                    run["tasks"] += [task for task in tasks_of(table, data[kind]) if task not in run["tasks"]]
    return [runs[key] for key in sorted(runs, key=lambda key: key[0])]  # a seed at a time: an early stop leaves whole tables


def settings(data: dict, model: dict) -> dict:
    """What the experiment files say of a run's training, as JSON holds it: another value makes another run.

    A preset that changes in config.py is not noticed: then delete DIR/runs and DIR/models.
    """
    of_data = {key: data[key] for key in ("draw", "preset", "model", "train", "public") if key in data}
    of_model = {key: value for key, value in model.items() if key not in ("title", "arm")}
    return json.loads(json.dumps({"data": of_data, "model": of_model}))


def configs(data: dict, model: dict, seed: int) -> tuple[ModelConfig, TrainConfig]:
    """Preset, then what the data says, then what the model says. An untrained model keeps to its own preset."""
    base, train = PRESETS[model.get("preset", data["preset"])]
    if model.get("untrained"):
        return base, train
    base = dataclasses.replace(base, **data.get("model", {}) | model.get("model", {}))
    changes = data.get("train", {}) | model.get("train", {}) | {"variant": model["variant"], "seed": seed}
    return base, dataclasses.replace(train, **changes)


# ------------------------------------------------------------------------------------------------------- the data


def prepare(kind: str, data: dict, out: Path, progress: bool) -> dict[str, Path]:
    """The manifests of one kind of data in DIR/data, made once; {set: manifest}."""
    if "draw" in data:
        folder = out / "data" / f"drawn-{data['draw']['images']}-{data['draw']['size']}"
        done = folder / "drawn.json"  # written last
        if done.is_file() and json.loads(done.read_text())["draw"] == data["draw"]:
            sets = {name: folder / file for name, file in json.loads(done.read_text())["sets"].items()}
        else:
            sets = draw_sets(folder, **data["draw"], progress=progress)
            named = {name: path.name for name, path in sets.items()}
            write_aside(done, json.dumps({"draw": data["draw"], "sets": named}) + "\n")
    else:
        folder = out / "data" / "real"
        sets = prepare_real(folder)
    sets["expert_public"] = folder / "expert_public.csv"
    public_as_expert(sets[data["public"]], data.get("train", {}).get("exclude_categories", []), sets["expert_public"])
    return sets


def public_as_expert(public: Path, withheld: Sequence[str], out: Path) -> None:
    """A public manifest as an expert side: each row's text is a prompt of one of its categories, none of them withheld."""
    frame, chance = exclude_categories(read_manifest(public, "label"), withheld), random.Random(0)
    texts = [training_prompt(chance.choice(labels), "", chance) for labels in frame["labels"]]
    images = [os.path.relpath(image, out.parent) for image in frame["image"]]
    write_aside(out, pd.DataFrame({"image": images, "text": texts}).to_csv(index=False))


# ------------------------------------------------------------------------------------------------------- the runs


def do_run(run: dict, sets: dict[str, Path], truth: dict[str, str], out: Path, progress: bool) -> bool:
    """Train and score what one run lacks; returns whether anything had to be done. truth: the true classes of each set.

    A score on a set whose pictures have changed since is no score.
    """
    data, model = read_toml("data")[run["data"]], read_toml("models")[run["model"]]
    name = f"{run['data']}-{run['model']}-seed{run['seed']}"
    file, wanted = out / "runs" / f"{name}.json", settings(data, model)
    tasks = [t for t in run["tasks"] if "/linear-probe/" in t or not model.get("untrained")]
    try:
        before = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError:
        print(f"passed over: {file} is no JSON; the run is made anew", file=sys.stderr)
        before = {}
    if before.get("settings") != wanted:
        before = {}
    known = {name for name, classes in before.get("truth", {}).items() if classes == truth.get(name)}
    scores = {task: score for task, score in before.get("scores", {}).items() if task.partition("/")[0] in known}
    missing = [task for task in tasks if task not in scores]
    if not missing and before:
        return False
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:8]
    folder, seconds = out / "models" / f"{name}-{digest}", before.get("pretrain_seconds")
    trained, spent = trained_model(data, model, run["seed"], sets, folder, out, progress)
    cache = out / "data" / "activations" if data.get("throw_models_away") else folder / "features"
    for task in tqdm(missing, desc="score", disable=not progress):
        scores[task] = score_task(trained, task, data["sets"], sets, cache)
    value = {
        **{k: run[k] for k in ("data", "model", "seed")},
        "variant": model.get("variant", ""),
        "command": f"python -m keepfit_mini reproduce {run['table']}" + (" --fast" if run["data"] == "fast" else ""),
        "settings": wanted,
        "pretrain_seconds": seconds if seconds is not None else spent,
        "classes": {name: spec["classes"] for name, spec in data["sets"].items()},
        "truth": truth,
        "scores": dict(sorted(scores.items())),
    }
    write_aside(file, json.dumps(value) + "\n")
    if data.get("throw_models_away"):
        shutil.rmtree(folder, ignore_errors=True)
    return True


def trained_model(
    data: dict, model: dict, seed: int, sets: dict[str, Path], folder: Path, out: Path, progress: bool
) -> tuple[KeepFIT, float | None]:
    """The run's model, and the seconds its pretraining took (None: it was there, or it was only finished now)."""
    model_config, train_config = configs(data, model, seed)
    if model.get("untrained"):
        return KeepFIT(model_config).eval(), 0.0
    resume = (folder / "config.json").is_file()
    if folder.exists() and not resume:  # stopped before anything was trained
        shutil.rmtree(folder)
    begin, expert = time.perf_counter(), sets[model["expert"]] if "expert" in model else None
    cache = out / "data" / "activations" if data.get("throw_models_away") else None
    trained = pretrain(
        model_config, train_config, sets[data["public"]], expert, folder, resume=resume, progress=progress, cache=cache
    )
    return trained, None if resume else round(time.perf_counter() - begin, 1)


def true_classes(specs: dict, sets: dict[str, Path]) -> dict[str, str]:
    """The true classes of each scored set, digits as in score_task."""
    return {name: digits(labelled_rows(sets[spec["manifest"]], spec["classes"])[1]) for name, spec in specs.items()}


def score_task(model: KeepFIT, task: str, specs: dict, sets: dict[str, Path], cache: Path) -> dict:
    """One score: {"metrics", "ci95", "guess"}.

    Classes are digits in a string, a picture each, in the order of the manifest (few-shot: of the fold's test rows), so
    that any two runs can be compared picture by picture.
    """
    name, protocol, how = task.split("/")
    spec = specs[name]
    manifest, classes = sets[spec["manifest"]], spec["classes"]
    if protocol == "zero-shot":
        result = zero_shot(model, manifest, classes, how, progress=False, cache=cache)
        guess = digits(result["guess"])
    else:
        prompts, shots = spec.get("prompts", "both"), int(how) if how.isdigit() else how
        result = few_shot(model, manifest, classes, protocol, shots, FOLDS, prompts, progress=False, cache=cache)
        guess = [digits(fold) for fold in result["guess"]]
    rounded = {metric: round(value, 5) for metric, value in result["metrics"].items()}
    intervals = {metric: [round(end, 5) for end in ends] for metric, ends in result["ci95"].items() if metric in ("aca", "auc")}
    return {"metrics": rounded, "ci95": intervals, "guess": guess}


def digits(numbers: Sequence[int]) -> str:
    return "".join(str(int(number)) for number in numbers)


# ---------------------------------------------------------------------------------------------------- the command


def reproduce(
    names: Sequence[str],
    out: str | Path = "results",
    fast: bool = False,
    kinds: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    progress: bool = True,
) -> list[dict]:
    """Run what the tables lack and return the list of runs (of `plan`).

    fast   small drawn eyes and one seed, minutes a table; otherwise every kind of data that there is, five seeds
    kinds  "drawn", "real", "real-frozen"; None: all, the real ones where KEEPFIT_DATA is set
    InputError: an unknown table; real photographs asked for and not there; `out` is a file.
    """
    out, data = Path(out), read_toml("data")
    for name in names:
        if name not in tables():
            raise InputError(f"table {name!r} is unknown: give one of {', '.join(tables())}, all")
    if fast and kinds is not None:
        raise InputError("--fast draws small eyes of its own: leave --data away")
    if out.exists() and not out.is_dir():
        raise InputError("is a file: give --out a folder", out)
    if kinds is None:
        kinds = ["drawn", "real", "real-frozen"] if os.environ.get("KEEPFIT_DATA") else ["drawn"]
        if not fast and len(kinds) == 1:
            print("KEEPFIT_DATA is not set: drawn eyes only, the rows on real photographs stay as they are")
    seeds = list(range(1 if fast else SEEDS)) if seeds is None else list(seeds)
    runs = plan(names, kinds, seeds, fast)
    if not fast:  # whatever any table asks of a run is scored while its model is there
        every = {(r["data"], r["model"]): r["tasks"] for r in plan(tables(), kinds, [0])}
        runs = [{**run, "tasks": every[run["data"], run["model"]]} for run in runs]
    sets, truths = {}, {}
    bar = tqdm(runs, desc="runs", disable=not progress)
    for run in bar:
        bar.set_postfix_str(f"{run['data']} {run['model']} seed {run['seed']}")
        if run["data"] not in sets:
            sets[run["data"]] = prepare(run["data"], data[run["data"]], out, progress)
            truths[run["data"]] = true_classes(data[run["data"]]["sets"], sets[run["data"]])
        run["table"] = " ".join(names)
        do_run(run, sets[run["data"]], truths[run["data"]], out, progress)
    return runs
