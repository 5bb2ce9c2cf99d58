#!/usr/bin/env python3
"""Time beams that look ahead beside the plain beam search on error correction; writes JSON and a page's table.

    bench_mirror.py --out docs/mirror_measured.json [--page docs/performance.md] [--threads N]

The shipped corrector decodes the test text of the quickstart, sentence by sentence and in batches, and the systems take
turns; where sentences come together beams look ahead by torch, and are told how far. No
larger trained corrector is shipped, so for larger decoders each of its passes, and its encoder, is made once more by a
model of that size with random weights, whose result is thrown away: the corrector decides, the larger one takes the
time. Every output is compared with the plain search's. Measure with nothing else running.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fairseq_specdec
from fairseq_specdec.blocks import Paths
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.native.library import layers_by
from fairseq_specdec.engine.verifier import Memory, Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.spec_model import Generated, SpecModel

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import measured  # noqa: E402
import profile_engine  # noqa: E402
import quickstart  # noqa: E402
from card import origin, table  # noqa: E402

BEAM, REPEATS = 5, 3
SENTENCES = {"the corrector alone": 200, "256/1024": 60, "512/2048": 24}
SIZES: dict[str, tuple[str, tuple[int, int, int, int, int]] | None] = {
    "the corrector alone": None,
    **{f"{size[0]}/{size[1]}": (name, size) for name, size in profile_engine.SIZES.items()},
}
TOGETHER = ", 8 at a time"
SYSTEMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adaptive": {"drafter": "input"},
    "7 ahead": {"drafter": "input", "block_size": 7},
    "13 ahead": {"drafter": "input", "block_size": 13},
    "plain" + TOGETHER: {},
    "7 ahead" + TOGETHER: {"drafter": "input", "block_size": 7},
}


class Beside(Verifier):
    """A verifier whose passes are made by another one, too, for the time that takes."""

    def __init__(self, verifier: Verifier, other: Verifier) -> None:
        super().__init__(verifier.encoders, [decoder.weights for decoder in verifier.decoders])
        self._other = other

    def start(self, net_input: dict[str, Any], capacity: int) -> Memory:
        """Begin a batch."""
        self._other.start(net_input, capacity)
        return super().start(net_input, capacity)

    def score(self, tokens: Tensor, longest: int, paths: Paths | None = None) -> Tensor:
        """Score a block."""
        self._other.score(tokens, longest, paths)
        return super().score(tokens, longest, paths)

    def commit(self, kept: Tensor) -> None:
        """Advance each row."""
        self._other.commit(kept)
        super().commit(kept)


def load(folder: Path, models: Path, other: Verifier | None, **options: Any) -> SpecModel:
    """Return the corrector, beside another verifier if there is one."""
    lengths = {"max_len_a": 1.5, "max_len_b": 20}
    model = fairseq_specdec.load(models / "corrector.pt", folder, beam=BEAM, nbest=BEAM, **lengths, **options)
    if other is not None:
        decoder = model.generator._ready_decoder()
        decoder.verifier = decoder.batches.verifier = Beside(decoder.verifier, other)
    return model


def same(one: Generated, other: Generated) -> bool:
    """Say whether all hypotheses have the same tokens and scores."""
    return all(
        torch.equal(a.tokens, b.tokens) and a.score == b.score
        for x, y in zip(one.best, other.best, strict=True)
        for a, b in zip((x, *x.further), (y, *y.further), strict=True)
    )


def plain_of(name: str) -> str:
    """Return the plain search with as many sentences at a time."""
    return "plain" + TOGETHER * name.endswith(TOGETHER)


def compare(folder: Path, models: Path, sources: list[Tensor], other: Verifier | None) -> dict[str, Any]:
    """Decode in turn; return of each system the median seconds, the speed-up within a turn, and steps a pass.

    A system is held against the plain search with as many sentences at a time.

    Raises:
        SystemExit: an output is not the plain search's.
    """
    systems = {name: load(folder, models, other, **options) for name, options in SYSTEMS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    rows: dict[str, Any] = {}
    for _ in range(REPEATS + 1):  # the first turn warms up
        found = {}
        for name, model in systems.items():
            began = time.perf_counter()
            found[name] = model.generate_tokens(sources, 8 if name.endswith(TOGETHER) else 1)
            seconds[name].append(time.perf_counter() - began)
        for name, outputs in found.items():
            if not same(found[plain_of(name)], outputs):
                raise SystemExit(f"{name}: an output is not that of the plain search")
            rows[name] = {"steps_a_pass": outputs.stats["acceptance_length"]}
    for name, row in rows.items():
        ratios = [plain / own for plain, own in zip(seconds[plain_of(name)][1:], seconds[name][1:], strict=True)]
        row["seconds"], row["speedup"] = sorted(seconds[name][1:])[REPEATS // 2], sorted(ratios)[REPEATS // 2]
        row["spread"] = [min(ratios), max(ratios)]
    return rows


def measure() -> dict[str, Any]:
    """Measure all sizes."""
    (job,) = (job for job in quickstart.JOBS if job.corrects)
    models, text = quickstart.ROOT / "checkpoints" / "quickstart", quickstart.ROOT / "data" / "quickstart"
    results: dict[str, Any] = {"sizes": {}}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / job.name
        quickstart.binarise(job, data, Namespace(sentences=max(SENTENCES.values()), models=models, text=text))
        lines = (data / f"pieces.{job.langs[0]}").read_text("utf-8").splitlines()
        for size, n in SENTENCES.items():
            sources = [load(data, models, None).encode(line) for line in lines[:n]]
            other = None
            if SIZES[size] is not None:
                model = profile_engine.build(*SIZES[size][1])
                other = Verifier([FastEncoder(model.encoder)], [read_verifier(model.decoder)])
            results["sizes"][size] = {"sentences": n, "systems": compare(data, models, sources, other)}
    return results


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the table of the page."""
    rows = []
    for size, found in results["sizes"].items():
        what = size if SIZES[size] is None else f"passes of {SIZES[size][0]} beside it"
        for name, row in found["systems"].items():
            faster = f"{row['speedup']:.2f} ({row['spread'][0]:.2f} to {row['spread'][1]:.2f})"
            steps = f"{row['steps_a_pass']:.2f}"
            rows.append([f"{what}: {name}", str(found["sentences"]), steps, f"{row['seconds']:.2f}", faster])
    head = ["system", "sentences", "steps a pass", "seconds", "over the plain beam"]
    return "\n\n".join([table(head, rows), origin(results, path)])


def main() -> None:
    """Measure, write the JSON, then the page."""
    missing = "the compiled library must run here, got torch: build it with a C++ compiler (make install)."
    why_not = missing if layers_by() == "torch" else None
    measured.run(__doc__, "scripts/bench_mirror.py", "mirror-measured", measure, page_of, why_not)


if __name__ == "__main__":
    main()
