"""Tags: which findings a report names, asked of the pictures directly while the writer learns (after Jing et al. 2018).

A report is forty words, of which two or three say what is in the pictures: on their own they teach the image encoder slowly.
So the training reports are read (report_findings.py; no other label is used), and a linear map over the patches of all views
must say the same. Not in the paper, whose encoder comes from ImageNet; ReportTraining.tag_weight = 0 leaves it out.
Not about: writing, which never looks at the tags.

Symbols: N studies, V views of one, S of the study with most, P patches of one view, D width, F tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from .phantom import FINDINGS, SEVERITIES, Finding
from .phantom_phases import PLACES

# A finding, a finding with its place, a finding with its severity: F = 5 * (1 + 6 + 3).
TAGS = [(name, what) for name in FINDINGS["FFA"] for what in ("", "disc", *PLACES, *SEVERITIES)]


def tags_of(findings: Iterable[Finding]) -> Tensor:
    """Findings of a report -> (F,) of 1 (said), 0 (not) and nan: the place or severity of a finding, which it leaves open."""
    said, open_ = set(), set()
    for f in findings:
        said |= {(f.name, ""), (f.name, f.place), (f.name, f.severity)}
        open_ |= {(f.name, what) for what in (() if f.place else ("disc", *PLACES))}
        open_ |= {(f.name, what) for what in (() if f.severity else SEVERITIES)}
    return torch.tensor([1.0 if tag in said else float("nan") if tag in open_ else 0.0 for tag in TAGS])


class TagHead(nn.Linear):
    """Patches (N, V P, D), views in order of time, and the turns (0 .. S - 1) at which a study's views stand -> logits (N, F).

    Each of S turns has weights of its own. A turn without a view counts as 0."""

    def __init__(self, turns: int, patches: int, dim: int):
        super().__init__(turns * patches * dim, len(TAGS))
        self.turns, self.patches = turns, patches

    def forward(self, x: Tensor, turns: Sequence[Sequence[int]]) -> Tensor:
        spread = x.new_zeros(len(x), self.turns, self.patches, x.shape[-1])
        for study, taken in enumerate(turns):
            spread[study, list(taken)] = x[study, : len(taken) * self.patches].unflatten(0, (len(taken), self.patches))
        return super().forward(spread.flatten(1))


def tag_loss(logits: Tensor, tags: Tensor) -> Tensor:
    """Binary cross-entropy (N,F), (N,F): sum over the tags that are not nan, mean over studies -> scalar."""
    asked = ~tags.isnan()
    return (binary_cross_entropy_with_logits(logits, tags.nan_to_num(), reduction="none") * asked).sum(1).mean()
