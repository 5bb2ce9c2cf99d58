"""Sessions: batches are filled up to a few shapes, each with its memory and its recordings.

A round is one launch (drafting, verification and all that follows) and one host read. Recordings are made when they are
needed first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.blocks import DraftBlock, Source
from fairseq_specdec.device import is_out_of_memory
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.graphs import Recorder, Recording
from fairseq_specdec.rules.limits import ANYWHERE, Limits, Reach
from fairseq_specdec.search.decode import Batch, SpecDecoder
from fairseq_specdec.search.state import DecodeState

FREE_SHARE = 8  # of so many places one has to be free before rows are moved


def step_up(n: int) -> int:
    """Return the smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that is at least n."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if n <= power * 3 // 4 else power


class Shape(NamedTuple):
    """What batches of a session are filled up to: rows B, source positions S, and the step at which eos is forced.

    In a session that ``waits`` rows are only encoded; their rounds are made in another one, in which they take places.
    """

    rows: int
    width: int
    max_len: int
    waits: bool = False

    def joined(self, other: Shape, n_open: int) -> Shape | None:
        """Return a shape for a batch of another shape and the unfinished rows of this one.

        Returns:
            this shape where it does; None where the batch would be filled up to more than twice its size.
        """
        width, max_len = max(self.width, other.width), max(self.max_len, other.max_len)
        if (width, max_len) == (self.width, self.max_len) and other.rows <= self.rows:
            return self
        rows = max(step_up(n_open + 1), other.rows)
        return Shape(rows, width, max_len) if rows * width <= 2 * other.rows * other.width else None


class CannotRecordError(RuntimeError):
    """Recording failed; the message says why."""


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
        rows, block, like, limits = shape.rows, decoder.drafter.block_size, batch.first, batch.limits
        self._tokens = like.new_full((rows, shape.width), limits.pad)
        self._tokens[:, 0] = limits.eos
        self._lengths, self._first = like.new_ones(rows), like.new_full((rows,), limits.eos)
        self._is_filler = torch.zeros_like(self._first, dtype=torch.bool)
        self._limits = replace(limits, max_len=shape.max_len, last_steps=like.new_full((rows,), shape.max_len))
        self._draft = DraftBlock(like.new_zeros(rows, block), like.new_zeros(rows))
        self._rounds: dict[tuple[int, Reach], _Round] = {}
        self.state: _State
        self._kept: Tensor  # [B] int64, tokens that the round recorded last gives each row
        recorder.warm_up(self._start if shape.waits else self._try_all)
        self._start_again = self._record(self._start, keeps=True)
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
        source = batch.source
        n_rows = batch.n_rows
        fill = torch.arange(self.shape.rows, device=batch.first.device)
        self._is_filler.copy_(fill >= n_rows)
        fill = fill.where(fill < n_rows, 0)
        self._limits.last_steps.fill_(batch.limits.max_len)
        self._encode(source.tokens, source.lengths, batch.first, fill)
        self.state.learn([1] * self.shape.rows, [row >= n_rows for row in range(self.shape.rows)])
        if self._outside is not None:
            ids = None if source.ids is None else source.ids[fill]
            self._outside.start(Source(self._tokens, self._lengths, source.pad, ids), self.state)

    def _encode(self, tokens: Tensor, lengths: Tensor, first: Tensor, rows: Tensor) -> None:
        """Begin with some rows of sources. tokens: [B', S'] int64; lengths, first: [B'] int64; rows: [B] int64."""
        self._tokens.fill_(self._limits.pad)
        self._tokens[:, : tokens.size(1)] = tokens[rows]
        self._lengths.copy_(lengths[rows])
        self._first.copy_(first[rows])
        self._start_again.replay()

    def take(self, other: Session, theirs: list[int], mine: list[int]) -> None:
        """Go on with some rows of another session, no wider and no longer than this one, in these rows here."""
        rows, places = (torch.tensor(numbers, device=self._first.device) for numbers in (theirs, mine))
        # the drafter's come last; one that cannot read sources as wide as here has none
        for here, there in zip(self._tensors(), other._tensors(), strict=False):
            corner = here[(slice(None), *map(slice, there.shape[1:]))]
            corner.index_copy_(0, places, there.index_select(0, rows))
        self.state.take(other.state, theirs, mine)

    def take_over(self, other: Session) -> None:
        """Go on with the unfinished rows of another session, which come first; the others are fillers."""
        rows, n = other.state.open_rows, self.shape.rows
        chosen = torch.tensor(rows + rows[:1] * (n - len(rows)), device=self._first.device)
        if (self.shape.width, self.shape.max_len) != (other.shape.width, other.shape.max_len):
            self._encode(other._tokens, other._lengths, other._first, chosen)  # for what lies beyond theirs
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
            self._rounds[key] = _Round(self._record(self._round), state.status, self._kept)
        done = self._rounds[key]
        done.recording.replay()
        if self._outside is not None:
            self._outside.advance(done.kept)
        status = done.status.to("cpu", copy=True)  # host sync: the loop's one
        state.learn(*status[:2].tolist())
        return status[2:]

    def _record(self, work: Callable[[], None], keeps: bool = False) -> Recording:
        try:
            return self._recorder.record(work, keeps)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise CannotRecordError(f"recording failed: {error}") from error

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
        self.state = _State(self._limits, self._first, self._decoder.drafter.block_size, self._is_filler)
        net_input = {"src_tokens": self._tokens, "src_lengths": self._lengths}
        memory = self._decoder.verifier.start(net_input, self.state.capacity)
        if self._outside is None:
            source = Source(self._tokens, self._lengths, self._limits.pad, encoded=tuple(memory))
            self._decoder.drafter.start(source, self.state)

    def _round(self) -> None:
        drafter = self._decoder.drafter
        draft = self._draft if self._outside is not None else self.state.trim(drafter.propose(self.state))
        kept = self._decoder.judge(self.state, draft)
        if self._outside is None:
            drafter.advance(kept)
        self._kept = kept

    def _tensors(self) -> list[Tensor]:
        own = [self._tokens, self._lengths, self._first, self._limits.last_steps]
        own += [*self.state.tensors(), *self._decoder.verifier.tensors()]
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
