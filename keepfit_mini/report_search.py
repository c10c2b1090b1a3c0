"""A trained model writes: greedily, or by beam search (paper, FFA-IR task: width 3, 90 words, no repeated trigram).

Every step asks for the logits of the next word of N x K half-written reports, with keys and values kept or (for a check and a
comparison of speed) all words anew. Not about: the network (report_decoder.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .report_decoder import ReportDecoder
from .report_vocabulary import BEGIN, END, PAD, UNKNOWN


@dataclass(frozen=True)
class Written:
    """One report: its word numbers without BEGIN and END, and the sum of the log-likelihoods of its words, END included.

    ended: whether the model said END, or the limit did."""

    words: tuple[int, ...]
    log_likelihood: float
    ended: bool


@torch.inference_mode()
def search(
    decoder: ReportDecoder, memory: Tensor, seen: Tensor, limit: int = 90, width: int = 3, block: int = 0, keep: bool = True
) -> list[Written]:
    """Patches (N,P,D) of N studies, and which of them there are (N,P) -> N reports. width 1: greedy.

    block  no run of so many words comes twice (0: may); PAD, BEGIN and UNKNOWN are never written
    keep   False: no keys and values are kept; the same words, slower
    Of the finished reports of a study, the one with the highest mean log-likelihood a word is taken.
    """
    n, device = len(memory), memory.device
    words = torch.full((n * width, 1), BEGIN, device=device)
    score = torch.full((n, width), float("-inf"), device=device)
    score[:, 0] = 0.0  # all beams begin alike: the first step fans out from one
    memory, seen = memory.repeat_interleave(width, 0), seen.repeat_interleave(width, 0)  # (N K, P, D), (N K, P)
    kept = decoder.nothing_kept() if keep else None
    done: list[list[Written]] = [[] for _ in range(n)]
    for step in range(limit + 1):
        logits = decoder(words if kept is None or step == 0 else words[:, -1:], memory, seen, kept)[:, -1]  # (N K, W)
        chance = logits.float().log_softmax(-1)
        chance[:, [PAD, BEGIN, UNKNOWN]] = float("-inf")
        if step == limit:  # the limit says END
            ends = chance[:, END].view(n, width)
            for i in range(n):
                for k in range(width):
                    if score[i, k] > float("-inf"):
                        said = (score[i, k] + ends[i, k]).item()
                        done[i].append(Written(tuple(words[i * width + k, 1:].tolist()), said, False))
            break
        if block:
            forbid_repeats(chance, words, block)
        total = (score.view(-1, 1) + chance).view(n, -1)  # (N, K W)
        best, at = total.topk(2 * width, dim=1)  # twice as many: some of them end
        beam, word = at // chance.shape[1], at % chance.shape[1]
        going, chosen, new = [], [], []
        for i in range(n):
            alive: list[tuple[float, int, int]] = []
            for rank, (value, k, w) in enumerate(zip(best[i].tolist(), beam[i].tolist(), word[i].tolist(), strict=True)):
                if value == float("-inf"):
                    continue
                if w == END:
                    if rank < width:
                        done[i].append(Written(tuple(words[i * width + k, 1:].tolist()), value, True))
                elif len(alive) < width:
                    alive.append((value, i * width + k, w))
            if len(done[i]) >= width:  # enough ends, unless what still runs is likelier a word so far
                worst = sorted(map(mean_log_likelihood, done[i]))[-width]
                alive = [one for one in alive if width > 1 and one[0] / (step + 2) > worst]
            alive += [(float("-inf"), i * width, PAD)] * (width - len(alive))
            for value, row, w in alive:
                going.append(value), chosen.append(row), new.append(w)
        if max(going) == float("-inf"):
            break
        order = torch.tensor(chosen, device=device)
        words = torch.cat([words[order], torch.tensor(new, device=device)[:, None]], 1)
        score = torch.tensor(going, device=device).view(n, width)
        if kept is not None and width > 1:
            for one in kept:
                one["words"] = tuple(tensor[order] for tensor in one["words"])
    return [max(reports, key=mean_log_likelihood) for reports in done]


def mean_log_likelihood(report: Written) -> float:
    """A word, END included: otherwise short reports would always win."""
    return report.log_likelihood / (len(report.words) + 1)


def forbid_repeats(chance: Tensor, words: Tensor, block: int) -> None:
    """Set to -inf, in place, each word that would repeat a run of `block` words. chance (R,W), words (R,L)."""
    for row, written in enumerate(words.tolist()):
        last = written[len(written) - block + 1 :]
        if len(written) < block:
            continue
        again = [written[i + block - 1] for i in range(len(written) - block + 1) if written[i : i + block - 1] == last]
        chance[row, again] = float("-inf")
