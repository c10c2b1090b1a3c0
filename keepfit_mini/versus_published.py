"""The step as it is taken here against the published one (published_step.py): same weights, same texts, same loss.

    loss and gradients (no dropout) -> seconds a step, in turns (dropout as published) -> seconds of each part

Not about: the presets and the other measurements (bench.py).
"""

from __future__ import annotations

import csv
import dataclasses
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import published_step as theirs
from .encoders import word_tokenizer
from .mixed_loss import mixed_loss, soft_targets
from .model import KeepFIT
from .official import OFFICIAL_NAMES, load_official_state_dict, official_config
from .prompts import TRAIN_TEMPLATE, conditions, training_prompt

VARIANT, CLIP, PUBLISHED_VOCABULARY = "revision+mixed", 1.0, 28996
SMALL_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}  # --fast
# Words a caption of MM-Retinal's 2,167 (CFP, English): the share of captions that is no longer
CAPTION_WORDS = {0.0: 1, 0.1: 8, 0.25: 14, 0.5: 26, 0.75: 41, 0.9: 65, 0.95: 88, 0.99: 124, 1.0: 183}


# ------------------------------------------------------------------------------------------------ what both are given


@cache
def captions() -> tuple[list[str], str]:
    """Expert captions, and where they are from: MM-Retinal's own where KEEPFIT_DATA is set, else made in their lengths."""
    file = Path(os.environ.get("KEEPFIT_DATA", "")) / "mm_retinal_cfp_captions.csv"
    if file.is_file():
        with file.open(encoding="utf-8", newline="") as lines:
            return [row["caption"] for row in csv.DictReader(lines)], "MM-Retinal's captions (CFP, English)"
    rng, known = random.Random(0), [words for entry in conditions().values() for words in entry["descriptions"]]
    made = []
    for length in np.interp([rng.random() for _ in range(2000)], list(CAPTION_WORDS), list(CAPTION_WORDS.values())).round():
        words: list[str] = []
        while len(words) < length:
            words += rng.choice(known).split()
        made.append(" ".join(words[: int(length)]))
    return made, "this package's descriptions, laid end to end in the lengths of MM-Retinal's captions (CFP, English)"


def bench_tokenizer():
    names = [text for name, entry in conditions().items() for text in (name, *entry["descriptions"])]
    return word_tokenizer([TRAIN_TEMPLATE, *names, *captions()[0]], 20_000)


def batches(pairs: int, size: int, seed: int) -> tuple[dict, dict]:
    """A public batch (prompts of drawn categories, some twice) and an expert batch (captions); pixels are noise."""
    rng, noise = random.Random(seed), torch.Generator().manual_seed(seed)
    names = rng.choices(list(conditions()), k=pairs)
    public = {"text": [training_prompt(name, rng=rng) for name in names], "category": names}
    expert = {"text": rng.sample(captions()[0], pairs), "category": [""] * pairs}
    return tuple({**side, "image": torch.rand(pairs, 3, size, size, generator=noise)} for side in (public, expert))


# -------------------------------------------------------------------------------------------------------- the two steps


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def our_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """As trainer.py makes it."""
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=1e-5, fused=True)


