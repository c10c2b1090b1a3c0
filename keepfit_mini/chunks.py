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


def again_in_backward(function: Callable[..., Tensor], module: nn.Module, *inputs) -> Tensor:
    """function(*inputs), which runs `module`; nothing is kept for the backward pass but the inputs and the random state."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), statistics_kept(module))
    )  # fmt: skip


def in_chunks(function: Callable[[Tensor], Tensor], module: nn.Module, rows: Tensor, size: int) -> Tensor:
    """function over rows (B,...) -> (B,...), `size` rows at a time; size 0: all at once, activations kept."""
    if not size:
        return function(rows)
    return torch.cat([again_in_backward(function, module, part) for part in rows.split(size)])


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norm's running statistics stay: the first pass has already moved them."""
    norms = {norm: norm.momentum for norm in module.modules() if isinstance(norm, _BatchNorm)}
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
