"""pretrain(): one loop for a CPU, a GPU and `accelerate launch` over several (paper section 3.1).

Each step takes a public batch (label prompts) and an expert batch (captions), sums the variant's losses and steps AdamW.
A run folder holds config.json, metrics.jsonl, checkpoints/ (for a resume) and, once finished, model.safetensors.
Not about: what the losses are (mixed_loss.py) or how batches are drawn (data.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .config import InputError, ModelConfig, TrainConfig, versions, write_aside
from .data import Pictures, Visits, collate, steps_per_epoch
from .frozen_stages import keep_activations
from .manifests import exclude_categories, fingerprint, keep_share, read_manifests
from .model import KeepFIT
from .pictures import drop_undecodable, limit_bad, report_bad
from .stop_request import StopRequest

CHECKPOINTS_KEPT = 2


def warmup_cosine(optimizer, steps_per_epoch: int, warmup_epochs: float, schedule_epochs: float) -> LambdaLR:
    """Learning rate: linear from 1/W to 1 over W warm-up steps, then a cosine to 0 at the end of schedule_epochs."""
    warmup = round(steps_per_epoch * warmup_epochs)
    cosine = max(1, round(steps_per_epoch * schedule_epochs) - warmup)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / cosine))) / 2

    return LambdaLR(optimizer, factor)


def pretrain(
    model_config: ModelConfig,
    train_config: TrainConfig,
    public: str | Path | Sequence[str | Path],
    expert: str | Path | Sequence[str | Path] | None,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    cache: str | Path | None = None,
) -> KeepFIT:
    """Pretrain on manifests and return the model, which also lies in the folder `out`.

    public  manifests with labels; expert  manifests with captions (None for variant "public-only")
    resume  go on with `out` from its last checkpoint, with the settings that it was begun with; only max_bad and
            num_workers are taken from train_config
    cache   a folder where what frozen stages give is kept for the next run (frozen_stages.py)
    InputError: bad manifests, too many broken pictures, `out` not empty, nothing to resume, other data than before.
    """
    out = Path(out)
    if resume and not (out / "config.json").is_file():
        raise InputError("no run there to resume: give the folder of an interrupted run, or leave --resume away", out)
    if resume and (out / "model.safetensors").is_file():
        return KeepFIT.from_pretrained(out)
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("exists already: choose another folder, delete it, or go on with --resume", out)
    if resume:
        model_config, begun = read_configs(out)
        train_config = dataclasses.replace(begun, max_bad=train_config.max_bad, num_workers=train_config.num_workers)
    t = train_config
    if t.uses_experts and not expert:
        raise InputError(f"variant {t.variant} needs an expert side: give --expert, or --variant public-only")

    public_frame = exclude_categories(read_manifests(public, "label"), t.exclude_categories)
    if public_frame.empty:
        raise InputError(f"no public row is left after excluding {', '.join(t.exclude_categories)}: exclude less")
    if len(public_frame) < 2:
        raise InputError("one public row has nothing to be told from: give two or more", public_frame["file"].iloc[0])
    public_frame = drop_undecodable(keep_share(public_frame, t.public_share, t.seed), t.max_bad)
    expert_frame = None
    if t.uses_experts:
        expert_frame = drop_undecodable(keep_share(read_manifests(expert, "text"), t.expert_share, t.seed), t.max_bad)

    set_seed(t.seed)
    texts = list(public_frame["labels"].explode().unique()) + (list(expert_frame["text"]) if t.uses_experts else [])
    model_config = dataclasses.replace(model_config, fusion="fusion" in t.variant)
    model = KeepFIT(model_config, texts=texts)
    accelerator = Accelerator(mixed_precision=t.mixed_precision)
    if accelerator.process_index:
        set_seed(t.seed, device_specific=True)  # other processes, other dropout; the first stays as if alone
    public_set = Pictures(public_frame, model_config.image_size, t.seed, prompts=True, augmented=t.augment, views=t.views)
    expert_set = None
    if t.uses_experts:
        expert_set = Pictures(expert_frame, model_config.image_size, t.seed, prompts=False, augmented=False, views=t.views)
    run = Run(out, model, t, accelerator, public_set, expert_set, progress, cache)
    run.begin(resume, {"public": fingerprint(public_frame), "expert": fingerprint(expert_frame)})
    run.train()
    run.finish()
    return accelerator.unwrap_model(run.model).eval()


def read_configs(run: Path) -> tuple[ModelConfig, TrainConfig]:
    """The two configs of a run folder."""
    try:
        saved = json.loads((run / "config.json").read_text())
        return ModelConfig(**saved["model"]), TrainConfig(**saved["train"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("not the config.json of a run", run / "config.json") from error


class Run:
    """A run folder and what changes while it trains: model, optimiser, schedule, place in the data."""

    def __init__(self, out, model, config: TrainConfig, accelerator, public: Pictures, expert: Pictures | None, progress,
                 cache=None):  # fmt: skip
        self.out, self.config, self.accelerator, self.progress = out, config, accelerator, progress
        self.public, self.expert, self.cache = public, expert, cache
        for module, needed in ((model.text_revision, "revision"), (model.text_fusion, "fusion")):
            if module is not None and needed not in config.variant.split("+"):
                module.requires_grad_(False)  # unused in this variant; DistributedDataParallel wants to know
        model = model.to(memory_format=torch.channels_last)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
        world = accelerator.num_processes
        self.steps = math.ceil(steps_per_epoch(len(public), config.batch_size) / world)  # per process and epoch
        schedule = warmup_cosine(optimizer, self.steps, config.warmup_epochs, config.schedule_epochs or config.epochs)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.schedule = schedule
        accelerator.register_for_checkpointing(schedule)
        self.step = 0
        self.bad: dict[str, list[int]] = {"public": [], "expert": []}
        self.log = None

    # ------------------------------------------------------------------------------------------------- the loop

    def train(self) -> None:
        config, model = self.config, self.accelerator.unwrap_model(self.model)
        if config.views:
            for side, pictures in (("public", self.public), ("expert", self.expert)):
                if pictures is not None:
                    device = self.accelerator.device
                    self.bad[side] = keep_activations(model, pictures, device, self.progress, config.max_bad, self.cache)
        self.model.train()
        with StopRequest() as stopped:
            for epoch in range(self.step // self.steps, config.epochs):
                self._one_epoch(epoch, stopped)

    def _one_epoch(self, epoch: int, stopped: StopRequest) -> None:
        config, first = self.config, self.step % self.steps
        bar = tqdm(
            total=self.steps,
            initial=first,
            desc=f"epoch {epoch + 1}/{config.epochs}",
            disable=not (self.progress and self.accelerator.is_main_process),
        )
        with bar:
            for public, expert in self._batches(epoch, first):
                self._one_step(epoch, public, expert, bar)
                stop = self._any(bool(stopped))
                if self.step == 1 or self.step % config.checkpoint_every == 0 or stop:
                    self.checkpoint()
                if stop:
                    raise KeyboardInterrupt

    def _any(self, flag: bool) -> bool:
        """Whether it holds in any process: all must stop, or pass a step over, together."""
        if self.accelerator.num_processes == 1:
            return flag
        flags = self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device))
        return flags.item() > 0

    def _one_step(self, epoch: int, public: dict, expert: dict | None, bar: tqdm) -> None:
        config, begin = self.config, time.perf_counter()
        self._set_bad_aside("public", public)
        if expert is not None:
            self._set_bad_aside("expert", expert)
        empty = not public["row"] or (expert is not None and not expert["row"])  # broken pictures only
        line = {"step": self.step + 1, "epoch": epoch}
        if not self._any(empty):
            total, parts = self.model(public, expert, config.variant, config.revision_weight, config.targets)
            if not torch.isfinite(total):
                raise InputError(f"loss is {total.item()} at step {self.step + 1}: public rows {public['row']}; lower lr")
            self.accelerator.backward(total)
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
            line |= {"loss": total.item(), **{name: part.item() for name, part in parts.items()},
                     "lr": self.optimizer.param_groups[0]["lr"], "grad_norm": float(norm)}  # fmt: skip
            self.optimizer.step()
            self.accelerator.unwrap_model(self.model).clamp_scale()
            self.optimizer.zero_grad(set_to_none=True)
            line["scale"] = self.accelerator.unwrap_model(self.model).scale.item()
            shown = {k: f"{line[k]:.3g}" for k in ("loss", "public", "expert", "revision") if line[k]}
            shown["temperature"] = f"{1 / line['scale']:.3g}"
            bar.set_postfix(shown, refresh=False)
        self.schedule.step()
        self.step += 1
        bar.update()
        if self.accelerator.is_main_process:
            line["seconds"] = round(time.perf_counter() - begin, 4)
            self.log.write(json.dumps(line) + "\n")

    def _batches(self, epoch: int, first: int):
        """Pairs of (public batch, expert batch or None) of one epoch, from step `first` on."""
        config = self.config
        public = self._loader(self.public, config.batch_size, False, epoch, first)
        if self.expert is None:
            return ((batch, None) for batch in public)
        size = config.expert_batch_size or config.batch_size
        return zip(public, self._loader(self.expert, size, True, epoch, first), strict=False)

    def _loader(self, pictures: Pictures, batch_size: int, replacement: bool, epoch: int, first: int) -> DataLoader:
        world = self.accelerator.num_processes
        steps = steps_per_epoch(len(self.public), self.config.batch_size)
        visits = Visits(len(pictures), batch_size, steps, self.config.seed, replacement)
        visits.epoch, visits.first_step = epoch, first * world
        loader = DataLoader(
            pictures,
            batch_sampler=visits,
            collate_fn=collate,
            num_workers=self.config.num_workers,
            pin_memory=self.accelerator.device.type == "cuda",
            generator=torch.Generator(),  # its own, so that opening a loader takes nothing from the dropout's chance
        )
        return self.accelerator.prepare_data_loader(loader)

    def _set_bad_aside(self, side: str, batch: dict) -> None:
        frame = (self.public if side == "public" else self.expert).frame
        for row, reason in batch["bad"]:
            if row not in self.bad[side]:
                self.bad[side].append(row)
                report_bad(frame, row, reason)
        limit_bad(frame, self.bad[side], self.config.max_bad)

    # ----------------------------------------------------------------------------------------------- the folder

    def begin(self, resume: bool, data: dict[str, str]) -> None:
        """Make the run folder, or go back to its newest checkpoint that can be read; data: fingerprints of both sides."""
        if resume:
            self._go_back(data)
        lines = []
        if self.accelerator.is_main_process:
            (self.out / "checkpoints").mkdir(parents=True, exist_ok=True)
            if resume and (self.out / "metrics.jsonl").is_file():  # steps after the checkpoint will come again
                lines = (self.out / "metrics.jsonl").read_text().splitlines(keepends=True)[: self.step]
            model = self.accelerator.unwrap_model(self.model)
            config = {
                "model": dataclasses.asdict(model.config),
                "train": dataclasses.asdict(self.config),
                "data": data,
                "versions": versions(),
            }
            write_aside(self.out / "config.json", json.dumps(config, indent=2) + "\n")
            self.log = (self.out / "metrics.jsonl").open("w", buffering=1)
            self.log.writelines(lines)
        self.accelerator.wait_for_everyone()

    def _go_back(self, data: dict[str, str]) -> None:
        before = json.loads((self.out / "config.json").read_text()).get("data", data)
        for side in ("public", "expert"):
            if before[side] != data[side]:
                raise InputError(f"was begun with other {side} rows: give the same manifests, or start a new run", self.out)
        checkpoints = sorted((self.out / "checkpoints").glob("step-*[0-9]"), reverse=True)
        for checkpoint in checkpoints:
            try:
                self.accelerator.load_state(checkpoint)
            except Exception as error:  # files that are missing, cut off, not tensors, ...: the one before may be whole
                print(f"passed over: {checkpoint} cannot be read ({type(error).__name__})", file=sys.stderr)
                continue
            self.step = int(checkpoint.name.removeprefix("step-"))
            return
        if checkpoints:
            raise InputError("none of its checkpoints can be read: delete the folder and start again", self.out)

    def checkpoint(self) -> None:
        """Write the whole state aside, rename it, keep the last two."""
        folder = self.out / "checkpoints" / f"step-{self.step:08d}"
        part = folder.with_name(folder.name + ".part")
        self.accelerator.save_state(str(part))
        self.accelerator.wait_for_everyone()  # each process writes its random state
        if self.accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
            for old in sorted(folder.parent.glob("step-*[0-9]"))[:-CHECKPOINTS_KEPT]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def finish(self) -> None:
        """Write the weights; what a resume needed goes."""
        if self.accelerator.is_main_process:
            self.log.close()
            self.accelerator.unwrap_model(self.model).save_weights(self.out)
            shutil.rmtree(self.out / "checkpoints", ignore_errors=True)
        self.accelerator.wait_for_everyone()
