"""What fairseq's generation options do to the verifier's scores, at every position of a block.

The order of the edits is that of fairseq's ``SequenceGenerator`` (and of its length-constrained search for
``--match-source-len``), so that the arg-max here is the token that fairseq's greedy decoding picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec import device


class Reach(NamedTuple):
    """Which ends of an output a round may come to: an edit that it cannot come to is not looked at.

    Args:
        begin: --min-len or --prefix-size rule at some position.
        end: eos is forced at some position.
    """

    begin: bool
    end: bool


ANYWHERE = Reach(True, True)


@dataclass(frozen=True)
class Limits:
    """The generation options as they apply to one batch.

    Args:
        pad, unk, eos: special ids of the target dictionary.
        max_len: step at which eos is forced; a hypothesis has at most max_len + 1 tokens, eos counted.
        min_len: eos is forbidden before this step.
        unk_penalty: subtracted from the score of unk.
        prefix: [B, P] int64, forced first tokens, pad where nothing is forced; None without --prefix-size.
        source_lengths: [B] int64 with --match-source-len, else None.
        last_steps: [B] int64 where rows have a ``max_len`` of their own, which must not exceed the one here; else None.
    """

    pad: int
    unk: int
    eos: int
    max_len: int
    min_len: int = 1
    unk_penalty: float = 0.0
    prefix: Tensor | None = None
    source_lengths: Tensor | None = None
    last_steps: Tensor | None = None

    @property
    def last_step(self) -> Tensor | int:
        """[B] int64 or one number for all: the step at which eos is forced."""
        return self.max_len if self.last_steps is None else self.last_steps

    @property
    def has_rules_of_rows(self) -> bool:
        """Whether rows have rules of their own: a prefix, or a length to match."""
        return self.prefix is not None or self.source_lengths is not None

    def select_rows(self, rows: Tensor) -> Limits:
        """Keep these rows. rows: [B'] int64."""
        of_rows = {name: getattr(self, name) for name in ("prefix", "source_lengths", "last_steps")}
        kept = {name: value.index_select(0, rows) for name, value in of_rows.items() if value is not None}
        return replace(self, **kept)

    def reach(self, lowest: int, highest: int) -> Reach:
        """Say what steps between these two (host ints) come to."""
        in_prefix = self.prefix is not None and lowest < self.prefix.size(1)
        return Reach(in_prefix or lowest < self.min_len, highest >= self.max_len)


def constrain(lprobs: Tensor, steps: Tensor | Callable[[], Tensor], limits: Limits, reach: Reach = ANYWHERE) -> Tensor:
    """Edit log-probabilities in place as fairseq does before it picks a token.

    Args:
        lprobs: [B, N, V] float32, log-softmax of the verifier's logits without NaN. Changed in place.
        steps: [B, N] int64, index of the token that each position predicts (0 = first after the initial eos), or what
            makes them: few rounds look.
        limits: the options of this batch.
        reach: what the steps that matter come to, where that is known. Rows that come to more (finished ones) keep
            scores that fairseq would have edited.

    Returns:
        lprobs, edited.

    Source: the body of the step loop of fairseq's SequenceGenerator._generate.
    """
    lprobs[..., limits.pad].fill_(-math.inf)
    if limits.unk_penalty:
        lprobs[..., limits.unk].sub_(limits.unk_penalty)
    if not (reach.begin or reach.end or limits.source_lengths is not None):
        return lprobs
    steps = steps() if callable(steps) else steps
    if reach.end:
        last = limits.last_step
        last = last if isinstance(last, int) else last[:, None]
        _only(lprobs, torch.full_like(steps, limits.eos), steps >= last)
    if reach.begin:
        may_end = steps >= limits.min_len
        if limits.prefix is not None:
            may_end |= _force_prefix(lprobs, steps, limits)
        lprobs[..., limits.eos].masked_fill_(~may_end, -math.inf)
    if limits.source_lengths is not None:
        lengths = limits.source_lengths[:, None]  # [B, 1]
        lprobs[..., limits.eos].masked_fill_(steps < lengths, -math.inf).masked_fill_(steps >= lengths, 0.0)
    return lprobs


def drop_nan(lprobs: Tensor) -> None:
    """Replace NaN by -inf in place, as fairseq does first.

    A NaN among logits makes the whole log-softmax NaN, so where that costs nothing one column is looked at.

    Args:
        lprobs: [..., V].
    """
    if not device.reads_freely(lprobs) or lprobs[..., 0].isnan().any():
        lprobs.nan_to_num_(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def _force_prefix(lprobs: Tensor, steps: Tensor, limits: Limits) -> Tensor:
    """Leave only the forced token where there is one; return where the prefix rules, [B, N] bool.

    Where the prefix rules fairseq does not apply the minimum length, also in rows whose prefix has ended (pad).
    """
    width = limits.prefix.size(1)
    inside = steps < min(width, limits.max_len)
    forced = limits.prefix.gather(1, steps.clamp(max=width - 1))  # [B, N]
    _only(lprobs, forced, inside & forced.ne(limits.pad))
    return inside


def _only(lprobs: Tensor, token: Tensor, where: Tensor) -> None:
    """Where ``where`` [B, N] holds, leave only ``token`` [B, N] with its own score."""
    own = lprobs.gather(-1, token[..., None])  # [B, N, 1]
    lprobs.masked_fill_(where[..., None], -math.inf)
    kept = torch.where(where[..., None], own, lprobs.gather(-1, token[..., None]))
    lprobs.scatter_(-1, token[..., None], kept)
