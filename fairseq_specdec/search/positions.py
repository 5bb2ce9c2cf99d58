"""Prefixes that a beam search may visit, for whole batches: those that were verified, and what a pass takes.

Shapes as in `beam_state`. A verified prefix is known by its slot of the cache, where its keys and values lie.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.search.guesses import Lists

WINDOW = 8  # passes: prefixes that were verified earlier are not found again


class Prefixes(NamedTuple):
    """F prefixes of each sentence.

    Args:
        totals: [S, F] float32, -inf where there is none.
        recent: [S, F, 3] int64, the last tokens, the last one first.
        places: [S, F] int64, where the guide goes on.
        nodes: [S, F] int64, the slots of those that are verified or will be by this pass; -1: neither.
        slots: [S, F, P] int32, their paths.
    """

    totals: Tensor
    recent: Tensor
    places: Tensor
    nodes: Tensor
    slots: Tensor


class Positions(NamedTuple):
    """The N positions of a pass: live beams, then what is verified ahead.

    Args:
        recent: [S, N, 3] int64, the last tokens, the own one first.
        places: [S, N] int64, where the guide goes on.
        parents: [S, N] int64, the slot of the prefix that each continues.
        is_there: [S, N] bool, prefixes that are verified by this; others fill up, or are verified again.
        depths: [S, N] int64.
        slots: [S, N, P] int32, their paths.
    """

    recent: Tensor
    places: Tensor
    parents: Tensor
    is_there: Tensor
    depths: Tensor
    slots: Tensor


class Verified:
    """What is known of the slots of each sentence.

    Args:
        size: sentences S, slots of each T, tokens of a list L.
        like: an int64 tensor whose device is taken.
    """

    def __init__(self, size: tuple[int, int, int], like: Tensor) -> None:
        self._parents = like.new_full(size[:2], -1)  # their slots; -1 where nothing was verified, and at the root
        self.tokens = like.new_zeros(size[:2])
        self._places = like.new_zeros(size[:2])
        self._lists = Lists(torch.zeros(size, device=like.device), like.new_zeros(size))
        self._window = (self._parents[:, :0], self.tokens[:, :0])

    def put(self, own: Tensor, made: Positions) -> None:
        """Write down what a pass takes; own: [S, N] int64, slots."""
        self._parents.scatter_(1, own, torch.where(made.is_there, made.parents, -1))
        self.tokens.scatter_(1, own, made.recent[..., 0])
        self._places.scatter_(1, own, made.places)

    def learn(self, own: Tensor, lists: Lists) -> None:
        """Write down what was found: lists of slots own [S, N] int64."""
        for into, part in zip(self._lists, lists, strict=True):
            into.scatter_(1, own[..., None].expand_as(part), part)

    def look_back(self, end: Tensor, n: int) -> None:
        """Make ready for `find`. end: [S] int64, the slot behind the newest; n: how many before it are looked at."""
        slots = (end[:, None] - n + torch.arange(n, device=end.device)).clamp(min=0)
        self._window = self._parents.gather(1, slots), self.tokens.gather(1, slots)
        self._first = end[:, None] - n

    def find(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Return the slots of prefixes that continue those of slots [S, F] with tokens [S, F]; -1: there is none."""
        known_parents, known_tokens = self._window  # [S, W]
        same = known_parents[:, None].eq(parents[..., None]) & known_tokens[:, None].eq(tokens[..., None])
        same &= parents.ge(0)[..., None]  # [S, F, W]
        at = same.to(torch.int8).argmax(2)
        return torch.where(same.any(2), (self._first + at).clamp(min=0), -1)

    def places(self, slots: Tensor) -> Tensor:
        """Return where the guide goes on behind the prefixes of slots [S, F], int64."""
        return self._places.gather(1, slots)

    def lists(self, slots: Tensor) -> Lists:
        """Return what may follow the prefixes of slots [S, F]; anything where a slot is -1."""
        index = slots.clamp(min=0)[..., None].expand(-1, -1, self._lists.scores.size(2))
        return Lists(*(part.gather(1, index) for part in self._lists))

    def tensors(self) -> list[Tensor]:
        """Return all that sentences have here, each tensor with a row for every one."""
        return [self._parents, self.tokens, self._places, *self._lists]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these sentences. rows: [S'] int64."""
        self._parents, self.tokens, self._places, *lists = (part.index_select(0, rows) for part in self.tensors())
        self._lists = Lists(*lists)
