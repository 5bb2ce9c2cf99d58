#!/usr/bin/env python3
"""Time one sentence on models of many languages at their full size, with random weights, by which time does not depend.

The source has 30 tokens, a token that names its language before them; so has the output, eos behind them. Every system
runs in a process of its own, of which the most memory that it held is taken. Measure with nothing else running.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]
import measured  # noqa: E402
from card import origin, table  # noqa: E402
from fairseq.data import Dictionary  # noqa: E402
from fairseq.models.transformer import TransformerModel, base_architecture  # noqa: E402
from fairseq.sequence_generator import SequenceGenerator  # noqa: E402

import fairseq_specdec  # noqa: E402, F401 (repairs and registrations come first)
from fairseq_specdec.config import SpecConfig  # noqa: E402
from fairseq_specdec.drafters.autoregressive import SelfDrafter  # noqa: E402
from fairseq_specdec.drafters.base import DrafterSetting  # noqa: E402
from fairseq_specdec.drafters.none import NoDrafter  # noqa: E402
from fairseq_specdec.generator import SpecGenerator  # noqa: E402
from fairseq_specdec.options import GenerationOptions  # noqa: E402
from fairseq_specdec.stats import SpecStats  # noqa: E402

TOKENS = 30
REPEATS = 2


class Size(NamedTuple):
    """Layers of each side, width, width of the feed-forward part, heads, symbols."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    symbols: int


SIZES = {
    "M2M-100 418M": Size(12, 1024, 4096, 16, 128112),
    "NLLB-200 600M": Size(12, 1024, 4096, 16, 256206),
}
SYSTEMS = ["fairseq", "none", "self", "fairseq, beam 5", "none, beam 5", "int8", "int8, beam 5"]
STOCK = {name: "fairseq, beam 5" if name.endswith("beam 5") else "fairseq" for name in SYSTEMS}


def build(size: Size) -> TransformerModel:
    """Build a model with random weights, pre-norm, with one table for all embeddings, as the published ones are."""
    dictionary = Dictionary()
    for i in range(size.symbols - len(dictionary)):
        dictionary.add_symbol(str(i))
    args = Namespace(share_all_embeddings=True, max_source_positions=1024, max_target_positions=1024)
    for side in ("encoder", "decoder"):
        of_side = {"layers": size.layers, "embed_dim": size.width, "ffn_embed_dim": size.feed_forward}
        of_side |= {"attention_heads": size.heads, "normalize_before": True}
        for name, value in of_side.items():
            setattr(args, f"{side}_{name}", value)
    base_architecture(args)
    torch.manual_seed(1)
    return TransformerModel.build_model(
        args, Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    ).eval()


def generator_of(system: str, model: TransformerModel) -> Any:
    """Return what decodes; every output has as many tokens."""
    dictionary, beam = model.decoder.dictionary, 5 if system.endswith("beam 5") else 1
    if system.startswith("fairseq"):
        return SequenceGenerator([model], dictionary, beam_size=beam, max_len_b=TOKENS, min_len=TOKENS)
    options = GenerationOptions(beam=beam, max_len_b=TOKENS, min_len=TOKENS)
    config = SpecConfig(engine_dtype="int8" if system.startswith("int8") else None)
    setting = DrafterSetting(None, dictionary.pad(), dictionary.unk(), dictionary.eos(), verifier=model)
    drafter = SelfDrafter.build(setting) if system == "self" else NoDrafter()
    return SpecGenerator([model], dictionary, drafter, options, SpecStats(config, drafter.block_size))


def measure_one(size: Size, system: str, threads: int) -> dict[str, Any]:
    """Time a system and say what it held in memory; its output tells whether it is fairseq's."""
    torch.set_num_threads(threads)
    model = build(size)
    loaded = memory("VmRSS")
    generator = generator_of(system, model)
    source = torch.randint(4, size.symbols, (1, TOKENS + 1), generator=torch.Generator().manual_seed(2))
    source[0, -1] = 2
    sample = {"id": torch.tensor([0]), "net_input": {"src_tokens": source, "src_lengths": torch.tensor([TOKENS + 1])}}
    language, seconds, found = torch.tensor([[size.symbols - 1]]), [], []
    for _ in range(1 + REPEATS):  # the first one lays weights out
        began = time.perf_counter()
        found = generator.generate([model], sample, prefix_tokens=language)[0]
        seconds.append(time.perf_counter() - began)
    return {
        "seconds": statistics.median(seconds[1:]),
        "first_seconds": seconds[0],
        "loaded_mb": loaded,
        "peak_mb": memory("VmHWM"),
        "acceptance_length": None if system.startswith("fairseq") else generator.stats.acceptance_length,
        "tokens": [hypothesis["tokens"].tolist() for hypothesis in found],
    }


def memory(line: str) -> float:
    """Return what Linux says of this process, in MB: VmRSS it holds now, VmHWM it held at most."""
    text = Path("/proc/self/status").read_text("utf-8")
    return int(text.split(f"{line}:")[1].split()[0]) / 1024


def measure(sizes: dict[str, Size] | None = None, systems: list[str] | None = None) -> dict[str, Any]:
    """Measure every system on every model."""
    context, results = multiprocessing.get_context("spawn"), {}
    for name, size in (sizes or SIZES).items():
        found: dict[str, Any] = {}
        for system in systems or SYSTEMS:
            with context.Pool(1) as pool:
                found[system] = pool.apply(measure_one, (size, system, torch.get_num_threads()))
            print(f"{name}, {system}: {found[system]['seconds']:.2f} s", file=sys.stderr, flush=True)
        for system, result in found.items():
            stock = found.get(STOCK.get(system, system))
            result["identical"] = None if stock is None else result["tokens"] == stock["tokens"]
        for result in found.values():
            del result["tokens"]
        results[name] = found
    return {"length": TOKENS, "models": results}


def tables(results: dict[str, Any], path: Path) -> str:
    """Return the table of the page."""
    lines = []
    for name, found in results["models"].items():
        for system, result in found.items():
            stock = found.get(STOCK.get(system, system), result)
            faster, more = stock["seconds"] / result["seconds"], result["peak_mb"] / stock["peak_mb"]
            same = {True: "yes", False: "no", None: "-"}[result["identical"]]
            row = [
                name,
                system,
                f"{result['seconds']:.2f}",
                f"{faster:.1f}",
                "" if result["acceptance_length"] is None else f"{result['acceptance_length']:.2f}",
                f"{result['peak_mb']:.0f}",
                f"{more:.2f}",
                same,
            ]
            lines.append(row)
    header = [
        "model",
        "system",
        "seconds",
        "over fairseq",
        "tokens a round",
        "peak MB",
        "of fairseq's",
        "n-best identical to fairseq",
    ]
    return "\n\n".join([table(header, lines), origin(results, path)])


def main() -> None:
    """Measure, write the JSON, then the page."""
    measured.run(__doc__, "scripts/full_size.py", "full size", measure, tables)


if __name__ == "__main__":
    main()
