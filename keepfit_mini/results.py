"""results/runs/*.json -> tables, verdicts and README, so that no number there was typed by hand.

`results` writes results/TABLE.json, results/TABLE.md and results/claims.{json,md}, and fills README's and MODEL_CARD's
pairs of marks, <!-- table NAME --> and <!-- end -->; `results --check` fails when any of them is stale.
Not about: making the runs (reproduce.py, demo.py), the arithmetic of a verdict (claims.py), or tables that come from elsewhere
than these runs (own_tables.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from .claims import claims_markdown, judge
from .config import InputError, write_aside
from .own_tables import course_table, reports_table, trust_table, writers_table
from .reproduce import read_toml, tables
from .table_text import decimals, interval, markdown, read_json, spread

Runs = dict[tuple[str, str], dict[int, dict]]  # (data, model) -> seed -> run
METRIC_NAMES = {"aca": "ACA", "auc": "AUC", "f1": "F1"}
SET_NAMES = {"odir": "ODIR200x3", "refuge": "REFUGE", "fives": "FIVES", "hospital": "another hospital", "ffa": "FFA"}
PROTOCOL_NAMES = {
    "clip-adapter": "CLIP-Adapter", "tip-adapter": "Tip-Adapter", "tip-adapter-f": "Tip-Adapter-F",
    "linear-probe": "linear probe", "zero-shot": "zero-shot",
}  # fmt: skip
PROMPT_NAMES = {"names": "by name", "descriptions": "by findings", "both": "by both"}


# --------------------------------------------------------------------------------------------- the tables of a paper


def load_runs(folder: Path) -> Runs:
    """Every run of a results folder."""
    runs: Runs = {}
    for path in sorted((folder / "runs").glob("*.json")):
        run = read_json(path)
        try:
            runs.setdefault((run["data"], run["model"]), {})[run["seed"]] = run
            _ = run["scores"], run["truth"], run["variant"]
        except (KeyError, TypeError) as error:
            raise InputError("is not a run that reproduce wrote: delete it and run reproduce again", path) from error
    return runs


def column_name(column: str) -> str:
    """ "odir/clip-adapter/5" -> "ODIR200x3 CLIP-Adapter 5"; a metric is named where it is not ACA."""
    task, _, metric = column.partition(":")
    name, protocol, how = task.split("/")
    name = " ".join([SET_NAMES[name], PROTOCOL_NAMES[protocol], PROMPT_NAMES.get(how, how)])
    return f"{name}, {METRIC_NAMES[metric]}" if metric else name


def score(run: dict, column: str) -> float | None:
    task, _, metric = column.partition(":")
    return run["scores"].get(task, {}).get("metrics", {}).get(metric or "aca")


def table_rows(name: str, runs: Runs) -> list[dict]:
    """One row a run that has any of the table's scores: data, model, variant, seed and a value for each column."""
    table, models = read_toml(name), read_toml("models")
    rows = []
    for data, wanted in table_models(table).items():
        for model in wanted:
            for seed, run in sorted(runs.get((data, model), {}).items()):
                values = {c: score(run, c) for c in table["columns"] if score(run, c) is not None}
                if values:
                    title = models[model]["title"]
                    rows.append({"data": data, "model": model, "title": title, "variant": run["variant"], "seed": seed, **values})
    return rows


def table_models(table: dict) -> dict[str, list[str]]:
    return {**table["models"], "fast": table["models"]["drawn"]}


