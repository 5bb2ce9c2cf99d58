"""The loop over recorded rounds: rows of the next batches take the places of rows that have ended.

What cannot be recorded is decoded round by round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_specdec.engine.graphs import Recorder
from fairseq_specdec.recording.inputs import Shape, step_up
from fairseq_specdec.recording.sessions import Session
from fairseq_specdec.recording.store import Sessions
from fairseq_specdec.search.decode import Batch, SpecDecoder
from fairseq_specdec.search.state import Decoded, Tally


class RecordedDecoder:
    """Decodes as a `SpecDecoder` does, by recorded rounds where that is possible.

    Args:
        decoder: its verifier and drafter are forked for each shape.
        recorder: records.
    """

    def __init__(self, decoder: SpecDecoder, recorder: Recorder) -> None:
        self.plain, self._recorder = decoder, recorder
        self._sessions: Sessions[Session] = Sessions()

    @torch.no_grad()
    def decode_all(self, batches: Iterator[Batch]) -> Iterator[Decoded]:
        """Decode the batches of a run; one run at a time, since the next takes the memory.

        Args:
            batches: each is asked for when rows of it could begin.

        Yields:
            what they have become, in their order, as soon as it is known.
        """
        queue = _Queue(batches)
        while (batch := queue.pop()) is not None:
            shape = self._shape_for(batch)
            if shape is None:
                yield self.plain.decode(batch)
                continue
            under_way: deque[Batch] = deque([batch])
            try:
                yield from self._decode(shape, under_way, queue)
            except RuntimeError as error:
                self._sessions.give_up(error)
            for batch in under_way:  # none, unless the run failed, whose memory is free by now
                yield self.plain.decode(batch)

    def _shape_for(self, batch: Batch) -> Shape | None:
        return self._sessions.shape_for(batch, self.plain.verifier)

    def _decode(self, shape: Shape, under_way: deque[Batch], queue: _Queue) -> Iterator[Decoded]:
        """Decode a batch, and with it those behind it that there is room for, until no row is left.

        Args:
            shape: of the session.
            under_way: the batch; changed in place to those that have begun and are not given out.
            queue: what comes next.
        """
        session = self._session(shape, under_way[0])
        session.begin(under_way[0])
        rows = _Rows(session, under_way)
        while session.state.is_open or rows.n_waiting > 0:
            session = self._shrink(self._fill(session, rows, queue), rows)
            rows.count(session.round(min((batch.limits for batch in under_way), key=lambda limits: limits.max_len)))
            while rows.first_is_done(session):
                decoded = rows.give_out(session)
                self.plain.drafter.finish(decoded.tokens, decoded.lengths)
                under_way.popleft()  # not before: a batch that fails on the way is decoded again
                yield decoded

    def _fill(self, session: Session, rows: _Rows, queue: _Queue) -> Session:
        """Give free places to rows that wait, and have the next batch wait where none do.

        Returns:
            the session, or a larger one in which the next batch has room, too.
        """
        while session.can_take and session.has_places:
            if rows.n_waiting == 0:
                following = queue.peek()
                own = None if following is None else self._shape_for(following)
                shape = None if own is None else session.shape.joined(own, session.state.n_open)
                if shape is None:
                    break
                session = self._move(session, shape, rows)
                rows.wait(self._session(shape._replace(rows=own.rows, waits=True), following), following)
                queue.pop()  # likewise
            rows.take_places(session)
        return session

    def _shrink(self, session: Session, rows: _Rows) -> Session:
        """Return a smaller session with all unfinished rows where it is half as large, else this one."""
        smaller = step_up(session.state.n_open)
        pays = smaller <= session.shape.rows // 2
        return self._move(session, session.shape._replace(rows=smaller), rows) if pays else session

    def _move(self, session: Session, shape: Shape, rows: _Rows) -> Session:
        """Return the session of a shape, with all unfinished rows."""
        if shape == session.shape:
            return session
        other = self._session(shape, rows.batches[0])
        rows.move(session, other)
        return other

    def _session(self, shape: Shape, batch: Batch) -> Session:
        """Return the session for a shape."""
        return self._sessions.ready(shape, lambda: Session(shape, self.plain, self._recorder, batch))


class _Queue:
    """Batches that come; the next one can be looked at."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._next: Batch | None = None

    def peek(self) -> Batch | None:
        """Return the next batch, None at the end."""
        if self._next is None:
            self._next = next(self._batches, None)
        return self._next

    def pop(self) -> Batch | None:
        """Return it and go on to the one behind it."""
        batch, self._next = self.peek(), None
        return batch


