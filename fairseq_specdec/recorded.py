"""The loop over recorded rounds: batches are filled up to a few shapes, each with its memory and its recordings.

A round is one launch (drafting, verification and all that follows) and one host read. Recordings are made when they are
needed first; what cannot be recorded is decoded round by round.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.blocks import DraftBlock, Source
from fairseq_specdec.decode import SpecDecoder
from fairseq_specdec.device import is_out_of_memory
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.graphs import Recorder, Recording
from fairseq_specdec.rules import ANYWHERE, Limits, Reach
from fairseq_specdec.state import Decoded, DecodeState, Tally

logger = logging.getLogger(__name__)

MAX_ROWS = 128  # larger batches keep a GPU busy between launches, and filling them up would cost more
MAX_BYTES = 4 << 30  # of all sessions' rows; the one that was not used for longest goes
MAX_SESSIONS = 64


def step_up(n: int) -> int:
    """Return the smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that is at least n."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if n <= power * 3 // 4 else power


class Shape(NamedTuple):
    """What batches of a session are filled up to: rows B, source positions S, and the step at which eos is forced."""

    rows: int
    width: int
    max_len: int


class RecordedDecoder:
    """Decodes as a `SpecDecoder` does, by recorded rounds where that is possible.

    Args:
        decoder: its verifier and drafter are forked for each shape.
        recorder: records.
    """

    def __init__(self, decoder: SpecDecoder, recorder: Recorder) -> None:
        self._decoder, self._recorder = decoder, recorder
        self._sessions: OrderedDict[Shape, _Session] = OrderedDict()
        self._works = True

    @torch.no_grad()
    def decode(self, source: Source, net_input: dict[str, Tensor], limits: Limits, first: Tensor) -> Decoded:
        """Decode a batch; arguments as of `SpecDecoder.decode`."""
        shape = self._shape_for(source, limits)
        if shape is not None:
            try:
                return self._decode(shape, source, limits, first)
            except RuntimeError as error:
                self._sessions.clear()
                if not (is_out_of_memory(error) or isinstance(error, _CannotRecordError)):
                    raise
                self._works = not isinstance(error, _CannotRecordError)
                logger.warning("decoding without CUDA graphs (--no-cuda-graphs): %s", error)
        return self._decoder.decode(source, net_input, limits, first)

    def _shape_for(self, source: Source, limits: Limits) -> Shape | None:
        """Return the shape for a batch, None where it has to be decoded without recording."""
        rows, width = source.tokens.shape
        shape = Shape(step_up(rows), step_up(width), step_up(max(limits.max_len, 1)))
        has_rules = limits.prefix is not None or limits.source_lengths is not None
        if not self._works or has_rules or shape.rows > MAX_ROWS:
            return None
        return shape if all(encoder.can_run(shape.width) for encoder in self._decoder.verifier.encoders) else None

    def _decode(self, shape: Shape, source: Source, limits: Limits, first: Tensor) -> Decoded:
        session = self._session(shape, limits, first)
        session.begin(source, limits, first)
        n_rows, tally = first.size(0), session.state.tally
        outputs = [part.new_zeros(n_rows + 1, part.size(1)) for part in (session.state.tokens, session.state.scores)]
        outputs.append(first.new_zeros(n_rows + 1))
        place = torch.arange(shape.rows, device=first.device).clamp(max=n_rows)  # of each row; fillers share the last
        while session.state.is_open:
            smaller = step_up(session.state.n_open)
            if smaller <= session.shape.rows // 2:
                session.set_aside(outputs, place)
                rows = session.state.open_rows(smaller)
                place = torch.where(rows < 0, n_rows, place[rows])
                wide, session = session, self._session(session.shape._replace(rows=smaller), limits, first)
                session.take_over(wide, rows)
            session.round(limits)
        session.set_aside(outputs, place)
        tokens, scores, lengths = (part[:n_rows] for part in outputs)
        decoded = Decoded(tokens, scores, lengths, tally)
        self._decoder.drafter.finish(decoded)
        return decoded

    def _session(self, shape: Shape, limits: Limits, first: Tensor) -> _Session:
        """Return the session for a shape, a new one where there is none; forget those that have no room beside it."""
        if shape not in self._sessions:
            new = _Session(shape, self._decoder, self._recorder, limits, first)
            while self._sessions and (
                len(self._sessions) >= MAX_SESSIONS
                or new.n_bytes + sum(old.n_bytes for old in self._sessions.values()) > MAX_BYTES
            ):
                self._sessions.popitem(last=False)
            self._sessions[shape] = new
        self._sessions.move_to_end(shape)
        return self._sessions[shape]


class _CannotRecordError(RuntimeError):
    """Recording failed; the message says why."""


class _Round(NamedTuple):
    """A recorded round, and where it leaves what the host and a drafter that is not recorded look at."""

    recording: Recording
    status: Tensor
    kept: Tensor


