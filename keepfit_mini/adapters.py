"""Four ways to turn a few labelled pictures into a classifier, on features that stay as they are (paper, "Evaluation").

    linear-probe   logistic regression on the encoder's features
    clip-adapter   x <- r MLP(x) + (1-r) x, length one;  logits s x W^T           (Gao et al. 2021)
    tip-adapter    logits s x W^T + alpha sum over shots exp(-beta (1 - x key)) one-hot;  nothing is trained
    tip-adapter-f  the same, its keys trained                                     (Zhang et al. 2022)

Each comes in two ways. Published: the authors' settings, and digit for digit what their code does. Sound: full batches, the
same logits in training and test, classes of equal weight, and settings chosen by cross-validation within the shots.
Not about: which rows are shots (few_shot.py), where features come from (features.py).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from .config import InputError

C, RATIO, ALPHA, BETA, SCALE, EPOCHS = 0.316, 0.2, 1.0, 5.0, 100.0, 40  # as published
FIRST_SCALE = 1 / 0.07  # s where training starts, for callers that have no model

# What the sound way chooses from; the first is taken where nothing can be validated. Found on kept-out and drawn pictures.
# C = 10 on features of length one asks for as much as .316 does on a small encoder's features, of length six.
INVERSE_PENALTIES = (10.0, 1.0, 100.0)
CLIP_SETTINGS = ((RATIO, 10), (0.5, 10), (RATIO, 50), (0.5, 50))  # ratio, steps; a wrong text takes the last to be left
# share of the text, alpha, beta; alpha counts a class's mean over its shots (as published it counts their sum)
CACHE_SETTINGS = ((1.0, 3.0, BETA), *itertools.product((1.0, 0.3, 0.1), (3.0, 10.0, 30.0), (BETA, 10.0)))
FOLDS = 3  # of the cross-validation within the shots
CLIP_LR, TIP_LR, TIP_STEPS = 1e-2, 1e-3, 20  # full batches; longer, and the few shots are learnt by heart


@dataclass
class Shots:
    """What every protocol is given: features x (K,D), labels (K,), class vectors W (C,D) or None, C, s, a seed."""

    x: Tensor
    labels: Tensor
    text: Tensor | None
    classes: int
    scale: float
    seed: int

    @property
    def one_hot(self) -> Tensor:
        """(K, C)"""
        return one_hot(self.labels, self.classes).to(self.x)

    def shares(self, kept: Tensor) -> Tensor:
        """Each kept row's share of its class, 0 for the others: kept (F,K) -> (F,K), every class that is there adds up to 1."""
        members = kept[:, :, None] * self.one_hot  # (F, K, C)
        return (members / members.sum(1, keepdim=True).clamp(min=1)).sum(2)


