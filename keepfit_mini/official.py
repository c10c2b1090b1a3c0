"""The authors' published architecture and how their checkpoints load into ours (lxirich/MM-Retinal, commit dbbb1f0).

What their code does differently from their paper is kept here on request: softmax over the heads, pooling over padding.
"""

from __future__ import annotations

from torch import Tensor

from .config import InputError, ModelConfig
from .model import KeepFIT


def official_config(bert_vocab_size: int = 28996, bert_layers: int = 12, bert_intermediate_size: int = 3072) -> ModelConfig:
    """The published architecture, no weights fetched: ResNet-50, BERT-base (cased), D = 512, softmax over the heads.

    The three arguments may shrink the BERT. The authors' pooling counts padding, and is kept so here.
    """
    return ModelConfig(
        image_encoder="resnet50",
        image_size=512,
        text_encoder="emilyalsentzer/Bio_ClinicalBERT",
        text_weights=False,
        text_config={
            "vocab_size": bert_vocab_size,
            "num_hidden_layers": bert_layers,
            "intermediate_size": bert_intermediate_size,
        },
        text_pooling="published",
        max_tokens=256,
        dim=512,
        normalize_over="heads",
    )


# the authors' prefix -> ours
OFFICIAL_NAMES = {
    "vision_model.model.": "image_encoder.model.",
    "vision_model.projection_head_vision.": "image_projection.",
    "text_model.model.": "text_encoder.model.",
    "text_model.projection_head_text.": "text_projection.",
    "attention.": "text_revision.",
    "logit_scale": "logit_scale",
}


def load_official_state_dict(model: KeepFIT, state_dict: dict[str, Tensor]) -> KeepFIT:
    """Load the authors' weights in place and return the model. `position_ids` (a constant) is ignored.

    InputError, nothing loaded: a key that fits nowhere, a key that is missing, a tensor of another shape.
    """
    renamed = {}
    for key, tensor in state_dict.items():
        if key.endswith("position_ids"):
            continue
        prefix = next((p for p in OFFICIAL_NAMES if key.startswith(p)), None)
        if prefix is None:
            raise InputError(f"key {key!r} belongs to no part of KeepFIT: is this a KeepFIT checkpoint?")
        renamed[OFFICIAL_NAMES[prefix] + key.removeprefix(prefix)] = tensor
    ours = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("text_fusion.")}
    for word, names in (("has no place for", renamed.keys() - ours.keys()), ("lacks", ours.keys() - renamed.keys())):
        if names:
            who = "this model" if word.startswith("has") else "the checkpoint"
            raise InputError(f"{who} {word} {len(names)} tensors, the first is {min(names)!r}: check official_config(...)")
    for name, tensor in renamed.items():
        if tensor.shape != ours[name].shape:
            raise InputError(
                f"{name} is {tuple(tensor.shape)} in the checkpoint, {tuple(ours[name].shape)} in the model: "
                "check official_config(...)"
            )
    model.load_state_dict(renamed, strict=False)
    return model
