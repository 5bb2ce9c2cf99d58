"""What a step of a beam search finds and decides. Shapes as in `beam_state`."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first.

    Args:
        scores: [S, 2b] float32, the total of the beam with the token's score added.
        tokens: [S, 2b] int64.
        beams: [S, 2b] int64, which beam each continues.
    """

    scores: Tensor
    tokens: Tensor
    beams: Tensor

    def ends(self, eos: int) -> Tensor:
        """Return which of them end a hypothesis, [S, 2b] bool."""
        return self.tokens.eq(eos) & self.scores.ne(-math.inf)

    def going_on(self, ends: Tensor) -> Candidates:
        """Return those that become beams: the first b that do not end, each part [S, b]; ends as of `ends`."""
        columns = torch.arange(self.tokens.size(1), device=self.tokens.device)
        order = ends * columns.numel() + columns
        chosen = torch.topk(order, columns.numel() // 2, dim=1, largest=False).indices
        return Candidates(*(part.gather(1, chosen) for part in self))


class Step(NamedTuple):
    """What a step decided.

    Args:
        rows: [S] int64, the sentences' numbers in the batch.
        candidates: of these sentences.
    """

    rows: Tensor
    candidates: Candidates


class Decision(NamedTuple):
    """A step of those sentences that make it.

    Args:
        goes: [S] bool, which they are.
        candidates: of all sentences; those of others mean nothing.
    """

    goes: Tensor
    candidates: Candidates

    def step(self, rows: Tensor) -> Step:
        """Return it for the sentences that make it; their numbers are in rows [S] int64. Reads the host."""
        return Step(rows[self.goes], Candidates(*(part[self.goes] for part in self.candidates)))


def in_lockstep(steps: list[Step]) -> list[Step]:
    """Return the same steps, those of all sentences together that are the nth of each, sentences in their order."""
    if not steps:
        return []
    rows = torch.cat([step.rows for step in steps])
    parts = [torch.cat(part) for part in zip(*(step.candidates for step in steps), strict=True)]
    order = torch.argsort(rows, stable=True)
    counts = torch.bincount(rows)
    nth = torch.empty_like(rows)
    first = (counts.cumsum(0) - counts)[rows[order]]  # where a sentence's begin in this order
    nth[order] = torch.arange(rows.numel(), device=rows.device) - first
    chosen = (order[nth[order] == n] for n in range(int(counts.max())))
    return [Step(rows[index], Candidates(*(part[index] for part in parts))) for index in chosen]
