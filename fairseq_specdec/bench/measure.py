"""The measurement: which system decodes what and when, how long it takes, and what the numbers of a row are.

Seconds are those of ``System.decode``: encoder and decoder on batches that lie on the device already, from the call to
the tokens, the device synchronised before and after. Loading data and turning tokens into text are not in them. All
systems decode the same batches in the same order; each repeat takes every system once, so that a change of the
machine's speed meets all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fairseq_specdec.bench.names import ENGINE, STOCK, stock_name
from fairseq_specdec.config import OptionError
from fairseq_specdec.generator import is_out_of_memory


@dataclass(frozen=True)
class Batch:
    """Sentences that are decoded together.

    Args:
        ids: their places in the data.
        sample: fairseq's batch, on the device.
        sources: their symbols, without eos, for systems that do not take ids.
    """

    ids: list[int]
    sample: Any
    sources: list[list[str]]


class System(Protocol):
    """Decodes batches.

    Attributes:
        name: of its row.
        dtype: of its arithmetic.
        beam: of its search; 1 is greedy.
        note: in what it is another system than greedy decoding ("beam 5"), or None.
        acceptance_length: tokens a verifier pass since `start`, or None where nothing is drafted or counted.
    """

    name: str
    dtype: str
    beam: int
    note: str | None

    @property
    def acceptance_length(self) -> float | None:
        """See above."""

    def start(self, batches: Sequence[Batch]) -> None:
        """Begin a pass over these batches; what an earlier pass left behind is forgotten. Not timed."""

    def decode(self, batch: Batch) -> list[list[int]]:
        """Return the output of each sentence of the next batch, eos at the end."""


class Meter(Protocol):
    """Reads the clock and the memory of the device."""

    def now(self) -> float:
        """Return seconds, after waiting for the device."""

    def reset_peak(self) -> None:
        """Begin to look for the greatest amount of memory."""

    def peak_mb(self, system: System) -> float | None:
        """Return it, or None where this system's cannot be known."""


@dataclass
class Measured:
    """What was measured of one system at one batch size.

    Attributes:
        seconds: [repeats][batches].
        outputs: tokens by the sentence's place in the data, eos at the end.
        error: why there is no result, or None.
    """

    seconds: list[list[float]] = field(default_factory=list)
    outputs: dict[int, list[int]] = field(default_factory=dict)
    acceptance_length: float | None = None
    peak_mb: float | None = None
    error: str | None = None


def measure(
    systems: Sequence[System],
    batches: Sequence[Batch],
    meter: Meter,
    *,
    repeats: int,
    warmup: int = 1,
    tick: Callable[[], object] = lambda: None,
) -> list[Measured]:
    """Decode the batches with every system, again and again.

    Args:
        systems: what to measure.
        batches: what to decode.
        meter: clock and memory.
        repeats: timed passes of each system; which one begins changes from pass to pass.
        warmup: passes before them that are not timed.
        tick: called after each batch.

    Returns:
        for each system what was measured; a system that fails is left out of later repeats and has an ``error``.

    Raises:
        OptionError: a system refuses an option only now.
    """
    results = [Measured() for _ in systems]
    order = list(range(len(systems)))
    for repeat in range(-warmup, repeats):
        first = repeat % len(order)
        for index in order[first:] + order[:first]:
            result = results[index]
            if result.error is not None:
                continue
            try:
                seconds = _decode_all(systems[index], batches, meter, result, tick)
            except OptionError:
                raise
            except Exception as error:  # one system's failure, whatever it is, must not cost the others' numbers
                results[index] = Measured(error=_reason(error))
                continue
            if repeat >= 0:
                result.seconds.append(seconds)
    return results


def _decode_all(
    system: System, batches: Sequence[Batch], meter: Meter, result: Measured, tick: Callable[[], object]
) -> list[float]:
    """Make one pass; return the seconds of each batch."""
    system.start(batches)
    meter.reset_peak()
    seconds = []
    for batch in batches:
        began = meter.now()
        outputs = system.decode(batch)
        seconds.append(max(meter.now() - began, 0.0))  # the clock may have been set back
        result.outputs.update(zip(batch.ids, outputs, strict=True))
        tick()
    result.acceptance_length, result.peak_mb = system.acceptance_length, meter.peak_mb(system)
    return seconds


def _reason(error: Exception) -> str:
    """Say in a line why a system failed."""
    text = " ".join(str(error).split())
    return "out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {text}"[:300]


def rows(
    systems: Sequence[System],
    results: Sequence[Measured],
    batch_size: int,
    device: str,
    score: Callable[[dict[int, list[int]]], Any],
) -> list[dict[str, Any]]:
    """Turn what was measured into rows.

    Args:
        systems: what was measured.
        results: in the same order.
        batch_size: of the batches.
        device: its type.
        score: gives the metric of the outputs.

    Returns:
        for each system the object of the JSON; a system that failed has ``error`` and no numbers.
    """
    by_name = {system.name: result for system, result in zip(systems, results, strict=True)}
    stock, engine = by_name.get(STOCK, Measured()), by_name.get(ENGINE, Measured())
    found = []
    for system, result in zip(systems, results, strict=True):
        same_beam = by_name.get(stock_name(system.beam), Measured()) if system.beam > 1 else Measured()
        row = {
            "system": system.name,
            "beam": system.beam,
            "batch_size": batch_size,
            **_numbers(result, batch_size),
            "speedup_vs_fairseq": speedup(stock, result),
            "speedup_vs_none": speedup(engine, result),
            "speedup_vs_same_beam": speedup(same_beam, result),
            "acceptance_length": result.acceptance_length,
            "metric": score(result.outputs) if result.outputs else None,
            "identical": identical(stock, result),
            "identical_same_beam": identical(same_beam, result),
            "peak_memory_mb": result.peak_mb,
            "device": device,
            "dtype": system.dtype,
            "note": system.note,
        }
        found.append(row | ({"error": result.error} if result.error else {}))
    return found


def _numbers(result: Measured, batch_size: int) -> dict[str, Any]:
    """Return the row's counts and seconds."""
    tokens = sum(map(len, result.outputs.values()))
    totals = [sum(seconds) for seconds in result.seconds]
    median = statistics.median(totals) if totals else None
    latencies = [statistics.median(own) * 1000 for own in zip(*result.seconds, strict=True)]  # of each batch
    latencies = latencies if batch_size == 1 else []
    return {
        "sentences": len(result.outputs),
        "tokens": tokens,
        "seconds": median,
        "spread": [min(totals), max(totals)] if totals else None,
        "tokens_per_second": tokens / median if median else None,
        "p50_ms": percentile(latencies, 0.50),
        "p95_ms": percentile(latencies, 0.95),
    }


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which this share of the values lies, between neighbours by a line; None of no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def speedup(base: Measured, own: Measured) -> float | None:
    """Return how many times faster than the base, the median of the ratios of the same repeat; None without any."""
    totals = zip(base.seconds, own.seconds, strict=False)  # one of them may have failed
    ratios = [sum(slow) / sum(fast) for slow, fast in totals if sum(fast) > 0]
    return statistics.median(ratios) if ratios else None


def identical(base: Measured, own: Measured) -> float | None:
    """Return the share of sentences whose tokens are those of the base."""
    if not base.outputs or not own.outputs:
        return None
    return sum(base.outputs.get(i) == tokens for i, tokens in own.outputs.items()) / len(own.outputs)
