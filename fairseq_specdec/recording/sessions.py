"""Sessions: batches are filled up to a few shapes, each with its memory and its recordings.

A round is one launch (drafting, verification and all that follows) and one host read. Recordings are made when they are
needed first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.blocks import DraftBlock, Source
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.graphs import Recorder, Recording
from fairseq_specdec.recording.inputs import Inputs, Shape, step_up
from fairseq_specdec.recording.store import record
from fairseq_specdec.rules.limits import ANYWHERE, Limits, Reach
from fairseq_specdec.search.decode import Batch, SpecDecoder
from fairseq_specdec.search.state import DecodeState

FREE_SHARE = 8  # of so many places one has to be free before rows are moved


class _Round(NamedTuple):
    """A recorded round, and where it leaves what the host and a drafter that is not recorded look at."""

    recording: Recording
    status: Tensor
    kept: Tensor


class Session:
    """The memory of batches of one shape, and the recordings over it.

    Args:
        shape: of the batches.
        decoder: its verifier and drafter are forked.
        recorder: records.
        batch: some batch; what all batches of a run have in common is taken.
    """

    def __init__(self, shape: Shape, decoder: SpecDecoder, recorder: Recorder, batch: Batch) -> None:
        self.shape, self._recorder = shape, recorder
        drafter = decoder.drafter.fork()
        self._outside: Drafter | None = decoder.drafter if drafter is None else None  # drafts between the recordings
        self._decoder = SpecDecoder(decoder.verifier.fork(), drafter or decoder.drafter, decoder.accept)
        self._inputs, block = Inputs(shape, batch), decoder.drafter.block_size
        self._draft = DraftBlock(batch.first.new_zeros(shape.rows, block), batch.first.new_zeros(shape.rows))
        self._rounds: dict[tuple[int, Reach], _Round] = {}
        self.state: _State
        self._kept: Tensor  # [B] int64, tokens that the round recorded last gives each row
        recorder.warm_up(self._start if shape.waits else self._try_all)
        self._start_again = record(recorder, self._start, keeps=True)
        self._start_again.replay()  # what is the same in all batches is there also where rows come from another session

    @property
    def n_bytes(self) -> int:
        """Memory of the rows."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors())

    @property
    def has_places(self) -> bool:
        """Whether so many rows are free that giving them to others pays, which takes a part of a round."""
        return (self.shape.rows - self.state.n_open) * FREE_SHARE >= self.shape.rows

    @property
    def can_take(self) -> bool:
        """Whether single rows may come in; a drafter that drafts between the recordings knows whole batches alone."""
        return self._outside is None

    def begin(self, batch: Batch) -> None:
        """Begin a batch of at most as many rows; fillers copy its first one."""
        source, n_rows = batch.source, batch.n_rows
        fill = self._inputs.begin(batch)
        self._start_again.replay()
        self.state.learn([1] * self.shape.rows, [row >= n_rows for row in range(self.shape.rows)])
        if self._outside is not None:
            ids = None if source.ids is None else source.ids[fill]
            self._outside.start(Source(self._inputs.tokens, self._inputs.lengths, source.pad, ids), self.state)

    def take(self, other: Session, theirs: list[int], mine: list[int]) -> None:
        """Go on with some rows of another session, no wider and no longer than this one, in these rows here."""
        rows, places = (torch.tensor(numbers, device=self._inputs.first.device) for numbers in (theirs, mine))
        # the drafter's come last; one that cannot read sources as wide as here has none
        for here, there in zip(self._tensors(), other._tensors(), strict=False):
            corner = here[(slice(None), *map(slice, there.shape[1:]))]
            corner.index_copy_(0, places, there.index_select(0, rows))
        self.state.take(other.state, theirs, mine)

    def take_over(self, other: Session) -> None:
        """Go on with the unfinished rows of another session, which come first; the others are fillers."""
        rows, n = other.state.open_rows, self.shape.rows
        chosen = torch.tensor(rows + rows[:1] * (n - len(rows)), device=self._inputs.first.device)
        if (self.shape.width, self.shape.max_len) != (other.shape.width, other.shape.max_len):
            self._inputs.take(*other._inputs.tensors()[:3], chosen)
            self._start_again.replay()  # for what lies beyond theirs
        self.state.finished.fill_(True)
        self.state.learn([1] * n, [True] * n)
        self.take(other, rows, list(range(len(rows))))
        if self._outside is not None:
            self._outside.select_rows(chosen)

    def round(self, limits: Limits) -> Tensor:
        """Make a round, and read what it did.

        Args:
            limits: those of the rows' batches with the smallest maximum length.

        Returns:
            [3, B] int64 on the host: tokens that each row was given, drafted and accepted.
        """
        state, n = self.state, self._decoder.drafter.block_size + 1
        state.reach_now = limits.reach(*state.span(n))
        extent = min(step_up(state.max_length - 1 + n), state.capacity)
        state.max_length = extent - n + 1
        if self._outside is not None:
            draft = state.trim(self._outside.propose(state))
            self._draft.tokens.copy_(draft.tokens)
            self._draft.lengths.copy_(draft.lengths)
        key = (extent, state.reach_now)
        if key not in self._rounds:
            self._warm_up_round()
            self._rounds[key] = _Round(record(self._recorder, self._round), state.status, self._kept)
        done = self._rounds[key]
        done.recording.replay()
        if self._outside is not None:
            self._outside.advance(done.kept)
        status = done.status.to("cpu", copy=True)  # host sync: the loop's one
        state.learn(*status[:2].tolist())
        return status[2:]

    def _warm_up_round(self) -> None:
        """Make the round once before it is recorded: libraries choose by its shapes, which may not happen meanwhile.

        All that rows have is put back, so that nothing but their hidden places has changed.
        """
        before = [tensor.clone() for tensor in self._tensors()]
        self._recorder.warm_up(self._round)
        for tensor, was in zip(self._tensors(), before, strict=True):
            tensor.copy_(was)

    def _try_all(self) -> None:
        self._start()
        self._round()

    def _start(self) -> None:
        inputs = self._inputs
        self.state = _State(inputs.limits, inputs.first, self._decoder.drafter.block_size, inputs.is_filler)
        memory = self._decoder.verifier.start(inputs.net_input, self.state.capacity)
        if self._outside is None:
            source = Source(inputs.tokens, inputs.lengths, inputs.limits.pad, encoded=tuple(memory))
            self._decoder.drafter.start(source, self.state)

    def _round(self) -> None:
        drafter = self._decoder.drafter
        draft = self._draft if self._outside is not None else self.state.trim(drafter.propose(self.state))
        kept = self._decoder.judge(self.state, draft)
        if self._outside is None:
            drafter.advance(kept)
        self._kept = kept

    def _tensors(self) -> list[Tensor]:
        own = [*self._inputs.tensors(), *self.state.tensors(), *self._decoder.verifier.tensors()]
        return own if self._outside is not None else own + self._decoder.drafter.tensors()


