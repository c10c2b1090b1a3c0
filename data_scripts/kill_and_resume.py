"""Is a run that was killed with SIGKILL and resumed, bit for bit, the run that was never stopped?

    python data_scripts/kill_and_resume.py --out results/kill_and_resume.json

At random moments   `python -m keepfit_mini pretrain` is killed once or several times, from its first import to its last file,
                    and gone on with by --resume; model.safetensors and metrics.jsonl are compared byte by byte.
At every file       a small run is killed just before each thing that it does to a file or folder of its own, as a kill between
                    two of them is what leaves half of something. Known by Python's audit events, so what torch and safetensors
                    write by themselves (within a folder that is renamed later) is met at random moments only.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keepfit_mini as kf
from keepfit_mini.config import versions, write_aside

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def fingerprint(run: Path) -> str:
    """SHA-256 of what a run leaves."""
    digest = hashlib.sha256()
    for name in ("model.safetensors", "metrics.jsonl"):
        digest.update((run / name).read_bytes())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------ at random moments


def random_kills(data: dict[str, Path], folder: Path, runs: int, seed: int) -> list[dict]:
    """Kill the command at random moments; one dict a run: the moments in seconds and whether the end is the same."""
    command = [sys.executable, "-m", "keepfit_mini", "pretrain", "--public", data["public"], "--expert", data["expert"],
               "--image-size", "48", "--epochs", "2", "--checkpoint-every", "4", "--seed", "5"]  # fmt: skip
    command = [str(part) for part in command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def go(out: Path, limit: float | None) -> bool:
        """Start or go on; False: killed after `limit` seconds."""
        resume = ["--resume"] if out.exists() else []
        process = subprocess.Popen([*command, "--out", str(out), *resume], env=environment, stderr=subprocess.PIPE)
        try:
            _, said = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return False
        if process.returncode:
            raise SystemExit(f"{out}: exit {process.returncode}: {said.decode()[-500:]}")
        return True

    begin = time.perf_counter()
    go(folder / "never", None)
    whole, expected, chance, found = time.perf_counter() - begin, fingerprint(folder / "never"), random.Random(seed), []
    for number in range(runs):
        out, moments = folder / f"run{number}", []
        limit = chance.uniform(0, whole) if number % 2 else chance.uniform(0.5, 1) * whole  # half of them while it trains
        while finished := go(out, limit):  # it was faster than that
            shutil.rmtree(out)
            limit = chance.uniform(0.3, 0.9) * whole
        while not finished:
            moments.append({"second": round(limit, 2), "steps": last_step(out)})
            limit = chance.uniform(0, whole) if chance.random() < 0.5 else None
            finished = go(out, limit)
        found.append({"kills": moments, "identical": fingerprint(out) == expected})
        print(f"run {number + 1}: killed {moments}, identical: {found[-1]['identical']}", flush=True)
    return found


def last_step(out: Path) -> int:
    log = out / "metrics.jsonl"
    return len(log.read_bytes().splitlines()) if log.is_file() else 0


# ---------------------------------------------------------------------------------------------------- at every file


def train_small(data: dict[str, Path], out: Path, resume: bool) -> None:
    model, train = kf.PRESETS["mini"]
    model = dataclasses.replace(model, image_size=32)
    train = dataclasses.replace(train, epochs=1, batch_size=4, checkpoint_every=1, public_share=0.05, cache_gb=0)
    kf.pretrain(model, train, data["public"], data["expert"], out, resume=resume, progress=False)


def in_a_child(data: dict[str, Path], out: Path, resume: bool, kill_before: int | None = None) -> int:
    """Train in a forked process, killed before its nth change of a file; its exit status (negative: the signal)."""
    child = os.fork()  # this process itself never runs torch, so nothing of its threads is lost
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        seen = [0]

        def count(event: str, arguments: tuple) -> None:
            path = str(arguments[0]) if arguments else ""
            writes = event in CHANGES or (event == "open" and set(str(arguments[1])) & set("wax+"))
            if writes and path.startswith(str(out)):
                seen[0] += 1
                if seen[0] == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        sys.stderr = io.StringIO()
        train_small(data, out, resume)
        (out.parent / "changes").write_text(str(seen[0]))
        os._exit(0)
    except BaseException as error:
        print(f"{out}: {error!r}", flush=True)
        os._exit(1)


def kills_at_files(data: dict[str, Path], folder: Path, stride: int) -> dict:
    """Kill before every stride-th change of a file; how many there are, were tried, and ended as never stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    if in_a_child(data, folder / "never", resume=False):
        raise SystemExit("the run that is not stopped failed")
    expected, changes = fingerprint(folder / "never"), int((folder / "changes").read_text())
    tried = sorted({*range(1, changes + 1, stride), *range(1, min(10, changes) + 1)})  # the first ten always: a run is made there
    wrong = []
    for number in tried:
        out = folder / f"run{number}"
        killed = in_a_child(data, out, False, number)
        ended = in_a_child(data, out, out.exists())
        if killed != -signal.SIGKILL or ended or fingerprint(out) != expected:
            wrong.append(number)
        shutil.rmtree(out)
    return {"changes": changes, "tried": len(tried), "identical": len(tried) - len(wrong), "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--runs", type=int, default=20, help="runs killed at random moments")
    parser.add_argument("--stride", type=int, default=1, help="try every n-th change of a file")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from keepfit_mini.drawn_sets import draw_sets

    command = f"python data_scripts/kill_and_resume.py --runs {args.runs} --stride {args.stride} --seed {args.seed}"
    result = {"command": command, "versions": versions()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = draw_sets(folder / "data", images=240, size=48, seed=3, progress=False)
        result["at_files"] = kills_at_files(data, folder / "files", args.stride)
        print(f"before a change of a file: {result['at_files']}", flush=True)
        if args.runs:
            result["at_random"] = random_kills(data, folder / "random", args.runs, args.seed)
            result["identical"] = sum(run["identical"] for run in result["at_random"])
            print(f"at random moments: {result['identical']} of {args.runs} identical")
    if args.out:
        write_aside(args.out, json.dumps(result, indent=2) + "\n")
    return 0 if result["at_files"]["identical"] == result["at_files"]["tried"] and result.get("identical", 0) == args.runs else 1


if __name__ == "__main__":
    sys.exit(main())
