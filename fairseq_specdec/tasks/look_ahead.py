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

    def begin(self, samples: Iterator[Sample]) -> PulledSamples:
        """Return samples that are about to be decoded as an iterator that is followed."""
        self.current = PulledSamples(samples)
        return self.current

    def follow(self, epochs: Any) -> Any:
        """Return fairseq's iterator over epochs as one that is followed when an epoch begins.

        Epochs that are shuffled, those of training, are not.
        """
        return _Epochs(epochs, self)


class PulledSamples:
    """Gives samples out in their order, some of which were pulled before.

    Args:
        samples: to give out; empty ones, which nobody decodes, are not pulled.

    Attributes:
        last: the sample given out last; None before the first.
    """

    def __init__(self, samples: Iterator[Sample]) -> None:
        self._samples = samples
        self._pulled: deque[Sample] = deque()
        self.last: Sample | None = None

    def __iter__(self) -> Iterator[Sample]:
        """Return itself."""
        return self

    def __next__(self) -> Sample:
        """Give the next sample out."""
        self.last = self._pulled.popleft() if self._pulled else next(self._samples)
        return self.last

    def pull(self) -> Sample | None:
        """Return the first sample that was neither given out nor pulled, None at the end."""
        for sample in self._samples:
            self._pulled.append(sample)
            if "net_input" in sample:
                return sample
        return None


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
        return CountingIterator(self._look_ahead.begin(samples), start=samples.n, total=samples.total)
