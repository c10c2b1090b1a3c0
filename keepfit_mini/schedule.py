"""The learning rate over a run: a warm-up, then a cosine (paper section 3.1). Not about: what a step is (trainer.py)."""

from __future__ import annotations

import math

from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer, steps_per_epoch: int, warmup_epochs: float, schedule_epochs: float) -> LambdaLR:
    """Learning rate: linear from 1/W to 1 over W warm-up steps, then a cosine to 0 at the end of schedule_epochs."""
    warmup = round(steps_per_epoch * warmup_epochs)
    cosine = max(1, round(steps_per_epoch * schedule_epochs) - warmup)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / cosine))) / 2

    return LambdaLR(optimizer, factor)
