"""keepfit_mini: a minimal, educational reproduction of KeepFIT / MM-Retinal (MICCAI 2024)."""

from .adapters import adapt
from .config import PRESETS, VARIANTS, InputError, ModelConfig, TrainConfig
from .encoders import Projection, published_pooling
from .features import picture_features
from .few_shot import few_shot, split
from .manifests import read_manifest
from .mixed_loss import mixed_loss, soft_clip_loss, soft_targets
from .model import KeepFIT
from .official import load_official_state_dict, official_config
from .pictures import fit_square
from .schedule import warmup_cosine
from .text_revision import TextFusion, TextRevision
from .trainer import pretrain
from .zero_shot import class_vectors, zero_shot

__version__ = "0.1.0"
__all__ = [
    "PRESETS", "VARIANTS", "InputError", "KeepFIT", "ModelConfig", "Projection", "TextFusion", "TextRevision",
    "TrainConfig", "adapt", "class_vectors", "few_shot", "fit_square", "load_official_state_dict", "mixed_loss",
    "official_config", "picture_features", "pretrain", "published_pooling", "read_manifest", "soft_clip_loss",
    "soft_targets", "split", "warmup_cosine", "zero_shot",
]  # fmt: skip