class _State(DecodeState):
    """The rows of a session: what the host knows of them is set from outside, since a recording cannot change it."""

    reach_now = ANYWHERE
    _known: tuple[list[int], list[int]]

    def reach(self, n: int) -> Reach:
        """Return what was said before the round."""
        return self.reach_now

    def learn(self, lengths: list[int], finished: list[int]) -> None:
        """Know the tokens of each row, and which rows have ended."""
        super().learn(lengths, finished)
        self._known = lengths, finished

    @property
    def open_rows(self) -> list[int]:
        """Unfinished rows, as the host knows them."""
        return [row for row, is_finished in enumerate(self._known[1]) if not is_finished]

    @property
    def free_rows(self) -> list[int]:
        """The others."""
        return [row for row, is_finished in enumerate(self._known[1]) if is_finished]

    def take(self, other: _State, theirs: list[int], mine: list[int]) -> None:
        """Know what another state knows of rows that are here now."""
        lengths, finished = self._known
        for row, place in zip(theirs, mine, strict=True):
            lengths[place], finished[place] = (known[row] for known in other._known)
        self.learn(lengths, finished)

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens [B, T] int64, scores [B, T] float32 and lengths [B] int64."""
        return self.tokens, self.scores, self.lengths

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [self.tokens, self.scores, self.lengths, self.totals, self.finished]
