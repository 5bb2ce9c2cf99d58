"""Counts of edits, and the numbers that corrections are judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BETA = 0.5


@dataclass(frozen=True)
class EditCounts:
    """How many edits of a system are right.

    Args:
        correct: proposed edits that are in the gold.
        proposed: edits of the system.
        gold: edits of the annotator.
    """

    correct: int = 0
    proposed: int = 0
    gold: int = 0

    def __add__(self, other: EditCounts) -> EditCounts:
        """Add up the counts."""
        return EditCounts(self.correct + other.correct, self.proposed + other.proposed, self.gold + other.gold)

    @property
    def precision(self) -> float:
        """Share (0..1) of the proposed edits that are right; 1 if none was proposed."""
        return self.correct / self.proposed if self.proposed else 1.0

    @property
    def recall(self) -> float:
        """Share (0..1) of the gold edits that were found; 1 if there are none."""
        return self.correct / self.gold if self.gold else 1.0

    @property
    def f(self) -> float:
        """F0.5 (0..1), in which precision counts twice as much as recall; 1 where nothing was to do and to see."""
        weight = BETA**2
        total = weight * self.gold + self.proposed
        return (1 + weight) * self.correct / total if total else 1.0

    def scores(self) -> dict[str, float]:
        """Return ``p``, ``r`` and ``f0.5`` in 0..100."""
        return {"p": 100.0 * self.precision, "r": 100.0 * self.recall, "f0.5": 100.0 * self.f}


def sum_best(sentences: Iterable[Iterable[EditCounts]]) -> EditCounts:
    """Add up sentences, taking in each the annotator that is best for the sum so far.

    Best is the highest F0.5 of the sum, then the most correct edits, then the fewest others (a gold edit weighs a
    quarter of a proposed one, as in F0.5), then the first.

    Args:
        sentences: for each sentence the counts against each annotator, one at least.

    Returns:
        The sum.
    """
    total = EditCounts()
    for annotators in sentences:
        sums = [total + counts for counts in annotators]
        total = max(sums, key=lambda sum_: (sum_.f, sum_.correct, -(sum_.proposed + BETA**2 * sum_.gold)))
    return total
