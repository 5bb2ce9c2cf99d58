"""What batches of a session are filled up to, and the memory that they are copied to."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.search.decode import Batch


def step_up(n: int) -> int:
    """Return the smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that is at least n."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if n <= power * 3 // 4 else power


class Shape(NamedTuple):
    """What batches of a session are filled up to: rows B, source positions S, and the step at which eos is forced.

    In a session that ``waits`` rows are only encoded; their rounds are made in another one, in which they take places.
    """

    rows: int
    width: int
    max_len: int
    waits: bool = False

    def joined(self, other: Shape, n_open: int) -> Shape | None:
        """Return a shape for a batch of another shape and the unfinished rows of this one.

        Returns:
            this shape where it does; None where the batch would be filled up to more than twice its size.
        """
        width, max_len = max(self.width, other.width), max(self.max_len, other.max_len)
        if (width, max_len) == (self.width, self.max_len) and other.rows <= self.rows:
            return self
        rows = max(step_up(n_open + 1), other.rows)
        return Shape(rows, width, max_len) if rows * width <= 2 * other.rows * other.width else None


class Inputs:
    """The sources of a session.

    Args:
        shape: of the session.
        batch: some batch; what all batches of a run have in common is taken.

    Attributes:
        tokens: [B, S] int64.
        lengths: [B] int64.
        first: [B] int64, the token each row starts with.
        is_filler: [B] bool, rows that fill the batch up.
        limits: the generation options; each row has its own last step.
    """

    def __init__(self, shape: Shape, batch: Batch) -> None:
        rows, like, limits = shape.rows, batch.first, batch.limits
        self.tokens = like.new_full((rows, shape.width), limits.pad)
        self.tokens[:, 0] = limits.eos
        self.lengths, self.first = like.new_ones(rows), like.new_full((rows,), limits.eos)
        self.is_filler = torch.zeros_like(self.first, dtype=torch.bool)
        self.limits = replace(limits, max_len=shape.max_len, last_steps=like.new_full((rows,), shape.max_len))

    @property
    def net_input(self) -> dict[str, Tensor]:
        """What encoders read."""
        return {"src_tokens": self.tokens, "src_lengths": self.lengths}

    def begin(self, batch: Batch) -> Tensor:
        """Take a batch of at most as many rows; fillers copy its first one.

        Returns:
            [B] int64, the row of the batch that each has.
        """
        fill = torch.arange(self.first.numel(), device=batch.first.device)
        self.is_filler.copy_(fill >= batch.n_rows)
        fill = fill.where(fill < batch.n_rows, 0)
        self.limits.last_steps.fill_(batch.limits.max_len)
        self.take(batch.source.tokens, batch.source.lengths, batch.first, fill)
        return fill

    def take(self, tokens: Tensor, lengths: Tensor, first: Tensor, rows: Tensor) -> None:
        """Take some rows of sources. tokens: [B', S'] int64; lengths, first: [B'] int64; rows: [B] int64."""
        self.tokens.fill_(self.limits.pad)
        self.tokens[:, : tokens.size(1)] = tokens[rows]
        self.lengths.copy_(lengths[rows])
        self.first.copy_(first[rows])

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [self.tokens, self.lengths, self.first, self.limits.last_steps]