def adapt(
    protocol: str,
    train_features,
    train_labels,
    test_features,
    text_features=None,
    logit_scale: float | None = None,
    published: bool = False,
    seed: int = 0,
) -> Tensor:
    """Shots and pictures to be told -> class probabilities (N,C). Tensors or arrays in, none of them is changed.

    train_features (K,D), train_labels (K,) class numbers, test_features (N,D)
    text_features  class vectors W (C,D), used as given; the linear probe does without, C is then the highest label + 1
    logit_scale    the multiplier s, not its logarithm; None: 1/0.07
    published      as the authors' code does it, oddities included
    seed           of the adapter's first weights, the order of the published steps, the cross-validation
    InputError: an unknown protocol, shapes or labels that do not fit, an adapter without text_features.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r} is unknown: give one of {', '.join(PROTOCOLS)}")
    with torch.inference_mode(False), torch.enable_grad():  # adapters learn, wherever they are called from
        x, test = own(train_features), own(test_features)  # (K, D), (N, D)
        text = None if text_features is None else own(text_features)  # (C, D)
        labels = torch.as_tensor(train_labels).detach().cpu().long().clone()  # (K,)
        check_shapes(protocol, x, labels, test, text)
        if not published:  # all of length one, and in an order of their own: the caller's changes nothing
            x, test = normalize(x, dim=1), normalize(test, dim=1)
            order = sorted(range(len(x)), key=lambda row: (int(labels[row]), x[row].tolist()))
            x, labels = x[order], labels[order]
        classes = len(text) if text is not None else int(labels.max()) + 1
        scale = FIRST_SCALE if logit_scale is None else float(torch.as_tensor(logit_scale).detach())
        sound, as_published = METHODS[protocol]
        method = as_published if published else sound
        return method(Shots(x, labels, text, classes, scale, seed), test).detach().float()


def own(features) -> Tensor:
    """A float32 copy on the CPU: the published Tip-Adapter-F writes into what it is given."""
    return torch.as_tensor(features).detach().to("cpu", torch.float32, copy=True)


def check_shapes(protocol: str, x: Tensor, labels: Tensor, test: Tensor, text: Tensor | None) -> None:
    if x.ndim != 2 or test.ndim != 2 or x.shape[1] != test.shape[1]:
        raise InputError(f"features are {tuple(x.shape)} and {tuple(test.shape)}: give (K,D) and (N,D) of one D")
    if labels.shape != x.shape[:1] or not len(labels):
        raise InputError(f"labels are {tuple(labels.shape)}, features {tuple(x.shape)}: give a class number a row, and a row")
    if text is None and protocol != "linear-probe":
        raise InputError(f"{protocol} starts from class vectors: give text_features (C,D)")
    if text is not None and protocol != "linear-probe" and text.shape[1:] != x.shape[1:]:
        raise InputError(f"text_features are {tuple(text.shape)}, picture features {tuple(x.shape)}: give both of one D")
    if labels.min() < 0 or (text is not None and labels.max() >= len(text)):
        highest = "" if text is None else f" to {len(text) - 1}"
        raise InputError(f"labels go from {labels.min()} to {labels.max()}: give class numbers from 0{highest}")
    if not (x.isfinite().all() and test.isfinite().all()):
        raise InputError("features hold numbers that are not finite: compute them anew")


def validate(fit: Callable, settings: Sequence, shots: Shots, test: Tensor) -> tuple[Tensor, Any]:
    """Choose a setting by cross-validation within the shots -> probabilities (N,C) of the test pictures, the setting.

    fit(shots, kept, x, settings) learns from the kept rows of each fold (F,K) -> probabilities (F,S,len(x),C). The last fold
    keeps all rows. The best setting has the best held-out log-likelihood, every class weighing the same; it must beat
    settings[0] by more than the standard error of their difference, or settings[0] it is. So too where a class has a single
    row, and nothing can be held out.
    """
    counts, everything = shots.labels.bincount(), torch.ones(1, len(shots.labels), dtype=torch.bool)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    if folds < 2:
        return fit(shots, everything, test, settings[:1])[0, 0], settings[0]
    parts = StratifiedKFold(folds, shuffle=True, random_state=shots.seed).split(shots.x, shots.labels)
    held = torch.stack([torch.zeros(len(shots.labels)).index_fill(0, torch.as_tensor(rows), 1).bool() for _, rows in parts])
    chances = fit(shots, torch.cat([~held, everything]), torch.cat([shots.x, test]), settings).detach()  # (F, S, K+N, C)
    right = chances[:-1, :, torch.arange(len(shots.labels)), shots.labels].double()  # (F-1, S, K): of the true class
    log = (right.clamp(min=1e-6).log() * held[:, None]).sum(0)  # (S, K): each row when it was held out
    gain = (log - log[0]) * shots.shares(everything) * len(shots.labels)
    best = int((gain.mean(1) - gain.std(1) / len(shots.labels) ** 0.5).argmax())
    return chances[-1, best, len(shots.labels) :], settings[best]


# ------------------------------------------------------------------------------------------------------ linear probe


def logistic(x: Tensor, labels: Tensor, test: Tensor, classes: int, inverse_penalty: float) -> Tensor:
    """(N,C); a class that no shot shows has probability 0."""
    if len(labels.unique()) < 2:
        raise InputError("the shots show one class only: a linear probe needs two or more")
    model = LogisticRegression(C=inverse_penalty, max_iter=1000, class_weight="balanced").fit(x.numpy(), labels.numpy())
    chances = torch.zeros(len(test), classes)
    chances[:, model.classes_] = torch.as_tensor(model.predict_proba(test.numpy())).float()
    return chances


def published_probe(shots: Shots, test: Tensor) -> Tensor:
    return logistic(shots.x, shots.labels, test, shots.classes, C)


def sound_probe(shots: Shots, test: Tensor) -> Tensor:
    """Features have length one here, so that a penalty means the same for every encoder."""
    if len(shots.x) < shots.x.shape[1]:  # weights lie in the span of the shots: the same answer from K numbers a picture
        axes = torch.linalg.svd(shots.x, full_matrices=False).Vh.T  # (width, K)
        shots, test = replace(shots, x=shots.x @ axes), test @ axes
    return validate(fit_probes, INVERSE_PENALTIES, shots, test)[0]


def fit_probes(shots: Shots, kept: Tensor, x: Tensor, settings: Sequence[float]) -> Tensor:
    with config_context(assume_finite=True, skip_parameter_validation=True):  # checked once, not a dozen times: a third sooner
        each = [[logistic(shots.x[rows], shots.labels[rows], x, shots.classes, c) for c in settings] for rows in kept]
    return torch.stack([torch.stack(probes) for probes in each])  # (F, S, N, C)


# ------------------------------------------------------------------------------------------------------ CLIP-Adapter


def new_layers(width: int, seed: int) -> tuple[nn.Linear, nn.Linear]:
    """D -> D/4 -> D without bias, the same for the same seed; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would reach every GPU
        return nn.Linear(width, width // 4, bias=False), nn.Linear(width // 4, width, bias=False)


def adapted(x: Tensor, down: Tensor, up: Tensor, ratio: float | Tensor) -> Tensor:
    """(N,D) -> (N,D), or (...,N,D) for many adapters: down (...,D/4,D), up (...,D,D/4), ratio (...,1,1)."""
    changed = (x @ down.mT).relu() @ up.mT
    return normalize(ratio * changed.relu() + (1 - ratio) * x, dim=-1)


def published_clip_adapter(shots: Shots, test: Tensor) -> Tensor:
    down, up = train_published_clip_adapter(shots)
    return (shots.scale * adapted(test, down, up, RATIO) @ shots.text.T).softmax(-1)


def train_published_clip_adapter(shots: Shots) -> tuple[Tensor, Tensor]:
    """One shot a step, always in the same order; the weights of both layers."""
    order, (down, up) = shuffled(len(shots.x), shots.seed), new_layers(shots.x.shape[1], shots.seed)
    weights = [down.weight, up.weight]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(order))
    for row in order * EPOCHS:
        logits = shots.scale * adapted(shots.x[[row]], *weights, RATIO) @ shots.text.T  # (1, C)
        step(optimizer, cross_entropy(logits, shots.labels[[row]]))
        schedule.step()
    return down.weight, up.weight


