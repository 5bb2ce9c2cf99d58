#!/usr/bin/env python3
"""Measure what a verifier pass costs by its width, beside what the machine could do; writes JSON and a page's tables.

    profile_engine.py --out docs/performance.json [--page docs/performance.md] [--threads N]

Models have random weights: time does not depend on them. A pass scores N positions of one sentence behind 30 committed
ones. Its floor is the greater of two times: reading the weights it touches once at the bandwidth measured here, and
doing its multiplications at the rate measured here. The overhead is the same number of layers at width 16, where next
to nothing is computed. Measure with nothing else running.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel, base_architecture
from tqdm import tqdm

import fairseq_specdec  # noqa: F401 (repairs what fairseq breaks)
from fairseq_specdec import clock
from fairseq_specdec.config import SpecConfig
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.native import library as native
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.stats import SpecStats

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import measured  # noqa: E402
from card import origin, table  # noqa: E402

SIZES = {  # width, feed-forward width, heads, layers of encoder and decoder, symbols
    "6+6, 256/1024, 5,000 symbols": (256, 1024, 4, 6, 5000),
    "Transformer-base, 32,000 symbols": (512, 2048, 8, 6, 32000),
}
WIDTHS = (1, 2, 5, 9, 17, 26, 33)
ROWS = {"float32": None, "float32 by torch": None, "bf16": "bf16", "int8": "int8"}  # and the engine's dtype
SOURCE, COMMITTED, REPEATS = 28, 30, 15


def median_of(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds of several runs, after two to warm up; never 0, rates divide by it."""
    seconds = []
    for i in range(repeats + 2):
        began = clock.now()
        run()
        if i > 1:
            seconds.append(clock.since(began))
    return max(sorted(seconds)[len(seconds) // 2], 1e-9)


def machine() -> dict[str, float]:
    """Measure the bandwidth of reading memory (GB/s) and the rate of float32 products (10^9 multiply-adds a second)."""
    many, square = torch.ones(1 << 26), torch.ones(2048, 2048)
    return {
        "gigabytes_per_second": many.numel() * 4 / median_of(many.sum) / 1e9,
        "gigaproducts_per_second": 2048**3 / median_of(lambda: square @ square) / 1e9,
    }


def build(width: int, ffn: int, heads: int, layers: int, symbols: int) -> TransformerModel:
    """Build a stock Transformer with random weights."""
    dictionary = Dictionary()
    for i in range(symbols - len(dictionary)):
        dictionary.add_symbol(f"s{i}")
    args = Namespace(share_all_embeddings=True)
    for side in ("encoder", "decoder"):
        for name, value in (
            ("embed_dim", width),
            ("ffn_embed_dim", ffn),
            ("attention_heads", heads),
            ("layers", layers),
        ):
            setattr(args, f"{side}_{name}", value)
    base_architecture(args)
    task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    return TransformerModel.build_model(args, task).eval()


@contextmanager
def by_torch(name: str) -> Iterator[None]:
    """Leave the compiled layers out while a row of that name is measured."""
    native.library.cache_clear()
    if name.endswith("by torch"):
        os.environ[native.DISABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(native.DISABLE, None)
        native.library.cache_clear()


@torch.no_grad()
def pass_seconds(model: TransformerModel, engine_dtype: str | None, tick: Callable[[], object]) -> dict[int, float]:
    """Measure a pass of each width."""
    verifier = Verifier([], [read_verifier(model.decoder, engine_dtype)])
    memory = torch.randn(1, SOURCE, model.encoder.embed_tokens.embedding_dim)
    found = {}
    for width in WIDTHS:
        verifier.decoders[0].start(memory, None, COMMITTED + max(WIDTHS))
        verifier.score(torch.full((1, COMMITTED), 5), 0)
        verifier.commit(torch.tensor([COMMITTED]))
        tokens = torch.full((1, width), 5)
        found[width] = median_of(lambda tokens=tokens: verifier.score(tokens, COMMITTED))
        tick()
    return found


@torch.no_grad()
def encoder_seconds(model: TransformerModel) -> dict[str, float]:
    """Measure the encoder, ours and the stock module."""
    batch = {"src_tokens": torch.full((1, SOURCE), 5), "src_lengths": torch.tensor([SOURCE])}
    ours = FastEncoder(model.encoder)
    return {
        "engine": median_of(lambda: ours.forward(batch)),
        "fairseq": median_of(lambda: model.encoder.forward_torchscript(batch)),
    }


@torch.no_grad()
def sentence_seconds(model: TransformerModel, symbols: int) -> dict[str, float]:
    """Decode a sentence of 28 tokens to one as long without drafts; return the seconds of its parts."""
    options = GenerationOptions(max_len_b=SOURCE - 1, min_len=SOURCE - 1)
    batch = {"src_tokens": torch.randint(4, symbols, (1, SOURCE)), "src_lengths": torch.tensor([SOURCE])}
    generator = SpecGenerator([model], model.decoder.dictionary, NoDrafter(), options, stats_of_none())
    found: dict[str, list[float]] = {}
    for i in range(REPEATS + 2):
        generator.stats.seconds.update(dict.fromkeys(generator.stats.seconds, 0.0))
        generator.generate([model], {"net_input": batch})
        for part, seconds in generator.stats.as_dict()["seconds"].items():
            found.setdefault(part, []).append(seconds if i > 1 else 0.0)
    return {part: sorted(seconds[2:])[REPEATS // 2] for part, seconds in found.items()}


def stats_of_none() -> SpecStats:
    """Return statistics whose timers are on."""
    return SpecStats(SpecConfig(spec_stats="unused.json"), block_size=0)


def products(model: TransformerModel) -> int:
    """Return the multiplications of one position: every weight of a matrix of the decoder once."""
    decoder = model.decoder
    matrices = [(name, p.numel()) for name, p in decoder.layers.named_parameters() if p.dim() == 2]
    once_a_sentence = (".encoder_attn.k_proj", ".encoder_attn.v_proj")
    layers = sum(count for name, count in matrices if not any(part in name for part in once_a_sentence))
    return layers + decoder.output_projection.weight.numel()


def floors(model: TransformerModel, rates: dict[str, float]) -> dict[int, float]:
    """Return the least seconds of a float32 pass of each width."""
    work = products(model)
    read = 4 * work / rates["gigabytes_per_second"] / 1e9
    return {width: max(read, width * work / rates["gigaproducts_per_second"] / 1e9) for width in WIDTHS}


def measure() -> dict[str, Any]:
    """Measure everything."""
    rates = machine()
    results: dict[str, Any] = {"rates": rates, "sizes": {}}
    with tqdm(total=len(SIZES) * (len(ROWS) + 1) * len(WIDTHS), desc="passes", disable=None) as bar:
        for name, (width, ffn, heads, layers, symbols) in SIZES.items():
            model = build(width, ffn, heads, layers, symbols)
            passes = {}
            for row, engine_dtype in ROWS.items():
                with by_torch(row):
                    passes[row] = pass_seconds(model, engine_dtype, bar.update)
            results["sizes"][name] = {
                "pass_seconds": passes,
                "floor_seconds": floors(model, rates),
                "overhead_seconds": pass_seconds(build(16, 16, heads, layers, 40), None, bar.update),
                "encoder_seconds": encoder_seconds(model),
                "sentence_seconds": sentence_seconds(model, symbols),
            }
    return results


def tables(results: dict[str, Any], path: Path) -> str:
    """Return the tables of the page."""
    rates = results["rates"]
    parts = [
        f"This machine reads {rates['gigabytes_per_second']:.1f} GB/s and does {rates['gigaproducts_per_second']:.0f} "
        "thousand million multiply-adds a second in float32. Milliseconds of a pass by the number of its positions:"
    ]
    for name, size in results["sizes"].items():
        rows = {**size["pass_seconds"], "floor (float32)": size["floor_seconds"], "overhead": size["overhead_seconds"]}
        lines = [[row, *(f"{1000 * seconds[str(n)]:.2f}" for n in WIDTHS)] for row, seconds in rows.items()]
        encoder = {kind: f"{1000 * seconds:.2f}" for kind, seconds in size["encoder_seconds"].items()}
        parts += [
            f"**{name}** (its encoder, {SOURCE} tokens: {encoder['engine']} ms, stock {encoder['fairseq']} ms)",
            table(["positions", *map(str, WIDTHS)], lines),
            sentence(size["sentence_seconds"]),
        ]
    return "\n\n".join([*parts, origin(results, path)])


def sentence(seconds: dict[str, float]) -> str:
    """Say where a sentence's time goes."""
    parts = {part: f"{1000 * value:.2f} ms" for part, value in seconds.items()}
    each = f"{1e6 * seconds['other'] / SOURCE:.0f}"
    return (
        f"A sentence of {SOURCE} tokens in and out without drafts takes {parts['total']}: {parts['encode']} for the "
        f"encoder and the source's keys and values, {parts['verify']} for {SOURCE} passes, {parts['other']} for all "
        f"else, {each} microseconds a round."
    )


def main() -> None:
    """Measure, write the JSON, then the page."""
    measured.run(__doc__, "scripts/profile_engine.py", "passes", measure, tables)


if __name__ == "__main__":
    main()
