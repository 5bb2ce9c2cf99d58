"""Beam search: what ``fairseq-generate --beam b`` gives, to the last hypothesis."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec.blocks import Source
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.beam_state import BeamState
from fairseq_specdec.search.candidates import Step
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import Tally

Guide = tuple[Tensor, Tensor]  # as of `Drafter.guide`


class BeamDecoder:
    """Scores all beams of all sentences in one pass a step.

    Args:
        verifier: scores positions along their paths and keeps their keys and values.
        beam: b.

    Attributes:
        ahead: positions of a pass beside the live beams.
    """

    ahead = 0

    def __init__(self, verifier: Verifier, beam: int) -> None:
        self.verifier, self.beam = verifier, beam

    @torch.no_grad()
    def decode(self, batch: Batch, trace: list[Step] | None = None) -> tuple[NBest, Tally]:
        """Decode a batch.

        Args:
            batch: the sentences.
            trace: gets every step, for the certificate; or None.

        Returns:
            the hypotheses of each sentence, and counts: a round is a step of a sentence.
        """
        state = self.open(batch.limits, batch.first, self.guide(batch.source), trace)
        self.verifier.start(batch.net_input, state.capacity)
        while state.is_open:
            self._drop_finished(state)
            tokens, paths = state.block()
            lprobs = self.verifier.score(tokens, state.n_slots, paths)  # [S, N, V]
            self.verifier.commit(torch.full_like(tokens[:, 0], tokens.size(1)))
            state.go_on(lprobs)
        return state.result(), state.tally()

    @property
    def batches(self) -> BeamDecoder:
        """What decodes several sentences at once, in passes of a fixed shape."""
        return self

    def guide(self, source: Source) -> Guide | None:
        """Return the text that looking ahead goes by; None here, where nobody does."""

    def open(
        self,
        limits: Limits,
        first: Tensor,
        guide: Guide | None,
        trace: list[Step] | None = None,
        finished: Tensor | None = None,
    ) -> BeamState:
        """Return the beams of a batch; guide as of `guide`, else see `BeamState`."""
        return BeamState(limits, first, self.beam, trace, finished)

    def _drop_finished(self, state: BeamState) -> None:
        """Drop finished sentences everywhere, when enough of them have gathered; the others do not notice."""
        rows = state.rows_to_keep()
        if rows is not None:
            state.select_rows(rows)
            self.verifier.select_rows(rows)
