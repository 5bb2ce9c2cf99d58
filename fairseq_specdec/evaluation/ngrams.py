"""Counts of n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Ngrams = Counter[tuple[str, ...]]


def count_ngrams(tokens: Sequence[str], n: int) -> Ngrams:
    """Count the n-grams of a sentence of tokens; none where it is shorter than n."""
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
