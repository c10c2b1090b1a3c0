"""Does one step on W processes equal one step on one process with the joined batch? What does joining cost?

    python data_scripts/several_processes.py --out results/several_processes.json

For each variant a run of three steps (joined batches of 16, 16 and 6 rows, so the last is unevenly dealt) on 1, 2 and 4
processes: losses, and gradients and weights of the first step, are compared. Once with TrainConfig.exact (no
dropout, batch norm on running statistics), where they must agree, and once with batch statistics, where they do not.
AdamW's first step is as long as the learning rate even where the gradient is nothing but its own rounding (seen: 2e-8 here,
8e-10 there, of a largest one of .57), so its eps is raised to 1e-4 here: the weights then differ by what the gradients do.
Writes the JSON and, beside it, a .md of the same name that explains the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

import keepfit_mini as kf
from keepfit_mini.config import versions, write_aside
from keepfit_mini.trainer import Run

ROWS, JOINED, EXPERTS = 38, 16, 8  # four processes then get 2, 2, 1, 1 rows of the last batch


# ------------------------------------------------------------------------------------------ one of the W processes


def worker(data: Path, out: Path, exact: bool) -> None:
    """Train every variant; keep the first step's gradients and count the bytes that were joined."""
    from accelerate import Accelerator

    world = int(os.environ.get("WORLD_SIZE", 1))
    model, train = kf.PRESETS["mini"]
    model = dataclasses.replace(model, image_size=48)
    if not exact:  # no dropout either, so that what differs is batch norm alone
        bert = {**model.text_config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = dataclasses.replace(model, dropout=0.0, text_config=bert)
    train = dataclasses.replace(
        train, epochs=1, batch_size=JOINED // world, expert_batch_size=EXPERTS // world, exact=exact, lr=1e-4
    )
    move_on, clip, first, seen = Run._move_on, Accelerator.clip_grad_norm_, {}, {"bytes": 0}

    def keep_gradients(self, parameters, *arguments):
        parameters = list(parameters)
        if "gradients" not in first:
            first["gradients"] = {str(i): p.grad.clone().contiguous() for i, p in enumerate(parameters) if p.grad is not None}
        return clip(self, parameters, *arguments)

    def keep_weights(self, end):
        if "weights" not in first:
            state = self.accelerator.unwrap_model(self.model).state_dict()
            first["weights"] = {name: tensor.clone().contiguous() for name, tensor in state.items()}
        move_on(self, end)

    Accelerator.clip_grad_norm_, Run._move_on = keep_gradients, keep_weights
    torch.optim.AdamW = partial(torch.optim.AdamW, eps=1e-4)
    if world > 1:
        count_bytes(seen)
    for variant in kf.VARIANTS:
        first.clear()
        seen["bytes"] = 0
        folder = out / variant
        kf.pretrain(model, dataclasses.replace(train, variant=variant), data / "public.csv", data / "expert.csv", folder,
                    progress=False)  # fmt: skip
        if int(os.environ.get("RANK", 0)) == 0:
            for name, tensors in first.items():
                save_file(tensors, folder / f"{name}.safetensors")
            (folder / "bytes.json").write_text(json.dumps(seen["bytes"]))
    if world > 1:  # a process that leaves early would end the others
        dist.barrier()
        dist.destroy_process_group()


def count_bytes(seen: dict) -> None:
    """Add up what gather.py sends and receives: rows of a gather, twice the size of a reduction."""
    gather, reduce = dist.all_gather, dist.all_reduce

    def counted_gather(parts, rows):
        seen["bytes"] += rows.nbytes * (len(parts) - 1)
        return gather(parts, rows)

    def counted_reduce(tensor, *arguments, **settings):
        if tensor.dim() == 2:  # not the flags
            seen["bytes"] += 2 * tensor.nbytes * (dist.get_world_size() - 1) // dist.get_world_size()
        return reduce(tensor, *arguments, **settings)

    dist.all_gather, dist.all_reduce = counted_gather, counted_reduce


# ------------------------------------------------------------------------------------------------------- all of them


def launch(processes: int, *arguments: object) -> float:
    """Run this file in W processes as `accelerate launch` does; seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, *map(str, arguments)]
    if processes > 1:
        command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes),
                   "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                   "--main_process_port", str(port), *command[1:]]  # fmt: skip
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return time.perf_counter() - begin


def largest(one: dict, other: dict) -> float:
    """The largest absolute difference of two sets of tensors."""
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def differences(folder: Path, processes: int) -> dict:
    """Per variant: how far W processes lie from one."""
    found = {}
    for variant in kf.VARIANTS:
        one, many = folder / "1" / variant, folder / str(processes) / variant
        logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, many)]
        loss = [abs(a["loss"] - b["loss"]) / abs(a["loss"]) for a, b in zip(*logs, strict=True)]
        gradient = [load_file(run / "gradients.safetensors") for run in (one, many)]
        scale = max(float(tensor.abs().max()) for tensor in gradient[0].values())
        weights = [load_file(run / "weights.safetensors") for run in (one, many)]
        found[variant] = {
            "loss_relative_first_step": loss[0],
            "loss_relative_all_steps": max(loss),
            "gradient": largest(*gradient),
            "gradient_relative_to_largest": largest(*gradient) / scale,
            "weights_first_step": largest(*weights),
            "bytes_joined_per_step": json.loads((many / "bytes.json").read_text()) / len(logs[1]),
        }
    return found


# ---------------------------------------------------------------------------------------------------------- the costs


def cost(batch: int, width: int, processes: int, weights: int) -> dict:
    """What a process receives, computes and holds in a step of revision+mixed (B = M = batch rows in each process)."""
    joined = batch * processes
    sides = 4 * 4 * width  # bytes of V, T, V', T' of one row
    return {
        "batch": batch,
        "width": width,
        "processes": processes,
        "joined_bytes": sides * batch * (processes - 1) + 2 * sides * joined * (processes - 1) // processes,
        "weight_gradient_bytes": 2 * 4 * weights * (processes - 1) // processes,
        "logits_bytes": 4 * joined * joined * (2 + 2),  # two losses, two heads; the backward pass keeps two or three times that
        "loss_gflop": 3 * 2 * joined * joined * width * (2 + 2) / 1e9,
    }


def time_joining(batches: list[int], width: int, out: Path) -> None:
    """In each process: seconds of joining four sides and of their gradients, median of ten."""
    from statistics import median

    from accelerate import Accelerator

    from keepfit_mini.gather import join_rows

    Accelerator()
    found = {}
    for batch in batches:
        seconds = []
        for _ in range(10):
            sides = [torch.randn(batch, width, requires_grad=True) for _ in range(4)]
            dist.barrier()
            begin = time.perf_counter()
            sum(side.sum() for side in join_rows(*sides)).backward()
            seconds.append(time.perf_counter() - begin)
        found[batch] = median(seconds)
    if dist.get_rank() == 0:
        out.write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def costs(folder: Path) -> dict:
    launch(2, "--worker", folder, folder / "joining.json", "joining")
    model = kf.KeepFIT(kf.official_config())
    weights = sum(p.numel() for p in model.parameters())
    grid = [(24, 512, n) for n in (2, 4, 8, 64)] + [(24, 128, 4), (512, 512, 4), (512, 512, 64)]
    return {
        "published_weights": weights,
        "per_step": [cost(batch, width, n, weights) for batch, width, n in grid],
        "seconds_of_joining_2_processes_width_512": json.loads((folder / "joining.json").read_text()),
    }


def describe(result: dict) -> str:
    """The note: what agrees, what does not and why, and where joining stops paying."""
    exact, batch = result["modes"]["exact"], result["modes"]["batch statistics"]

    def worst(mode: dict, name: str) -> str:
        return ", ".join(f"{n} processes {max(v[name] for v in variants.values()):.1e}" for n, variants in mode.items())

    lines = [
        "# Several processes, one batch",
        "",
        f"Written by `{result['command']}`; each figure is the worst of the six variants.",
        "",
        "| compared with one process and the joined batch | exact | batch statistics |",
        "|---|---|---|",
    ]
    for name, what in (
        ("loss_relative_first_step", "loss of the first step, relative"),
        ("gradient_relative_to_largest", "gradient, relative to its largest entry"),
        ("weights_first_step", "weights after one step"),
    ):
        lines.append(f"| {what} | {worst(exact, name)} | {worst(batch, name)} |")
    lines += [
        "",
        "For weights AdamW's eps is 1e-4: at its own 1e-8 a gradient that is nothing but rounding moves a weight by up to lr.",
        "",
        "With `TrainConfig.exact` (no dropout, batch norm on running statistics) W processes take the step of one process with",
        "the joined batch. With batch statistics they do not, and no exchange of vectors can mend it: each process norms its",
        "rows by their own mean and variance, so a picture's vector depends on which neighbours share its process. On GPUs",
        "`torch.nn.SyncBatchNorm` would exchange these too; it knows no CPUs and was not tried here.",
    ]
    if "costs" not in result:
        return "\n".join(lines) + "\n"
    c = result["costs"]
    lines += [
        "",
        "## What joining costs",
        "",
        "Per step and process, for revision+mixed with as many expert as public rows, computed; the weights are those of the",
        f"published model ({c['published_weights'] / 1e6:.0f} million).",
        "",
        "| rows a process | D | W | vectors joined, MB | gradients of weights, MB | logits held, MB | loss, GFLOP |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in c["per_step"]:
        lines.append(
            f"| {row['batch']} | {row['width']} | {row['processes']} | {row['joined_bytes'] / 1e6:.2f} | "
            f"{row['weight_gradient_bytes'] / 1e6:.0f} | {row['logits_bytes'] / 1e6:.2f} | {row['loss_gflop']:.2f} |"
        )
    timed = ", ".join(f"{n} rows {s * 1000:.1f} ms" for n, s in c["seconds_of_joining_2_processes_width_512"].items())
    lines += [
        "",
        f"Joining and its backward pass over gloo, two processes on one machine, D = 512, median of ten: {timed}.",
        "",
        "In batches of the published size the vectors are nothing beside the gradients of the weights, which are exchanged",
        "anyway. They grow with the joined batch, the weights do not: at 64 processes of 512 rows both are of one size. What",
        "grows with the square of the joined batch is the loss, since every process compares all rows with all: there the logits",
        "alone hold gigabytes, several times over in the backward pass, and cost half of what a ResNet-50 does for a process's",
        "pictures (24.6 GFLOP each at 224 pixels, 1,024 pictures). There it stops paying: each process should then compute only",
        "its own rows of the logits. Sooner still another limit is met, the step count: 278,348 public pictures are 8 steps an",
        "epoch in a joined batch of 32,768.",
    ]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------------------------


def make_data(folder: Path) -> None:
    from keepfit_mini.drawn_sets import draw_sets

    sets = draw_sets(folder, images=240, size=48, seed=3, progress=False)
    rows = sets["public"].read_text().splitlines(keepends=True)
    sets["public"].write_text("".join(rows[: ROWS + 1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--quick", action="store_true", help="for tests: compare only, less with batch statistics")
    parser.add_argument("--worker", nargs=3, metavar=("DATA", "OUT", "MODE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        data, out, mode = Path(args.worker[0]), Path(args.worker[1]), args.worker[2]
        return time_joining([24, 128, 512], 512, out) if mode == "joining" else worker(data, out, mode == "exact")
    result = {"command": "python data_scripts/several_processes.py", "versions": versions(), "modes": {}}
    with tempfile.TemporaryDirectory() as temporary:
        make_data(data := Path(temporary) / "data")
        for mode in ("exact", "batch statistics"):
            folder = Path(temporary) / mode
            tried = args.processes[:1] if args.quick and mode != "exact" else args.processes
            for processes in (1, *tried):
                seconds = launch(processes, "--worker", data, folder / str(processes), mode)
                print(f"{mode}, {processes} processes: {seconds:.0f} s")
            result["modes"][mode] = {str(n): differences(folder, n) for n in tried}
            for n, variants in result["modes"][mode].items():
                for variant, values in variants.items():
                    print(f"  {mode}, {n} processes, {variant}: " + ", ".join(f"{k} {v:.2g}" for k, v in values.items()))
        if not args.quick:
            result["costs"] = costs(Path(temporary))
    if args.out:
        write_aside(args.out, json.dumps(result, indent=2) + "\n")
        write_aside(args.out.with_suffix(".md"), describe(result))
    return None


if __name__ == "__main__":
    main()
