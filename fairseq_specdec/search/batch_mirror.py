"""Beam search that looks ahead in all sentences of a batch, each going as far as it gets, in passes of a fixed shape."""

from __future__ import annotations

from torch import Tensor

from fairseq_specdec.blocks import Source
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.ahead_state import AheadState
from fairseq_specdec.search.beam import BeamDecoder, Guide
from fairseq_specdec.search.candidates import Step, in_lockstep
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.guesses import Guesses, Suffixes
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import Tally


class BatchMirror(BeamDecoder):
    """Decodes batches without a prefix.

    Args:
        verifier, beam: see `BeamDecoder`.
        drafter: has a guide.
        ahead: positions of a pass beside the live beams.
        suffixes: what sentences have taught, shared with others of its kind.
    """

    def __init__(self, verifier: Verifier, beam: int, drafter: Drafter, ahead: int, suffixes: Suffixes) -> None:
        super().__init__(verifier, beam)
        self.drafter, self.ahead, self._suffixes = drafter, ahead, suffixes

    def decode(self, batch: Batch, trace: list[Step] | None = None) -> tuple[NBest, Tally]:
        """Decode a batch, as `BeamDecoder.decode` does; a round is a pass, and keeps the steps that it brought."""
        own: list[Step] | None = None if trace is None else []
        decoded = super().decode(batch, own)
        if trace is not None:
            trace += in_lockstep(own)
        return decoded

    def guide(self, source: Source) -> Guide:
        """Return the text that looking ahead goes by."""
        return self.drafter.guide(source)

    def open(
        self,
        limits: Limits,
        first: Tensor,
        guide: Guide | None,
        trace: list[Step] | None = None,
        finished: Tensor | None = None,
    ) -> AheadState:
        """Return the beams of a batch; see `BeamDecoder.open`."""
        guesses = Guesses(self._suffixes, *guide)
        return AheadState(limits, first, self.beam, self.ahead, guesses, trace, finished)
