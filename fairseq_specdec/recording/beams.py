"""Beam search by recorded passes: a pass, and all steps that follow from it, is one launch and one host read.

Batches are filled up to a few shapes; where half the sentences have ended, the others go on in a smaller one. Where
beams look ahead a recorded pass makes several steps, in each sentence as many as it decides.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.engine.graphs import Recorder, Recording
from fairseq_specdec.recording.inputs import Inputs, Shape, step_up
from fairseq_specdec.recording.store import Sessions, record
from fairseq_specdec.rules.limits import ANYWHERE, Limits, Reach
from fairseq_specdec.search.beam import BeamDecoder, Guide
from fairseq_specdec.search.beam_state import BeamState
from fairseq_specdec.search.candidates import Decision, Step, in_lockstep
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import Tally


class _Recorded(NamedTuple):
    """A recorded pass, and where it leaves what it decided and how much that was (`BeamState.count`)."""

    recording: Recording
    decisions: list[Decision]
    counts: Tensor


class BeamSession:
    """The memory of batches of one shape, and the recordings over it.

    Args:
        shape: of the batches.
        decoder: its verifier is forked.
        recorder: records.
        batch: some batch; what all batches of a run have in common is taken.
    """

    def __init__(self, shape: Shape, decoder: BeamDecoder, recorder: Recorder, batch: Batch) -> None:
        self.shape, self._recorder, self._decoder = shape, recorder, decoder
        self._verifier = decoder.verifier.fork()
        self._inputs, self._guide = Inputs(shape, batch), self._room_for(decoder.guide(batch.source))
        self._steps: dict[tuple[int, Reach, bool], _Recorded] = {}
        self._extent, self._reach = 1, ANYWHERE  # of the pass that is made
        self.state: BeamState
        self._decided: tuple[list[Decision], Tensor]  # by the pass that was recorded last
        self._n = 1  # its positions
        recorder.warm_up(self._try_all)
        self._start_again = record(recorder, self._start, keeps=True)
        self._start_again.replay()  # what all batches have in common is there also when another session's come in

    def _room_for(self, guide: Guide | None) -> Guide | None:
        """Return memory for texts like this one, as long as outputs can be."""
        if guide is None:
            return None
        tokens = guide[0].new_full((self.shape.rows, self.shape.max_len + 1), -1)
        return tokens, torch.zeros_like(tokens[:, 0])

    @property
    def n_bytes(self) -> int:
        """Memory of the sentences."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors())

    def begin(self, batch: Batch) -> None:
        """Begin a batch of at most as many sentences; fillers copy its first one."""
        fill = self._inputs.begin(batch)
        if self._guide is not None:
            (into, into_lengths), (tokens, lengths) = self._guide, self._decoder.guide(batch.source)
            n = min(into.size(1), tokens.size(1))
            into.fill_(-1)
            into[:, :n] = tokens[fill, :n]
            into_lengths.copy_(lengths[fill].clamp(max=n))
        self._start_again.replay()
        self.state.begin_again()

    def step(self, limits: Limits) -> tuple[list[Decision], Tensor, list[int]]:
        """Make a pass, and the steps that it decides.

        Args:
            limits: those of the batch.

        Returns:
            what it decided and how much that was, which is good until the next; and the sentences that are unfinished.
        """
        state = self.state
        self._extent = min(step_up(state.step + 1 + state.depth), self.shape.max_len + 1)
        self._reach = state.reach(limits)
        key = (self._extent, self._reach, state.step == 0)
        if key not in self._steps:
            self._warm_up_step()
            recording = record(self._recorder, self._step)
            self._steps[key] = _Recorded(recording, *self._decided)
        done = self._steps[key]
        done.recording.replay()
        return done.decisions, done.counts, state.look()

    def padded(self, numbers: list[int]) -> Tensor:
        """Return numbers of its first rows as a tensor with one for every row."""
        return torch.tensor(numbers + [0] * (self.shape.rows - len(numbers)), device=self._inputs.first.device)

    def take_over(self, other: BeamSession, rows: list[int]) -> None:
        """Go on with some sentences of another session, as wide and as long; behind them come fillers."""
        n = self.shape.rows
        chosen = torch.tensor(rows + rows[:1] * (n - len(rows)), device=self._inputs.first.device)
        for here, there in zip(self._tensors(), other._tensors(), strict=True):
            here.copy_(there.index_select(0, chosen))
        self.state.catch_up(other.state)
        self.state.finished[len(rows) :] = True

    def _try_all(self) -> None:
        self._start()
        self._step()

    def _start(self) -> None:
        inputs = self._inputs
        self.state = self._decoder.open(inputs.limits, inputs.first, self._guide, finished=inputs.is_filler)
        self._verifier.start(inputs.net_input, self.state.capacity)

    def _step(self) -> None:
        state = self.state
        tokens, paths = state.block(self._extent)
        lprobs = self._verifier.score(tokens, state.n_slots, paths)
        self._n = tokens.size(1)
        self._verifier.commit(torch.full_like(self._inputs.first, self._n))
        decisions = state.take(lprobs, self._extent, self._reach)
        self._decided = decisions, state.count(decisions)

    def _warm_up_step(self) -> None:
        """Make the pass once before it is recorded: libraries choose by its shapes, which may not happen meanwhile.

        All that changes is put back, but for keys and values that the pass writes again.
        """
        kept = self.state.tensors()
        before = [tensor.clone() for tensor in kept]
        self._recorder.warm_up(self._step)
        for tensor, was in zip(kept, before, strict=True):
            tensor.copy_(was)
        self._verifier.commit(torch.full_like(self._inputs.first, -self._n))

    def _tensors(self) -> list[Tensor]:
        return [*self._inputs.tensors(), *self.state.tensors(), *self._verifier.tensors()]


