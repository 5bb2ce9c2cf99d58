"""Drafts copied from a guide, a text that the output resembles (Sun et al., 2021; Ge et al., 2022)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.drafters.base import Drafter, Waiting
from fairseq_specdec.drafters.suffix import MAX_SUFFIX, edit_aware_place, last_tokens, suffix_lengths
from fairseq_specdec.engine.native import rounds

DEFAULT_BLOCK_SIZE = 32


class GuidedDrafter(Drafter):
    """Copies a guide from where the output has got to.

    While drafts are accepted the copy goes on behind them. After a bifurcation the place is found again.

    - The published rule: go on behind the shortest suffix of the output (1, 2, then 3 tokens) that occurs exactly once
      in the guide; until there is one nothing is drafted.
    - The edit-aware rule: the verifier's token was a deletion, an insertion or a substitution at the place where the
      draft broke off. Every place in the guide that ends like the output is a candidate, as long as tokens were
      deleted, or inserted before it: the one with the longest common suffix wins, of several the nearest, of two as
      near the earlier. Without any the token replaced the guide's. A wrong guess costs nothing, since the pass is made
      anyway.

    Args:
        block_size: K, which keeps the cost of a round from growing with the sentence.
        edit_aware: which of the two rules.
    """

    has_guide: ClassVar[bool] = True
    copies: ClassVar[bool] = True

    def __init__(self, block_size: int = DEFAULT_BLOCK_SIZE, edit_aware: bool = True) -> None:
        self.block_size = block_size
        self._rule = _edit_aware_place if edit_aware else _published_place
        self._waiting: Waiting | None = None  # what no draft was asked for yet
        self._guide: Tensor  # [B, G] int64, target ids from the left, behind each row's end -1
        self._lengths: Tensor  # [B] int64
        self._place: Tensor  # [B] int64, index in the guide of the next token, or of the last one (-1: none yet)
        self._is_next = True  # which of the two

    @abstractmethod
    def guide(self, source: Source) -> tuple[Tensor, Tensor]:
        """Return the text that drafts are copied from.

        Returns:
            [B, G] int64 with G >= 1, target ids from the left, -1, which is no token, behind a row's length; and the
            lengths [B] int64, eos counted.
        """

    def start(self, source: Source, state: Rows) -> None:
        """Begin a batch: the first draft is the guide from its first token.

        On a CPU the guide is laid out for that draft: a batch for which none pays goes without.
        """
        self._waiting = Waiting(replace(source, encoded=()))
        self._is_next = device.reads_freely(source.tokens)  # elsewhere every round is alike, the first one too
        self._place = torch.full_like(source.lengths, 0 if self._is_next else -1)
        if not self._is_next:
            self._lay_out()

    def _lay_out(self) -> None:
        """Make the guide, unless that is done."""
        if self._waiting is not None:
            self._guide, self._lengths = self.guide(self._waiting.take())
            self._waiting = None

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Copy up to K tokens from the place that the output has got to. O(B * G); no host read."""
        self._lay_out()
        is_next, self._is_next = self._is_next, True
        if self._rule is _edit_aware_place and rounds.can_run(self._guide):
            guide, rows = (self._guide, self._lengths), (state.tokens, state.lengths)
            return DraftBlock(*rounds.copy_guide(guide, self._place, rows, self.block_size, is_next))
        if not is_next:
            self._place.copy_(self._rule(self._guide, self._lengths, self._place, state))
        columns = self._place[:, None] + torch.arange(self.block_size, device=self._place.device)  # [B, K]
        tokens = self._guide.gather(1, columns.clamp(max=self._guide.size(1) - 1)).clamp(min=0)
        return DraftBlock(tokens, (self._lengths - self._place).clamp(0, self.block_size))

    def advance(self, kept: Tensor) -> None:
        """Move to the guide's token that the last of the ``kept`` [B] int64 tokens stands for, drafted or not."""
        self._place += kept - int(self._is_next)
        self._is_next = False

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [self._place] if self._waiting is not None else [self._guide, self._lengths, self._place]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._place = self._place.index_select(0, rows)
        if self._waiting is not None:
            self._waiting.select_rows(rows)
            return
        self._guide, self._lengths = self._guide.index_select(0, rows), self._lengths.index_select(0, rows)


def _published_place(guide: Tensor, lengths: Tensor, stands_for: Tensor, state: Rows) -> Tensor:
    """Return [B] int64, where to go on: behind the shortest suffix that occurs once; the end where there is none.

    Args:
        guide: [B, G] int64, -1 behind each row's end.
        lengths: [B] int64, of the rows.
        stands_for: [B] int64, the guide's token that the last output token stands for; -1 where there is no output.
        state: the batch; the initial eos is no output.
    """
    n_common = suffix_lengths(guide, last_tokens(state, MAX_SUFFIX, 1))
    columns = torch.arange(guide.size(1), device=guide.device)
    place = lengths
    for n in range(MAX_SUFFIX, 0, -1):  # the shortest has the last word
        matches = n_common >= n
        place = torch.where(matches.sum(1).eq(1), (matches * (columns + 1)).amax(1), place)
    here = guide.gather(1, stands_for.clamp(0, guide.size(1) - 1)[:, None])  # [B, 1]
    last = state.tokens.gather(1, state.lengths[:, None] - 1)
    goes_on = (here.eq(last).squeeze(1) & (stands_for < lengths)) | (stands_for < 0)
    return torch.where(goes_on, stands_for + 1, place)


def _edit_aware_place(guide: Tensor, lengths: Tensor, stands_for: Tensor, state: Rows) -> Tensor:
    """Return [B] int64, where to go on by the edit-aware rule; arguments as of the published one."""
    return edit_aware_place(guide, lengths, stands_for, last_tokens(state, MAX_SUFFIX, 1))
