"""The loop: draft, verify, accept, commit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec import clock, device
from fairseq_specdec.blocks import Ask, DraftBlock, Source
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.acceptance import AcceptRule, accept_exact
from fairseq_specdec.search.state import Decoded, DecodeState
from fairseq_specdec.search.width import BlockWidth


class Batch(NamedTuple):
    """What fairseq decodes together: rows share the padding and the maximum length.

    Args:
        source: what the drafter may look at.
        net_input: fairseq's, what the verifier's encoders read.
        limits: generation options.
        first: [B] int64, the token each row starts with.
    """

    source: Source
    net_input: dict[str, Tensor]
    limits: Limits
    first: Tensor

    @property
    def n_rows(self) -> int:
        """B."""
        return self.first.size(0)

    def is_same(self, other: Batch) -> bool:
        """Say whether another batch, on the same device, has the same outputs. Reads the host."""
        if self.limits.has_rules_of_rows or other.limits.has_rules_of_rows:
            return False
        pairs = (
            (self.source.tokens, other.source.tokens),
            (self.source.lengths, other.source.lengths),
            (self.first, other.first),
        )
        return self.limits.max_len == other.limits.max_len and all(torch.equal(*pair) for pair in pairs)

    def select_rows(self, rows: Tensor) -> Batch:
        """Return these rows, with padding and limits of the whole batch. rows: [B'] int64."""
        net_input = {name: value.index_select(0, rows) for name, value in self.net_input.items() if value is not None}
        return Batch(self.source.select_rows(rows), net_input, self.limits.select_rows(rows), self.first[rows])


class SpecDecoder:
    """Greedy decoding in which every verifier pass checks a block of draft tokens.

    With the exact rule of acceptance the output is that of greedy decoding whatever the drafter says: a position's
    scores depend on the tokens before it alone, those tokens are committed, and the token committed is the arg-max.

    Args:
        verifier: scores blocks and keeps their keys and values.
        drafter: proposes them.
        accept: decides what stands.
        adaptive: draft as many tokens as pay (up to the drafter's block size) where shapes need not be fixed.
    """

    def __init__(self, verifier: Verifier, drafter: Drafter, accept: AcceptRule, adaptive: bool = False) -> None:
        self.verifier = verifier
        self.drafter = drafter
        self.accept = accept
        self._chosen = BlockWidth(drafter.block_size, adaptive, drafter.one_by_one)
        self._fixed = BlockWidth(drafter.block_size, adaptive=False)
        self._can_step = accept is accept_exact and verifier.takes_steps

    @torch.no_grad()
    def decode(self, batch: Batch) -> Decoded:
        """Decode a batch."""
        state = DecodeState(batch.limits, batch.first, self.drafter.block_size)
        memory = self.verifier.start(batch.net_input, state.capacity)
        self.drafter.start(replace(batch.source, encoded=tuple(memory)), state)
        width = self._chosen if device.reads_freely(state.tokens) else self._fixed
        width.begin()
        while state.is_open:
            self._drop_finished(state)
            limit = width.limit(state.n_rows, partial(self._judge_anything, state), self._can_step)
            if limit == 0 and self._can_step and self._take_steps(state, width):
                continue
            draft = self._draft(state, limit, width)
            self.drafter.advance(self.judge(state, draft))
            counts = state.read()
            if limit > 0:
                width.judged(counts)
        decoded = state.result()
        self.drafter.finish(decoded.tokens, decoded.lengths)
        return decoded

    def judge(self, state: DecodeState, draft: DraftBlock) -> Tensor:
        """Verify a draft and commit what stands of it, with the token after it. No host read where one would cost.

        Returns:
            [B] int64, how many tokens each row was given.
        """
        lprobs = self.verifier.score(state.with_draft(draft), state.max_length - 1)  # [B, K + 1, V]
        _constrain(lprobs, state, draft)
        verdict = self.accept(draft, lprobs, state.totals)
        kept = state.commit(draft, verdict, lprobs)
        self.verifier.commit(kept)
        return kept

    def _draft(self, state: DecodeState, limit: int, width: BlockWidth) -> DraftBlock:
        """Draft up to ``limit`` tokens a row; nothing is asked of the drafter for 0."""
        if limit == 0:
            return DraftBlock.empty(state)
        began = clock.now()
        made = self.drafter.propose(state, Ask(limit, width.least(limit, state.n_rows)))
        draft = state.force(state.trim(made, width.cut(made, limit, state.finished)))
        width.drafted(began, made.tokens.size(1), made.is_free)
        return draft

    def _take_steps(self, state: DecodeState, width: BlockWidth) -> bool:
        """Let compiled code do what rounds without drafts would, until a row ends; say whether it did any."""
        buffers = state.buffers()
        if buffers is None:
            return False
        began = clock.now()
        status = self.verifier.take_steps(buffers, state.limits, width.rest(), state.max_length - 1)  # [steps, 5, B]
        if status.size(0) == 0:
            return False
        width.rested(began, status.size(0), state.n_rows)
        state.read_steps(status)
        self.drafter.advance(status[:, 2].sum(0))
        return True

    def _judge_anything(self, state: DecodeState, n: int) -> None:
        """Make a pass of n positions a row, at most K + 1, over nothing that matters, in order to time it.

        It is that of a draft of which nothing is kept: what it writes behind each row's end is hidden, and overwritten
        by the next round. The state and the drafter do not hear of it.
        """
        tokens = state.tokens[:, :1].repeat(1, n)
        lprobs = self.verifier.score(tokens, state.max_length - 1)
        draft = DraftBlock(tokens[:, 1:], torch.full_like(state.lengths, n - 1))
        _constrain(lprobs, state, draft)
        self.accept(draft, lprobs, state.totals)

    def _drop_finished(self, state: DecodeState) -> None:
        """Drop finished rows everywhere, when enough of them have gathered; the others do not notice."""
        rows = state.rows_to_keep()
        if rows is not None:
            for part in (state, self.verifier, self.drafter):
                part.select_rows(rows)


def _constrain(lprobs: Tensor, state: DecodeState, draft: DraftBlock) -> None:
    """Do to the scores [B, K + 1, V] of a draft's positions what the options say, in place."""
    n = lprobs.size(1)
    constrain(lprobs, lambda: state.steps(n), state.limits, state.reach(n), lambda: state.history(draft, n))
