"""How fast each part is on this machine, and what memory a step takes: python -m keepfit_mini bench -> bench.json, bench.md.

Each measurement is a function Case -> dict, runs in a process of its own (nothing left over from the one before) and stands
in MEASUREMENTS; the comparison with the published step is one of them (versus_published.py). Pictures are drawn, weights
random or out of a package: nothing is downloaded, and speed does not depend on it. Not about: how good anything is.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .adapters import adapt
from .bench_page import as_markdown, line
from .config import PRESETS, InputError, ModelConfig, versions, write_aside
from .data import Pictures, collate
from .drawn_sets import draw_sets
from .features import picture_features
from .manifests import read_manifests
from .model import KeepFIT
from .versus_published import (
    PUBLISHED_VOCABULARY,
    SMALL_BERT,
    VARIANT,
    batches,
    bench_tokenizer,
    captions,
    one_step,
    our_optimizer,
    timed,
    versus_published,
)

SHOTS, CLASSES, TESTED = 5, 3, 200  # of the adapters' cells


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured: a preset, a folder of drawn sets, and whether all is tiny (--fast)."""

    preset: str
    drawn: Path
    fast: bool = False

    @property
    def pairs(self) -> int:
        """On each side of a step; the paper preset's 24 pictures of 512 pixels a side would not fit into 24 GB."""
        return 4 if self.fast or self.preset == "paper" else PRESETS[self.preset][1].batch_size

    @property
    def budget(self) -> float:
        """Seconds of repetition."""
        return 0.0 if self.fast else 5.0

    @property
    def config(self) -> ModelConfig:
        config = PRESETS[self.preset][0]
        if config.text_encoder not in ("bert-mini", "minilm"):  # random weights in place of a download
            bert = SMALL_BERT if self.fast else {}
            config = dataclasses.replace(
                config, image_weights=None, text_weights=False, text_config={"vocab_size": PUBLISHED_VOCABULARY, **bert}
            )
        return dataclasses.replace(config, image_size=64) if self.fast else config

    def model(self) -> KeepFIT:
        torch.manual_seed(0)
        config = self.config
        tokenizer = None if config.text_weights else bench_tokenizer()
        model = KeepFIT(config, pretrained=config.text_weights, texts=captions()[0], tokenizer=tokenizer)
        return model.to(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------------------------- clock and memory


def rate(work: Callable[[], object], items: int, budget: float, least: int = 2) -> dict:
    """Items a second: the median over repetitions until `budget` seconds have gone, after one that does not count."""
    work()
    seconds: list[float] = []
    while len(seconds) < least or (sum(seconds) < budget and len(seconds) < 50):
        seconds.append(timed(work))
    return {"per_second": items / statistics.median(seconds), "items": items, "repetitions": len(seconds)}


def peak_growth(work: Callable[[], object]) -> float:
    """By how many MB the memory in use (resident set) grew at most while it worked. Meant for a fresh process."""

    def status(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith(name))

    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far := now
        before = status("VmRSS")
        work()
        return status("VmHWM") - before
    except OSError:  # no Linux: the highest since the process began
        import resource

        unit = 1e6 if sys.platform == "darwin" else 1e3
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


# ------------------------------------------------------------------------------------------------------ measurements


def load(case: Case) -> dict:
    """Pictures a second from JPEG to batch: decoded, resized, augmented; `kept`: resized at an earlier visit (resized.py)."""
    frame = read_manifests([case.drawn / "public.csv"], "label")
    visits = [[(epoch, row) for row in range(len(frame))] for epoch in range(1 if case.fast else 10)]
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else None  # as in a training; here it would be another
    result = {}
    for name, workers, room in (("workers_0", 0, 0), ("workers_2", 2, 0), ("kept", 0, 1e9)):
        pictures = Pictures(frame, case.config.image_size, 0, prompts=True, augmented=True, cache=room)
        loader = DataLoader(
            pictures, batch_sampler=visits, collate_fn=collate, num_workers=workers,
            multiprocessing_context=kind if workers else None,
        )  # fmt: skip
        result[name] = rate(lambda loader=loader: sum(1 for _ in loader), len(frame) * len(visits), case.budget, least=1)
    return result


def encode(case: Case) -> dict:
    """Pictures a second through encode_image, as after training."""
    model, pixels = case.model().eval(), batches(case.pairs, case.config.image_size, 0)[0]["image"]
    with torch.inference_mode():
        return rate(lambda: model.encode_image(pixels), len(pixels), case.budget)


def step(case: Case) -> dict:
    """Training pairs a second of whole steps, and the peak memory of the first (gradients and AdamW's state included)."""
    model = case.model().train()
    sides = batches(case.pairs, case.config.image_size, 0)
    if PRESETS[case.preset][1].views:  # what frozen stages give is kept on disk, so a step begins there
        with torch.no_grad():
            sides = tuple({**side, "activation": model.image_encoder.frozen(side["image"])} for side in sides)
    optimizer = our_optimizer(model)

    def work() -> None:
        one_step(model, lambda: model(*sides, VARIANT)[0], optimizer)

    grown = peak_growth(work)
    return {**rate(work, 2 * case.pairs, case.budget), "peak_memory_mb": grown}


def extract(case: Case) -> dict:
    """Pictures a second into features: from JPEG files, and from the cache on disk."""
    model, images = case.model(), sorted((case.drawn / "images").rglob("*.jpg"))[: 16 if case.preset == "paper" else 64]
    with tempfile.TemporaryDirectory(dir=case.drawn) as cache:
        cold = timed(lambda: picture_features(model, images, cache, progress=False))
        kept = rate(lambda: picture_features(model, images, cache, progress=False), len(images), case.budget / 5)
    return {"cold": {"per_second": len(images) / cold, "items": len(images), "repetitions": 1}, "cached": kept}


def adapters(case: Case) -> dict:
    """Cells (an adapter trained and scored) a second on features of the preset's width."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, case.config.dim, generator=generator)

    def rows(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(n) % CLASSES
        return centres[labels] + torch.randn(n, case.config.dim, generator=generator), labels

    (x, labels), (test, _) = rows(SHOTS * CLASSES), rows(TESTED)
    protocols = ("clip-adapter", "tip-adapter-f")
    return {p: rate(lambda p=p: adapt(p, x, labels, test, centres), 1, case.budget / 2) for p in protocols}


def large_batch(case: Case, rows: int, chunk_size: int) -> dict:
    """Forward and backward pass of `rows` public and `rows` expert pairs, their pixels in memory before: peak memory."""
    model = dataclasses.replace(case, preset="paper").model().train()
    model.chunk_size = chunk_size
    sides = batches(rows, 64 if case.fast else 224, 0)  # 32 + 32 of the preset's 512 pixels would not fit into 24 GB
    seconds: list[float] = []

    def work() -> None:
        seconds.append(timed(lambda: model(*sides, VARIANT)[0].backward()))

    grown = peak_growth(work)
    return {"rows_a_side": rows, "chunk_size": chunk_size, "peak_memory_mb": grown, "seconds": seconds[0]}


def batch_32(case: Case) -> dict:
    return large_batch(case, 8 if case.fast else 32, 0)


def batch_512(case: Case) -> dict:
    return large_batch(case, 32 if case.fast else 512, 8 if case.fast else 32)


def compiled(case: Case) -> dict:
    """Does torch.compile of the image encoder pay? Seconds of its forward and backward pass, and of the first, compiled, one."""
    encoder, pixels = case.model().train().image_encoder, batches(case.pairs, case.config.image_size, 0)[0]["image"]

    def work() -> None:
        encoder(pixels).sum().backward()

    plain = case.pairs / rate(work, case.pairs, case.budget)["per_second"]
    encoder.compile()
    first = timed(work)
    fast = case.pairs / rate(work, case.pairs, case.budget)["per_second"]
    gain = plain - fast
    return {"seconds": plain, "compiled": fast, "first": first, "pays_after_steps": round(first / gain) if gain > 0 else None}


def published(case: Case) -> dict:
    return versus_published(case.fast, repetitions=1 if case.fast else 5)


# name -> (function, whether it is measured once a preset, or once)
MEASUREMENTS: dict[str, tuple[Callable[[Case], dict], bool]] = {
    "published": (published, False),
    "load": (load, True),
    "encode": (encode, True),
    "step": (step, True),
    "extract": (extract, True),
    "adapters": (adapters, True),
    "compile": (compiled, False),
    "batch of 32": (batch_32, False),
    "batch of 512": (batch_512, False),
}


# ---------------------------------------------------------------------------------------------------------- all of it


def apart(function: Callable[[Case], dict], case: Case) -> dict:
    """function(case) in a process of its own. InputError: it died, of memory most likely."""
    kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    if kind == "forkserver":
        context.set_forkserver_preload([__name__])  # imported once; no measurement has run in what is forked
    with ProcessPoolExecutor(1, mp_context=context) as process:
        try:
            return process.submit(function, case).result()
        except BrokenProcessPool as error:
            raise InputError(f"measuring {function.__name__} of preset {case.preset} died: is there memory enough?") from error


def run_bench(out: Path, presets: Sequence[str] = tuple(PRESETS), fast: bool = False, only: Sequence[str] = ()) -> dict:
    """Measure, print a line each, write out/bench.json and out/bench.md; returns what bench.json holds.

    only  names of MEASUREMENTS (none: all of them); what an earlier bench.json says of the others stays
    """
    begin, out = time.perf_counter(), Path(out)
    file = out / "bench.json"
    before = json.loads(file.read_text()) if only and file.is_file() else {}
    if before.get("fast") != fast:
        before = {}
    result = {
        "machine": {"cores": os.cpu_count(), "threads": torch.get_num_threads(), **versions()},
        "command": " ".join(["python -m keepfit_mini bench --presets", *presets, *(["--only", *only] if only else []),
                             *(["--fast"] if fast else [])]),  # fmt: skip
        "date": datetime.date.today().isoformat(),
        "fast": fast,
        "measured_earlier": before.get("command"),
        "once": before.get("once", {}),
        "presets": before.get("presets", {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        size = 64 if fast else 512
        draw_sets(folder, images=24, size=size, progress=False, unseen=1)
        result["pictures"] = f"drawn, JPEG, {size} pixels a side"
        for name in only or MEASUREMENTS:
            function, each = MEASUREMENTS[name]
            for preset in presets if each else ("colab",):
                case = Case(preset, Path(folder), fast)
                try:
                    found = apart(function, case)
                except InputError as error:  # a package or memory is missing here: the others can be measured
                    found = {"error": str(error)}
                (result["presets"].setdefault(preset, {}) if each else result["once"])[name] = found
                if each:
                    sizes = {"pairs_a_side": case.pairs, "pairs_a_side_of_the_preset": PRESETS[preset][1].batch_size}
                    result["presets"][preset] |= sizes
                print(f"{preset if each else '':<6} {name:<12} {line(found)}", flush=True)
                result["seconds"] = round(time.perf_counter() - begin)
                write_aside(file, json.dumps(result, indent=2) + "\n")  # what is measured is not lost
    write_aside(out / "bench.md", as_markdown(result))
    return result
