"""train_reports(): studies with reports -> a model that writes them, by teacher forcing (paper section 3.4).

Adam with two learning rates, the image encoder's and the rest's; after each epoch the loss on the val studies says whether
this is the best so far, and the best is what is kept. Not about: the model (report_generation.py), scores (report_scores.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from tqdm.auto import tqdm

from .config import InputError, ModelConfig, check_types, first_process, versions, write_aside
from .model import KeepFIT
from .report_findings import read_findings
from .report_generation import ReportConfig, ReportModel, chosen_views, read_views, start_from
from .report_tags import tag_loss, tags_of
from .report_vocabulary import PAD, UNKNOWN, Vocabulary
from .resized import ResizedPictures
from .schedule import warmup_cosine
from .studies import Study


@dataclass
class ReportTraining:
    """How it learns; as published: 15 epochs, batch 16, Adam at 1e-4, at 5e-5 in the image encoder (PUBLISHED).

    The defaults are for the small model on two cores.
    lr               highest learning rate of all but the image encoder, whose own is visual_lr; both end in a cosine to 0
    warmup_epochs    over which the learning rates rise at first, in epochs (0.5: half of one)
    clip_norm        a longer gradient is shortened to this length (L2 norm over all weights)
    tag_weight       of the loss over the findings that the report names (report_tags.py), 0 as published. It is a sum over
                     50 tags beside a mean over words: at 1 it is most of the loss at first
    augment          the train studies' pictures are moved and brightened a little, all views of a study alike; never flipped:
                     reports name the side
    shuffle          each study learns another one's report (a control: nothing of the pictures can be learned)
    mixed_precision  "no", "fp16" or "bf16", as Accelerate takes it
    cache_gb         disk for resized pictures in GB (10^9 bytes), half for train and half for val; 0: files are read every epoch
    InputError: a number out of its range, or of another type.
    """

    epochs: int = 16
    batch_size: int = 16
    lr: float = 2e-3
    visual_lr: float = 2e-3
    warmup_epochs: float = 0.5
    clip_norm: float = 1.0
    seed: int = 0
    tag_weight: float = 1.0
    augment: bool = True
    shuffle: bool = False
    mixed_precision: str = "no"
    cache_gb: float = 2.0

    def __post_init__(self):
        check_types(self)
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a whole number of 1 or more")
        for name in ("lr", "visual_lr", "clip_norm"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a number above 0")
        for name in ("tag_weight", "warmup_epochs", "cache_gb"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a number of 0 or more")
        if self.mixed_precision not in ("no", "fp16", "bf16"):
            raise InputError(f"mixed_precision is {self.mixed_precision!r}: give no, fp16 or bf16")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}: give a whole number from 0 to 4294967295")


PUBLISHED = ReportTraining(epochs=15, lr=1e-4, visual_lr=5e-5, warmup_epochs=0.0, tag_weight=0.0, augment=False)
MOVE = v2.Compose([v2.RandomAffine(degrees=4, translate=(0.06, 0.06), scale=(0.94, 1.06)), v2.ColorJitter(0.15, 0.15)])


class StudyReports(Dataset):
    """Number -> {"pixels" (V,3,S,S) uint8, "words" (L,), "tags" (F,)} of one study; resized pictures are kept on disk.

    cache    bytes of disk for them          cut      number of reports that are longer than the limit
    unknown  share of the reports' words, up to the limit, that are not in the vocabulary
    thinned  number of studies with more pictures than config.views: as many are read, evenly spaced
    """

    def __init__(self, studies: list[Study], reports: list[str], model: ReportModel, cache: float, augment: bool = False):
        self.images = [chosen_views(study.images, model.config.views) for study in studies]
        self.thinned = sum(1 for study in studies if len(study.images) > model.config.views)
        encoded = [model.vocabulary.encode(report, model.config.limit) for report in reports]
        self.words = [torch.tensor(words) for words, _ in encoded]
        self.tags = [tags_of(read_findings(report, model.config.language)) for report in reports]
        self.cut = sum(1 for _, beyond in encoded if beyond)
        numbers = [number for words, _ in encoded for number in words[1:-1]]  # without BEGIN and END
        self.unknown = numbers.count(UNKNOWN) / max(1, len(numbers))
        self.size, self.augment = model.model_config.image_size, augment
        self.begin = np.cumsum([0, *map(len, self.images)])
        self.resized = ResizedPictures(int(self.begin[-1]), self.size, cache)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        rows = range(self.begin[i], self.begin[i + 1])
        known = [self.resized.get(row) for row in rows]
        if any(pixels is None for pixels in known):
            known = list(read_views(self.images[i], self.size))
            for row, pixels in zip(rows, known, strict=True):
                self.resized.put(row, pixels)
        pixels = torch.stack(known)
        return {"pixels": MOVE(pixels) if self.augment else pixels, "words": self.words[i], "tags": self.tags[i]}


def say_thinned(studies: Sequence[Sequence[Path]], views: int) -> None:
    """One line if some of the studies, each its pictures, have more of them than are read."""
    if many := sum(1 for images in studies if len(images) > views):
        print(f"{many} of {len(studies)} studies have more than {views} pictures: {views} of each are read, evenly spaced")


def collate(items: list[dict[str, Tensor]]) -> dict:
    """-> {"pixels" (sum of views,3,S,S) uint8, "views" [V of each study], "words" (N,L), PAD behind each, "tags" (N,F)}."""
    return {
        "pixels": torch.cat([item["pixels"] for item in items]),
        "views": [len(item["pixels"]) for item in items],
        "words": torch.nn.utils.rnn.pad_sequence([item["words"] for item in items], batch_first=True, padding_value=PAD),
        "tags": torch.stack([item["tags"] for item in items]),
    }


def losses_of(model: ReportModel, batch: dict) -> tuple[Tensor, Tensor]:
    """(cross-entropy of each next word, mean over the words of the batch, padding left out; loss of the tags), scalars."""
    words = batch["words"]
    logits, tag_logits = model(batch["pixels"].float() / 255, batch["views"], words[:, :-1])  # (N, L-1, W), (N, F)
    return cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten(), ignore_index=PAD), tag_loss(tag_logits, batch["tags"])


def train_reports(
    studies: list[Study],
    out: str | Path,
    encoder: KeepFIT | None = None,
    model_config: ModelConfig | None = None,
    config: ReportConfig | None = None,
    training: ReportTraining | None = None,
    progress: bool = True,
) -> ReportModel:
    """Learn from the train studies, choose the epoch on the val studies, write the run folder `out`, return the model.

    encoder       a pretrained KeepFIT whose image encoder is gone on with; None: one of model_config, random where that
                  names no weights
    `out` holds config.json, vocabulary.json, metrics.jsonl, model.safetensors. Ctrl-C after the first epoch: `out` is completed
    with the best so far, before KeyboardInterrupt goes on; in it, or after any other error, nothing is left.
    InputError: no train or val study, a study without a report or pictures, more than half of a split's words not in the
    vocabulary (another language?), a picture that does not decode, a loss that is no number, `out` not empty.
    """
    out, config, training = Path(out), config or ReportConfig(), training or ReportTraining()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("exists already: choose another folder, or delete it", out)
    parts = {split: [study for study in studies if study.split == split] for split in ("train", "val")}
    for split, part in parts.items():
        if not part:
            raise InputError(f"no study of the {split} split: an annotation needs train and val")
    if empty := [study.id for part in parts.values() for study in part if not study.images]:
        raise InputError(f"study {empty[0]!r} has no picture: give it one or more, or leave it out")
    texts = {split: [study.report_in(config.language) for study in part] for split, part in parts.items()}
    if silent := [study.id for split, part in parts.items() for study, text in zip(part, texts[split], strict=True) if not text]:
        raise InputError(f"study {silent[0]!r} has no report in {config.language!r}: add it or leave the study out")
    set_seed(training.seed)
    vocabulary = Vocabulary.learn(texts["train"], config.min_count)
    if training.shuffle:
        texts = {split: shuffled(part, training.seed) for split, part in texts.items()}
    if encoder is not None:
        model_config = encoder.config
    model = ReportModel(config, model_config or ModelConfig(), vocabulary, pretrained=encoder is None)
    if encoder is not None:
        start_from(model, encoder)
    sets = {
        split: StudyReports(parts[split], texts[split], model, training.cache_gb * 1e9 / 2, training.augment and split == "train")
        for split in parts
    }
    accelerator = Accelerator(mixed_precision=training.mixed_precision)
    speak = progress and accelerator.is_main_process
    for split, one in sets.items():
        if one.unknown > 0.5:
            why = {"train": f"are seen fewer than {config.min_count} times: give more reports, or a lower min_count",
                   "val": "are not in the vocabulary of the train reports: is it another language? give one to both"}  # fmt: skip
            raise InputError(f"more than half of the words of the {split} reports {why[split]}")
        if speak and one.unknown > 0.1:
            print(f"{one.unknown:.0%} of the words of the {split} reports are not in the vocabulary: they are never written")
    if speak and (cut := sum(one.cut for one in sets.values())):
        unit = "characters" if config.language == "zh" else "words"
        print(f"{cut} of {sum(map(len, texts.values()))} reports are longer than {config.limit} {unit}: cut there (see --limit)")
    if speak:
        say_thinned([study.images for part in parts.values() for study in part], config.views)
    loaders = {
        split: DataLoader(one, training.batch_size, shuffle=split == "train", collate_fn=collate,
                          generator=torch.Generator().manual_seed(training.seed))  # fmt: skip
        for split, one in sets.items()
    }
    model = model.to(memory_format=torch.channels_last)
    visual = list(model.image_encoder.parameters())
    others = [p for name, p in model.named_parameters() if not name.startswith("image_encoder.")]
    groups = [{"params": [p for p in visual if p.requires_grad], "lr": training.visual_lr}, {"params": others, "lr": training.lr}]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]], fused=True)
    train_loader, val_loader = accelerator.prepare(*loaders.values())
    schedule = warmup_cosine(optimizer, len(train_loader), training.warmup_epochs, training.epochs)  # steps of this process
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    about = {"training": dataclasses.asdict(training)}
    for name, count in (("reports_cut", "cut"), ("words_unknown", "unknown"), ("studies_thinned", "thinned")):
        about[name] = {split: getattr(one, count) for split, one in sets.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent)) if first_process() else None
    best, lines, begin = float("inf"), [], time.perf_counter()
    try:
        for epoch in range(training.epochs):
            wrapped.train()
            total, tag_total, bar = 0.0, 0.0, tqdm(train_loader, desc=f"epoch {epoch + 1}/{training.epochs}", disable=not speak)
            for step, batch in enumerate(bar, 1):
                loss, of_tags = losses_of(wrapped, batch)
                if not math.isfinite(loss.item() + of_tags.item()):
                    raise InputError(f"the loss is no number in epoch {epoch + 1}, step {step}: give a smaller lr and visual_lr")
                accelerator.backward(loss + training.tag_weight * of_tags)
                accelerator.clip_grad_norm_(wrapped.parameters(), training.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                total, tag_total = total + loss.item(), tag_total + of_tags.item()
                bar.set_postfix(loss=f"{total / step:.3f}", val=f"{best:.3f}", refresh=False)
            val, val_tags = mean_losses(wrapped, val_loader, accelerator)
            if val < best:
                if folder is not None:
                    accelerator.unwrap_model(wrapped).save(folder)
                best = val
            lines.append({"epoch": epoch, "loss": total / step, "tag_loss": tag_total / step, "val_loss": val,
                          "val_tag_loss": val_tags, "seconds": time.perf_counter() - begin})  # fmt: skip
        accelerator.wait_for_everyone()
        if folder is not None:
            finish(folder, out, about, lines)
        accelerator.wait_for_everyone()
    except KeyboardInterrupt:
        if folder is not None and folder.is_dir() and best < float("inf") and lines:
            finish(folder, out, about, lines)
            print(f"stopped: {out} keeps the best of {len(lines)} epoch{'s' if len(lines) > 1 else ''}")
        raise
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return ReportModel.load(out).to(accelerator.device)


def finish(folder: Path, out: Path, about: dict, lines: list[dict]) -> None:
    """Complete the run folder and put it where it was asked for."""
    for part in folder.glob("*.part"):  # of a save that Ctrl-C stopped
        part.unlink()
    write_aside(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    saved = json.loads((folder / "config.json").read_text())
    write_aside(folder / "config.json", json.dumps({**saved, **about, "versions": versions()}, indent=2) + "\n")
    folder.chmod(0o755)
    if out.exists():
        out.rmdir()  # empty: see above
    folder.rename(out)


@torch.no_grad()
def mean_losses(model, loader: DataLoader, accelerator: Accelerator) -> tuple[float, float]:
    """(mean over all next words of a loader's studies, mean loss of the tags over its studies), without dropout."""
    model.eval()
    sums = torch.zeros(4, device=accelerator.device)  # of words, their number, of tags, studies
    for batch in loader:
        loss, of_tags = losses_of(model, batch)
        words, studies = (batch["words"][:, 1:] != PAD).sum(), len(batch["views"])
        sums += torch.stack([loss * words, words, of_tags * studies, torch.tensor(studies, device=sums.device)])
    words_sum, words, tags_sum, studies = accelerator.reduce(sums, "sum").tolist()
    return words_sum / words, tags_sum / studies


def shuffled(reports: list[str], seed: int) -> list[str]:
    """Each study gets the report of another one (which may say the same): a rotation of a random order."""
    order = np.random.default_rng([seed, 31]).permutation(len(reports))
    given = np.empty(len(reports), int)
    given[order] = np.roll(order, 1)
    return [reports[i] for i in given]
