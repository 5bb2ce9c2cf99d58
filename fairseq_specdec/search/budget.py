"""How many draft tokens a round are worth their time: on a CPU every position that is verified costs."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.blocks import DraftBlock
from fairseq_specdec.search.costs import Cost, CostByRows, Passes

DECAY = 0.98  # of what is known about the drafts, a draft token
PROBE_AFTER = 32  # rounds without drafts after which one is drafted, to see whether that has changed
PROBE_RARELY = 1024  # where it has not, the next one comes after twice as many, up to this
WIDTH_WEIGHT = 0.05  # of a round in the averages of widths, and of drafts that took their time
PROBE = 4  # draft tokens of such a round
STEPS_AGAIN = 64  # rounds with drafts after which steps are timed once more
TRIALS = 3  # times that steps are taken, PROBE of them at once, before drafts are made: what they take has to be known
MEASURED = 8  # passes of each width that are timed
MANY = 100  # positions: behind so many each further one costs the same
ENOUGH = 2400  # positions of timed passes of a width: longer ones vary less, and are timed twice at least
WORTH_IT = 1.05  # tokens a second with drafts over those without: what was timed may be off by as much
FEWER, MORE = 4, 2  # as many times fewer or more rows than were timed are believed to be known


class BlockBudget:
    """Chooses the width of the next block from what passes cost and from how drafts fare.

    A round of K drafts brings 1 + p1 + p1 p2 + ... + p1 p2 ... pK tokens a row, p_k being how often the k-th draft
    token is right when those before it are: the first one after a bifurcation is the hardest to guess. It costs the
    draft and a pass of rows * (K + 1) positions. What passes take is measured on the first batch, and again when there
    are many more rows or far fewer; the draft's cost and the p as decoding goes on. What the first draft of a batch
    takes longer, as the drafter encodes the source, is a cost of all its drafts. The K that brings most tokens a second
    is taken; 0 is plain greedy decoding.

    A drafter that says how sure it is has each draft cut where it gets unsure (`cut`). Then a p is how often the k-th
    token is offered and right, and a block of K costs as many positions as such drafts have had of late. Where each
    draft token takes its own time (`one_by_one`), the drafter itself ends a draft as soon as a further token is not
    likely enough to be right (`least`).

    Nothing here can change an output, only the time it takes, and nothing raises or leaves 0..K whatever the clock
    says. Where shapes have to be fixed (on a GPU) it is not used.

    Rounds without drafts may be steps that compiled code takes by itself, several at once (`rest`); they take less than
    a round of one position does, and drafts have to pay against them.

    Args:
        block_size: the most draft tokens a round.
        one_by_one: whether each draft token takes its own time.
    """

    def __init__(self, block_size: int, one_by_one: bool = False) -> None:
        self.block_size = block_size
        self._one_by_one = one_by_one
        self._passes = Passes()
        self._fewest_rows, self._most_rows = 0, 0  # with which passes were measured
        # of a batch's first draft, and of the others; one by one: what comes first takes, and each token
        self._first, self._next = Cost(), CostByRows()
        self._n_drafts, self._drafts_a_batch = 0, 1.0  # of this batch; average of those that had some
        self._tried, self._right = [1.0] * block_size, [0.9] * block_size  # by position; some credit at first
        self._made = [1.0] * block_size  # how often drafts that were allowed so many tokens had them
        self._limit, self._rows = block_size, 1  # of the last draft
        self._is_hopeless = False  # whether drafts that are always right would not pay either
        self._is_cut = False  # whether the last draft was shorter than it might have been
        self._paid = 1.0  # share of the drafts that took their time, see `DraftBlock.is_free`
        # the width chosen last, the tokens a row and second that it is expected to bring, and for how many rows
        self._best, self._most = block_size, 0.0
        self._choices: dict[int, tuple[int, float, bool]] = {}  # these three by rows, until something is learned
        # what a step takes, as a share of a pass of one position a row; the shares that choices were made with, by rows
        self._steps, self._shares = CostByRows(), dict[int, float]()
        self._trials, self._untimed = 0, 0  # of steps; rounds with drafts since the last one
        self._judging = Cost()  # what choosing and learning take, beside the draft
        self._rest = Cost()  # what a round takes beside its draft and its pass
        self._began: float | None = None  # when this round did, on the clock
        self._known = 0.0  # seconds of it that are its draft's and its pass's
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
        self._most_rows = max(rows, self._most_rows)
        self._choices.clear()
        self._began = None

    def begin(self) -> None:
        """Begin a batch."""
        self._began = None
        if self._n_drafts:  # else all is as it was when the last batch began
            self._drafts_a_batch = 0.8 * self._drafts_a_batch + 0.2 * self._n_drafts
            self._n_drafts = 0
            self._choices.clear()

    def limit(self, rows: int, can_step: bool = False) -> int:
        """Return how many tokens to draft in the next round of so many rows; can_step: rounds may be steps instead."""
        if not self.is_measured:
            return self.block_size
        self._rows = rows
        if rows in self._choices:
            self._best, self._most, self._is_hopeless = self._choices[rows]
            if self._best == 0:  # as in most rounds where drafts do not pay
                self._began = None
                return self._rarely()
        if self._began is not None:
            self._rest.add(max(clock.since(self._began) - self._known, 0.0))
        self._began, self._known = clock.now(), self._passes.seconds(rows)
        if can_step and self._trials < TRIALS:
            return 0
        if rows not in self._choices:
            self._choose(rows)
        if self._best > 0:
            self._without, self._patience = 0, PROBE_AFTER
            self._untimed += 1
            if self._untimed % STEPS_AGAIN == 0:
                self._trials = TRIALS - 1  # the next round is one
            is_dear = self._one_by_one and not self._next.knows(rows)
            return min(self._best, PROBE) if is_dear else self._best
        return self._rarely()

    def _rarely(self) -> int:
        """Return 0, now and then a few tokens that show whether drafts have become better."""
        self._without += 1
        if self._without < self._patience or self._is_hopeless:
            return 0
        self._without, self._patience = 0, min(2 * self._patience, PROBE_RARELY)
        return min(PROBE, self.block_size)

    def rest(self) -> int:
        """Return how many rounds, the next one counted, may go by before `limit` is asked again, after it said 0."""
        if self._trials < TRIALS:
            self._trials += 1
            return PROBE
        return self._patience if self._is_hopeless else max(self._patience - self._without, 1)

    def rested(self, steps: int, seconds: float, rows: int) -> None:
        """Learn what so many steps of so many rows took."""
        self._without += steps - 1  # `limit` has counted one
        self._began = None  # this was no round
        self._steps.add(rows, seconds / (steps * self._passes.seconds(rows)))
        share = self._shares.get(rows, 0.0)
        if abs(self._steps.seconds(rows) - share) > 0.1 * share:  # less changes no choice that matters
            self._choices.pop(rows, None)

    def _choose(self, rows: int) -> None:
        """Find the best width for so many rows; it stands until something is learned."""
        best, most, tokens, reached, width, written, is_cut = 0, 0.0, 1.0, 1.0, 0.0, 0.0, min(self._made) < 1.0
        rest, share, most_ever = self._rest.seconds, self._steps.seconds(rows) or math.inf, 0.0
        fixed, each = self._drafting(rows)
        for k in range(self.block_size + 1):
            seconds = self._passes.seconds(rows * (width + 1))
            seconds = seconds + rest + fixed + each * written if k else min(seconds * share, seconds + rest)
            most_ever = max(most_ever, (k + 1) / seconds)
            if tokens / seconds > (most if best else WORTH_IT * most):
                best, most = k, tokens / seconds
            elif best > 0 and not is_cut and reached < most * rows * self._passes.least:
                break  # a further token is no more likely than this one, and costs more than it brings
            if k < self.block_size:
                reached *= self._right[k] / self._tried[k]
                tokens += reached
                written += 1.0 if k == 0 else self._made[k - 1]  # behind each token that is offered the next is written
                width += self._made[k]
        self._best, self._most, self._is_hopeless = best, most, best == 0 and most_ever <= most
        self._choices[rows], self._shares[rows] = (best, most, self._is_hopeless), self._steps.seconds(rows)

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
        self._learn_width(n, min(limit, sure.numel()))
        return n

    def least(self, limit: int, rows: int) -> float:
        """Return in how many rows a further draft token has to be right to be worth the time it takes in all of them.

        Args:
            limit: most tokens of the draft.
            rows: of the batch.
        """
        self._limit = limit
        if not (self._one_by_one and self.is_measured):
            return 0.0
        seconds = self._next.seconds(rows) + rows * self._passes.further(rows * (limit + 1))
        return seconds * rows * self._most

    def drafted(self, seconds: float, made: int = 0, is_free: bool = False) -> None:
        """Learn what a draft took, and how many tokens a row it had."""
        self._paid += WIDTH_WEIGHT * (float(not is_free) - self._paid)
        self._choices.clear()
        self._known += seconds
        if is_free:
            self._is_cut = False
            return
        if self._one_by_one:
            written = min(made + 1, self._limit)  # the token at which a draft ends early was written, too
            self._add_draft(max(seconds - written * self._next.seconds(self._rows), 0.0), seconds / max(written, 1))
            self._learn_width(made, self._limit)
        else:
            self._add_draft(seconds, seconds)
        self._n_drafts += 1

    def _add_draft(self, as_first: float, as_other: float) -> None:
        if self._n_drafts:
            self._next.add(self._rows, as_other)
        else:
            self._first.add(as_first)

    def _learn_width(self, made: int, limit: int) -> None:
        """Learn how many tokens a draft had that might have had ``limit``."""
        self._is_cut = made < limit
        for k in range(min(limit, self.block_size)):
            self._made[k] += WIDTH_WEIGHT * ((k < made) - self._made[k])

    def _drafting(self, rows: int) -> tuple[float, float]:
        """Return the seconds that a draft is expected to take, with its share in what comes first, and each token."""
        next_ = self._next.seconds(rows)
        fixed, each = (0.0, next_) if self._one_by_one else (next_, 0.0)
        if self._n_drafts == 0:
            fixed += max(self._first.seconds - fixed, 0.0) / self._drafts_a_batch
        return self._paid * fixed + self._judging.seconds, self._paid * each

    def judged(self, kept: list[int], drafted: list[int], accepted: list[int]) -> None:
        """Learn how a round's drafts fared.

        Args:
            kept: tokens that each row was given; 0 in those that had ended before.
            drafted: draft tokens of each row.
            accepted: how many of them stand.
        """
        began = clock.now()
        rows = len(kept)
        self._known += self._passes.seconds(rows * (max(drafted, default=0) + 1)) - self._passes.seconds(rows)
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
        self._choices.clear()
        self._judging.add(2 * clock.since(began))  # choosing takes about as long


def _seconds(run: Callable[[int], object], n: int) -> float:
    began = clock.now()
    run(n)
    return clock.since(began)
