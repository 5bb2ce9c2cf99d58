"""Beam search that looks ahead in whole batches, in passes of a fixed shape; each sentence goes as far as it gets."""

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
    """Looks ahead in every batch but those with a prefix, which are decoded by the plain search.

    Args:
        verifier, beam: see `BeamDecoder`.
        drafter: has a guide; its block size says how many positions of a pass are ahead.
    """

    def __init__(self, verifier: Verifier, beam: int, drafter: Drafter) -> None:
        super().__init__(verifier, beam)
        self.drafter, self.ahead = drafter, drafter.block_size
        self._suffixes = Suffixes(2 * beam + 1)
        self._plain = BeamDecoder(verifier, beam)

    def decode(self, batch: Batch, trace: list[Step] | None = None) -> tuple[NBest, Tally]:
        """Decode a batch, as `BeamDecoder.decode` does; a round is a pass, and keeps the steps that it brought."""
        if batch.limits.prefix is not None:
            return self._plain.decode(batch, trace)
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
        assert guide is not None
        self._suffixes.to(first.device)
        guesses = Guesses(self._suffixes, *guide)
        return AheadState(limits, first, self.beam, self.ahead, guesses, trace, finished)
