"""Verdicts: each claim of the paper as a difference between two scores, with an interval, confirmed or refuted or open.

experiments/claims.toml says what is compared; the runs in results/runs/ hold each picture's guess, so everything is
computed anew from them.

    effect   = mean over seeds (and folds) of ACA(better) - ACA(worse), paired: same seed, same pictures, same shots
    variance = that between seeds / S  +  that between pictures  +  (few-shot) that between folds / F
    interval = effect -+ t sqrt(variance), t with Satterthwaite's degrees of freedom

Seeds, pictures and shots are all drawn from something larger; an interval over pictures alone would call chance of the
seed an effect. Adding the parts counts some chance twice, so the interval is rather too wide than too narrow.

    confirmed   the whole interval is above 0, however small the effect
    refuted     else, the whole interval is below MARGIN, and below the paper's figure: there is no effect, or the opposite one
    cannot tell everything else, and whatever has fewer than 5 seeds
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from .config import InputError
from .few_shot import split
from .reproduce import FOLDS, read_toml

MARGIN = 0.01  # an effect smaller than one point of ACA is none
LEAST_SEEDS = 5


def right_per_picture(run: dict, task: str) -> tuple[np.ndarray, np.ndarray]:
    """A run's score -> weights that sum to ACA: right (F,N), each picture's share of each fold's ACA; and truth (N,).

    A picture that a fold does not test has 0 there; zero-shot is one fold that tests everything.
    """
    name, protocol, how = task.split("/")
    truth = np.array([int(digit) for digit in run["truth"][name]])
    guess = run["scores"][task]["guess"]
    if protocol == "zero-shot":
        tests, guess = [np.arange(len(truth))], [guess]
    else:
        shots = int(how) if how.isdigit() else how
        tests = [np.array(split(truth, shots, fold)[1]) for fold in range(FOLDS)]
    right = np.zeros((len(tests), len(truth)))
    for fold, (rows, digits) in enumerate(zip(tests, guess, strict=True)):
        hit = np.array([int(digit) for digit in digits]) == truth[rows]
        counts = np.bincount(truth[rows])[truth[rows]]
        right[fold, rows] = hit / counts / len(np.unique(truth))
    return right, truth


def effect(better: dict[int, dict], worse: dict[int, dict], task: str, other_task: str | None = None) -> dict | None:
    """Runs by seed of two models -> {"effect", "interval", "seeds", "by_seed"}; None where no seed has both scores.

    A model that is not trained has one run, which stands for every seed.
    """
    other_task = other_task or task
    if worse and not next(iter(worse.values()))["variant"]:
        worse = dict.fromkeys(better, worse[min(worse)])
    seeds = [s for s in sorted(better) if s in worse and task in better[s]["scores"] and other_task in worse[s]["scores"]]
    if not seeds:
        return None
    differences = []
    for seed in seeds:
        (a, truth), (b, others) = right_per_picture(better[seed], task), right_per_picture(worse[seed], other_task)
        if len(a) != len(b) or not np.array_equal(truth, others):
            raise InputError(f"{task} and {other_task} of seed {seed} were scored on other pictures or folds: score them anew")
        differences.append(a - b)
    z = np.stack(differences)  # (S, F, N)
    by_seed, by_fold = z.sum(2).mean(1), z.sum(2).mean(0)  # (S,), (F,)
    per_picture = z.mean(0).mean(0)  # (N,)
    groups = [per_picture[truth == c] for c in np.unique(truth)]
    pictures = sum(len(g) * g.var(ddof=1) for g in groups)
    parts = [(by_seed.var(ddof=1) / len(seeds), len(seeds) - 1)] if len(seeds) > 1 else []
    parts += [(by_fold.var(ddof=1) / len(by_fold), len(by_fold) - 1)] if len(by_fold) > 1 else []
    parts += [(pictures, len(truth) - len(groups))]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts) if variance else 1.0
    half = student.ppf(0.975, freedom) * variance**0.5
    middle = float(by_seed.mean())
    return {
        "effect": middle,
        "interval": [float(middle - half), float(middle + half)],
        "seeds": seeds,
        "by_seed": by_seed.tolist(),
    }


def verdict(found: dict, paper: float = MARGIN) -> str:
    """Of an effect and its interval; what the paper itself publishes, however small, must lie outside to be refuted."""
    low, high = found["interval"]
    if len(found["seeds"]) < LEAST_SEEDS:
        return "cannot tell"
    if low > 0:
        return "confirmed"
    return "refuted" if high < min(MARGIN, paper) else "cannot tell"


def judge(runs: dict[tuple[str, str], dict[int, dict]]) -> list[dict]:
    """All claims on every kind of data that has both sides; runs by (data, model), then seed."""
    rows = []
    for claim in read_toml("claims")["claim"]:
        (better, task), (worse, other_task) = claim["better"].split(), claim["worse"].split()
        for data in claim.get("on", ("drawn", "real", "real-frozen")):
            if data == "real-frozen" and "/linear-probe/" in task:
                continue  # on frozen features a linear probe sees no training at all
            found = effect(runs.get((data, better), {}), runs.get((data, worse), {}), task, other_task)
            if found is not None:
                rows.append({**claim, "data": data, **found, "verdict": verdict(found, claim.get("paper", MARGIN))})
    return rows


def claims_markdown(rows: list[dict]) -> str:
    """results/claims.md."""
    counts = {v: sum(row["verdict"] == v for row in rows) for v in ("confirmed", "refuted", "cannot tell")}
    lines = [
        "# What is true of the paper's claims, here",
        "",
        "Made by `python -m keepfit_mini results` from `runs/*.json`; nothing on this page was typed by hand. An effect is a",
        "difference in ACA (mean of per-class recall) between two models over the same seeds, pictures and shots; the 95%",
        "interval holds the chance of all three (`keepfit_mini/claims.py`). *Confirmed*: the whole interval is above 0,",
        f"however small the effect. *Refuted*: otherwise, if the whole interval is below {MARGIN:+.2f} (below the paper's own",
        "figure, if smaller): there is no effect of a point or more, or the opposite one.",
        "*Cannot tell*: the rest. Drawn eyes show what the method can do, not how well it would do on patients. On `real`",
        "the last stages of the image encoder are trained, on `real-frozen` only the projections are. Claims without a figure",
        "of the paper are questions of ours.",
        "",
        f"Of {len(rows)} verdicts: " + ", ".join(f"{n} {name}" for name, n in counts.items()) + ".",
        "",
        "| claim | data | effect | 95% interval | seeds | paper | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    seen = None
    for row in rows:
        low, high = row["interval"]
        text = f"**{row['name']}** {row['text']}" if row["name"] != seen else ""
        paper = f"{row['paper']:+.3f}" if "paper" in row else ""
        seen = row["name"]
        lines.append(
            f"| {text} | {row['data']} | {row['effect']:+.3f} | [{low:+.3f}, {high:+.3f}] | {len(row['seeds'])} "
            f"| {paper} | {row['verdict']} |"
        )
    lines += ["", "Where the paper says so, and what is compared:", ""]
    for claim in {row["name"]: row for row in rows}.values():
        place = f" (paper: {claim['where']})" if "where" in claim else ""
        lines.append(f"* **{claim['name']}**: `{claim['better']}` minus `{claim['worse']}`{place}")
    return "\n".join(lines) + "\n"
