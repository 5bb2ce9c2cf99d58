"""Clocks that say what no clock should: nothing that is written may depend on them."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

Clock = Callable[[], float]


def still() -> Clock:
    """Say the same for ever."""
    return lambda: 5.0


def nearly_still() -> Clock:
    """Go on by the least that is seen beside 1: fairseq divides by the time of a run."""
    ticks = itertools.count()
    return lambda: 1.0 + next(ticks) * 2**-52


def backwards() -> Clock:
    """Run backwards."""
    ticks = itertools.count()
    return lambda: 1e4 - 1e-3 * next(ticks)


def jumping() -> Clock:
    """Go its way, and jump back or ahead by up to weeks now and then."""
    rng, now = random.Random(1), [0.0]

    def tell() -> float:
        now[0] += rng.uniform(-1e7, 1e7) if rng.random() < 0.1 else 1e-4
        return now[0]

    return tell


def at_random() -> Clock:
    """Say anything, of any size."""
    rng = random.Random(2)
    return lambda: rng.choice([-1, 1]) * 10 ** rng.uniform(-320, 308)


HOSTILE = {
    "still": still,
    "nearly still": nearly_still,
    "backwards": backwards,
    "jumping": jumping,
    "random": at_random,
}
# those under which fairseq itself comes to its end, and the real one
OF_A_RUN = {"real": lambda: time.perf_counter, **{name: clock for name, clock in HOSTILE.items() if name != "still"}}
