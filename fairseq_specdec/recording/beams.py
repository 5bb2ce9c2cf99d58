"""Beam search by recorded steps: a step (a pass, and all that follows) is one launch and one host read.

All sentences of a batch are at the same step, which the host counts, so that nothing has to be read for it. Batches are
filled up to a few shapes; where half the sentences have ended, the others go on in a smaller one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.engine.graphs import Recorder, Recording
from fairseq_specdec.recording.inputs import Inputs, Shape, step_up
from fairseq_specdec.recording.store import Sessions, record
from fairseq_specdec.rules.limits import ANYWHERE, Limits, Reach
from fairseq_specdec.search.beam import BeamDecoder, tally_of
from fairseq_specdec.search.beam_state import BeamState, Candidates, Step
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import Tally


class _Recorded(NamedTuple):
    """A recorded step, and where it leaves what it decided."""

    recording: Recording
    candidates: Candidates


class BeamSession:
    """The memory of batches of one shape, and the recordings over it.

    Args:
        shape: of the batches.
        decoder: its verifier is forked.
        recorder: records.
        batch: some batch; what all batches of a run have in common is taken.
    """

    def __init__(self, shape: Shape, decoder: BeamDecoder, recorder: Recorder, batch: Batch) -> None:
        self.shape, self._recorder, self._beam = shape, recorder, decoder.beam
        self._verifier = decoder.verifier.fork()
        self._inputs = Inputs(shape, batch)
        self._steps: dict[tuple[int, Reach, bool], _Recorded] = {}
        self._extent, self._reach = 1, ANYWHERE  # of the step that is made
        self.state: BeamState
        self._candidates: Candidates  # of the step that was recorded last
        recorder.warm_up(self._try_all)
        self._start_again = record(recorder, self._start, keeps=True)
        self._start_again.replay()  # what all batches have in common is there also when another session's come in

    @property
    def n_bytes(self) -> int:
        """Memory of the sentences."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors())

    def begin(self, batch: Batch) -> None:
        """Begin a batch of at most as many sentences; fillers copy its first one."""
        self._inputs.begin(batch)
        self._start_again.replay()
        self.state.step = 0

    def step(self, limits: Limits) -> tuple[Candidates, list[int]]:
        """Make a step.

        Args:
            limits: those of the batch.

        Returns:
            what it decided, which is good until the next; and the sentences that are unfinished.
        """
        now = self.state.step
        self._extent = min(step_up(now + 1), self.shape.max_len + 1)
        self._reach = limits.reach(now, now)
        key = (self._extent, self._reach, now == 0)
        if key not in self._steps:
            self._warm_up_step()
            recording = record(self._recorder, self._step)
            self._steps[key] = _Recorded(recording, self._candidates)
        done = self._steps[key]
        done.recording.replay()
        self.state.step += 1
        finished = self.state.finished.tolist()  # host sync: the loop's one
        return done.candidates, [row for row, is_finished in enumerate(finished) if not is_finished]

    def take_over(self, other: BeamSession, rows: list[int]) -> None:
        """Go on with some sentences of another session, as wide and as long; behind them come fillers."""
        n = self.shape.rows
        chosen = torch.tensor(rows + rows[:1] * (n - len(rows)), device=self._inputs.first.device)
        for here, there in zip(self._tensors(), other._tensors(), strict=True):
            here.copy_(there.index_select(0, chosen))
        self.state.step = other.state.step
        self.state.finished[len(rows) :] = True

    def _try_all(self) -> None:
        self._start()
        self._step()

    def _start(self) -> None:
        inputs = self._inputs
        self.state = BeamState(inputs.limits, inputs.first, self._beam, finished=inputs.is_filler)
        self._verifier.start(inputs.net_input, BeamState.capacity(inputs.limits, self._beam))

    def _step(self) -> None:
        state = self.state
        tokens, paths = state.block(self._extent)
        lprobs = self._verifier.score(tokens, state.n_slots, paths)
        self._verifier.commit(self._width)
        self._candidates = state.rank(lprobs, self._extent, self._reach)
        state.settle(self._candidates)

    @property
    def _width(self) -> Tensor:
        """[S] int64, positions of a step."""
        return torch.full_like(self._inputs.first, 1 if self.state.step == 0 else self._beam)

    def _warm_up_step(self) -> None:
        """Make the step once before it is recorded: libraries choose by its shapes, which may not happen meanwhile.

        All that changes is put back, but for keys and values that the step writes again.
        """
        kept = self.state.tensors()
        before = [tensor.clone() for tensor in kept]
        self._recorder.warm_up(self._step)
        for tensor, was in zip(kept, before, strict=True):
            tensor.copy_(was)
        self._verifier.commit(-self._width)

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
        still_open, n_steps = numbers, 0  # rows of the session
        found = NBest(*(part.new_zeros(batch.n_rows, *part.shape[1:]) for part in session.state.ended))
        while still_open:
            rows, n_steps = still_open, n_steps + len(still_open)
            candidates, still_open = session.step(batch.limits)
            if trace is not None:
                trace.append(_step_of([numbers[row] for row in rows], candidates, rows))
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
        return NBest(*(part[:, : self.plain.beam] for part in parts), n), tally_of(n_steps)

    def _session(self, shape: Shape, batch: Batch) -> BeamSession:
        return self._sessions.ready(shape, lambda: BeamSession(shape, self.plain, self._recorder, batch))


def _step_of(numbers: list[int], candidates: Candidates, rows: list[int]) -> Step:
    """Return what a step decided on some rows of a session, which have these numbers in the batch."""
    device = candidates.tokens.device
    own = torch.tensor(rows, device=device)
    return Step(torch.tensor(numbers, device=device), Candidates(*(part.index_select(0, own) for part in candidates)))


def _set_aside(found: NBest, ended: NBest, numbers: list[int]) -> None:
    """Write what the first rows of a session hold to the rows with these numbers."""
    where = torch.tensor(numbers, device=found.n.device)
    for into, part in zip(found, ended, strict=True):
        into.index_copy_(0, where, part[: len(numbers)])
