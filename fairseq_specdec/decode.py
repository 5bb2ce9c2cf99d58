"""The loop: draft, verify, accept, commit."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec.acceptance import AcceptRule
from fairseq_specdec.blocks import DecodeState, Source
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.verifier import Memory, Verifier
from fairseq_specdec.rules import Limits, constrain


class SpecDecoder:
    """Greedy decoding in which every verifier pass checks a block of draft tokens.

    With the exact rule of acceptance the output is that of greedy decoding whatever the drafter says: a position's
    scores depend on the tokens before it alone, those tokens are committed, and the token committed is the arg-max.

    Args:
        verifier: scores blocks and keeps their keys and values.
        drafter: proposes them.
        accept: decides what stands.
    """

    def __init__(self, verifier: Verifier, drafter: Drafter, accept: AcceptRule) -> None:
        self.verifier = verifier
        self.drafter = drafter
        self.accept = accept

    @torch.no_grad()
    def decode(self, source: Source, memory: Memory, limits: Limits, first: Tensor) -> DecodeState:
        """Decode a batch.

        Args:
            source: what the drafter may look at.
            memory: encoder output of each model of the verifier.
            limits: generation options.
            first: [B] int64, the token each row starts with.

        Returns:
            The finished state: ``result()`` for tokens, scores and lengths, ``tally`` for the counts.
        """
        state = DecodeState(limits, first, self.drafter.block_size)
        self.verifier.start(memory, state.capacity)
        self.drafter.start(source)
        while not state.all_finished():
            self._drop_finished(state)
            draft = self.drafter.propose(state)
            lprobs = self.verifier.score(state.with_draft(draft), state.max_length - 1)  # [B, K + 1, V]
            constrain(lprobs, state.steps(), state.limits)
            verdict = self.accept(draft, lprobs)
            kept = state.commit(draft, verdict, lprobs)  # [B]
            self.verifier.commit(kept)
            self.drafter.advance(kept)
        return state

    def _drop_finished(self, state: DecodeState) -> None:
        """Drop finished rows everywhere, when enough of them have gathered; the others do not notice."""
        rows = state.rows_to_keep()
        if rows is not None:
            for part in (state, self.verifier, self.drafter):
                part.select_rows(rows)
