"""Does a manifest of a million rows load in seconds and train at flat memory?

    python data_scripts/million_rows.py --out results/million_rows.json

A million rows over a thousand drawn pictures (as hard links, so that each row names a file of its own) are read, then trained
on for some hundred steps, with pictures read in this process and in two others. Memory is the proportional set size of the
whole process tree (Linux: /proc/*/smaps_rollup), so that what forked readers share counts once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keepfit_mini as kf
from keepfit_mini.config import versions, write_aside
from keepfit_mini.memory import tree_mb
from keepfit_mini.trainer import Run

PICTURES, EVERY = 1000, 100  # different pictures; steps between two looks at the memory


def make(folder: Path, rows: int) -> None:
    """A manifest of so many rows in folder/public.csv, and a small expert side."""
    from keepfit_mini.drawn_sets import draw_sets

    sets = draw_sets(folder, images=PICTURES, size=48, seed=3, progress=False)
    drawn = [line.split(",", 1) for line in sets["public"].read_text().splitlines()]
    with sets["public"].open("w") as file:
        file.write(",".join(drawn[0]) + "\n")
        for row in range(rows):
            image, rest = drawn[1 + row % PICTURES]
            name = f"images/many{row % 100:02d}/{row:07d}{Path(image).suffix}"
            (folder / name).parent.mkdir(exist_ok=True)
            os.link(folder / image, folder / name)
            file.write(f"{name},{rest}\n")


def train(folder: Path, out: Path, workers: int, steps: int) -> None:
    """One fresh process: read the manifest, train, and write what it took."""
    before = tree_mb()
    begin = time.perf_counter()
    frame = kf.read_manifest(folder / "public.csv", "label")
    read = {"rows": len(frame), "read_seconds": round(time.perf_counter() - begin, 1), "read_mb": round(tree_mb() - before)}
    del frame
    memory, move_on, started = [], Run._move_on, [0.0]

    def look(self, end):
        move_on(self, end)
        if self.step == EVERY:
            started[0] = time.perf_counter()
        if self.step % EVERY == 0:
            memory.append(round(tree_mb()))
        if self.step == steps:
            seconds = time.perf_counter() - started[0]
            write_aside(out, json.dumps({
                **read, "workers": workers, "mb_every_100_steps": memory,
                "mb_growth_after_first_100_steps": memory[-1] - memory[0],
                "pairs_per_second": round((steps - EVERY) * self.size / seconds),
            }))  # fmt: skip
            os._exit(0)

    Run._move_on = look
    model, config = kf.PRESETS["mini"]
    model = dataclasses.replace(model, image_size=32)
    config = dataclasses.replace(config, num_workers=workers, checkpoint_every=10**9)
    begin = time.perf_counter()
    kf.pretrain(model, config, folder / "public.csv", folder / "expert.csv", out.with_suffix(".run"), progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--train", nargs=3, metavar=("DATA", "OUT", "WORKERS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        return train(Path(args.train[0]), Path(args.train[1]), int(args.train[2]), args.steps)
    result = {"command": f"python data_scripts/million_rows.py --rows {args.rows} --steps {args.steps}", "versions": versions()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "data", args.rows)
        result["runs"] = []
        for workers in (0, 2):
            out = folder / f"{workers}.json"
            subprocess.run([sys.executable, __file__, "--steps", str(args.steps), "--train", folder / "data", out, str(workers)],
                           check=True)  # fmt: skip
            result["runs"].append(json.loads(out.read_text()))
            print(result["runs"][-1], flush=True)
    if args.out:
        write_aside(args.out, json.dumps(result, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
