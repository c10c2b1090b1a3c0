"""Where a trained text revision looks: its weights for any pictures over a whole expert set.

Not about: the attention itself (text_revision.py), or how the weights are drawn (viz.attention).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .features import picture_features
from .model import KeepFIT


@torch.inference_mode()
def expert_attention(model: KeepFIT, images: Sequence[str | Path], expert: pd.DataFrame) -> np.ndarray:
    """Weight that text revision gives to each expert pair for each picture (N,M): the mean over the heads.

    In training a picture sees one expert batch; here it sees the whole expert set at once, without dropout.
    """
    model.eval()
    picture = picture_features(model, list(images), progress=False)["vectors"]  # (N, D)
    expert_image = picture_features(model, expert["image"].tolist(), progress=False)["vectors"]  # (M, D)
    texts = expert["text"].tolist()
    expert_text = torch.cat([model.encode_text(texts[i : i + 64]).cpu() for i in range(0, len(texts), 64)])  # (M, D)
    device = next(model.parameters()).device
    _, weights = model.text_revision(picture.to(device), expert_image.to(device), expert_text.to(device))  # (H, N, M)
    return weights.mean(0).cpu().numpy()