def sound_clip_adapter(shots: Shots, test: Tensor) -> Tensor:
    return validate(fit_clip_adapters, CLIP_SETTINGS, shots, test)[0]


def fit_clip_adapters(shots: Shots, kept: Tensor, x: Tensor, settings: Sequence[tuple[float, int]]) -> Tensor:
    """An adapter for each fold and (ratio, steps), trained side by side on all rows at each step -> (F,S,N,C)."""
    ratios, stops = sorted({ratio for ratio, _ in settings}), {steps for _, steps in settings}
    layers = new_layers(shots.x.shape[1], shots.seed)
    weights = [layer.weight.detach().repeat(len(kept), len(ratios), 1, 1).requires_grad_() for layer in layers]  # (F, R, ., .)
    ratio, shares = torch.tensor(ratios).view(-1, 1, 1), shots.shares(kept)[:, None]  # (R, 1, 1), (F, 1, K)

    def logits(x: Tensor) -> Tensor:
        return shots.scale * adapted(x, *weights, ratio) @ shots.text.T  # (F, R, N, C)

    optimizer, found = torch.optim.AdamW(weights, lr=CLIP_LR, eps=1e-4, fused=True), {}
    for done in range(1, max(stops) + 1):
        step(optimizer, balanced_loss(logits(shots.x), shots.labels, shares))
        if done in stops:  # fewer steps are the same adapter, looked at sooner
            found[done] = logits(x).softmax(-1).detach()
    return torch.stack([found[steps][:, ratios.index(ratio)] for ratio, steps in settings], dim=1)


# ------------------------------------------------------------------------------------- Tip-Adapter and Tip-Adapter-F