class RecordedBeamDecoder:
    """Decodes as a `BeamDecoder` does, by recorded steps where that is possible.

    Args:
        decoder: its verifier is forked for each shape.
        recorder: records.
    """

    def __init__(self, decoder: BeamDecoder, recorder: Recorder) -> None:
        self.plain, self._recorder = decoder, recorder
        self._sessions: Sessions[BeamSession] = Sessions()

    @torch.no_grad()
    def decode(self, batch: Batch, trace: list[Step] | None = None) -> tuple[NBest, Tally]:
        """Decode a batch; arguments and result as of `BeamDecoder.decode`."""
        shape = self._sessions.shape_for(batch, self.plain.verifier)
        if shape is not None:
            try:
                return self._decode(shape, batch, trace)
            except RuntimeError as error:
                self._sessions.give_up(error)
                if trace is not None:
                    trace.clear()
        return self.plain.decode(batch, trace)

    def _decode(self, shape: Shape, batch: Batch, trace: list[Step] | None) -> tuple[NBest, Tally]:
        session = self._session(shape, batch)
        session.begin(batch)
        numbers = list(range(batch.n_rows))  # of the session's first rows, in the batch
        still_open, tally = numbers, Tally(self.plain.ahead)  # rows of the session
        found = NBest(*(part.new_zeros(batch.n_rows, *part.shape[1:]) for part in session.state.ended))
        own: list[Step] = []
        while still_open:
            decisions, counts, still_open = session.step(batch.limits)
            tally.add_round(counts.clone())
            if trace is not None:
                own += [decision.step(session.padded(numbers)) for decision in decisions]
            smaller = step_up(len(still_open)) if still_open else 0
            if not still_open or smaller <= session.shape.rows // 2:
                _set_aside(found, session.state.ended, numbers)
            if 0 < smaller <= session.shape.rows // 2:
                other = self._session(session.shape._replace(rows=smaller), batch)
                other.take_over(session, still_open)
                numbers, still_open, session = [numbers[row] for row in still_open], list(range(len(still_open))), other
        long = batch.limits.max_len + 2  # as in a batch that is not filled up
        tokens, scores, *others, n = found
        parts = [tokens[..., :long], scores[..., :long], *others]
        if trace is not None:
            trace += in_lockstep(own)
        return NBest(*(part[:, : self.plain.beam] for part in parts), n), tally

    def _session(self, shape: Shape, batch: Batch) -> BeamSession:
        return self._sessions.ready(shape, lambda: BeamSession(shape, self.plain, self._recorder, batch))


def _set_aside(found: NBest, ended: NBest, numbers: list[int]) -> None:
    """Write what the first rows of a session hold to the rows with these numbers."""
    where = torch.tensor(numbers, device=found.n.device)
    for into, part in zip(found, ended, strict=True):
        into.index_copy_(0, where, part[: len(numbers)])
