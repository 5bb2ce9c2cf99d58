"""How many positions ahead of its beams a search verifies in a pass: what brings most steps a second."""

from __future__ import annotations

from fairseq_specdec.search.budget import PROBE_AFTER, PROBE_RARELY
from fairseq_specdec.search.costs import LEAST, Cost

CHOICES = (0, 3, 7, 13)  # positions ahead; with a beam of 5 a pass of 12 and of 18 fills whole tiles of rows (linear.h)
WORTH = 0.98  # of the time without: less than that is no reason to look ahead


class NodeBudget:
    """Chooses for each sentence, from what sentences took for a step of the search.

    It climbs: the next greater number is tried as long as each was better than the one before. Then the best one is
    taken, and of its two neighbours one is tried after 32 sentences, 64 more, and so on up to 1024. 0 is the plain
    search. All this is a matter of time alone: whatever a clock says, what is said is one of the choices.

    Args:
        most: none above this is chosen.
    """

    def __init__(self, most: int) -> None:
        self.choices = [n for n in CHOICES if n <= most]
        self._costs = [Cost() for _ in self.choices]
        self._wait, self._patience, self._next = PROBE_AFTER, PROBE_AFTER, 1

    def choose(self) -> int:
        """Return how many positions to look ahead in the next sentence."""
        best = self._best()
        for i in range(min(best + 2, len(self.choices))):  # those up to one above the best have to be known
            if self._costs[i].seconds == 0.0:
                return self.choices[i]
        self._wait -= 1
        if self._wait > 0:
            return self.choices[best]
        self._patience = min(2 * self._patience, PROBE_RARELY)
        self._wait, self._next = self._patience, -self._next
        return self.choices[min(max(best + self._next, 0), len(self.choices) - 1)]

    def took(self, n: int, seconds: float) -> None:
        """Learn what a step took, on average over a sentence, with n positions ahead."""
        self._costs[self.choices.index(n)].add(max(seconds, LEAST))

    def _best(self) -> int:
        """Return the index of the best choice that is known; 0 where none is."""
        known = [(cost.seconds if i == 0 else cost.seconds / WORTH, i) for i, cost in enumerate(self._costs)]
        return min((one for one in known if one[0] > 0.0), default=(0.0, 0))[1]
