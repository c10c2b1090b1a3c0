"""The demo: eyes are drawn, the label-only baseline and KeepFIT are pretrained, both are scored on unseen sets.

Writes DIR/data, DIR/runs, DIR/report.html (one self-contained page) and, last, DIR/results.json. Everything is drawn:
what can be concluded is that the method does its work, not how well it would do on eyes. Not about: any of the steps.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jinja2 import Environment, PackageLoader
from PIL import Image

from . import viz
from .atlas import build_atlas
from .atlas_pages import open_book
from .atlas_pairs import FLAG
from .atlas_score import score_atlas
from .config import PRESETS, InputError, write_aside
from .drawn_atlas import draw_atlas
from .drawn_sets import WITHHELD, draw_sets, shuffle_captions
from .expert_attention import expert_attention
from .features import picture_features
from .manifests import read_manifest
from .model import KeepFIT
from .trainer import pretrain
from .zero_shot import class_vectors, labelled_rows, zero_shot

IMAGES, SIZE, EPOCHS = 1500, 64, 5  # public pictures, pixels a side, passes: together under three minutes on two cores
PAGES = 40  # of the drawn atlas, at most

# name of the model -> training variant, expert set, folder of its run
BASELINE, KEEPFIT, CONTROL = "public-only", "revision+mixed", "revision+mixed, shuffled captions"
MODELS = {
    BASELINE: ("public-only", None, "public-only"),
    KEEPFIT: ("revision+mixed", "expert", "revision+mixed"),
    CONTROL: ("revision+mixed", "expert_shuffled", "revision+mixed-shuffled"),
}
# unseen set -> its classes, and what the paper publishes for its real namesake: metric, FLAIR, KeepFIT (table 1, zero-shot)
UNSEEN = {
    "unseen_refuge": (("no glaucoma", "glaucoma"), ("REFUGE", "auc", 0.926, 0.941)),
    "unseen_fives": (
        ("normal", "age-related macular degeneration", "diabetic retinopathy", "glaucoma"),
        ("FIVES", "aca", 0.670, 0.731),
    ),
    "unseen_odir": (("normal", "pathologic myopia", "cataract"), ("ODIR200x3", "aca", 0.403, 0.812)),
}


def run_demo(out: str | Path, seed: int = 0, progress: bool = True) -> dict:
    """Draw, pretrain, score, write; returns what results.json holds.

    An earlier demo in `out` is replaced; whatever else lies there stays. InputError: `out` cannot take the files.
    """
    begin, out = time.perf_counter(), Path(out)
    make_room(out)
    data = draw_sets(out / "data", images=IMAGES, size=SIZE, seed=seed, progress=progress)
    atlas = expert_from_atlas(data, out / "atlas", seed, progress)
    models, rows = {}, []
    for name, (variant, expert, folder) in MODELS.items():
        if progress:
            print(f"\npretraining {name}", flush=True)
        model_config, train_config = PRESETS["mini"]
        model_config = dataclasses.replace(model_config, image_size=SIZE)
        train_config = dataclasses.replace(train_config, variant=variant, epochs=EPOCHS, seed=seed)
        experts = data[expert] if expert else None
        models[name] = pretrain(model_config, train_config, data["public"], experts, out / "runs" / folder, progress=progress)
        for dataset, (classes, _) in UNSEEN.items():
            scores = zero_shot(models[name], data[dataset], classes, prompts="both", seed=seed, progress=False)
            rows.append({"model": name, **{k: v for k, v in scores.items() if k not in ("truth", "guess")}})
    result = {"seconds": 0.0, "rows": rows}
    write_aside(out / "report.html", report(models, data, atlas, out / "runs", rows, begin))
    result["seconds"] = round(time.perf_counter() - begin, 1)
    write_aside(out / "results.json", json.dumps(result, indent=2) + "\n")
    print(table(rows))
    print("\n".join(conclusions(rows)))
    print(f"{result['seconds']:.0f} seconds; open {out / 'report.html'}")
    return result


def expert_from_atlas(data: dict[str, Path], folder: Path, seed: int, progress: bool = True) -> dict:
    """Print the drawn expert pairs as a book, and build the expert set anew from its pages alone (the paper's section 2.2).

    data["expert"] and data["expert_shuffled"] become what was read from the book; returns how right that is, and a page of it.
    """
    drawn = pd.read_csv(data["expert"])
    book = draw_atlas(data["expert"], folder.with_suffix(".pdf"), seed=seed, max_pages=PAGES, progress=progress)
    counts = build_atlas(book, folder, progress=progress)
    truth = book.with_name(f"{book.stem}_truth.csv")
    right, _ = score_atlas(folder, truth, data["expert"].parent)
    built = pd.read_csv(folder / "manifest.csv", keep_default_na=False, dtype={"figure": str})
    built = built[built["confidence"] >= FLAG].reset_index(drop=True)  # the rest waits for a person's look
    # what no model is told; the figures and the control need it, so it is looked up in the truth
    known = pd.read_csv(truth, keep_default_na=False, dtype={"figure": str}).merge(drawn[["image", "drawn_category"]], on="image")
    category = known.set_index(["figure", "panel"])["drawn_category"].to_dict()
    built["drawn_category"] = [category.get(key, "unknown") for key in zip(built["figure"], built["panel"], strict=True)]
    order = shuffle_captions(built["drawn_category"], np.random.default_rng([seed, 9]))
    shuffled = built.assign(text=built["text"].to_numpy()[order], text_zh=built["text_zh"].to_numpy()[order])
    for name, frame in (("expert", built), ("expert_shuffled", shuffled)):
        data[name] = folder / f"{name}.csv"
        write_aside(data[name], frame.to_csv(index=False))
    with open_book(book) as pages:
        middle = pages[len(pages) // 2].render(scale=1.3).to_pil().convert("RGB")
        return {**counts, **right, "pages": len(pages), "layouts": known["layout"].nunique(), "page": middle}


def make_room(out: Path) -> None:
    """Make `out`; remove the runs and results of an earlier demo, and refuse to remove anything that is not one."""
    for folder in (out, out / "data", out / "runs"):
        if folder.exists() and not folder.is_dir():
            raise InputError("is a file: give --out a folder", folder)
    runs = [out / "runs" / folder for _, _, folder in MODELS.values()]
    for run in runs:
        if run.exists() and not (run.is_dir() and ((run / "config.json").is_file() or not any(run.iterdir()))):
            raise InputError("is there and is not a run: move it away, or give another --out", run)
    for file in (out / "results.json", out / "report.html"):
        if file.is_dir():
            raise InputError("is a folder: move it away, or give another --out", file)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in (out / "results.json", out / "report.html"):  # they would not belong to the new runs
            file.unlink(missing_ok=True)
        for run in runs:
            if run.exists():
                shutil.rmtree(run)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror}): give another --out", out) from error


# ----------------------------------------------------------------------------------------------------------- in words


def table(rows: list[dict]) -> str:
    """Model x set: ACA and AUC with their 95% intervals, as text."""
    lines = [f"\n{'zero-shot, drawn sets':<21} {'model':<34} {'ACA [95% interval]':<20} {'AUC [95% interval]'}"]
    for dataset in UNSEEN:
        for row in (r for r in rows if r["dataset"] == dataset):
            scores = [f"{row['metrics'][m]:.2f} [{row['ci95'][m][0]:.2f}, {row['ci95'][m][1]:.2f}]" for m in ("aca", "auc")]
            lines.append(f"{dataset:<21} {row['model']:<34} {scores[0]:<20} {scores[1]}")
    return "\n".join(lines)


def conclusions(rows: list[dict]) -> list[str]:
    """What this run's numbers say, and no more: a difference is claimed only where the two 95% intervals lie apart."""
    aca = {(r["dataset"], r["model"]): (r["metrics"]["aca"], *r["ci95"]["aca"]) for r in rows}
    said = {key: f"{value:.2f} [{low:.2f}, {high:.2f}]" for key, (value, low, high) in aca.items()}

    def compared(dataset: str, other: str) -> str:
        (_, low, high), (_, other_low, other_high) = aca[dataset, KEEPFIT], aca[dataset, other]
        return "better than" if low > other_high else "worse than" if high < other_low else "not surely different from"

    return [
        f"On unseen_odir, where no label named myopia or cataract, KeepFIT (ACA {said['unseen_odir', KEEPFIT]}) was "
        f"{compared('unseen_odir', BASELINE)} labels only ({said['unseen_odir', BASELINE]}) and "
        f"{compared('unseen_odir', CONTROL)} KeepFIT with shuffled captions ({said['unseen_odir', CONTROL]}).",
        "Where labels named every class, KeepFIT was "
        + " and ".join(
            f"{compared(name, BASELINE)} labels only on {name} ({said[name, KEEPFIT]}; {said[name, BASELINE]})"
            for name in ("unseen_refuge", "unseen_fives")
        )
        + ". One seed, drawn pictures; the intervals cover the choice of test pictures only.",
    ]


# -------------------------------------------------------------------------------------------------------- the report


def report(
    models: dict[str, KeepFIT], data: dict[str, Path], atlas: dict, runs: Path, rows: list[dict], begin: float
) -> str:
    """The page as HTML: every figure inside as a PNG, nothing fetched."""
    expert = read_manifest(data["expert"])
    drawn = pd.read_csv(data["expert"])["drawn_category"].to_numpy()
    chosen = [np.flatnonzero(drawn == name)[0] for name in dict.fromkeys([*WITHHELD, *drawn]) if name in drawn][:8]
    figures = {
        "results": viz.results_bars(rows),
        "public": viz.samples(data["public"], 10, columns=5),
        "page": atlas["page"],
        "expert": viz.samples(expert.iloc[chosen], 8, columns=4),
        **{name: viz.samples(data[name], 6) for name in UNSEEN},
        "curves": viz.training_curves({name: runs / folder / "metrics.jsonl" for name, (_, _, folder) in MODELS.items()}),
        **{
            f"confusion_{name}": viz.confusion(
                {r["model"]: r["confusion"] for r in rows if r["dataset"] == name and r["model"] != CONTROL}, classes
            )
            for name, (classes, _) in UNSEEN.items()
        },
    }
    # one unseen set through both models: cosines of four pictures a class, and the expert pairs that KeepFIT attends to
    classes = UNSEEN["unseen_odir"][0]
    frame, truth, _ = labelled_rows(data["unseen_odir"], classes)
    images, cosines = frame["image"].to_numpy(), {}
    four, one = ([i for c in range(len(classes)) for i in np.flatnonzero(truth == c)[:n]] for n in (4, 1))
    for name in (BASELINE, KEEPFIT):
        vectors = torch.nn.functional.normalize(class_vectors(models[name], classes), dim=1)  # (C, D)
        image = picture_features(models[name], images[four], progress=False)["vectors"]  # (12, D)
        cosines[name] = (image @ vectors.T).numpy()  # (12, C)
    figures["similarity"] = viz.similarity_matrix(cosines, images[four], classes, truth[four])
    weights = expert_attention(models[KEEPFIT], images, expert)  # (N, M)
    figures["attention"] = viz.attention(images[one], expert, weights[one], [classes[t] for t in truth[one]])
    same = drawn == np.array(classes)[truth][:, None]  # (N, M)
    attended = {
        "heaviest": float(weights.max(1).mean() * len(expert)),
        "agrees": float(same[np.arange(len(same)), weights.argmax(1)].mean()),
        "chance": float(same.mean()),
    }
    pages = Environment(loader=PackageLoader("keepfit_mini", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("report.html").render(
        figures={name: png(figure) for name, figure in figures.items()}, attended=attended, unseen=UNSEEN, models=list(MODELS),
        by_set={name: {r["model"]: r for r in rows if r["dataset"] == name} for name in UNSEEN},
        baseline=BASELINE, keepfit=KEEPFIT, control=CONTROL, withheld=WITHHELD, conclusions=conclusions(rows),
        counts={name: len(pd.read_csv(path)) for name, path in data.items()}, atlas=atlas, size=SIZE, epochs=EPOCHS,
        seed=rows[0]["seed"], versions=rows[0]["versions"], seconds=time.perf_counter() - begin,
    )  # fmt: skip


def png(figure) -> str:
    """A figure, or a picture, as base64, to stand inside the page."""
    file = io.BytesIO()
    if isinstance(figure, Image.Image):
        figure.quantize(128).save(file, "png")  # a page of print needs no more colours
    else:
        figure.savefig(file, format="png", dpi=130)
    return base64.b64encode(file.getvalue()).decode()
