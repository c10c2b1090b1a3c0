"""The losses of KeepFIT as pure functions (paper section 2.2 and equations 1 to 6).

    L = L_pub + L_exp + 100 L_rev

L_pub is contrastive with "same category = positive"; L_exp is contrastive with one positive a row (plain CLIP);
L_rev = MSE(T, R) pulls a public text towards what the expert pairs say. Not about: where the embeddings come from.

Symbols: V image (B,D), T text (B,D), V' expert_image (M,D), T' expert_text (M,D), all of length one;
s scale = exp(logit_scale); Y targets (B,B).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from .config import VARIANTS
from .text_revision import TextFusion, TextRevision


def soft_targets(categories: Sequence[str]) -> Tensor:
    """B category names -> Y (B,B): Y_ij = 1[c_i = c_j] / sum_j 1[c_i = c_j]; rows sum to one."""
    index = {name: i for i, name in enumerate(dict.fromkeys(categories))}
    c = torch.tensor([index[name] for name in categories])
    same = (c[:, None] == c[None, :]).float()  # (B, B)
    return same / same.sum(dim=1, keepdim=True)


def soft_clip_loss(image: Tensor, text: Tensor, scale: Tensor | float, targets: Tensor) -> Tensor:
    """Contrastive loss 1/2 [CE(s T V^T, Y) + CE(s V T^T, Y)] -> scalar. Y = identity gives CLIP's own loss."""
    logits = scale * text @ image.T  # (B, B), rows are texts
    targets = targets.to(logits)
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2


def mixed_loss(
    variant: str,
    image: Tensor,
    text: Tensor,
    expert_image: Tensor | None,
    expert_text: Tensor | None,
    scale: Tensor | float,
    targets: Tensor,
    revision: TextRevision | None = None,
    fusion: TextFusion | None = None,
    weight: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one mixed batch for one of config.VARIANTS -> total, {"public", "expert", "revision"} (unweighted).

    weight of L_rev: None = 100, but 1 for "revision" (as the authors' ablation has it, where L_exp is absent too).
    L_rev compares R with the text before fusion, and no gradient is stopped. ValueError: unknown variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown: give one of {', '.join(VARIANTS)}")
    steps = variant.split("+")
    zero = image.new_zeros(())
    expert_loss, revision_loss = zero, zero
    if "revision" in steps:
        revised, _ = revision(image, expert_image, expert_text)  # (B, D)
        revision_loss = mse_loss(text, revised)
    if "fusion" in steps:
        text, expert_text = fusion(image, text, expert_image, expert_text)
    public_loss = soft_clip_loss(image, text, scale, targets)
    if "mixed" in steps:
        expert_loss = soft_clip_loss(expert_image, expert_text, scale, torch.eye(len(expert_image)))
    if weight is None:
        weight = 1.0 if variant == "revision" else 100.0
    total = public_loss + expert_loss + weight * revision_loss
    return total, {"public": public_loss, "expert": expert_loss, "revision": revision_loss}