class _Rows:
    """The rows of the batches that are under way, numbered through in the order in which they came.

    Args:
        session: holds the rows of the first batch.
        batches: that batch; the others are added, in place.

    Attributes:
        n_waiting: rows that wait for a place.
    """

    def __init__(self, session: Session, batches: deque[Batch]) -> None:
        self.batches = batches
        n_rows = batches[0].n_rows
        self._block_size = session.state.block_size
        self._here = [*range(n_rows), *[-1] * (session.shape.rows - n_rows)]  # number of each row of the session
        self._first, self._end = 0, n_rows  # numbers that are not given out
        self.n_waiting = 0
        self._waiting = session  # where rows wait
        # tokens, scores and lengths of these; before them one that takes what nobody asks for
        self._outputs = [part.new_zeros(n_rows + 1, *part.shape[1:]) for part in session.state.results()]
        self._counts: list[Tensor] = []  # of each round [4, B] int64, on the host: number, kept, drafted, accepted

    def wait(self, session: Session, batch: Batch) -> None:
        """Let a session begin a batch, the rows of which wait there."""
        session.begin(batch)
        self._waiting, self.n_waiting = session, batch.n_rows
        self._end += batch.n_rows
        self._outputs = [torch.cat([part, part.new_zeros(batch.n_rows, *part.shape[1:])]) for part in self._outputs]
        self.batches.append(batch)

    def take_places(self, session: Session) -> None:
        """Give rows that wait the free places of a session."""
        self._set_aside(session)
        mine = session.state.free_rows[: self.n_waiting]
        begin = self.batches[-1].n_rows - self.n_waiting
        session.take(self._waiting, list(range(begin, begin + len(mine))), mine)
        for number, place in enumerate(mine, start=self._end - self.n_waiting):
            self._here[place] = number
        self.n_waiting -= len(mine)

    def move(self, session: Session, other: Session) -> None:
        """Go on with the unfinished rows in another session."""
        self._set_aside(session)
        numbers = [self._here[row] for row in session.state.open_rows]
        self._here = numbers + [-1] * (other.shape.rows - len(numbers))
        more = other.state.capacity - session.state.capacity
        self._outputs = [part if part.dim() == 1 else F.pad(part, (0, more)) for part in self._outputs]
        other.take_over(session)

    def count(self, counts: Tensor) -> None:
        """Count a round. counts: [3, B] int64 on the host, see `Session.round`."""
        self._counts.append(torch.cat([torch.tensor([self._here]), counts]))

    def first_is_done(self, session: Session) -> bool:
        """Say whether all rows of the first batch have ended."""
        if not self.batches:
            return False
        end = self._first + self.batches[0].n_rows
        return end <= self._end - self.n_waiting and all(self._here[row] >= end for row in session.state.open_rows)

    def give_out(self, session: Session) -> Decoded:
        """Return what the first batch has become, and forget its rows; the caller takes the batch away."""
        self._set_aside(session)
        n_rows, tally = self.batches[0].n_rows, Tally(self._block_size)
        done = [part[1 : n_rows + 1] for part in self._outputs]
        self._outputs = [torch.cat([part[:1], part[n_rows + 1 :]]) for part in self._outputs]
        self._first += n_rows
        counts = torch.cat(self._counts, dim=1)
        number = counts[0]
        tally.add_round(counts[1:, (number >= self._first - n_rows) & (number < self._first)])
        self._counts = [counts[:, number >= self._first]]
        return Decoded(*done, tally)

    def _set_aside(self, session: Session) -> None:
        """Write what the rows of a session hold to the outputs."""
        numbers = torch.tensor(self._here, device=self._outputs[0].device)
        place = (numbers + 1 - self._first).clamp(min=0)
        for output, now in zip(self._outputs, session.state.results(), strict=True):
            output.index_copy_(0, place, now)