def table_markdown(name: str, runs: Runs, data: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> str:
    """A table for each kind of data: a model a row, mean ± sd over seeds; then the paper's own rows."""
    table, kinds, rows = read_toml(name), read_toml("data"), table_rows(name, runs)
    paper = table.get("paper", {})
    parts = []
    for kind in data or table_models(table):
        mine = [row for row in rows if row["data"] == kind]
        shown = [c for c in columns or table["columns"] if any(c in row for row in mine)]
        if not shown:
            continue
        lines = []
        for model in dict.fromkeys(row["model"] for row in mine):
            these = [row for row in mine if row["model"] == model]
            cells = [[row[c] for row in these if c in row] for c in shown]
            lines.append([these[0]["title"], str(len(these)), *(spread(cell) if cell else "" for cell in cells)])
        for row, values in paper.items():
            published = dict(zip(table["columns"], values, strict=False))
            if any(c in published for c in shown):
                lines.append([f"*paper: {row}*", "1", *(decimals(published[c]) if c in published else "" for c in shown)])
        head = ["model", "seeds", *(column_name(c) for c in shown)]
        parts.append(f"### {kinds[kind]['title'].capitalize()}\n\n{markdown(head, lines)}")
    return "\n\n".join(parts)


def table_page(name: str, runs: Runs) -> str:
    """DIR/TABLE.md."""
    note = (
        "Mean ± standard deviation over seeds, ACA (mean of per-class recall) where a column names no other metric. Few-shot:\n"
        "five folds, 20% of each class to test, as published; the number is the shots per class, 20% is a share of the class.\n"
        "The rows of the paper are other models on other (larger) data; they stand here for the pattern, not for the size.\n"
        "Drawn sets are drawn in the manner of their namesakes. Another hospital: retina_dataset (101 glaucoma, 100 cataract,\n"
        "15 normal; guessing gives .333). FFA: angiograms of four diagnoses, 20 each (guessing gives .250)."
    )
    body = table_markdown(name, runs) or "No run has been made yet."
    return f"# {read_toml(name)['title']}\n\n{note}\n\n{body}\n"


def write_table(name: str, folder: Path) -> None:
    """DIR/TABLE.json and DIR/TABLE.md from DIR/runs/."""
    for path, text in table_files(name, folder, load_runs(folder)).items():
        write_aside(path, text)


def table_files(name: str, folder: Path, runs: Runs) -> dict[Path, str]:
    value = {"table": name, "title": read_toml(name)["title"], "columns": read_toml(name)["columns"]}
    value["rows"] = table_rows(name, runs)
    return {folder / f"{name}.json": json.dumps(value, indent=1) + "\n", folder / f"{name}.md": table_page(name, runs)}


def claims_files(folder: Path, runs: Runs) -> dict[Path, str]:
    rows = judge(runs)
    value = [{**row, "effect": round(row["effect"], 5), "interval": [round(end, 5) for end in row["interval"]],
              "by_seed": [round(v, 5) for v in row["by_seed"]]} for row in rows]  # fmt: skip
    return {folder / "claims.json": json.dumps(value, indent=1) + "\n", folder / "claims.md": claims_markdown(rows)}


# --------------------------------------------------------------------------------------------------- README's tables


def demo_table(folder: Path, _: Runs) -> str:
    """The demo's own results.json, a model a row, a drawn set a column."""
    demo = read_json(folder / "demo.json")
    rows = demo["rows"]
    models, sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "dataset"))
    cell = {(row["model"], row["dataset"]): row for row in rows}
    lines = []
    for model in models:
        found = [cell.get((model, name)) for name in sets]
        lines.append([model, *(f"{decimals(r['metrics']['aca'])} {interval([r], 'aca')}" if r else "" for r in found)])
    table = markdown(["model", *(f"{name}, ACA" for name in sets)], lines)
    return f"{table}\n\nThe whole demo took {demo['seconds']:.0f} seconds."


def arms_table(_: Path, runs: Runs) -> str:
    """ODIR200x3 zero-shot on photographs: ACA mean ± sd over seeds, interval over images, recall of the three classes."""
    rows, models = [], read_toml("models")
    for model in read_toml("knowledge")["models"]["real"]:
        asked = [f"odir/zero-shot/{prompts}" for prompts in PROMPT_NAMES]
        found = [run for run in runs.get(("real", model), {}).values() if set(asked) <= set(run["scores"])]
        if not found:
            continue
        cells = [models[model]["arm"], str(len(found))]
        for prompts in ("names", "descriptions"):
            scores = [run["scores"][f"odir/zero-shot/{prompts}"] for run in found]
            recall = np.mean([_recall(run, s) for run, s in zip(found, scores, strict=True)], axis=0)
            aca = f"{spread([s['metrics']['aca'] for s in scores])} {interval(scores, 'aca')}"
            cells += [aca, " / ".join(map(decimals, recall))]
        cells.append(spread([run["scores"]["odir/zero-shot/both"]["metrics"]["aca"] for run in found]))
        minutes = [run["pretrain_seconds"] / 60 for run in found if run["pretrain_seconds"]]
        cells.append(f"{mean(minutes):.0f}" if minutes else "")
        rows.append(cells)
    asked = ["ACA, classes by name", "recall N / M / C", "ACA, classes by findings", "recall N / M / C", "ACA, both"]
    return markdown(["arm", "seeds", *asked, "min"], rows)


