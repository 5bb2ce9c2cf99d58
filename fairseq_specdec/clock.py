"""The clock. Whatever is timed in this package is timed here, so that a test can put another clock in its place.

What a clock says may steer how fast a run is, never what it gives or whether it ends: clocks stand still, run backwards
and jump, on virtual machines above all.
"""

from __future__ import annotations

import time

LONGEST = 1e6  # seconds; a span that is longer is a clock that jumped


def now() -> float:
    """Return seconds since some moment."""
    return time.perf_counter()


def since(began: float) -> float:
    """Return the seconds since ``now`` said ``began``: never negative, at most LONGEST, a number in any case."""
    return min(max(0.0, now() - began), LONGEST)  # 0.0 comes first: it also is what becomes of NaN
