"""How many positions ahead of its beams a search verifies in a pass: what brings most steps a second."""

from __future__ import annotations

from fairseq_specdec.search.budget import PROBE_AFTER, PROBE_RARELY
from fairseq_specdec.search.costs import LEAST

CHOICES = (0, 3, 7, 13)  # positions ahead; with a beam of 5 a pass of 12 and of 18 fills whole tiles of rows (linear.h)
WORTH = 0.97  # of the time with fewer: less than that is no reason to look further ahead
AGAIN = 6  # sentences for which a neighbour of the best is tried again
TRIES = 16  # sentences of a choice before it is judged: how well guesses fare differs more between them than times do


class NodeBudget:
    """Chooses for each sentence, from what sentences took for a step of the search.

    It climbs: the next greater number is tried as long as each was better than the one before. Then the best one is
    taken, and of its two neighbours one is tried again after 32 sentences, 64 more, and so on up to 1024. 0 is the
    plain search. All this is a matter of time alone: whatever a clock says, what is said is one of the choices.

    Args:
        most: none above this is chosen.
    """

    def __init__(self, most: int) -> None:
        self.choices = [n for n in CHOICES if n <= most]
        self._costs = [_Average() for _ in self.choices]
        self._wait, self._patience, self._next = PROBE_AFTER, PROBE_AFTER, 0
        self._again = [0, 0]  # which choice is tried again, and for how many more sentences

    def choose(self) -> int:
        """Return how many positions to look ahead in the next sentence."""
        best = self._best()
        candidates = range(min(best + 2, len(self.choices)))  # up to one above the best
        least_known = min(candidates, key=lambda i: self._costs[i].n)
        if self._costs[least_known].n < TRIES:
            return self.choices[least_known]
        if self._again[1] > 0:
            self._again[1] -= 1
            return self.choices[self._again[0]]
        self._wait -= 1
        neighbours = [i for i in (best - 1, best + 1) if 0 <= i < len(self.choices)]
        if self._wait <= 0 and neighbours:
            self._patience = min(2 * self._patience, PROBE_RARELY)
            self._wait, self._next = self._patience, 1 - self._next
            self._again = [neighbours[self._next % len(neighbours)], AGAIN]
        return self.choices[best]

    def took(self, n: int, seconds: float) -> None:
        """Learn what a step took, on average over a sentence, with n positions ahead."""
        self._costs[self.choices.index(n)].add(max(seconds, LEAST))

    def _best(self) -> int:
        """Return the index of the best choice that has been tried enough; 0 where none has."""
        best = 0
        for i, cost in enumerate(self._costs):
            if cost.n >= TRIES and cost.seconds < WORTH * self._costs[best].seconds:
                best = i
        return best


class _Average:
    """The average of what something took, which forgets slowly; the first time, which may load, does not count."""

    def __init__(self) -> None:
        self.n, self.seconds = 0, 0.0

    def add(self, seconds: float) -> None:
        """Learn what it took once more; slow exceptions are cut."""
        self.n += 1
        if self.n == 2:
            self.seconds = seconds
        elif self.n > 2:
            self.seconds += max(1 / (self.n - 1), 1 / TRIES) * (min(seconds, 2 * self.seconds) - self.seconds)
