"""One pretraining step written out plainly, as the authors' code takes it: what bench.py measures this package against.

    24 public and 24 expert pairs -> V, T, V', T' -> L_pub + L_exp + 100 L_rev -> backward, clip, AdamW

ResNet-50 in torch's default memory layout and BERT-base with its eager attention; every text is encoded as often as it
occurs, padded to the longest of its batch. In two places it follows the paper, or us, rather than the code, so that both ways
have one loss: attention over the expert pairs, and padding left out of the mean. Not about: training; nothing imports this
file but the bench and its test.

Symbols: V images (B,D), T texts (B,D), V', T' the experts' (M,D), all of length one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, normalize

DIM, HEADS, DROPOUT, MAX_TOKENS = 512, 2, 0.5, 256


def published_model(bert: dict) -> nn.ModuleDict:
    """Random weights under the authors' names, so official.load_official_state_dict carries them over to ours.

    bert  settings of transformers.BertConfig; {"vocab_size": 28996} is the published one
    """
    from transformers import BertConfig, BertModel

    def linear(width: int) -> nn.Linear:
        return nn.Linear(width, DIM, bias=False)

    resnet, text = torchvision.models.resnet50(), BertModel(BertConfig(**bert, attn_implementation="eager"))
    resnet.fc = nn.Identity()
    text_width = text.config.hidden_size
    model = nn.ModuleDict({
        "vision_model": nn.ModuleDict({
            "model": resnet, "projection_head_vision": nn.ModuleDict({"projection": linear(2048)})}),
        "text_model": nn.ModuleDict({
            "model": text, "projection_head_text": nn.ModuleDict({"projection": linear(text_width)})}),
        "dropout": nn.Dropout(DROPOUT),
        "attention": nn.ModuleDict({name: linear(DIM) for name in ("W_q", "W_k", "W_v", "W_o")}),
    })  # fmt: skip
    model.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
    return model.train()


def image_vectors(model: nn.ModuleDict, pixels: Tensor) -> Tensor:
    """(B,3,H,W) in [0,1] -> V (B,D)"""
    part = model["vision_model"]
    features = part["model"](pixels)  # (B, 2048)
    return normalize(part["projection_head_vision"]["projection"](normalize(features, dim=-1)), dim=-1)


def text_vectors(model: nn.ModuleDict, tokenizer, texts: Sequence[str]) -> Tensor:
    """B strings -> T (B,D)"""
    part = model["text_model"]
    tokens = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt")
    mask = tokens["attention_mask"].unsqueeze(-1)  # (B, L, 1)
    hidden = part["model"](tokens["input_ids"], tokens["attention_mask"]).last_hidden_state  # (B, L, 768)
    features = (hidden * mask).sum(1) / mask.sum(1)  # (B, 768)
    return normalize(part["projection_head_text"]["projection"](normalize(features, dim=-1)), dim=-1)


def revised_text(model: nn.ModuleDict, image: Tensor, expert_image: Tensor, expert_text: Tensor) -> Tensor:
    """V (B,D), V' (M,D), T' (M,D) -> R (B,D): two heads of 256, each picture over the M expert pairs."""
    part, width = model["attention"], DIM // HEADS
    query = part["W_q"](image).view(-1, HEADS, width).transpose(0, 1)  # (H, B, D/H)
    key = part["W_k"](expert_image).view(-1, HEADS, width).transpose(0, 1)  # (H, M, D/H)
    value = part["W_v"](expert_text).view(-1, HEADS, width).transpose(0, 1)  # (H, M, D/H)
    weights = torch.softmax(query @ key.transpose(1, 2) / width**0.5, dim=-1)  # (H, B, M)
    heads = model["dropout"](weights) @ value  # (H, B, D/H)
    return part["W_o"](heads.transpose(0, 1).reshape(-1, DIM))


def contrastive(image: Tensor, text: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """1/2 [CE(s T V^T, Y) + CE(s V T^T, Y)], a scalar."""
    logits = scale * text @ image.T  # (B, B)
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2


def loss_of_vectors(
    model: nn.ModuleDict, categories: Sequence[str], image: Tensor, text: Tensor, expert_image: Tensor, expert_text: Tensor
) -> Tensor:
    """V, T, V', T' and the public rows' categories -> the loss, a scalar."""
    same = torch.tensor([[float(a == b) for b in categories] for a in categories])  # (B, B)
    revision = mse_loss(text, revised_text(model, image, expert_image, expert_text))
    scale = model.logit_scale.exp()
    public_loss = contrastive(image, text, scale, same / same.sum(1, keepdim=True))
    return public_loss + contrastive(expert_image, expert_text, scale, torch.eye(len(expert_image))) + 100 * revision


def published_loss(model: nn.ModuleDict, tokenizer, public: dict, expert: dict) -> Tensor:
    """The loss of one mixed batch; each side is {"image" (B,3,H,W), "text", "category"}."""
    image, text = image_vectors(model, public["image"]), text_vectors(model, tokenizer, public["text"])
    expert_image, expert_text = image_vectors(model, expert["image"]), text_vectors(model, tokenizer, expert["text"])
    return loss_of_vectors(model, public["category"], image, text, expert_image, expert_text)


def published_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-5)