def recalled(affinity: Tensor, values: Tensor, beta: float | Tensor) -> Tensor:
    """Cosines to the shots (...,N,K), what each shot says (K,C) -> what they say together (...,N,C)."""
    return (-beta * (1 - affinity)).exp() @ values


def published_tip_adapter(shots: Shots, test: Tensor) -> Tensor:
    logits = SCALE * test @ shots.text.T + ALPHA * recalled(test @ shots.x.T, shots.one_hot, BETA)  # (N, C)
    return logits.softmax(-1)


def published_tip_adapter_f(shots: Shots, test: Tensor) -> Tensor:
    """The keys are the shots themselves, in one memory: each step moves the inputs of the next. Trained on other logits."""
    order, keys, values = shuffled(len(shots.x), shots.seed), nn.Parameter(shots.x), shots.one_hot
    optimizer = torch.optim.AdamW([keys], lr=1e-3, eps=1e-4)
    for row in order * EPOCHS:
        x = shots.x[[row]]  # (1, D), as the last step left it
        logits = shots.scale * (x @ shots.text.T + recalled(x @ keys.T, values, BETA) / len(order))
        step(optimizer, cross_entropy(logits, shots.labels[[row]]))
    return published_tip_adapter(replace(shots, x=keys.detach()), test)


def sound_tip_adapter(shots: Shots, test: Tensor) -> Tensor:
    return validate(fit_tip_adapters, CACHE_SETTINGS, shots, test)[0]


def sound_tip_adapter_f(shots: Shots, test: Tensor) -> Tensor:
    """Settings chosen with keys as they are: as good as training them for each setting and fold, and far sooner."""
    setting = validate(fit_tip_adapters, CACHE_SETTINGS, shots, test)[1]
    everything = torch.ones(1, len(shots.x), dtype=torch.bool)
    return fit_tip_adapters(shots, everything, test, [setting], TIP_STEPS)[0, 0]


def fit_tip_adapters(
    shots: Shots, kept: Tensor, x: Tensor, settings: Sequence[tuple[float, float, float]], steps: int = 0
) -> Tensor:
    """A cache of the kept rows for each fold, an adapter for each (share of the text, alpha, beta) -> (F,S,N,C).

    steps  of training on the keys, which all folds and settings then share: for one of each only
    """
    shares = shots.shares(kept)  # (F, K): a class with more shots does not speak louder
    values = shares[:, :, None] * shots.one_hot  # (F, K, C)
    keys = shots.x.clone().requires_grad_(steps > 0)  # (K, D)

    def logits(x: Tensor) -> Tensor:
        affinity, text = x @ keys.T, shots.scale * x @ shots.text.T  # (N, K), (N, C)
        said = {beta: recalled(affinity, values, beta) for beta in {beta for _, _, beta in settings}}  # (F, N, C) each
        return torch.stack([share * text + alpha * said[beta] for share, alpha, beta in settings], dim=1)

    optimizer = torch.optim.AdamW([keys], lr=TIP_LR, eps=1e-4, fused=True)
    for _ in range(steps):
        step(optimizer, balanced_loss(logits(shots.x), shots.labels, shares[:, None]))
    return logits(x).softmax(-1)


# ------------------------------------------------------------------------------------------------------------- steps


def shuffled(rows: int, seed: int) -> list[int]:
    """The one order of all published steps; Python's global random state is left alone."""
    order = list(range(rows))
    random.Random(seed).shuffle(order)
    return order


def balanced_loss(logits: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """(...,K,C), each row's share of its class (...,K) -> cross entropy of classes of equal weight, summed over adapters."""
    chosen = logits.log_softmax(-1)[..., torch.arange(len(labels)), labels]  # (..., K)
    return -(chosen * shares).sum() / len(labels.unique())


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# protocol -> (the sound way, as published)
METHODS: dict[str, tuple[Callable, Callable]] = {
    "linear-probe": (sound_probe, published_probe),
    "clip-adapter": (sound_clip_adapter, published_clip_adapter),
    "tip-adapter": (sound_tip_adapter, published_tip_adapter),
    "tip-adapter-f": (sound_tip_adapter_f, published_tip_adapter_f),
}
PROTOCOLS = tuple(METHODS)
