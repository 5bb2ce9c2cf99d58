"""The one clock."""

import math
import re
from pathlib import Path

import pytest

from fairseq_specdec import clock

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("began", "now", "expected"),
    [
        (1.0, 3.5, 2.5),
        (3.5, 1.0, 0.0),
        (2.0, 2.0, 0.0),
        (-1e308, 1e308, clock.LONGEST),
        (0.0, math.inf, clock.LONGEST),
        (math.inf, math.inf, 0.0),
        (0.0, math.nan, 0.0),
    ],
)
def test_a_span_is_a_number_that_is_never_negative(monkeypatch, began, now, expected):
    monkeypatch.setattr(clock, "now", lambda: now)
    assert clock.since(began) == expected


def test_nothing_else_in_the_package_reads_a_clock():
    for path in sorted((ROOT / "fairseq_specdec").rglob("*.py")):
        found = re.findall(r"\b(?:perf_counter|monotonic|process_time|time\.time)\b", path.read_text("utf-8"))
        assert not found or path.name == "clock.py", f"{path} reads {found}: use fairseq_specdec.clock"
