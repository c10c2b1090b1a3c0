"""results/*.json -> the tables of README, so that no number there was typed by hand.

README holds pairs of marks, <!-- table NAME --> and <!-- end -->; `results` fills them, `results --check` fails when
they are stale. Not about: making the JSON (demo, data_scripts/).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from .config import InputError, write_aside

ARMS = {
    "a": "a. labels only",
    "b": "b. labels + csdi's paragraphs on cataract",
    "c": "c. labels + captions that describe, never name",
    "shuffled": "control: c's captions dealt over all pictures",
    "d": "d. labels + bare names as captions",
    "e": "e. labels, nothing withheld (so not unseen)",
}
# arm and prompts on both sides of a difference, and what it asks
GAINS = (
    ("c", "descriptions", "a", "descriptions", "do captions that never name teach, asked in their own words"),
    ("c", "descriptions", "a", "names", "the same, each arm asked in the way that suits it best"),
    ("c", "both", "a", "both", "the same, asked as published"),
    ("c", "descriptions", "shuffled", "descriptions", "is it what the captions say"),
    ("b", "names", "a", "names", "do csdi's paragraphs on cataract teach"),
    ("d", "names", "a", "names", "names handed back as captions"),
    ("d", "names", "c", "descriptions", "how much more is naming"),
    ("e", "names", "d", "names", "what is left to the labels"),
)
PROMPTS = {"names": "by name", "descriptions": "by findings", "both": "by both"}
CLASSES = ("normal", "pathologic myopia", "cataract")


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error}): run the command that makes it", path) from error


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _two(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _spread(values: list[float]) -> str:
    return _two(mean(values)) + (f" ± {_two(stdev(values))}" if len(values) > 1 else "")


def _interval(scores: list[dict], metric: str) -> str:
    """The 95% bootstrap interval over images, its two ends averaged over seeds."""
    low, high = (mean(s["ci95"][metric][end] for s in scores) for end in (0, 1))
    return f"[{_two(low)}, {_two(high)}]"


def real_table(folder: Path) -> str:
    """ODIR200x3 zero-shot, an arm a row: ACA mean ± sd over seeds and the interval; recall of the three classes."""
    rows = []
    for arm, name in ARMS.items():
        runs = [_read(path) for path in sorted(folder.glob(f"real/{arm}-seed*.json"))]
        if not runs:
            continue
        cells = [name, str(len(runs))]
        for prompts in ("names", "descriptions"):
            scores = [r["zero_shot"][prompts] for r in runs]
            recall = " / ".join(_two(mean(s["recall"][c] for s in scores)) for c in CLASSES)
            cells += [f"{_spread([s['metrics']['aca'] for s in scores])} {_interval(scores, 'aca')}", recall]
        cells.append(_spread([r["zero_shot"]["both"]["metrics"]["aca"] for r in runs]))
        minutes = [r["pretrain_seconds"] / 60 for r in runs if r["pretrain_seconds"] is not None]
        cells.append(f"{mean(minutes):.0f}" if minutes else "")
        rows.append(cells)
    header = [
        "arm",
        "seeds",
        "ACA, classes by name",
        "recall N / M / C",
        "ACA, classes by findings",
        "recall N / M / C",
        "ACA, both",
        "min",
    ]
    return _markdown(header, rows)


def gains_table(folder: Path) -> str:
    """Differences between arms in ACA on the same pictures, a question a row."""
    rows = []
    for better, its, worse, others, question in GAINS:
        sides = [
            [_read(path)["zero_shot"][prompts] for path in sorted(folder.glob(f"real/{arm}-seed*.json"))]
            for arm, prompts in ((better, its), (worse, others))
        ]
        if all(sides):
            gain, low, high = paired_gain(*sides)
            by_seed = [a["metrics"]["aca"] - b["metrics"]["aca"] for a, b in zip(*sides, strict=False)]
            seeds = _two(stdev(by_seed)) if len(by_seed) > 1 else ""
            what = f"{better} {PROMPTS[its]} - {worse} {PROMPTS[others]}"
            rows.append([question, what, f"{gain:+.3f}", f"[{low:+.3f}, {high:+.3f}]", seeds])
    return _markdown(["question", "difference", "ACA", "95% interval over images", "sd over seeds"], rows)


def paired_gain(better: list[dict], worse: list[dict], times: int = 2000) -> tuple[float, float, float]:
    """Mean difference in ACA and its 95% interval: seeds averaged, pictures drawn anew within each class, the same for both."""
    truth = np.array(better[0]["truth"])
    right = [np.mean([np.array(s["guess"]) == truth for s in side], axis=0) for side in (better, worse)]  # (N,) each
    difference, chance = right[0] - right[1], np.random.default_rng(0)
    groups = [difference[truth == c] for c in np.unique(truth)]
    drawn = np.mean([chance.choice(g, (times, len(g))).mean(1) for g in groups], axis=0)  # (times,)
    return float(np.mean([g.mean() for g in groups])), *np.percentile(drawn, [2.5, 97.5]).tolist()


def demo_table(folder: Path) -> str:
    """The demo's own results.json, a model a row, a drawn set a column."""
    demo = _read(folder / "demo.json")
    rows = demo["rows"]
    models, sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "dataset"))
    cell = {(row["model"], row["dataset"]): row for row in rows}
    lines = []
    for model in models:
        found = [cell.get((model, name)) for name in sets]
        lines.append([model, *(f"{_two(r['metrics']['aca'])} {_interval([r], 'aca')}" if r else "" for r in found)])
    table = _markdown(["model", *(f"{name}, ACA" for name in sets)], lines)
    return f"{table}\n\nThe whole demo took {demo['seconds']:.0f} seconds."


TABLES = {"demo": demo_table, "real": real_table, "gains": gains_table}


def rendered(readme: Path) -> str:
    """README's text with every table made anew from results/ beside it."""
    if not readme.is_file():
        raise InputError("no such file: give the path of README.md", readme)

    def fill(match: re.Match) -> str:
        if match["name"] not in TABLES:
            raise InputError(f"table {match['name']!r} is unknown: give one of {', '.join(TABLES)}", readme)
        return f"{match['begin']}\n{TABLES[match['name']](readme.parent / 'results')}\n{match['end']}"

    marks = r"(?P<begin><!-- table (?P<name>[\w-]+) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(marks, fill, readme.read_text(encoding="utf-8"), flags=re.DOTALL)


def render(readme: Path) -> None:
    write_aside(readme, rendered(readme))


def check(readme: Path) -> None:
    """InputError where README differs from the JSON."""
    old, new = readme.read_text(encoding="utf-8") if readme.is_file() else "", rendered(readme)
    for row, (was, now) in enumerate(zip(old.splitlines(), new.splitlines(), strict=False), 1):
        if was != now:
            raise InputError("differs from results/*.json: run `python -m keepfit_mini results`", readme, row)
    if old != new:
        raise InputError("differs from results/*.json: run `python -m keepfit_mini results`", readme)
