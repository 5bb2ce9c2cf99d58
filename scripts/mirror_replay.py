"""Fairseq's beam search replayed on recorded lists, with speculation: what a pass would verify, how far it would reach.

A *list* holds the best 2b (token, log-probability) that may follow a *prefix* (the tokens so far, the first one
included), best first. Which prefixes a search visits and what it finds depend on these lists alone. A pass verifies the
live beams and, ahead of them, what the same search would visit if lists that are not known yet were the guessed ones;
then the search goes on as far as the lists it has reach.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Prefix = tuple[int, ...]
List = list[tuple[int, float]]
SUFFIX = 3  # longest suffix that is looked up, as in drafts that are copied
TRUST = 0.9  # probability given to a guide's token


class Rules(NamedTuple):
    """What the search of a sentence goes by: its beam, the id that ends a hypothesis, the step that forces it."""

    beam: int
    eos: int
    max_len: int


class Search(NamedTuple):
    """A beam search between two steps: beams and ended hypotheses, each (total, tokens)."""

    step: int
    beams: tuple[tuple[float, Prefix], ...]
    ended: tuple[tuple[float, Prefix], ...] = ()
    is_finished: bool = False


def add(total: float, score: float) -> float:
    """Add as fairseq does, in float32."""
    return float(np.float32(total) + np.float32(score))


def advance(search: Search, rules: Rules, list_of: Callable[[Prefix], List | None]) -> Search | None:
    """Make a step; None where it depends on lists that are not known.

    No continuation is better than its beam, so a beam whose total is no more than what the step needs may go without.
    """
    found, bound = [], -math.inf
    for i, (total, prefix) in enumerate(search.beams):
        known = list_of(prefix)
        if known is None:
            bound = max(bound, total)
        else:
            found += [(-add(total, score), i, j, token, prefix) for j, (token, score) in enumerate(known)]
    found.sort()
    beams, ended = [], list(search.ended)
    for place, (cost, _, _, token, prefix) in enumerate(found[: 2 * rules.beam]):
        if -cost <= bound:
            return None
        if token != rules.eos:
            beams.append((-cost, (*prefix, token)))
        elif place < rules.beam and len(ended) < rules.beam:
            ended.append((-cost, (*prefix, token)))
        if len(beams) == rules.beam:
            break
    else:
        if bound > -math.inf:
            return None
    is_finished = len(ended) >= rules.beam or not beams or search.step >= rules.max_len
    return Search(search.step + 1, tuple(beams), tuple(ended), is_finished)


class Guide:
    """A text that the output resembles: where a prefix has got to in it, by the edit-aware rule of copied drafts."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = tuple(tokens)
        self._places: dict[Prefix, int] = {}

    def next(self, prefix: Prefix) -> int | None:
        """Return the token that the text has where a prefix goes on, or None at its end."""
        place = self._place(prefix)
        return self.tokens[place] if place < len(self.tokens) else None

    def _place(self, prefix: Prefix) -> int:
        if len(prefix) == 1:
            return 0
        if prefix not in self._places:
            before = self._place(prefix[:-1])
            goes_on = before < len(self.tokens) and self.tokens[before] == prefix[-1]
            stands_for = before if goes_on else self._nearest(prefix, before)
            self._places[prefix] = min(stands_for + 1, len(self.tokens))
        return self._places[prefix]

    def _nearest(self, prefix: Prefix, broke_off: int) -> int:
        """Return where the text ends like the prefix, by the longest suffix, then the nearest; else where it broke."""
        best = (0, 0, broke_off)
        for i, token in enumerate(self.tokens):
            if token == prefix[-1]:
                n = 1
                while n < min(SUFFIX, len(prefix) - 1, i + 1) and self.tokens[i - n] == prefix[-1 - n]:
                    n += 1
                best = max(best, (n, -(2 * abs(i - broke_off) + (i > broke_off)), i))
        return best[2]


