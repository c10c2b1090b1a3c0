"""pretrain(): one loop for a CPU, a GPU and `accelerate launch` over several (paper section 3.1).

Each step takes a public batch (label prompts) and an expert batch (captions), sums the variant's losses and steps AdamW.
A run folder holds config.json, metrics.jsonl, checkpoints/ (for a resume) and, once finished, model.safetensors.
With W processes a step sees W batches as one (gather.py). Not about: what the losses are (mixed_loss.py), how batches are
drawn (data.py), or how a checkpoint is kept (checkpoints.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device, set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .checkpoints import read_checkpoint, write_checkpoint
from .config import InputError, ModelConfig, TrainConfig, versions, write_aside
from .data import Pictures, Visits, collate, cuts
from .frozen_stages import keep_activations
from .gather import join_lists
from .manifests import exclude_categories, fingerprint, keep_share, read_manifests
from .model import KeepFIT, make_exact
from .pictures import drop_undecodable, limit_bad, report_bad
from .run_settings import settings_of
from .schedule import warmup_cosine
from .stop_request import StopRequest, leave_to_the_parent

# All that a kill in a run's first moments can leave
BEGUN = {"checkpoints", "config.json.part", "metrics.jsonl", "metrics.jsonl.part"}


def pretrain(
    model_config: ModelConfig,
    train_config: TrainConfig,
    public: str | Path | Sequence[str | Path],
    expert: str | Path | Sequence[str | Path] | None,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    cache: str | Path | None = None,
    root: str | Path | None = None,
) -> KeepFIT:
    """Pretrain on manifests and return the model, which also lies in the folder `out`.

    public  manifests with labels, or with reports (TrainConfig.public_texts)
    expert  manifests with captions (None for variant "public-only")
    resume  go on with `out` from its last checkpoint, with the settings that it was begun with
            (run_settings.py says which are taken from train_config)
    cache   a folder where what frozen stages give is kept for the next run (frozen_stages.py)
    root    a folder in which pictures may lie beside the manifests' own (manifests.py)
    InputError: bad manifests, too many broken pictures, `out` not empty, nothing to resume, other data than before.
    """
    out = Path(out)
    begun = (out / "config.json").is_file()
    if resume and not begun and not (out.is_dir() and {path.name for path in out.iterdir()} <= BEGUN):
        raise InputError("no run there to resume: give the folder of an interrupted run, or leave --resume away", out)
    if resume and begun:
        model_config, train_config = settings_of(out, train_config)
    if resume and (out / "model.safetensors").is_file():
        shutil.rmtree(out / "checkpoints", ignore_errors=True)  # killed after the last word was written
        return KeepFIT.from_pretrained(out)
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("exists already: choose another folder, delete it, or go on with --resume", out)
    t = train_config
    if t.uses_experts and not expert:
        raise InputError(f"variant {t.variant} needs an expert side: give --expert, or --variant public-only")

    reports = t.public_texts == "reports"
    public_frame = exclude_categories(read_manifests(public, "text" if reports else "label", root), t.exclude_categories)
    if public_frame.empty:
        raise InputError(f"no public row is left after excluding {', '.join(t.exclude_categories)}: exclude less")
    if len(public_frame) < 2:
        raise InputError("one public row has nothing to be told from: give two or more", public_frame["file"].iloc[0])
    public_frame = drop_undecodable(keep_share(public_frame, t.public_share, t.seed), t.max_bad)
    if len(public_frame) < 2:
        raise InputError("only one public picture decodes, and it has nothing to be told from: mend the others",
                         public_frame["file"].iloc[0])  # fmt: skip
    expert_frame = None
    if t.uses_experts:
        expert_frame = drop_undecodable(keep_share(read_manifests(expert, "text", root), t.expert_share, t.seed), t.max_bad)

    set_seed(t.seed)
    texts = list((public_frame["text"] if reports else public_frame["labels"].explode()).unique())
    texts += list(expert_frame["text"]) if t.uses_experts else []
    model_config = dataclasses.replace(model_config, fusion="fusion" in t.variant)
    model = KeepFIT(model_config, texts=texts)
    accelerator = Accelerator(mixed_precision=t.mixed_precision)
    if len(public_frame) < accelerator.num_processes:
        raise InputError(f"has fewer rows than there are processes ({accelerator.num_processes}): start fewer",
                         public_frame["file"].iloc[0])  # fmt: skip
    if accelerator.process_index:
        set_seed(t.seed, device_specific=True)  # other processes, other dropout; the first stays as if alone
    if t.exact:
        make_exact(model)
    size, room, expert_set = model_config.image_size, t.cache_gb * 1e9, None
    if t.uses_experts:
        expert_set = Pictures(expert_frame, size, t.seed, prompts=False, augmented=False, views=t.views, cache=room)
        room -= expert_set.resized.bytes
    public_set = Pictures(public_frame, size, t.seed, prompts=not reports, augmented=t.augment, views=t.views, cache=room)
    run = Run(out, model, t, accelerator, public_set, expert_set, progress, cache)
    run.begin(resume, {"public": fingerprint(public_frame), "expert": fingerprint(expert_frame)})
    run.train()
    run.finish()
    return accelerator.unwrap_model(run.model).eval()


class Run:
    """A run folder and what changes while it trains: model, optimiser, schedule, place in the data.

    The place is `step`, `epoch`, `row` (public rows of this epoch that were seen) and `drawn` (expert rows drawn in it), all
    counted over every process, so a resume with fewer or more of them goes on at the right row.
    """

    def __init__(self, out, model, config: TrainConfig, accelerator, public: Pictures, expert: Pictures | None, progress,
                 cache=None):  # fmt: skip
        self.out, self.config, self.accelerator, self.progress = out, config, accelerator, progress
        self.public, self.expert, self.cache = public, expert, cache
        for module, needed in ((model.text_revision, "revision"), (model.text_fusion, "fusion")):
            if module is not None and needed not in config.variant.split("+"):
                module.requires_grad_(False)  # unused in this variant; DistributedDataParallel wants to know
        model = model.to(memory_format=torch.channels_last)
        model.chunk_size = config.chunk_size
        trained = [p for p in model.parameters() if p.requires_grad]
        fused = accelerator.device.type in ("cpu", "cuda")  # one pass over each tensor instead of ten
        optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay, fused=fused)
        world = accelerator.num_processes
        self.size, self.least = config.batch_size * world, max(2, world)  # of a joined batch
        self.steps = len(cuts(len(public), self.size, 0, self.least))  # an epoch
        schedule = warmup_cosine(optimizer, self.steps, config.warmup_epochs, config.schedule_epochs or config.epochs)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.schedule = schedule
        self.step = self.epoch = self.row = self.drawn = 0
        self.bad: dict[str, list[int]] = {"public": [], "expert": []}
        self.log = None

    # ------------------------------------------------------------------------------------------------- the loop

    def train(self) -> None:
        config, model = self.config, self.accelerator.unwrap_model(self.model)
        if config.views:
            for side, pictures in (("public", self.public), ("expert", self.expert)):
                if pictures is not None:
                    with self.accelerator.main_process_first() if self.cache else nullcontext():  # the others find its file
                        progress = self.progress and self.accelerator.is_main_process
                        found = keep_activations(
                            model, pictures, self.accelerator.device, progress, config.max_bad, self.cache
                        )
                    self.bad[side] = sorted({*self.bad[side], *found})
        self.model.train()
        with StopRequest() as stopped:
            while self.epoch < config.epochs:
                self._one_epoch(stopped)

    def _one_epoch(self, stopped: StopRequest) -> None:
        config = self.config
        parts = cuts(len(self.public), self.size, self.row, self.least)
        bar = tqdm(
            total=self.row // self.size + len(parts),
            initial=self.row // self.size,
            desc=f"epoch {self.epoch + 1}/{config.epochs}",
            disable=not (self.progress and self.accelerator.is_main_process),
        )
        with bar:
            for (_, end), public, expert in self._batches(parts):
                self._one_step(public, expert, bar)
                self._move_on(end)
                stop = self._any(bool(stopped))
                if self.step == 1 or self.step % config.checkpoint_every == 0 or stop:
                    self.checkpoint()
                if stop:
                    raise KeyboardInterrupt

    def _move_on(self, end: int) -> None:
        """To the place after a step whose joined batch ended at this row of the epoch's order."""
        self.step += 1
        self.row, self.drawn = end, self.drawn + self._expert_rows()
        if end == len(self.public):
            self.epoch, self.row, self.drawn = self.epoch + 1, 0, 0
        self._set_rate()

    def _set_rate(self) -> None:
        """The learning rate of the place; computed from it, so that a checkpoint holds no schedule."""
        steps = self.epoch * self.steps + self.row // self.size  # of this number of processes
        groups = zip(self.optimizer.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)
        for group, base, factor in groups:
            group["lr"] = base * factor(steps)

    def _expert_rows(self) -> int:
        return (self.config.expert_batch_size or self.config.batch_size) * self.accelerator.num_processes

    def _any(self, flag: bool) -> bool:
        """Whether it holds in any process: all must stop, or pass a step over, together."""
        if self.accelerator.num_processes == 1:
            return flag
        flags = self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device))
        return flags.item() > 0

    def _one_step(self, public: dict, expert: dict | None, bar: tqdm) -> None:
        config = self.config
        sides = {"public": public} if expert is None else {"public": public, "expert": expert}
        self._set_bad_aside(join_lists([(side, *bad) for side, batch in sides.items() for bad in batch["bad"]]))
        empty = not all(batch["row"] for batch in sides.values())  # broken pictures only
        line = {"step": self.step + 1, "epoch": self.epoch}
        if not self._any(empty):
            total, parts = self.model(public, expert, config.variant, config.revision_weight, config.targets)
            line |= {"loss": total.item(), **{name: part.item() for name, part in parts.items()}}
            if self._any(not math.isfinite(line["loss"])):
                self._refuse_step("loss", line, sides)
            self.accelerator.backward(total)
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
            norm = float(norm) if math.isfinite(norm) else None
            line |= {"lr": self.optimizer.param_groups[0]["lr"], "grad_norm": norm}
            if norm is None and self.accelerator.scaler is None:  # a scaler passes such a step over
                self._refuse_step("gradient", line, sides)
            self.optimizer.step()
            self.accelerator.unwrap_model(self.model).clamp_scale()
            self.optimizer.zero_grad(set_to_none=True)
            line["scale"] = self.accelerator.unwrap_model(self.model).scale.item()
            shown = {k: f"{line[k]:.3g}" for k in ("loss", "public", "expert", "revision") if line[k]}
            shown["temperature"] = f"{1 / line['scale']:.3g}"
            bar.set_postfix(shown, refresh=False)
        bar.update()
        if self.accelerator.is_main_process:
            self.log.write(json.dumps(line) + "\n")

    def _refuse_step(self, what: str, line: dict, sides: dict[str, dict]) -> None:
        """A loss or gradient that is no number would spoil every weight: name the batch and stop. All processes call it."""
        file, named = self.out / "nonfinite.json", {}
        for side, batch in sides.items():
            frame = (self.public if side == "public" else self.expert).frame
            given = join_lists(list(zip(batch["row"], batch["category"], batch["text"], strict=True)))
            named[side] = [
                {**frame.loc[row, ["file", "image"]], "row": int(frame.loc[row, "row"]), "category": category, "text": text}
                for row, category, text in given
            ]
        if self.accelerator.is_main_process:
            numbers = {name: value if math.isfinite(value or 0) else None for name, value in line.items()}
            write_aside(file, json.dumps({**numbers, **named}, indent=2) + "\n")
        first, others = named["public"][0], len(named["public"]) - 1
        raise InputError(
            f"{what} is not finite at step {line['step']}, batch of this row and {others} more (all named in {file}): "
            "look at them, or start again with a lower --lr", first["file"], first["row"],
        )  # fmt: skip

    def _batches(self, parts: list[tuple[int, int]]):
        """(part, public batch, expert batch or None) of each step of this epoch that is left."""
        public = self._loader(self.public, parts, False)
        expert = [None] * len(parts)
        if self.expert is not None:
            n = self._expert_rows()
            expert = self._loader(self.expert, [(self.drawn + i * n, self.drawn + (i + 1) * n) for i in range(len(parts))], True)
        for batches in zip(parts, public, expert, strict=True):
            yield send_to_device(batches, self.accelerator.device, non_blocking=True)

    def _loader(self, pictures: Pictures, parts: list[tuple[int, int]], replacement: bool) -> DataLoader:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        return DataLoader(
            pictures,
            batch_sampler=Visits(len(pictures), parts, self.config.seed, self.epoch, replacement, rank, world),
            collate_fn=collate,
            num_workers=self.config.num_workers,
            worker_init_fn=leave_to_the_parent,
            pin_memory=self.accelerator.device.type == "cuda",
            generator=torch.Generator(),  # its own, so that opening a loader takes nothing from the dropout's chance
        )

    def _set_bad_aside(self, found: list[tuple[str, int, str]]) -> None:
        """Note (side, row, reason) of every process, so that all stop together where there are too many."""
        for side, row, reason in found:
            frame = (self.public if side == "public" else self.expert).frame
            if row not in self.bad[side]:
                self.bad[side].append(row)
                if self.accelerator.is_main_process:
                    report_bad(frame, row, reason)
            limit_bad(frame, self.bad[side], self.config.max_bad)

    # ----------------------------------------------------------------------------------------------- the folder

    def begin(self, resume: bool, data: dict[str, str]) -> None:
        """Make the run folder, or go back to its newest checkpoint that can be read; data: fingerprints of both sides."""
        if resume and (self.out / "config.json").is_file():
            self._go_back(data)
        if self.accelerator.is_main_process:
            model = self.accelerator.unwrap_model(self.model)
            config = {
                "model": dataclasses.asdict(model.config),
                "train": dataclasses.asdict(self.config),
                "data": data,
                "versions": versions(),
            }
            (self.out / "checkpoints").mkdir(parents=True, exist_ok=True)
            log = self.out / "metrics.jsonl"  # steps after the checkpoint will come again
            lines = log.read_text().splitlines(keepends=True)[: self.step] if log.is_file() else []
            write_aside(log, "".join(lines))
            write_aside(self.out / "config.json", json.dumps(config, indent=2) + "\n")
            self.log = log.open("a", buffering=1)  # a line is out of this process before the next step begins
        self.accelerator.wait_for_everyone()

    def _go_back(self, data: dict[str, str]) -> None:
        before = json.loads((self.out / "config.json").read_text()).get("data", data)
        for side in ("public", "expert"):
            if before[side] != data[side]:
                raise InputError(f"was begun with other {side} rows: give the same manifests, or start a new run", self.out)
        place = read_checkpoint(self.out / "checkpoints", self.accelerator)
        if place is not None:
            self.step, self.epoch, self.row, self.drawn = (place[name] for name in ("step", "epoch", "row", "drawn"))
            self.bad = place["bad"]
            if place["size"] != self.size and self.accelerator.is_main_process:
                world = f"{self.accelerator.num_processes} x {self.config.batch_size}"
                print(f"{self.out}: a step now takes {world} public rows, not {place['size']} as before", file=sys.stderr)
            self._set_rate()

    def checkpoint(self) -> None:
        place = {name: getattr(self, name) for name in ("step", "epoch", "row", "drawn", "bad", "size")}
        write_checkpoint(self.out / "checkpoints", self.accelerator, place)

    def finish(self) -> None:
        """Write the weights; what a resume needed goes."""
        if self.accelerator.is_main_process:
            self.log.close()
            self.accelerator.unwrap_model(self.model).save_weights(self.out)
            shutil.rmtree(self.out / "checkpoints", ignore_errors=True)
        self.accelerator.wait_for_everyone()
