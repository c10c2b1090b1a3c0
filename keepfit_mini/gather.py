"""Several processes, one batch: the rows of all are joined, gradients included, before any loss is taken.

A contrastive loss compares every picture with every text of a batch. If each of W processes only compared its own rows, more
processes would mean more small batches instead of one large one, and the revision would ask only its own experts. (The
published four-GPU loop also went past DistributedDataParallel's forward, so that even gradients were never exchanged.)
Not about: who sees which rows (data.Visits), or how weights are averaged (DistributedDataParallel, through Accelerate).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


class _JoinedRows(torch.autograd.Function):
    """(n_r, D) of this process r -> (n_0 + n_1 + ..., D), the same on all. Processes may have different numbers of rows."""

    @staticmethod
    def forward(ctx, rows: Tensor, counts: list[int], rank: int) -> Tensor:
        ctx.counts, ctx.rank = counts, rank
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor):
        # Every process took the loss L of the joined batch (each with its own dropout in the attention, so L is their mean):
        # the sum over W processes is W dL/drows; DistributedDataParallel divides by W when it averages the weights'
        # gradients, and dL/dweights is left.
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.split(ctx.counts)[ctx.rank], None, None


def processes() -> int:
    """How many train together; 1 where no process group was started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def join_lists(items: Sequence) -> list:
    """The items of all processes, in the order of the processes."""
    if processes() == 1:
        return list(items)
    lists = [None] * processes()
    dist.all_gather_object(lists, list(items))
    return [item for one in lists for item in one]


def join_rows(*sides: Tensor | None) -> list[Tensor | None]:
    """Each (n_r, D) -> (n_0 + n_1 + ..., D), in the order of the processes; None stays None. One process: as given.

    A process receives about 4 D (W - 1) n_r bytes a side, and twice that for the gradients (results/several_processes.md).
    """
    if processes() == 1:
        return list(sides)
    counts = join_lists([[0 if side is None else len(side) for side in sides]])  # W lists
    rank = dist.get_rank()
    return [None if side is None else _JoinedRows.apply(side, [of[i] for of in counts], rank) for i, side in enumerate(sides)]
