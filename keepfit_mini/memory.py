"""How much memory a program takes with all its processes. Not about: the peak of one piece of work (bench.peak_growth)."""

from __future__ import annotations

import os
from pathlib import Path


def tree_mb() -> float:
    """Proportional set size of this process and all below it, MB (Linux only): what several share counts once."""
    total, todo = 0, [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
            total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # one that has just ended
    return total / 1024
