"""What passes and drafts take, as it was measured so far."""

from __future__ import annotations

import bisect
import itertools

LEAST = 1e-9  # seconds that a pass takes, and that a further position of it does, whatever the clock says


class Passes:
    """What passes take by the number of their positions: measured at some, straight lines between them and beyond.

    At few positions reading the weights takes most of the time, at many each further one costs the same. Below the
    first measured point the line goes on only as far as a position takes less than its share in that point: once
    arithmetic is what counts, twice the positions take twice the time and the line would soon be at nothing.
    """

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._seconds: list[float] = []
        self._slopes: list[float] = []  # from each to the next
        self._share = LEAST  # of a position in the first point
        self.least = 0.0  # seconds that a further position takes where it takes least

    def add(self, positions: int, seconds: float) -> None:
        """Learn what so many positions take."""
        known = {**dict(zip(self._positions, self._seconds, strict=True)), positions: max(seconds, LEAST)}
        self._positions = sorted(known)
        self._seconds = list(itertools.accumulate((known[n] for n in self._positions), max))
        points = zip(self._positions, self._seconds, strict=True)
        self._share = self._seconds[0] / self._positions[0]
        slopes = [max(t - s, LEAST) / (n - m) for (m, s), (n, t) in itertools.pairwise(points)]
        self._slopes = slopes or [self._share]
        self.least = min(self._share, *self._slopes)

    def seconds(self, positions: float) -> float:
        """Return what so many take; more than nothing, and no less than fewer do."""
        i = self._line(positions)
        by_line = self._seconds[i] + (positions - self._positions[i]) * self._slopes[i]
        return max(by_line, min(positions, self._positions[0]) * self._share, LEAST)

    def further(self, positions: float) -> float:
        """Return what the last of so many adds."""
        slope = self._slopes[self._line(positions)]
        return min(slope, self._share) if positions <= self._positions[0] else slope

    def _line(self, positions: float) -> int:
        """Return the number of the line on which so many positions lie."""
        return min(max(bisect.bisect_left(self._positions, positions) - 1, 0), len(self._slopes) - 1)


class Cost:
    """What something takes on average; slow exceptions are cut, and the first time, which may load, does not count.

    It begins with the least of the next few times: one of them may be an exception, too.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._n_times = 0

    @property
    def is_known(self) -> bool:
        """Whether a time has counted."""
        return self._n_times > 1

    def add(self, seconds: float) -> None:
        """Learn what it took once more."""
        self._n_times += 1
        if self._n_times == 1:
            return
        if self.seconds == 0.0:
            self.seconds = seconds
        elif self._n_times <= 4:
            self.seconds = min(self.seconds, seconds)
        else:
            self.seconds += 0.1 * (min(seconds, 2 * self.seconds) - self.seconds)


class CostByRows:
    """What something takes on average by the number of rows, those of about as many taken together."""

    def __init__(self) -> None:
        self._costs: dict[int, Cost] = {}  # by the power of two that the rows come to

    def add(self, rows: int, seconds: float) -> None:
        """Learn what it took with so many rows."""
        self._costs.setdefault((rows - 1).bit_length(), Cost()).add(seconds)

    def knows(self, rows: int) -> bool:
        """Say whether it was timed with about so many rows."""
        cost = self._costs.get((rows - 1).bit_length())
        return cost is not None and cost.is_known

    def seconds(self, rows: int) -> float:
        """Return what it takes with so many rows, or with the nearest number for which it is known; 0 for none."""
        size = (rows - 1).bit_length()
        known = [other for other, cost in self._costs.items() if cost.is_known]
        return self._costs[min(known, key=lambda other: abs(other - size))].seconds if known else 0.0
