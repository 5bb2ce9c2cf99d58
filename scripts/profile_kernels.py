#!/usr/bin/env python3
"""Measure the compiled linear maps beside torch's, and beside what the machine reads; writes JSON and a page's table.

    profile_kernels.py --out docs/kernels.json [--page docs/performance.md] [--threads N]

Ours and torch's product of the same numbers take turns; rates are thousand million multiply-adds a second, from
medians. Memory is what one row shows over maps that together do not fit a cache. Measure with nothing else running.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import linear

from fairseq_specdec.engine.linear import Linear
from fairseq_specdec.engine.native.library import NativeLinear, layers_by

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import measured  # noqa: E402
from card import origin, table  # noqa: E402

WEIGHTS = ((1024, 256), (2048, 512), (512, 2048), (32000, 512))  # outputs, inputs
ROWS = (1, 2, 5, 9, 17, 33, 128, 512)
MAPS = 4  # of the last size, read in turn: more than a cache holds
LARGE = 2048  # of the square product that rates are compared with
SECONDS = 0.2  # of each pair


def in_turn(runs: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Return the median seconds of each of some functions that take turns."""
    found: list[list[float]] = [[] for _ in runs]
    began = time.perf_counter()
    while len(found[0]) < 5 or time.perf_counter() - began < seconds:
        for run, times in zip(runs, found, strict=True):
            before = time.perf_counter()
            run()
            times.append(time.perf_counter() - before)
    return [sorted(times)[len(times) // 2] for times in found]


def rates_of(n_outputs: int, n_inputs: int, rows: int) -> dict[str, float]:
    """Return our rate and torch's for one map."""
    weight, x = torch.randn(n_outputs, n_inputs), torch.randn(rows, n_inputs)
    ours = NativeLinear(Linear(weight, None))
    times = in_turn([lambda: ours(x), lambda: linear(x, weight)], SECONDS)
    work = n_outputs * n_inputs * rows / 1e9
    return {"ours": work / times[0], "torch": work / times[1]}


def reading() -> dict[str, float]:
    """Return the GB/s of adding numbers up, and of one row by weights that no cache holds."""
    n_outputs, n_inputs = WEIGHTS[-1]
    maps = [NativeLinear(Linear(torch.randn(n_outputs, n_inputs), None)) for _ in range(MAPS)]
    many, x = torch.ones(MAPS * n_outputs * n_inputs), torch.randn(1, n_inputs)
    times = in_turn([many.sum, lambda: [one(x) for one in maps]], 10 * SECONDS)
    size = 4 * many.numel() / 1e9
    return {"sum": size / times[0], "one_row": size / times[1]}


def measure() -> dict[str, Any]:
    """Measure everything."""
    square = torch.randn(LARGE, LARGE)
    large = in_turn([lambda: square @ square], SECONDS)[0]
    maps = {f"{o}x{i}": {str(rows): rates_of(o, i, rows) for rows in ROWS} for o, i in WEIGHTS}
    return {"maps": maps, "gigabytes_per_second": reading(), "large_product": LARGE**3 / large / 1e9}


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the table of the page and what else was measured."""
    read, lines = results["gigabytes_per_second"], []
    for name, rows in results["maps"].items():
        for kind in ("ours", "torch"):
            lines.append([f"{name} {kind}", *(f"{rows[str(n)][kind]:.1f}" for n in ROWS)])
    text = (
        f"Torch's product of {LARGE} by {LARGE} numbers runs at {results['large_product']:.1f}. One row over {MAPS} "
        f"maps of the last size, which no cache holds, reads {read['one_row']:.1f} GB/s, "
        f"{read['one_row'] / read['sum']:.2f} of what adding up as many numbers reads ({read['sum']:.1f})."
    )
    return "\n\n".join([table(["rows", *map(str, ROWS)], lines), text, origin(results, path)])


def main() -> None:
    """Measure, write the JSON, then the page."""
    missing = "the compiled library must run here, got torch: build it with a C++ compiler (make install)."
    why_not = missing if layers_by() == "torch" else None
    measured.run(__doc__, "scripts/profile_kernels.py", "kernels", measure, page_of, why_not)


if __name__ == "__main__":
    main()
