"""Text revision: a public picture asks the expert pairs what its label's text should have said (paper section 2.3).

A public row has only a label, so its prompt is thin. Its picture looks for similar expert pictures and takes over their
captions: R = MHCA(query = V, key = V', value = T'). Not about: how R enters the loss (mixed_loss.py).

Symbols: V image (B,D), V' expert_image (M,D), T' expert_text (M,D), R revised (B,D); H heads of D/H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TextRevision(nn.Module):
    """Image-similarity-guided cross-attention, the paper's "expert knowledge extractor".

    dim             D, the width shared by pictures and texts; a multiple of heads
    heads, dropout  2 heads and dropout 0.5 on the attention weights, as published
    normalize_over  "experts": for each picture and head the weights of the M expert pairs sum to one (the paper).
                    "heads": the weights of the heads sum to one for each pair (the authors' code calls softmax
                    without `dim` on a 3-D tensor, for which PyTorch takes axis 0). With one head every weight is 1.
    """

    SOFTMAX_AXIS = {"experts": -1, "heads": -3}  # of scores (..., H, B, M)

    def __init__(self, dim: int, heads: int = 2, dropout: float = 0.5, normalize_over: str = "experts"):
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        if normalize_over not in self.SOFTMAX_AXIS:
            raise ValueError(f"normalize_over is {normalize_over!r}: give 'experts' or 'heads'")
        self.heads, self.axis = heads, self.SOFTMAX_AXIS[normalize_over]
        self.W_q = nn.Linear(dim, dim, bias=False)
        self.W_k = nn.Linear(dim, dim, bias=False)
        self.W_v = nn.Linear(dim, dim, bias=False)
        self.W_o = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, image: Tensor, expert_image: Tensor, expert_text: Tensor) -> tuple[Tensor, Tensor]:
        """(B,D), (M,D), (M,D) -> revised text R (B,D) and the attention weights before dropout (H,B,M)."""
        query = self._split(self.W_q(image))  # (H, B, D/H)
        key = self._split(self.W_k(expert_image))  # (H, M, D/H)
        value = self._split(self.W_v(expert_text))  # (H, M, D/H)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5  # (H, B, M)
        weights = torch.softmax(scores, dim=self.axis)  # (H, B, M)
        heads = self.dropout(weights) @ value  # (H, B, D/H)
        return self.W_o(heads.transpose(0, 1).flatten(1)), weights  # (B, D), (H, B, M)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(0, 1)  # (N, D) -> (H, N, D/H)


class TextFusion(nn.Module):
    """The ablation's rival of revision: both sides' texts are mixed by two 1-head attentions (paper table 2c).

    T  <- T  + attention(V,  V', T')    and    T' <- T' + attention(V', V, T)
    """

    def __init__(self, dim: int, dropout: float = 0.5, normalize_over: str = "experts"):
        super().__init__()
        self.public_to_expert = TextRevision(dim, 1, dropout, normalize_over)
        self.expert_to_public = TextRevision(dim, 1, dropout, normalize_over)

    def forward(self, image: Tensor, text: Tensor, expert_image: Tensor, expert_text: Tensor) -> tuple[Tensor, Tensor]:
        """(B,D), (B,D), (M,D), (M,D) -> fused text (B,D), fused expert text (M,D). Nothing is changed in place."""
        from_experts, _ = self.public_to_expert(image, expert_image, expert_text)
        from_public, _ = self.expert_to_public(expert_image, image, text)
        return text + from_experts, expert_text + from_public
