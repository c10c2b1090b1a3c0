"""README's tables that come from no run of reproduce: what was measured of trust, the course's minutes, the writers of reports.

Each takes the folder results/ and the runs (not used here) and gives Markdown. Not about: the paper's tables (results.py).
"""

from __future__ import annotations

import re
from pathlib import Path

from .config import InputError
from .table_text import markdown, read_json


def trust_table(folder: Path, _: object) -> str:
    """What was measured of resuming, several processes, large data and batches, speed, and odd input."""
    kills, several, rows, bench, fuzz = (
        read_json(folder / f"{name}.json") for name in ("kill_and_resume", "several_processes", "million_rows", "bench", "fuzz")
    )
    exact = [v for variants in several["modes"]["exact"].values() for v in variants.values()]
    gradient = max(v["gradient_relative_to_largest"] for v in exact)
    weights = max(v["weights_first_step"] for v in exact)
    small, large, published = (bench["once"][name] for name in ("batch of 32", "batch of 512", "published"))
    files, cases = kills["at_files"], fuzz["cases"]
    growth = max(run["mb_growth_after_first_100_steps"] for run in rows["runs"])
    lines = [
        ("killed with SIGKILL at random moments, resumed: weights and log identical",
         f"{kills['identical']} of {len(kills['at_random'])}", "kill_and_resume"),
        ("the same, killed just before each change of a file of the run", f"{files['identical']} of {files['tried']}",
         "kill_and_resume"),
        ("2 and 4 processes against one with the joined batch, six variants: largest difference of gradients (relative), of "
         "weights after a step", f"{gradient:.1e}, {weights:.1e}", "several_processes"),
        (f"a manifest of {rows['runs'][0]['rows']:,} rows: read; memory gained while training on",
         f"{max(run['read_seconds'] for run in rows['runs']):.0f} s; {growth:.0f} MB", "million_rows"),
        (f"memory of {large['rows_a_side']} + {large['rows_a_side']} pairs in chunks of {large['chunk_size']} against that of "
         f"{small['rows_a_side']} + {small['rows_a_side']} at once",
         f"{large['peak_memory_mb'] / small['peak_memory_mb']:.2f} times", "bench"),
        ("pairs a second against the published step, same loss", f"{published['ratio']:.2f} times", "bench"),
        ("odd manifests, captions and configs; odd pictures: neither read nor refused in one line",
         f"{fuzz['failures']} of {sum(cases.values()) - cases['images']:,}; {fuzz['failures']} of {cases['images']:,}", "fuzz"),
    ]  # fmt: skip
    return markdown(["what", "measured", "file"], [(what, value, f"`results/{name}.json`") for what, value, name in lines])


def course_table(folder: Path, _: object) -> str:
    """The notebooks, their titles, and how long each takes, where that was measured."""
    times = read_json(folder / "runtimes.json") if (folder / "runtimes.json").is_file() else {}
    lines = []
    for path in sorted((folder.parent / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        first = "".join(read_json(path)["cells"][0]["source"])
        title = re.search(r"^# \d+\.? (.+)$", first, flags=re.MULTILINE)
        if not title:
            raise InputError("its first cell has no title like `# 6. Zero-shot`: add it", path)
        row = times.get(path.stem, {})
        minutes = [f"{row[name]:.1f}" if row.get(name) is not None else "" for name in ("minutes_two_cores", "minutes_fast")]
        lines.append([f"[{path.stem[:2]}](notebooks/{path.name})", title[1], *minutes, f"[student](exercises/{path.name})"])
    return markdown(["notebook", "", "minutes on two cores", "in fast mode", "exercises"], lines)


def reports_table(folder: Path, _: object) -> str:
    """Table 2b in short. report_table.py imports PyTorch, which no other table needs: so it is imported here."""
    from .report_table import in_short

    return in_short(read_json(folder / "reports.json"))


def writers_table(folder: Path, _: object) -> str:
    """How good a writer of reports is, by seed and by what is left out."""
    from .report_table import writers_in_short

    return writers_in_short(read_json(folder / "report_writers.json"))
