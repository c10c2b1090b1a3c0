"""Large contrastive batches on small memory: a batch is encoded in chunks whose activations are not kept.

A contrastive loss needs the vectors of the whole batch at once, but not the activations behind them. Each chunk is encoded
without keeping them, and once more, with the same dropout, when the backward pass comes to it: two passes for the memory of
one chunk ("gradient caching", Gao et al. 2021, arXiv 2101.06983). torch.utils.checkpoint does both passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def in_chunks(function: Callable[..., Tensor], module: nn.Module, size: int, *rows: Tensor) -> Tensor:
    """function(*rows), which runs `module`, on at most about `size` rows at a time; (B,...) each -> (B,...).

    size  0: all at once, activations kept. Chunks are of like length, none of a single row (batch norm could not take it).
    Each chunk moves batch norm's running statistics once, as a batch of its length would.
    """
    if not size or not torch.is_grad_enabled():
        return function(*rows)
    count = len(rows[0])
    pieces = max(1, min(-(-count // size), count // 2))
    # Tensors, not lists of strings: checkpoint keeps the random state of the devices that it sees among its arguments.
    parts = zip(*(tensor.tensor_split(pieces) for tensor in rows), strict=True)
    again = {"use_reentrant": False, "context_fn": lambda: (nullcontext(), statistics_kept(module))}
    return torch.cat([checkpoint(function, *part, **again) for part in parts])


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norm's running mean and variance stay: the first pass has already moved them."""
    norms = {norm: norm.momentum for norm in module.modules() if isinstance(norm, _BatchNorm)}
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
