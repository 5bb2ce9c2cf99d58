"""Decoding what will be asked for next along with what is asked for now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from fairseq_specdec.config import OptionError
from fairseq_specdec.recording.decoder import RecordedDecoder
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.state import Decoded

Sample = dict[str, Any]


class Samples(Protocol):
    """An iterator of fairseq samples that can be looked ahead in.

    Attributes:
        last: the sample given out last; None before the first.
        n_given: how many were given out.
    """

    last: Sample | None
    n_given: int

    def look_at(self, place: int) -> Sample | None:
        """Return the sample at a place, from 0, that was not given out yet, None at the end; it is given out later.

        Where it stands between those given out does not change.
        """


class Upcoming(Protocol):
    """Knows what comes next.

    Attributes:
        current: the iterator that was begun last, if any.
    """

    current: Samples | None


class AheadDecoder:
    """Decodes a batch at a time; results of those that come next may be there before they are asked for.

    fairseq asks for one batch after the other. The batches of a run are the one asked for and those behind it in the
    iterator that it came from. What else is asked for meanwhile is decoded by itself.

    Args:
        decoder: decodes runs.
        upcoming: knows what comes next; None where nobody does.
        batch_of: makes a sample that was pulled what the caller would make of it, on the model's device.
    """

    def __init__(
        self, decoder: RecordedDecoder, upcoming: Upcoming | None, batch_of: Callable[[Sample], Batch]
    ) -> None:
        self._decoder, self._upcoming, self._batch_of = decoder, upcoming, batch_of
        self._samples: Samples | None = None  # of the run
        self._run: Iterator[Decoded] = iter(())
        self._expected: deque[Batch] = deque()  # batches of the run whose results were not asked for

    def decode(self, batch: Batch) -> Decoded:
        """Decode a batch."""
        samples = None if self._upcoming is None else self._upcoming.current
        if samples is not self._samples:
            self._samples = samples
            self._expected.clear()
        n_skipped = next((i for i, expected in enumerate(self._expected) if expected.is_same(batch)), None)
        if n_skipped is None:
            if self._expected:
                return self._decoder.plain.decode(batch)
            self._run, n_skipped = self._decoder.decode_all(self._batches(batch)), 0
        try:
            for _ in range(n_skipped):
                next(self._run)
                self._expected.popleft()
            decoded = next(self._run)
        except BaseException:
            self._expected.clear()  # the run is over, interrupted or not
            raise
        self._expected.popleft()
        if not self._expected:
            self._run = iter(())  # which else would keep this object alive
        return decoded

    def _batches(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch that is asked for, and those that come behind it."""
        samples = self._samples
        self._expected.append(batch)
        yield batch
        if samples is None or samples.last is None or not batch.is_same(self._batch_of(samples.last)):
            return
        place = samples.n_given  # what an earlier run that failed had looked at is looked at again
        while (sample := samples.look_at(max(place, samples.n_given))) is not None:
            place = max(place, samples.n_given) + 1
            if "net_input" not in sample:
                continue  # an empty one, which nobody decodes
            try:
                following = self._batch_of(sample)
            except OptionError:  # for the one who asks for it
                return
            self._expected.append(following)
            yield following