def one_step(model: nn.Module, loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> None:
    loss().backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def both_ways(fast: bool) -> tuple[nn.Module, KeepFIT]:
    """The published model and ours with the same weights."""
    torch.manual_seed(0)
    tokenizer = bench_tokenizer()
    bert = {**SMALL_BERT, "vocab_size": len(tokenizer)} if fast else {"vocab_size": 28996}
    published = theirs.published_model(bert)
    config = dataclasses.replace(official_config(), text_config=bert, text_pooling="mean", normalize_over="experts")
    ours = load_official_state_dict(KeepFIT(config, pretrained=False, tokenizer=tokenizer), published.state_dict())
    return published, ours.to(memory_format=torch.channels_last).train()


@contextmanager
def no_dropout(*models: nn.Module) -> Iterator[None]:
    modules = [m for model in models for m in model.modules() if isinstance(m, nn.Dropout)]
    before = [m.p for m in modules]
    for m in modules:
        m.p = 0.0
    try:
        yield
    finally:
        for m, p in zip(modules, before, strict=True):
            m.p = p


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Under our names, and taken off the parameters; BERT's pooler has none."""
    found = {}
    for name, p in model.named_parameters():
        prefix = next((known for known in OFFICIAL_NAMES if name.startswith(known)), "")
        if p.grad is not None:
            found[OFFICIAL_NAMES.get(prefix, "") + name.removeprefix(prefix)] = p.grad
    model.zero_grad(set_to_none=True)
    return found


def difference(some: dict[str, Tensor], others: dict[str, Tensor]) -> dict[str, float]:
    """For each encoder: the length of the gradients' difference over the length of the others' gradient."""
    assert some.keys() == others.keys(), some.keys() ^ others.keys()
    result = {}
    for part in ("image_encoder", "text_encoder"):
        names = [name for name in others if name.startswith(part)]
        apart = sum((some[name] - others[name]).square().sum() for name in names)
        result[part] = float((apart / sum(others[name].square().sum() for name in names)) ** 0.5)
    return result


def parts(images: Callable, texts: Callable, loss: Callable, model: nn.Module, optimizer, sides: Sequence[dict]) -> dict:
    """Seconds of each part of one step: the backward pass is cut at the vectors, so that each encoder's share shows."""
    seconds, begin = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal begin
        now = time.perf_counter()
        seconds[name], begin = now - begin, now

    vectors = [images(side["image"]) for side in sides]
    lap("image forward")
    vectors += [texts(side["text"]) for side in sides]
    lap("text forward")
    leaves = [v.detach().requires_grad_() for v in vectors]
    loss(leaves[0], leaves[2], leaves[1], leaves[3]).backward()
    lap("loss")
    torch.autograd.backward(vectors[:2], [leaf.grad for leaf in leaves[:2]])
    lap("image backward")
    torch.autograd.backward(vectors[2:], [leaf.grad for leaf in leaves[2:]])
    lap("text backward")
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    lap("clip")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    lap("optimiser")
    return seconds


def versus_published(fast: bool = False, repetitions: int = 3) -> dict:
    """Pairs a second of both ways, alternating, each repetition on another batch; how far loss and gradients are apart."""
    published, ours = both_ways(fast)
    tokenizer, pairs, size = ours.text_encoder.tokenizer, *((6, 64) if fast else (24, 224))

    def losses(sides: Sequence[dict]) -> dict[str, Callable[[], Tensor]]:
        return {
            "published": lambda: theirs.published_loss(published, tokenizer, *sides),
            "ours": lambda: ours(*sides, VARIANT)[0],
        }

    models, sides = {"published": published, "ours": ours}, batches(pairs, size, 0)
    moved = [{**side, "image": side["image"] * (1 + 1e-7 * torch.randn_like(side["image"]))} for side in sides]
    found, slopes = {}, {}
    with no_dropout(published, ours):
        for way, given in (("published", sides), ("ours", sides), ("moved", moved)):
            loss = losses(given)["ours" if way == "ours" else "published"]()
            loss.backward()
            found[way], slopes[way] = loss.item(), gradients(ours if way == "ours" else published)
    result = {
        "pairs": 2 * pairs, "pixels": size, "texts": captions()[1], "loss": found["published"],
        "loss_difference": abs(found["published"] - found["ours"]),
        "gradient_difference": difference(slopes["ours"], slopes["published"]),
        # ReLUs that flip: how far the published gradient is from itself when pixels move by a rounding error
        "gradient_noise": difference(slopes["moved"], slopes["published"]),
    }  # fmt: skip
    del loss, slopes

    optimizers = {"published": theirs.published_optimizer(published), "ours": our_optimizer(ours)}
    seconds: dict[str, list[float]] = {way: [] for way in models}
    tokens = {"padded": 0, "real": 0}
    for seed in range(1, repetitions + 1):
        sides = batches(pairs, size, seed)
        for way, loss in losses(sides).items():
            seconds[way].append(timed(lambda w=way, f=loss: one_step(models[w], f, optimizers[w])))
        for side in sides:
            mask = ours.text_encoder.tokenize(side["text"])["attention_mask"]
            tokens["padded"] += mask.numel()
            tokens["real"] += int(mask.sum())
    each = {way: 2 * pairs / statistics.median(took) for way, took in seconds.items()}
    ratios = sorted(a / b for a, b in zip(seconds["published"], seconds["ours"], strict=True))  # batch by batch
    result |= {"tokens": tokens, "seconds": seconds, "pairs_per_second": each}
    result |= {"ratio": statistics.median(ratios), "ratio_range": [ratios[0], ratios[-1]]}

    sides = batches(pairs, size, 1)
    categories, targets = sides[0]["category"], soft_targets(sides[0]["category"])
    ways = {
        "published": (
            lambda pixels: theirs.image_vectors(published, pixels),
            lambda texts: theirs.text_vectors(published, tokenizer, texts),
            lambda *vectors: theirs.loss_of_vectors(published, categories, *vectors),
        ),
        "ours": (
            ours.encode_image,
            ours.encode_text,
            lambda *vectors: mixed_loss(VARIANT, *vectors, ours.scale, targets, ours.text_revision)[0],
        ),
    }
    result["parts"] = {way: parts(*ways[way], models[way], optimizers[way], sides) for way in models}
    return result
