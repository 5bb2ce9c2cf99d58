"""Writes drafts with an autoregressive decoder: one token a pass, greedily, all rows of a batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import Ask
from fairseq_specdec.engine.fast_decoder import FastDecoder
from fairseq_specdec.engine.native import drafting
from fairseq_specdec.engine.native.drafting import Drafts
from fairseq_specdec.engine.weights import DecoderWeights

# classes of margins, in log-probability, between a drafted token and the second best, and how often tokens of each are
# taken to be right before any was seen
EDGES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FIRST_TRUST = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
CREDIT = 4.0  # tokens of a class that this counts as
MEMORY = 256.0  # tokens of a class that are remembered


class DraftDecoder(FastDecoder):
    """A decoder with a cache that follows what the verifier makes of its drafts.

    The cache holds what stands and, behind it, the last draft; what of that stands too need not be fed again, so
    rolling back is a comparison of tokens. A round may go by without a draft: then the next one feeds more.

    A draft ends before its block does where a further token would not be worth its time (`Ask.least`). How sure the
    decoder is of a token is told by the margin to the second best, and what a margin means by how often tokens with
    such a one were right so far.

    Args:
        weights: as read from the fairseq module.
        block_size: K.
        pad: never drafted.
        eos: ends a row.
    """

    def __init__(self, weights: DecoderWeights, block_size: int, pad: int, eos: int) -> None:
        super().__init__(weights)
        self.block_size, self._pad, self._eos = block_size, pad, eos
        self._edges = torch.tensor(EDGES, dtype=torch.float32, device=weights.embedding.device)
        self._trust: Tensor  # [2, classes] float64: tokens that were tried, and those that were right
        self._last: Drafts
        self._made = 0  # tokens a row of the last draft that was not learned from
        self.forget()

    def forget(self) -> None:
        """Forget what margins have meant."""
        right = torch.tensor(FIRST_TRUST, dtype=torch.float64, device=self._edges.device) * CREDIT
        self._trust = torch.stack([torch.full_like(right, CREDIT), right])

    def start(self, memory: Tensor, padding: Tensor | None, capacity: int, projected: Tensor | None = None) -> Tensor:
        """Begin a batch; see `FastDecoder.start`."""
        projected = super().start(memory, padding, capacity, projected)
        none = torch.zeros(memory.size(0), dtype=torch.int64, device=memory.device)
        block = none[:, None].repeat(1, self.block_size)
        self._last, self._made = Drafts(none, none.clone(), block, block.clone(), none.clone()), 0
        return projected

    def draft(self, tokens: Tensor, lengths: Tensor, longest: int, ask: Ask) -> tuple[Tensor, Tensor]:
        """Draft behind what stands.

        Args:
            tokens: [B, T] int64, the first token, then the output; each call's begin with those of the call before.
            lengths: [B] int64, valid tokens, the first one counted.
            longest: host int, the greatest length of a row that has not ended (where reading the host costs, at least).
            ask: how much of a draft is wanted.

        Returns:
            tokens [B, n] int64 with n in 1..most, good until the next call, and how many of them count [B] int64: all
            up to an eos, 0 in rows that have ended.
        """
        self._cache.plan(ask.most, longest)
        run = self._draft if self._native is None else self._draft_native
        self._made = run(tokens, lengths, longest, ask)
        return self._last.tokens[:, : self._made], self._last.lengths

    def _draft_native(self, tokens: Tensor, lengths: Tensor, longest: int, ask: Ask) -> int:
        """Draft by compiled code."""
        return drafting.draft(
            self._native,
            (self._cache, self._source),
            (tokens, lengths),
            (self._last, self._made),
            self._trust,
            (self._pad, self._eos),
            (ask.most, ask.least),
        )

    def _draft(self, tokens: Tensor, lengths: Tensor, longest: int, ask: Ask) -> int:
        """Draft by torch; where reading the host costs, the whole block."""
        known, before, draft, margins, drafted = self._last
        self._settle(tokens, lengths)
        last = tokens.gather(1, lengths[:, None] - 1).squeeze(1)
        is_open = last.ne(self._eos) | lengths.eq(1)  # [B]
        begin = self._begin(lengths, is_open)
        fed = tokens.gather(1, begin[:, None] + torch.arange(self._width, device=begin.device))  # [B, width]
        at = (lengths - 1 - begin)[:, None, None]  # [B, 1, 1], where the last token is among them
        chance = is_open.double()
        drafted.zero_()
        before.copy_(lengths)
        for k in range(ask.most):
            self._cache.lengths.copy_(begin if k == 0 else lengths + (k - 1))
            scores, _ = self.score(fed, longest - 1 + k)  # [B, width or 1, V]
            if k == 0:
                scores = scores.gather(1, at.expand(-1, 1, scores.size(2)))
            scores[:, :, self._pad] = -torch.inf
            best = scores.squeeze(1).topk(2)
            draft[:, k] = best.indices[:, 0]
            margins[:, k] = torch.bucketize(best.values[:, 0] - best.values[:, 1], self._edges, right=True)
            drafted += chance > 0
            share = self._trust[1, margins[:, k]] / self._trust[0, margins[:, k]]
            chance = chance * share.masked_fill(draft[:, k].eq(self._eos), 0.0)
            if device.reads_freely(chance) and float(chance.sum()) <= ask.least:
                return k + 1
            fed = draft[:, k : k + 1]
        return ask.most

    def _settle(self, tokens: Tensor, lengths: Tensor) -> None:
        """Learn how the last draft fared, by what stands now, and how much of it the cache may keep."""
        known, before, draft, margins, drafted = self._last
        if self._made == 0:
            return
        columns = torch.arange(self.block_size, device=lengths.device)
        where = before[:, None] + columns  # [B, K]
        is_there = (columns < self._made) & (where < lengths[:, None])
        right = is_there & tokens.gather(1, where.clamp(max=tokens.size(1) - 1)).eq(draft)
        right = right.long().cumprod(1).bool()
        n_right = right.sum(1)
        known.copy_(torch.minimum(before + n_right.clamp(max=self._made - 1), lengths - 1))
        tried = is_there & (columns <= n_right[:, None]) & (columns < drafted[:, None])
        for i, counted in enumerate((tried, tried & right)):
            self._trust[i].index_add_(0, margins.flatten(), counted.flatten().double())
        self._trust *= torch.where(self._trust[0] > MEMORY, 0.5, 1.0)

    def _begin(self, lengths: Tensor, is_open: Tensor) -> Tensor:
        """Return the place [B] int64 from which each row is fed, so many positions in all that every row catches up."""
        self._width = 2  # where each round drafts, one that was right to its end lacks its last token
        if device.reads_freely(lengths):
            self._width = int((lengths - self._last.known).masked_fill(~is_open, 1).max())
        self._width = min(self._width, self._cache.capacity)
        return (lengths - self._width).clamp(min=0)  # a shorter row's further tokens are anything

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [*super().tensors(), *self._last]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        super().select_rows(rows)
        self._last = Drafts(*(part.index_select(0, rows) for part in self._last))
