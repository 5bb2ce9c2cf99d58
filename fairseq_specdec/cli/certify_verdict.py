"""What to think of a sentence's n-best list in a log: exact, a near tie, or wrong, hypothesis by hypothesis.

The list is held against that of a search made again, and its numbers against those of stock modules. The last bits of a
score can differ, so hypotheses that nearly tie may change places, at the end or inside the search; from such a step on
another search may find other hypotheses, which then are held to their scores and their order alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fairseq_specdec.certificate import LARGEST, Certificate
from fairseq_specdec.search.candidates import Candidates

ROUNDING = 0.00005 * math.log(2)  # of the P line, which has four decimals in base 2

Printed = tuple[int, ...]  # a hypothesis's ids as a log tells them apart


class Listed(NamedTuple):
    """A hypothesis of a list, scores in base e.

    Args:
        ids: eos at the end.
        score: what the list is ordered by.
        each: of each token.
    """

    ids: Printed
    score: float
    each: Sequence[float] = ()


class Finding(NamedTuple):
    """What was found about a hypothesis.

    Args:
        kind: "exact", "near_tie" or "wrong".
        gap: by how much it is away from what belongs in its place, in log-probability.
        reason: why it is not exact; else empty.
    """

    kind: str
    gap: float = 0.0
    reason: str = ""

    def counted(self) -> Certificate:
        """Return it as a certificate of one decision."""
        return Certificate(1, **{self.kind: 1}, largest_gap=self.gap if math.isfinite(self.gap) else LARGEST)


class SearchStep(NamedTuple):
    """A step of one sentence's search.

    Args:
        grown: the 2b candidates, best first.
        totals: of these.
        ended: places of those that end here and are held.
        going: places of the b that go on.
        dropped: place of the best that could have gone on and does not, or None.
        is_last: whether all hypotheses are held now.
    """

    grown: list[Printed]
    totals: list[float]
    ended: list[int]
    going: list[int]
    dropped: int | None
    is_last: bool

    @property
    def beam(self) -> int:
        """b; eos counts among so many."""
        return len(self.grown) // 2

    def keeps(self, ids: Printed, is_end: bool) -> bool:
        """Say whether a beginning goes on here, or a hypothesis is held."""
        return ids in [self.grown[place] for place in (self.ended if is_end else self.going)]

    def lead(self, total: float, is_end: bool) -> float:
        """Return by how much the last that is kept exceeds the total of a beginning that is not."""
        if not is_end:
            return self.totals[self.going[-1]] - total
        lead = self.totals[self.beam - 1] - total
        return max(lead, self.totals[self.ended[-1]] - total) if self.is_last and self.ended else lead

    def margin(self, eos: int) -> float:
        """Return how near the sentence was to going on in another way."""
        if self.is_last:
            return math.inf
        pairs = [] if self.dropped is None else [(self.going[-1], self.dropped)]
        if eos in (self.grown[self.beam - 1][-1], self.grown[self.beam][-1]):
            pairs.append((self.beam - 1, self.beam))
        return min((_apart(self.totals[a], self.totals[b]) for a, b in pairs), default=math.inf)


class SearchMade:
    """The search of one sentence that was made again.

    Args:
        found: all its hypotheses, best first.
        steps: gives its candidates, each part [1, 2b].
        eos: id.
        printed: for each id the one that a log tells.
    """

    def __init__(
        self,
        found: list[Listed],
        steps: Callable[[], Iterator[Candidates]],
        eos: int,
        printed: Sequence[int],
    ) -> None:
        self.found, self._steps, self._eos, self._printed = found, steps, eos, printed

    def turn(self, bound: float, before: float = math.inf) -> tuple[int, float] | None:
        """Return the first step, of those before one, that a near tie could turn another way, and its margin."""
        for number, step in enumerate(self._walk()):
            if number >= before:
                return None
            if step.margin(self._eos) < bound:
                return number, step.margin(self._eos)
        return None

    def leaves(self, one: Listed) -> tuple[int, float]:
        """Say where a hypothesis, with the stock scores of its tokens, is no more among those that the search keeps.

        Returns:
            the step, and by how much it is below what is kept there (infinite where the search had ended).
        """
        number = -1
        for number, step in enumerate(self._walk()):
            is_end = number + 1 == len(one.ids)
            if is_end or not step.keeps(one.ids[: number + 1], is_end):
                return number, step.lead(math.fsum(one.each[: number + 1]), is_end)
        return number + 1, math.inf

    def _walk(self) -> Iterator[SearchStep]:
        beams: list[Printed] = []
        held = 0
        for candidates in self._steps():
            totals, tokens, origins = (part[0].tolist() for part in candidates)
            beam = len(totals) // 2
            beams = beams or [()] * beam
            grown = [(*beams[origin], self._printed[token]) for origin, token in zip(origins, tokens, strict=True)]
            is_end = candidates.ends(self._eos)[0].tolist()
            ended = [place for place in range(beam) if is_end[place]][: beam - held]
            others = [place for place in range(2 * beam) if not is_end[place]]
            going = (others + [place for place in range(2 * beam) if is_end[place]])[:beam]
            held += len(ended)
            dropped = others[beam] if len(others) > beam else None
            yield SearchStep(grown, totals, ended, going, dropped, held == beam)
            beams = [grown[place] for place in going]


def judge(log: list[Listed], stock: list[Listed], search: SearchMade, n_best: int, bound: float) -> list[Finding]:
    """Judge the list of a sentence.

    Args:
        log: as printed.
        stock: the same hypotheses with the scores that stock modules give.
        search: made again.
        n_best: how many hypotheses the run printed, at most.
        bound: what a near tie is below.

    Returns:
        a finding for each hypothesis of the log, and for each that it lacks.
    """
    wanted = min(n_best, len(search.found))
    places = match_places([one.ids for one in log], [one.ids for one in search.found])
    findings = []
    for j, (said, real) in enumerate(zip(log, stock, strict=True)):
        finding = (
            _judge_scores(said, real, bound)
            or _judge_order([one.score for one in stock], j, bound)
            or _judge_place(places, j, [one.ids for one in log], wanted)
            or _judge_stranger(real, places[j], search, wanted, bound)
        )
        findings.append(finding._replace(reason=finding.reason and f"hypothesis {j + 1} {finding.reason}"))
    lacking = f"has {len(log)} hypotheses where the search gives {wanted}"
    return findings + [Finding("wrong", math.inf, lacking)] * (wanted - len(log))


def match_places(log: list[Printed], found: list[Printed]) -> list[int | None]:
    """Return for each hypothesis of a log its place among those of the search, each taken once; None: it has none."""
    taken = {place for place, (a, b) in enumerate(zip(log, found, strict=False)) if a == b}
    places: list[int | None] = []
    for j, ids in enumerate(log):
        is_here = j < len(found) and found[j] == ids
        place = j if is_here else next((k for k, b in enumerate(found) if k not in taken and b == ids), None)
        taken |= {place} - {None}
        places.append(place)
    return places


def _judge_scores(said: Listed, real: Listed, bound: float) -> Finding | None:
    """Hold the numbers of a hypothesis against those of stock modules."""
    for number, (own, stock) in enumerate(zip(said.each, real.each, strict=True), start=1):
        gap = _apart(own, stock) if math.isfinite(stock) else math.inf
        if not gap < bound + ROUNDING:
            return Finding("wrong", gap, f"has {own:.4f} for token {number}, stock modules give {stock:.4f} (base e)")
    gap = _apart(said.score, real.score)
    if gap < bound:
        return None
    return Finding("wrong", gap, f"has score {said.score:.5f}, stock modules give {real.score:.5f} (base e)")


def _judge_order(scores: list[float], j: int, bound: float) -> Finding | None:
    """Hold a hypothesis's stock score against those of its neighbours."""
    pairs = [(scores[a], scores[a + 1]) for a in (j - 1, j) if 0 <= a and a + 1 < len(scores)]
    gap = max((_apart(first, second) for first, second in pairs if not first >= second), default=0.0)
    return None if gap < bound else Finding("wrong", gap, f"is out of order by {gap:.2e}")


