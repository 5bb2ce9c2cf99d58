"""Looking ahead in the batches that fairseq decodes one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from fairseq.data.iterators import CountingIterator

Sample = dict[str, Any]


class LookAhead:
    """Follows the iterators that a task makes; nothing is loaded sooner unless it is pulled.

    Attributes:
        current: the samples of the iterator that was begun last, None before.
    """

    def __init__(self) -> None:
        self.current: PulledSamples | None = None
        self._total = 0

    def begin(self, samples: Iterator[Sample], total: int = 0) -> PulledSamples:
        """Return samples that are about to be decoded as an iterator that is followed; total: of all, if known."""
        self.current = PulledSamples(samples)
        self._total = total
        return self.current

    @property
    def is_open(self) -> bool:
        """Whether samples of the iterator that was begun last are yet to be given out."""
        return self.current is not None and self.current.n_given < self._total

    def follow(self, epochs: Any) -> Any:
        """Return fairseq's iterator over epochs as one that is followed when an epoch begins.

        Epochs that are shuffled, those of training, are not.
        """
        return _Epochs(epochs, self)


class PulledSamples:
    """Gives samples out in their order, some of which were pulled before.

    Args:
        samples: to give out.

    Attributes:
        last: the sample given out last; None before the first.
        n_given: how many were given out.
    """

    def __init__(self, samples: Iterator[Sample]) -> None:
        self._samples = samples
        self._pulled: deque[Sample] = deque()
        self.last: Sample | None = None
        self.n_given = 0

    def __iter__(self) -> Iterator[Sample]:
        """Return itself."""
        return self

    def __next__(self) -> Sample:
        """Give the next sample out."""
        self.last = self._pulled.popleft() if self._pulled else next(self._samples)
        self.n_given += 1
        return self.last

    def look_at(self, place: int) -> Sample | None:
        """Return the sample at a place, from 0, that was not given out yet, None at the end; pull as far as that."""
        while len(self._pulled) <= place - self.n_given:
            try:
                self._pulled.append(next(self._samples))
            except StopIteration:
                return None
        return self._pulled[place - self.n_given]


class _Epochs:
    """In the place of fairseq's iterator over epochs; what it does not have is that one's."""

    def __init__(self, epochs: Any, look_ahead: LookAhead) -> None:
        self._epochs, self._look_ahead = epochs, look_ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epochs, name)

    def __len__(self) -> int:
        return len(self._epochs)

    def next_epoch_itr(self, shuffle: bool = True, *args: Any, **options: Any) -> Any:
        """Begin an epoch."""
        samples = self._epochs.next_epoch_itr(shuffle, *args, **options)
        if shuffle:
            return samples
        followed = self._look_ahead.begin(samples, samples.total - samples.n)
        return CountingIterator(followed, start=samples.n, total=samples.total)
