"""The width of each round's block: what the budget chooses, as long as it can choose."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.blocks import DraftBlock
from fairseq_specdec.device import is_out_of_memory
from fairseq_specdec.search.budget import BlockBudget

logger = logging.getLogger(__name__)

STEPS = 16  # that compiled code may take by itself: an interruption waits for them

T = TypeVar("T")


class BlockWidth:
    """Says how many tokens to draft in each round.

    That is a matter of speed alone, so it must never end a run: where choosing fails, for whatever reason, the
    drafter's own block size is taken from then on, and a warning says so once. Memory that runs out while passes of
    several rows are timed is no such reason, since the caller decodes smaller batches then.

    Args:
        block_size: the drafter's own, the most that is ever said.
        adaptive: choose what pays; else the block size is what is said.
        one_by_one: whether each draft token takes its own time.
    """

    def __init__(self, block_size: int, adaptive: bool, one_by_one: bool = False) -> None:
        self.block_size = block_size
        self._budget = BlockBudget(block_size, one_by_one) if adaptive and block_size > 0 else None

    def begin(self) -> None:
        """Begin a batch."""
        self._try(lambda budget: budget.begin(), None)

    def limit(self, rows: int, run: Callable[[int], object], can_step: bool = False) -> int:
        """Return how many tokens to draft in the next round, 0..block size.

        Args:
            rows: of the round.
            can_step: whether rounds without drafts may be steps of compiled code.
            run: makes a pass of so many positions a row, without effect on what is decoded; where passes of so many
                rows were never timed it is called some times.
        """

        def choose(budget: BlockBudget) -> int:
            if not budget.knows(rows):
                budget.measure(run, rows)
            return budget.limit(rows, can_step)

        return self._in_range(self._try(choose, self.block_size, rows))

    def rest(self) -> int:
        """Return how many rounds may go by, 1..STEPS, before `limit` is asked again, after it said 0."""
        return min(max(self._try(lambda budget: budget.rest(), STEPS), 1), STEPS)

    def rested(self, began: float, steps: int, rows: int) -> None:
        """Learn that so many steps were taken that were begun when the clock said ``began``."""
        self._try(lambda budget: budget.rested(steps, clock.since(began), rows), None)

    def least(self, limit: int, rows: int) -> float:
        """Return in how many rows a further token has to be right to be worth drafting; see `BlockBudget.least`."""
        return self._try(lambda budget: budget.least(limit, rows), 0.0)

    def cut(self, draft: DraftBlock, limit: int, finished: Tensor) -> int:
        """Return how many of a draft's first ``limit`` tokens to verify; see `BlockBudget.cut`."""
        return min(self._in_range(self._try(lambda budget: budget.cut(draft, limit, finished), limit)), limit)

    def drafted(self, began: float, made: int, is_free: bool = False) -> None:
        """Learn what a draft of so many tokens a row took that was begun when the clock said ``began``."""
        self._try(lambda budget: budget.drafted(clock.since(began), made, is_free), None)

    def judged(self, counts: Tensor) -> None:
        """Learn how a round's drafts fared. counts: [3, B] int64 on the host: tokens kept, drafted, accepted."""
        self._try(lambda budget: budget.judged(*counts.tolist()), None)

    def _in_range(self, width: int) -> int:
        return min(max(int(width), 0), self.block_size)

    def _try(self, ask: Callable[[BlockBudget], T], otherwise: T, rows: int = 1) -> T:
        """Return what the budget says, and ``otherwise`` where there is none or it fails, which ends it."""
        if self._budget is None:
            return otherwise
        try:
            return ask(self._budget)
        except Exception as error:
            if rows > 1 and is_out_of_memory(error):
                raise
            self._budget = None
            logger.warning(
                "choosing how many tokens to draft failed (%s: %s): each round drafts up to %d from now on, which "
                "changes no output; pass --block-size to choose yourself",
                type(error).__name__,
                error,
                self.block_size,
            )
            return otherwise
