"""How many draft tokens a round are worth their time: on a CPU every position that is verified costs."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable

from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.blocks import DraftBlock

DECAY = 0.98  # of what is known about the drafts, a draft token
PROBE_AFTER = 32  # rounds without drafts after which one is drafted, to see whether that has changed
PROBE_RARELY = 1024  # where it has not, the next one comes after twice as many, up to this
WIDTH_WEIGHT = 0.05  # of a round in the average of widths
PROBE = 4  # draft tokens of such a round
MEASURED = 8  # passes of each width that are timed
MANY = 100  # positions: behind so many each further one costs the same
ENOUGH = 2400  # positions of timed passes of a width: longer ones vary less, and are timed twice at least
FEWER, MORE = 4, 2  # as many times fewer or more rows than were timed are believed to be known
LEAST = 1e-9  # seconds that a pass takes, and that a further position of it does, whatever the clock says


class BlockBudget:
    """Chooses the width of the next block from what passes cost and from how drafts fare.

    A round of K drafts brings 1 + p1 + p1 p2 + ... + p1 p2 ... pK tokens a row, p_k being how often the k-th draft
    token is right when those before it are: the first one after a bifurcation is the hardest to guess. It costs the
    draft and a pass of rows * (K + 1) positions. What passes take is measured on the first batch, and again when there
    are many more rows or far fewer; the draft's cost and the p as decoding goes on. What the first draft of a batch
    takes longer, as the drafter encodes the source, is a cost of all its drafts. The K that brings most tokens a second
    is taken; 0 is plain greedy decoding.

    A drafter that says how sure it is has each draft cut where it gets unsure (`cut`). Then a p is how often the k-th
    token is offered and right, and a block of K costs as many positions as drafts have had of late, if that is less.

    Nothing here can change an output, only the time it takes, and nothing raises or leaves 0..K whatever the clock
    says. Where shapes have to be fixed (on a GPU) it is not used.

    Args:
        block_size: the most draft tokens a round.
    """

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._passes = _Passes()
        self._fewest_rows, self._most_rows = 0, 0  # with which passes were measured
        self._first, self._next = _Cost(), _Cost()  # of a batch's first draft, of the others
        self._n_drafts, self._drafts_a_batch = 0, 1.0  # of this batch; average of those that had some
        self._tried, self._right = [1.0] * block_size, [0.9] * block_size  # by position; some credit at first
        self._width = float(block_size)  # average of the widths that drafts were cut to
        self._is_cut = False  # whether the last draft was
        # the width chosen last, the tokens a row and second that it is expected to bring, and for how many rows
        self._best, self._most = block_size, 0.0
        self._chosen_for: int | None = None
        self._judging = _Cost()  # what choosing and learning take, beside the draft
        self._without, self._patience = 0, PROBE_AFTER  # rounds since something was drafted, and how many may go by

    @property
    def is_measured(self) -> bool:
        """Whether passes have been timed."""
        return self._most_rows > 0

    def knows(self, rows: int) -> bool:
        """Say whether passes of so many rows, or of about as many, have been timed."""
        return self.is_measured and self._fewest_rows <= FEWER * rows and rows <= MORE * self._most_rows

    def measure(self, run: Callable[[int], object], rows: int) -> None:
        """Time passes of one position a row, of several, and of a whole block where that is not many.

        Args:
            run: makes a pass of so many positions a row, without effect on what is decoded.
            rows: of the batch.
        """
        widths = [1, min(self.block_size, 8) + 1]
        if widths[-1] < self.block_size + 1 and rows * (self.block_size + 1) <= MANY:
            widths.append(self.block_size + 1)
        repeats = min(MEASURED, max(ENOUGH // (rows * widths[1]), 2))
        timed = [[_seconds(run, width) for width in widths] for _ in range(repeats)]  # in turn: a slow phase meets all
        for width, seconds in zip(widths, map(min, zip(*timed, strict=True)), strict=True):
            self._passes.add(rows * width, seconds)
        self._fewest_rows = min(rows, self._fewest_rows) if self.is_measured else rows
        self._most_rows, self._chosen_for = max(rows, self._most_rows), None

    def begin(self) -> None:
        """Begin a batch."""
        if self._n_drafts:
            self._drafts_a_batch = 0.8 * self._drafts_a_batch + 0.2 * self._n_drafts
        self._n_drafts, self._chosen_for = 0, None

    def limit(self, rows: int) -> int:
        """Return how many tokens to draft in the next round of so many rows."""
        if not self.is_measured:
            return self.block_size
        if self._chosen_for != rows:
            self._choose(rows)
        if self._best > 0:
            self._without, self._patience = 0, PROBE_AFTER
            return self._best
        self._without += 1
        if self._without < self._patience:
            return 0
        self._without, self._patience = 0, min(2 * self._patience, PROBE_RARELY)
        return min(PROBE, self.block_size)

    def _choose(self, rows: int) -> None:
        """Find the best width for so many rows; it stands until something is learned."""
        best, most, tokens, reached, drafting = 0, 0.0, 1.0, 1.0, self._drafting()
        for k in range(self.block_size + 1):
            seconds = self._passes.seconds(rows * (min(k, self._width) + 1)) + (drafting if k else 0.0)
            if tokens / seconds > most:
                best, most = k, tokens / seconds
            elif self._width >= self.block_size and reached < most * rows * self._passes.least:
                break  # a further token is no more likely than this one, and costs more than it brings
            if k < self.block_size:
                reached *= self._right[k] / self._tried[k]
                tokens += reached
        self._best, self._most, self._chosen_for = best, most, rows

    def cut(self, draft: DraftBlock, limit: int, finished: Tensor) -> int:
        """Return how many of a draft's first ``limit`` tokens are worth verifying, as sure as the drafter is of them.

        A further position costs all rows, and brings a token in those whose draft is right up to there. It is worth
        that while it brings more tokens a second than are decoded anyway.

        Args:
            draft: as proposed; without logits it is not cut.
            limit: at most so many tokens.
            finished: [B] bool, rows to which no token matters.
        """
        self._is_cut = False
        if draft.logits is None or not self.is_measured:
            return limit
        sure = draft.chances()[:, :limit].masked_fill(finished[:, None], 0.0).sum(0)  # [limit], never rising
        rows = finished.numel()
        a_position = self._passes.further(rows * (limit + 1))
        n = int((sure >= a_position * rows**2 * self._most).sum())
        self._is_cut = n < min(limit, sure.numel())
        self._width += WIDTH_WEIGHT * (n - self._width)
        return n

    def drafted(self, seconds: float) -> None:
        """Learn what a draft took."""
        (self._next if self._n_drafts else self._first).add(seconds)
        self._n_drafts, self._chosen_for = self._n_drafts + 1, None

    def _drafting(self) -> float:
        """Return the seconds that a draft is expected to take, with its share in the first one's."""
        seconds = self._next.seconds + self._judging.seconds
        if self._n_drafts:
            return seconds
        return seconds + max(self._first.seconds - self._next.seconds, 0.0) / self._drafts_a_batch

    def judged(self, kept: list[int], drafted: list[int], accepted: list[int]) -> None:
        """Learn how a round's drafts fared.

        Args:
            kept: tokens that each row was given; 0 in those that had ended before.
            drafted: draft tokens of each row.
            accepted: how many of them stand.
        """
        began = clock.now()
        # tokens that were right and wrong at each position, where those before it were right
        right, wrong = [0] * (self.block_size + 1), [0] * (self.block_size + 1)
        width = max(drafted, default=0)
        for n_kept, n_drafted, n_right in zip(kept, drafted, accepted, strict=True):
            if n_kept:
                right[n_right] += 1
                n_tried = n_drafted + (self._is_cut and n_drafted == width)  # what was cut off was tried, and not right
                wrong[n_right] += n_tried > n_right or n_right == 0  # where nothing could be drafted, too
        n_right = sum(right)
        for k in range(self.block_size):
            n_right -= right[k]
            n_tried = n_right + wrong[k]
            if n_tried == 0:
                break  # nothing was right as far as this
            weight = DECAY**n_tried  # the average of the last 1 / (1 - DECAY) draft tokens at this position, or so
            gain = (1 - weight) / (1 - DECAY) / n_tried
            self._tried[k] = weight * self._tried[k] + gain * n_tried
            self._right[k] = weight * self._right[k] + gain * n_right
        self._chosen_for = None
        self._judging.add(2 * clock.since(began))  # choosing takes about as long


class _Passes:
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


class _Cost:
    """What something takes on average; slow exceptions are cut, and the first time, which may load, does not count.

    It begins with the least of the next few times: one of them may be an exception, too.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._n_times = 0

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


def _seconds(run: Callable[[int], object], n: int) -> float:
    began = clock.now()
    run(n)
    return clock.since(began)