class _Session:
    """The memory of batches of one shape, and the recordings over it.

    Args:
        shape: of the batches.
        decoder: see `RecordedDecoder`.
        recorder: likewise.
        limits: of some batch; what all batches of a run have in common is taken.
        like: [B] int64, on the device.
    """

    def __init__(self, shape: Shape, decoder: SpecDecoder, recorder: Recorder, limits: Limits, like: Tensor) -> None:
        self.shape, self._recorder = shape, recorder
        drafter = decoder.drafter.fork()
        self._outside: Drafter | None = decoder.drafter if drafter is None else None  # drafts between the recordings
        self._decoder = SpecDecoder(decoder.verifier.fork(), drafter or decoder.drafter, decoder.accept)
        rows, block = shape.rows, decoder.drafter.block_size
        self._tokens = like.new_full((rows, shape.width), limits.pad)
        self._tokens[:, 0] = limits.eos
        self._lengths, self._first = like.new_ones(rows), like.new_full((rows,), limits.eos)
        self._is_filler = torch.zeros_like(self._first, dtype=torch.bool)
        self._limits = replace(limits, max_len=shape.max_len, last_steps=like.new_full((rows,), shape.max_len))
        self._draft = DraftBlock(like.new_zeros(rows, block), like.new_zeros(rows))
        self._rounds: dict[tuple[int, Reach], _Round] = {}
        self.state: _State
        self._kept: Tensor  # [B] int64, tokens that the round recorded last gives each row
        recorder.warm_up(self._try_all)
        self._start_again = self._record(self._start, keeps=True)
        self._start_again.replay()  # what is the same in all batches is there also where rows come from another session

    @property
    def n_bytes(self) -> int:
        """Memory of the rows."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors())

    def begin(self, source: Source, limits: Limits, first: Tensor) -> None:
        """Begin a batch of at most as many rows; fillers copy its first one."""
        n_rows, width = source.tokens.shape
        fill = torch.arange(self.shape.rows, device=first.device)
        self._is_filler.copy_(fill >= n_rows)
        fill = fill.where(fill < n_rows, 0)
        self._tokens.fill_(source.pad)
        self._tokens[:, :width] = source.tokens[fill]
        self._lengths.copy_(source.lengths[fill])
        self._first.copy_(first[fill])
        self._limits.last_steps.fill_(limits.max_len)
        self._start_again.replay()
        self.state.begin_again(n_rows)
        if self._outside is not None:
            ids = None if source.ids is None else source.ids[fill]
            self._outside.start(Source(self._tokens, self._lengths, source.pad, ids), self.state)

    def take_over(self, other: _Session, rows: Tensor) -> None:
        """Go on with some rows of a larger session. rows: [B] int64, -1 for fillers."""
        chosen = rows.clamp(min=0)
        for mine, theirs in zip(self._tensors(), other._tensors(), strict=True):
            mine.copy_(theirs.index_select(0, chosen))
        self.state.finished |= rows < 0
        self.state.go_on_from(other.state)
        if self._outside is not None:
            self._outside.select_rows(chosen)

    def round(self, limits: Limits) -> None:
        """Make a round, and read what it did. limits: of the batch."""
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
            self._rounds[key] = _Round(self._record(self._round), state.status, self._kept)
        done = self._rounds[key]
        done.recording.replay()
        if self._outside is not None:
            self._outside.advance(done.kept)
        state.read(done.status.to("cpu", copy=True))  # host sync: the loop's one

    def set_aside(self, outputs: list[Tensor], place: Tensor) -> None:
        """Write tokens, scores and lengths of all rows to their places in the outputs. place: [B] int64."""
        for output, now in zip(outputs, (self.state.tokens, self.state.scores, self.state.lengths), strict=True):
            output.index_copy_(0, place, now)

    def _record(self, work: Callable[[], None], keeps: bool = False) -> Recording:
        try:
            return self._recorder.record(work, keeps)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise _CannotRecordError(f"recording failed: {error}") from error

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
        own = [self._limits.last_steps, *self.state.tensors(), *self._decoder.verifier.tensors()]
        return own if self._outside is not None else own + self._decoder.drafter.tensors()


class _State(DecodeState):
    """The rows of a session: what the host knows of them is set from outside, since a recording cannot change it."""

    reach_now = ANYWHERE

    def reach(self, n: int) -> Reach:
        """Return what was said before the round."""
        return self.reach_now

    def begin_again(self, n_rows: int) -> None:
        """Know of a new batch, of whose rows so many are no fillers."""
        self.tally = Tally(self.block_size)
        self.is_open, self.max_length, self._min_length = True, 1, 1
        self._n_finished = self.n_rows - n_rows

    def go_on_from(self, other: _State) -> None:
        """Know what another state, whose open rows are here now, knows."""
        self.tally = other.tally
        self.is_open, self.max_length, self._min_length = True, other.max_length, other._min_length
        self._n_finished = self.n_rows - other.n_open

    def open_rows(self, n: int) -> Tensor:
        """Return the numbers of the unfinished rows, [n] int64, behind them -1."""
        rows = torch.nonzero(~self.finished).squeeze(1)  # host sync: when rows are dropped
        return torch.nn.functional.pad(rows, (0, n - rows.numel()), value=-1)

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [self.tokens, self.scores, self.lengths, self.finished]
