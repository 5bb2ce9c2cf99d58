"""The loop: draft, verify, accept, commit."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import DraftBlock, Source
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.acceptance import AcceptRule
from fairseq_specdec.search.budget import BlockBudget
from fairseq_specdec.search.state import Decoded, DecodeState


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
        self._budget = BlockBudget(drafter.block_size) if adaptive and drafter.block_size > 0 else None

    @torch.no_grad()
    def decode(self, batch: Batch) -> Decoded:
        """Decode a batch."""
        state = DecodeState(batch.limits, batch.first, self.drafter.block_size)
        memory = self.verifier.start(batch.net_input, state.capacity)
        self.drafter.start(replace(batch.source, encoded=tuple(memory)), state)
        budget = self._ready_budget(state)
        while state.is_open:
            self._drop_finished(state)
            limit = self.drafter.block_size if budget is None else budget.limit(state.n_rows)
            draft = self._draft(state, limit, budget)
            self.drafter.advance(self.judge(state, draft))
            counts = state.read()
            if budget is not None and limit > 0:
                budget.judged(*counts.tolist())
        decoded = state.result()
        self.drafter.finish(decoded.tokens, decoded.lengths)
        return decoded

    def judge(self, state: DecodeState, draft: DraftBlock) -> Tensor:
        """Verify a draft and commit what stands of it, with the token after it. No host read where one would cost.

        Returns:
            [B] int64, how many tokens each row was given.
        """
        lprobs = self.verifier.score(state.with_draft(draft), state.max_length - 1)  # [B, K + 1, V]
        width = lprobs.size(1)
        constrain(
            lprobs, lambda: state.steps(width), state.limits, state.reach(width), lambda: state.history(draft, width)
        )
        verdict = self.accept(draft, lprobs, state.totals)
        kept = state.commit(draft, verdict, lprobs)
        self.verifier.commit(kept)
        return kept

    def _draft(self, state: DecodeState, limit: int, budget: BlockBudget | None) -> DraftBlock:
        """Draft up to ``limit`` tokens a row; nothing is asked of the drafter for 0."""
        if limit == 0:
            return DraftBlock.empty(state)
        began = time.perf_counter()
        draft = self.drafter.propose(state)
        if budget is not None:
            limit = budget.cut(draft, limit, state.finished)
        draft = state.trim(draft, limit)
        if budget is not None:
            budget.drafted(time.perf_counter() - began)
        return draft

    def _ready_budget(self, state: DecodeState) -> BlockBudget | None:
        """Return the budget where there is something to choose; the first batch on a CPU times passes for it."""
        if self._budget is None or not device.reads_freely(state.tokens):
            return None
        if not self._budget.knows(state.n_rows):
            self._budget.measure(lambda n: self._judge_anything(state, n), state.n_rows)
        self._budget.begin()
        return self._budget

    def _judge_anything(self, state: DecodeState, n: int) -> None:
        """Make a pass of n positions a row over nothing that matters; what it writes is overwritten."""
        tokens = state.tokens[:, :1].repeat(1, n)
        lprobs = self.verifier.score(tokens, 0)
        constrain(lprobs, lambda: state.steps(n), state.limits, state.reach(n))
        self.accept(DraftBlock(tokens[:, 1:], torch.full_like(state.lengths, n - 1)), lprobs, state.totals)

    def _drop_finished(self, state: DecodeState) -> None:
        """Drop finished rows everywhere, when enough of them have gathered; the others do not notice."""
        rows = state.rows_to_keep()
        if rows is not None:
            for part in (state, self.verifier, self.drafter):
                part.select_rows(rows)