def _judge_place(places: list[int | None], j: int, log: list[Printed], wanted: int) -> Finding | None:
    """Hold a hypothesis's place against that in the search, where the search lists it."""
    place = places[j]
    if place is None:
        return Finding("wrong", math.inf, "is there twice") if log[j] in log[:j] else None
    if place >= wanted:
        return None
    before, after = ([k for k in part if k is not None] for part in (places[:j], places[j + 1 :]))
    if all(k < place for k in before) and all(k > place for k in after):
        return Finding("exact")
    return Finding("near_tie", 0.0, f"nearly ties with its neighbour, and is number {place + 1} of the search")


def _judge_stranger(real: Listed, place: int | None, search: SearchMade, wanted: int, bound: float) -> Finding:
    """Say whether a near tie explains a hypothesis that the search does not list, or behind those that are wanted."""
    if place is None:
        step, gap = search.leaves(real)
        away = "where it had ended" if math.isinf(gap) else f"{abs(gap):.2e} from what is kept"
        reason = f"leaves the search at token {step + 1}, {away}"
    else:
        step, gap = math.inf, _apart(search.found[wanted - 1].score, real.score)
        reason = f"is number {place + 1} of the search, {gap:.2e} from the last that belongs here"
    if abs(gap) < bound:
        return Finding("near_tie", abs(gap), reason)
    turn = search.turn(bound, step)
    if turn is None:
        return Finding("wrong", abs(gap), reason)
    return Finding("near_tie", turn[1], f"{reason}, after a near tie of the search at token {turn[0] + 1}")


def _apart(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b)
