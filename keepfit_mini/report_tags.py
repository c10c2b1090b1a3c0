"""Tags: which findings a report names, asked of the pictures directly while the writer learns (after Jing et al. 2018).

A report is forty words, of which two or three say what is in the pictures: on their own they teach the image encoder slowly.
So the training reports are read (report_findings.py; no other label is used), and a linear map over the patches of all views
must say the same. Not in the paper, whose encoder comes from ImageNet; ReportTraining.tags = 0 leaves it out.
Not about: writing, which never looks at the tags.

Symbols: N studies, V views at most, P patches of one view, D width, F tags.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from .phantom import FINDINGS, SEVERITIES, Finding
from .phantom_phases import PLACES

# A finding with its place, a finding with its severity: F = 5 * (6 + 3).
TAGS = [(name, what) for name in FINDINGS["FFA"] for what in ("disc", *PLACES, *SEVERITIES)]


def tags_of(findings: Iterable[Finding]) -> Tensor:
    """Findings of a report -> (F,) of 0 and 1; what it leaves open stays 0."""
    said = {(f.name, what) for f in findings for what in (f.place, f.severity)}
    return torch.tensor([float(tag in said) for tag in TAGS])


class TagHead(nn.Linear):
    """Patches (N, patches, D) in order of time -> logits (N, F); patches of views that a study lacks count as 0."""

    def __init__(self, patches: int, dim: int):
        super().__init__(patches * dim, len(TAGS))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return super().forward(pad(flat, (0, self.in_features - flat.shape[1])))


def tag_loss(logits: Tensor, tags: Tensor) -> Tensor:
    """Binary cross-entropy (N,F), (N,F): sum over tags, mean over studies -> scalar."""
    return binary_cross_entropy_with_logits(logits, tags, reduction="none").sum(1).mean()
