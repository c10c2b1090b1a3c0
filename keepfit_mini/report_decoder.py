"""The Transformer that writes: attention over the words so far, then over the pictures (paper, FFA-IR task; Vaswani et al. 2017).

A layer normalises first ("pre-norm"): x + self-attention, x + cross-attention, x + feed-forward. Every attention is one call of
scaled_dot_product_attention. Keys and values of words already written are kept, so a new word costs one step, not all of them.
Not about: which word is taken next (report_search.py), or how the model learns (report_training.py).

Symbols: N rows, L words, P patches of the pictures, D width; seen (N,P) is False where a row has no patch (it has fewer views).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

# Of one layer: keys and values (N, heads, L, D/heads) of the words so far, and those of the patches.
Kept = dict[str, tuple[Tensor, Tensor]]


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V with several heads, as torch.nn.MultiheadAttention, its packed map in three."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0):
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        """(N, L, D) -> (N, heads, L, D/heads)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.split(self.key(memory)), self.split(self.value(memory))

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, causal: bool = False, seen: Tensor | None = None
    ) -> Tensor:
        """x (N,L,D), keys and values (N,heads,P,D/heads) -> (N,L,D). causal: word i sees words up to i; seen (N,P) keys."""
        out = scaled_dot_product_attention(
            self.split(self.query(x)), keys, values, attn_mask=None if seen is None else seen[:, None, None],
            dropout_p=self.dropout if self.training else 0.0, is_causal=causal,
        )  # fmt: skip
        return self.out(out.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, keys: Tensor, seen: Tensor) -> Tensor:
        """How much each word looks at each key: (N, L, P), the mean over heads; rows sum to one. For figures alone."""
        query = self.split(self.query(x))
        scores = query @ keys.transpose(-2, -1) / query.shape[-1] ** 0.5  # (N, heads, L, P)
        return scores.masked_fill(~seen[:, None, None], float("-inf")).softmax(-1).mean(1)


class FeedForward(nn.Sequential):
    def __init__(self, dim: int, dropout: float):
        super().__init__(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))


class EncoderLayer(nn.Module):
    """Patches look at one another: (N,P,D) -> (N,P,D)."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.attention, self.feed_forward = Attention(dim, heads, dropout), FeedForward(dim, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        normed = self.norms[0](x)
        x = x + self.dropout(self.attention(normed, *self.attention.keys_values(normed), seen=seen))
        return x + self.dropout(self.feed_forward(self.norms[1](x)))


class DecoderLayer(nn.Module):
    """Words look at the words before them and at the patches: (N,L,D), memory (N,P,D) -> (N,L,D)."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.self_attention, self.cross_attention = (Attention(dim, heads, dropout) for _ in range(2))
        self.feed_forward = FeedForward(dim, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor | None = None, kept: Kept | None = None) -> Tensor:
        """kept: {} at the first word, and then what this call left in it; x then holds one new word (N,1,D).

        ValueError: several new words, where some are kept."""
        normed = self.norms[0](x)
        keys, values = self.self_attention.keys_values(normed)
        if kept is None or "patches" not in kept:
            patches = self.cross_attention.keys_values(memory)
        else:
            patches, before = kept["patches"], kept["words"]
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        if keys.shape[2] > x.shape[1] > 1:  # is_causal counts from the first key, not from the first new word
            raise ValueError(f"{x.shape[1]} new words, but words are kept: give one at a time")
        causal = x.shape[1] > 1  # a single new word may see everything that was kept
        if kept is not None:
            kept.update(words=(keys, values), patches=patches)
        x = x + self.dropout(self.self_attention(normed, keys, values, causal))
        x = x + self.dropout(self.cross_attention(self.norms[1](x), *patches, seen=seen))
        return x + self.dropout(self.feed_forward(self.norms[2](x)))


class ReportDecoder(nn.Module):
    """Word numbers (N,L), patches (N,P,D) and seen (N,P) -> logits of the next word (N,L,W), W words in the vocabulary."""

    def __init__(self, words: int, dim: int, heads: int, layers: int, dropout: float, limit: int):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(words, dim), nn.Embedding(limit + 2, dim)
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, dropout) for _ in range(layers))
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)
        self.next_word = nn.Linear(dim, words)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        nn.init.normal_(self.positions.weight, std=dim**-0.5)

    def forward(self, words: Tensor, memory: Tensor, seen: Tensor | None = None, kept: list[Kept] | None = None) -> Tensor:
        """kept: a list of {} for each layer (nothing_kept), the same from call to call: words is then the next one alone (N,1)"""
        x = self.embed(words, kept[0]["words"][0].shape[2] if kept and kept[0] else 0)
        for layer, one in zip(self.layers, kept or [None] * len(self.layers), strict=True):
            x = layer(x, memory, seen, one)
        return self.next_word(self.norm(x))

    def embed(self, words: Tensor, begin: int = 0) -> Tensor:
        """Word numbers (N,L), the first of which is the report's word `begin` -> (N,L,D)."""
        place = torch.arange(begin, begin + words.shape[1], device=words.device)
        return self.dropout(self.embedding(words) * self.embedding.embedding_dim**0.5 + self.positions(place))

    def nothing_kept(self) -> list[Kept]:
        return [{} for _ in self.layers]

    @torch.no_grad()
    def attention(self, words: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """Where the last layer looks in the pictures before it says the word after each of these: (N, L, P), rows sum to one."""
        x = self.embed(words)
        for layer in self.layers[:-1]:
            x = layer(x, memory, seen)
        last, normed = self.layers[-1], self.layers[-1].norms[0](x)
        x = x + last.self_attention(normed, *last.self_attention.keys_values(normed), causal=words.shape[1] > 1)
        return last.cross_attention.weights(last.norms[1](x), last.cross_attention.keys_values(memory)[0], seen)
