"""Numbers as tables print them, and Markdown tables. Not about: which numbers (results.py, own_tables.py, report_table.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from .config import InputError


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error}): run the command that makes it", path) from error


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def decimals(value: float) -> str:
    """Three decimals without the nought before them: .812, -.250, 10.500."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.3f}")


def spread(values: Sequence[float]) -> str:
    """ ".812 ± .020": mean and standard deviation, the mean alone of a single value."""
    return decimals(mean(values)) + (f" ± {decimals(stdev(values))}" if len(values) > 1 else "")


def interval(scores: Sequence[dict], metric: str) -> str:
    """The 95% bootstrap interval over images, its two ends averaged over seeds."""
    low, high = (mean(s["ci95"][metric][end] for s in scores) for end in (0, 1))
    return f"[{decimals(low)}, {decimals(high)}]"
