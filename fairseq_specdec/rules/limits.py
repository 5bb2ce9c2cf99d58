"""The generation options as they apply to one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor


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
        no_repeat_ngram: n-grams of this length come once in an output; 0: as often as they like.
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
    no_repeat_ngram: int = 0

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
