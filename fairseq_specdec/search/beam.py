"""Beam search: what ``fairseq-generate --beam b`` gives, to the last hypothesis."""

from __future__ import annotations

import torch

from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.search.beam_state import BeamState, Step
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import Tally


class BeamDecoder:
    """Scores all beams of all sentences in one pass a step.

    Args:
        verifier: scores positions along their paths and keeps their keys and values.
        beam: b.
    """

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
        state = BeamState(batch.limits, batch.first, self.beam, trace)
        self.verifier.start(batch.net_input, BeamState.capacity(batch.limits, self.beam))
        while state.is_open:
            self._drop_finished(state)
            tokens, paths = state.block()
            lprobs = self.verifier.score(tokens, state.n_slots, paths)  # [S, N, V]
            self.verifier.commit(torch.full_like(tokens[:, 0], tokens.size(1)))
            state.advance(state.rank(lprobs))
        return state.result(), tally_of(state.n_steps)

    def _drop_finished(self, state: BeamState) -> None:
        """Drop finished sentences everywhere, when enough of them have gathered; the others do not notice."""
        rows = state.rows_to_keep()
        if rows is not None:
            state.select_rows(rows)
            self.verifier.select_rows(rows)


def tally_of(n_steps: int) -> Tally:
    """Count each step of a sentence as a round that kept one token."""
    tally = Tally(0)
    ones = torch.ones(n_steps, dtype=torch.int64)
    tally.add_round(torch.stack([ones, torch.zeros_like(ones), torch.zeros_like(ones)]))
    return tally