class Guesses:
    """Lists of prefixes that have not been verified: that of the newest one with the same last 3, 2 or 1 tokens."""

    def __init__(self) -> None:
        self._newest: dict[Prefix, List] = {}

    def learn(self, prefix: Prefix, found: List) -> None:
        """Remember a verified list."""
        for n in range(1, min(SUFFIX, len(prefix)) + 1):
            self._newest[prefix[-n:]] = found

    def of(self, prefix: Prefix, guide: Guide | None) -> List:
        """Guess the list of a prefix; the guide's token comes first. Empty where nothing is known."""
        known: List = next((self._newest[prefix[-n:]] for n in (3, 2, 1) if prefix[-n:] in self._newest), [])
        token = guide.next(prefix) if guide else None
        if token is None:
            return known
        low = math.log(1 - TRUST)  # others keep their scores where these are low
        others = [(other, min(score, low)) for other, score in known if other != token]
        return [(token, math.log(TRUST)), *others]


@dataclass
class Policy:
    """What passes verify ahead of the live beams.

    Attributes:
        extra: positions of a pass at most, beside one for each beam.
        knows: take the true lists for guesses, which no drafter can; an upper bound.
    """

    extra: int
    knows: bool = False


@dataclass
class Count:
    """What decoding took: steps of the search, and how many passes there were of each number of positions."""

    steps: int = 0
    passes: Counter[int] = field(default_factory=Counter)

    def add(self, steps: int, positions: int) -> None:
        """Count a pass."""
        self.steps += steps
        self.passes[positions] += 1


def replay(
    recorded: dict[Prefix, List],
    first: int,
    rules: Rules,
    policy: Policy,
    guesses: Guesses,
    guide_of: Callable[[Prefix], Guide | None],
    count: Count,
) -> Search:
    """Decode a sentence; return the finished search.

    Args:
        recorded: lists of all prefixes that the plain search visits. Others are waste: verified, never asked for.
        first: the token that outputs start with.
        rules: of the search.
        policy: what is verified ahead.
        guesses: learns from what is verified.
        guide_of: what the drafter says when the best beam is this one.
        count: gets the passes.
    """
    search = Search(0, ((0.0, (first,)),))
    verified: dict[Prefix, List] = {}
    tried: set[Prefix] = set()
    while not search.is_finished:
        guide = guide_of(search.beams[0][1])

        def guess(prefix: Prefix, guide: Guide | None = guide) -> List:
            if prefix in verified:
                return verified[prefix]
            return recorded.get(prefix, []) if policy.knows else guesses.of(prefix, guide)

        nodes = plan(search, rules, policy, guess, tried)
        for prefix in nodes:
            tried.add(prefix)
            if prefix in recorded:
                verified[prefix] = recorded[prefix]
                guesses.learn(prefix, recorded[prefix])
        before = search.step
        while not search.is_finished and (following := advance(search, rules, verified.get)) is not None:
            search = following
        count.add(search.step - before, len(nodes))
    return search


def plan(
    search: Search, rules: Rules, policy: Policy, guess: Callable[[Prefix], List], tried: set[Prefix]
) -> list[Prefix]:
    """Return the prefixes that a pass verifies: of the live beams, then of the steps that the guesses lead to.

    Of the steps ahead beams are left out that by the guess give no continuation which is good enough: `advance` can do
    without them.
    """
    nodes: list[Prefix] = []
    room, ahead = rules.beam + policy.extra, search
    while room and not ahead.is_finished:
        following = advance(ahead, rules, guess)
        assert following is not None, "every guess is a list"
        is_open = ahead is search or len(following.beams) < rules.beam
        needed = -math.inf if is_open else following.beams[-1][0]
        wanted = [prefix for total, prefix in ahead.beams if total > needed and prefix not in tried][:room]
        nodes += wanted
        if policy.extra == 0:
            break
        room -= len(wanted)
        ahead = following
    return nodes
