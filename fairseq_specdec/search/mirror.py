"""Beam search that looks ahead: the output of the plain one in fewer passes, where a text resembles the output."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.native.library import library
from fairseq_specdec.engine.native.mirror import DECIDED, UNKNOWN, Mirror
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.search.batch_mirror import BatchMirror
from fairseq_specdec.search.beam import BeamDecoder
from fairseq_specdec.search.beam_state import BeamState
from fairseq_specdec.search.candidates import Candidates, Step
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.nodes import NodeBudget
from fairseq_specdec.search.state import Tally


class MirrorDecoder(BeamDecoder):
    """Verifies in a pass, beside the live beams, prefixes that the search would visit if guesses were right.

    What may follow a prefix depends on nothing else, so what was verified ahead stands whichever prefixes the search
    comes to, and its steps are made on it as far as it reaches. A guess is what follows the newest prefix with the same
    last tokens, and before all else the next token of a text that the output resembles, which the drafter knows.
    A sentence that comes alone on a CPU is decoded so, by compiled code. Of others a pass is bound by arithmetic, or by
    the number of operations, and nothing is won: they are decoded by the plain search, or by `BatchMirror` where it is
    said how far to look ahead.

    Args:
        verifier: scores positions along their paths and keeps their keys and values.
        beam: b.
        drafter: has a guide.
        adaptive: look as far ahead as pays, up to the drafter's block size; else that is how many positions of a pass
            are ahead.
    """

    def __init__(self, verifier: Verifier, beam: int, drafter: Drafter, adaptive: bool) -> None:
        super().__init__(verifier, beam)
        self.drafter = drafter
        self._budget = NodeBudget(drafter.block_size) if adaptive else None
        self._mirror: Mirror | None = None
        self._batches = BeamDecoder(verifier, beam) if adaptive else BatchMirror(verifier, beam, drafter)

    @property
    def batches(self) -> BeamDecoder:
        """What decodes several sentences at once."""
        return self._batches

    @torch.no_grad()
    def decode(self, batch: Batch, trace: list[Step] | None = None) -> tuple[NBest, Tally]:
        """Decode a batch, as `BeamDecoder.decode` does; a round is a pass, and keeps the steps that it brought."""
        if batch.n_rows > 1 or batch.limits.prefix is not None or batch.first.is_cuda or library() is None:
            return self._batches.decode(batch, trace)
        ahead = self.drafter.block_size if self._budget is None else self._budget.choose()
        began = clock.now()
        found, tally = self._look_ahead(batch, ahead, trace) if ahead else super().decode(batch, trace)
        if self._budget is not None:
            self._budget.took(ahead, clock.since(began) / max(int(found.lengths.amax()), 1))  # about as many steps
        return found, tally

    def _look_ahead(self, batch: Batch, ahead: int, trace: list[Step] | None) -> tuple[NBest, Tally]:
        state = BeamState(batch.limits, batch.first, self.beam, trace)
        sentence = _Sentence(self._begin(batch, ahead), self.verifier, state)
        self.verifier.start(batch.net_input, sentence.capacity(batch.limits.max_len, self.beam + ahead))
        while state.is_open:
            sentence.step()
        return state.result(), sentence.tally(ahead)

    def _begin(self, batch: Batch, ahead: int) -> Mirror:
        guide, lengths = self.drafter.guide(batch.source)
        if self._mirror is None:
            self._mirror = Mirror(self.beam)
        text = guide[0, : int(lengths)].contiguous()
        self._mirror.begin(batch.limits, int(batch.first), text, self.beam + ahead)
        return self._mirror


class _Sentence:
    """A sentence that is decoded.

    Args:
        mirror: begun.
        verifier: to be started before the first step.
        state: its beams.
    """

    def __init__(self, mirror: Mirror, verifier: Verifier, state: BeamState) -> None:
        self._mirror, self._verifier, self._state = mirror, verifier, state
        self._used = 0  # slots
        self._rounds: list[list[int]] = []  # of each pass the steps that it brought and the positions ahead

    @staticmethod
    def capacity(max_len: int, most: int) -> int:
        """Return how many slots it can need: a pass brings a step, or is followed by one over live beams that does."""
        return 1 + 2 * most * (max_len + 1)

    def step(self) -> None:
        """Make a step of the search if what is known decides it, else a pass."""
        status, candidates = self._mirror.step()
        if status == UNKNOWN:
            lprobs = self._score(again=False)
            self._mirror.learn(lprobs)
            return
        if status != DECIDED:  # equal scores: the plain search decides on all of them, as fairseq does
            candidates = self._state.rank(self._score(again=True))
            self._mirror.follow(candidates)
        self._state.advance(Candidates(*candidates))
        self._rounds[-1][0] += 1

    def _score(self, again: bool) -> Tensor:
        """Make a pass; return log-probabilities [1, N, V]."""
        tokens, paths, n_live = self._mirror.plan(again)
        n = tokens.size(1)
        lprobs = self._verifier.score(tokens, self._used, paths)
        self._verifier.commit(torch.full_like(tokens[:, 0], n))
        self._used += n
        self._rounds.append([0, n - n_live])
        return lprobs

    def tally(self, ahead: int) -> Tally:
        """Count passes; those that equal scores made useless, which kept nothing, do not count."""
        tally = Tally(ahead)
        kept, drafted = torch.tensor(self._rounds).T
        tally.add_round(torch.stack([kept, drafted, (kept - 1).clamp(min=0)]))
        return tally