def _recall(run: dict, scores: dict) -> list[float]:
    truth, guess = (np.array([int(digit) for digit in digits]) for digits in (run["truth"]["odir"], scores["guess"]))
    return [float((guess[truth == c] == c).mean()) for c in np.unique(truth)]


def claims_table(_: Path, runs: Runs) -> str:
    """The verdicts in short: a claim a row, a kind of data a column."""
    rows = judge(runs)
    lines = []
    for claim in {row["name"]: row for row in rows}.values():
        cells = []
        for data in ("drawn", "real", "real-frozen"):
            row = next((r for r in rows if r["name"] == claim["name"] and r["data"] == data), None)
            cells.append("" if row is None else f"{row['verdict']} ({row['effect']:+.3f})")
        lines.append([claim["text"], f"{claim['paper']:+.3f}" if "paper" in claim else "", *cells])
    return markdown(["claim (difference in ACA)", "paper", "drawn", "photographs", "photographs, encoder frozen"], lines)


def headline_table(_: Path, runs: Runs) -> str:
    """Table 1 on photographs with the paper's rows beside, ODIR200x3 only."""
    columns = [c for c in read_toml("few-zero-shot")["columns"] if c.startswith("odir/") and "zero-shot" not in c]
    return table_markdown("few-zero-shot", runs, ["real"], [*columns, "odir/zero-shot/both"]).partition("\n\n")[2]


TABLES = {"trust": trust_table, "demo": demo_table, "real": arms_table, "claims": claims_table, "few-shot": headline_table,
          "course": course_table, "reports": reports_table, "writers": writers_table}  # fmt: skip


def rendered(readme: Path) -> str:
    """README's text with every table made anew from results/ beside it."""
    if not readme.is_file():
        raise InputError("no such file: give the path of README.md", readme)
    folder = readme.parent / "results"
    runs = load_runs(folder)

    def fill(match: re.Match) -> str:
        if match["name"] not in TABLES:
            raise InputError(f"table {match['name']!r} is unknown: give one of {', '.join(TABLES)}", readme)
        return f"{match['begin']}\n{TABLES[match['name']](folder, runs)}\n{match['end']}"

    marks = r"(?P<begin><!-- table (?P<name>[\w-]+) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(marks, fill, readme.read_text(encoding="utf-8"), flags=re.DOTALL)


def files(readme: Path) -> dict[Path, str]:
    """Everything that is made from the runs beside a README: path -> text."""
    folder = readme.parent / "results"
    runs = load_runs(folder)
    card = readme.with_name("MODEL_CARD.md")  # has tables of the same kind
    made = {page: rendered(page) for page in (readme, card) if page == readme or page.is_file()}
    if runs:
        for name in tables():
            made |= table_files(name, folder, runs)
        made |= claims_files(folder, runs)
    return made


def render(readme: Path) -> None:
    for path, text in files(readme).items():
        write_aside(path, text)


def check(readme: Path) -> None:
    """InputError where README, a table or a verdict differs from the JSON."""
    for path, new in files(readme).items():
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        for row, (was, now) in enumerate(zip(old.splitlines(), new.splitlines(), strict=False), 1):
            if was != now:
                raise InputError("differs from results/runs/*.json: run `python -m keepfit_mini results`", path, row)
        if old != new:
            raise InputError("differs from results/runs/*.json: run `python -m keepfit_mini results`", path)
