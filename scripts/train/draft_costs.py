#!/usr/bin/env python3
"""Measure what the drafts of several drafters are worth and what they cost: acceptance, and milliseconds of a round.

    draft_costs.py --data BIN --verifier V.pt --drafter NAME=D.pt [--drafter ...] --out drafts.json [--page PAGE:TABLE]

Acceptance lengths are those of fairseq-generate on the test set; they are counts and do not depend on the machine.
Times are of one sentence at a time: a drafter is asked at the lengths that a decode of STEP tokens a round goes
through, all drafters in turn, and medians are taken. Measure them with nothing else running; --acceptance-only leaves
them out, --times-only takes the counts from the file that --out names.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from card import origin, table, write_table_at
from decoding_runs import Runs, environment
from fairseq.data import data_utils
from torch import Tensor

import fairseq_specdec
from fairseq_specdec import clock
from fairseq_specdec.api import SpecModel
from fairseq_specdec.blocks import DraftBlock, Source
from fairseq_specdec.cli.info import describe
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState

RUNS = Path("runs/drafts")
BLOCK_SIZES = (5, 8)
STEP = 3  # tokens a round, about what is accepted
SENTENCES, REPEATS = 20, 5
HEADER = ["drafter", "parameters", "updates", "K", "acceptance length", "source ms", "draft ms", "pass ms", "over none"]


def count(data: str, verifier: str, drafters: dict[str, str]) -> list[dict[str, Any]]:
    """Decode the test set with each drafter and block size."""
    runs = Runs(data, verifier, RUNS, resume=True)
    rows = []
    for name, path in drafters.items():
        found = describe(path)
        for k in BLOCK_SIZES:
            options = ("--drafter", "nat", "--drafter-path", path, "--block-size", str(k), "--batch-size", "64")
            stats = runs.run(f"{name}-k{k}", "--task", "translation_specdec", "--beam", "1", *options).stats
            rows.append({
                "drafter": name,
                "parameters": found["parameters"],
                "updates": found["updates"],
                "block_size": k,
                **{key: stats[key] for key in ("tokens", "rounds", "acceptance_length")},
            })  # fmt: skip
    return rows


class Stopwatch:
    """Keeps the seconds of what it is given to run, by a name."""

    def __init__(self) -> None:
        self.seconds: dict[Any, list[float]] = defaultdict(list)

    def run(self, name: Any, call: Callable[[], object]) -> None:
        """Run it and keep the time."""
        began = clock.now()
        call()
        self.seconds[name].append(clock.since(began))

    def milliseconds(self, name: Any) -> float:
        """Return the median; 0 of what was never run, as a second draft where every output has a token or two."""
        return 1000 * median(self.seconds[name] or [0.0])


def source_of(tokens: Tensor, encoder: FastEncoder) -> Source:
    """Return a batch of one sentence, ids [n], as the decoder gives it to a drafter."""
    source, lengths = tokens[None], torch.tensor([len(tokens)])
    return Source(source, lengths, pad=1, encoded=(encoder.forward({"src_tokens": source}),))


@torch.no_grad()
def time_drafts(watch: Stopwatch, name: Any, model: SpecModel, source: Source, output: Tensor) -> None:
    """Ask the drafter for a block at each length of a decode; the first time it also reads the source."""
    drafter, k = model.generator.drafter, model.generator.drafter.block_size
    state = DecodeState(Limits(1, 3, 2, 200), output.new_tensor([2]), k)
    state.tokens[0, 1 : 1 + len(output)] = output
    drafter.start(source, state)
    for n in range(0, len(output), STEP):
        state.lengths.fill_(n + 1)
        state.max_length = n + 1
        draft = (name, "draft" if n else "first")
        watch.run(draft, lambda: state.trim(drafter.propose(state), k))
        drafter.advance(torch.tensor([STEP]))


@torch.no_grad()
def time_passes(watch: Stopwatch, verifier: Verifier, source: Source, output: Tensor) -> None:
    """Make passes of one position and of each block, in the middle of an output."""
    middle = len(output) // 2
    verifier.start({"src_tokens": source.tokens}, len(output) + max(BLOCK_SIZES) + 2)
    verifier.score(output[None, : max(1, middle)], 0)
    verifier.commit(torch.tensor([max(1, middle)]))
    for width in (1, *(k + 1 for k in BLOCK_SIZES)):
        fed = output.new_full((1, width), 5)
        block = DraftBlock(fed[:, 1:], torch.tensor([width - 1]))
        watch.run(width, lambda fed=fed, block=block: accept(verifier.score(fed, middle + 1), block))


def accept(lprobs: Tensor, draft: DraftBlock) -> Tensor:
    """Choose tokens, as the smallest part of what follows a pass."""
    return lprobs.argmax(-1)[:, : draft.tokens.size(1)].eq(draft.tokens)


def measure_times(data: str, path: str, drafters: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, float]:
    """Fill in the milliseconds of each row; return those of the verifier."""
    systems = {
        (name, k): fairseq_specdec.load(path, data, "nat", drafter, block_size=k)
        for name, drafter in drafters.items()
        for k in BLOCK_SIZES
    }
    first = next(iter(systems.values()))
    languages = (first.task.cfg.source_lang, first.task.cfg.target_lang)
    test = Path(data) / f"test.{'-'.join(languages)}.{languages[0]}"
    indexed = data_utils.load_indexed_dataset(str(test), first.task.source_dictionary)
    sources = [indexed[i].long() for i in range(SENTENCES)]
    outputs = [model.generate_tokens(sources, 1).tokens for model in systems.values()][0]  # all are read and warm
    stock = first.generator.models[0]
    encoder, watch = FastEncoder(stock.encoder), Stopwatch()
    verifier = Verifier([encoder], [read_verifier(stock.decoder)])
    for _ in range(REPEATS):
        for tokens, output in zip(sources, outputs, strict=True):
            watch.run("encoder", lambda tokens=tokens: source_of(tokens, encoder))
            source = source_of(tokens, encoder)
            time_passes(watch, verifier, source, output)
            for system, model in systems.items():
                time_drafts(watch, system, model, source, output)
    tokens = sum(map(len, outputs)) / max(len(outputs), 1)  # a sentence
    for row in rows:
        system = (row["drafter"], row["block_size"])
        row["draft_ms"] = watch.milliseconds((system, "draft"))
        row["source_ms"] = watch.milliseconds((system, "first")) - row["draft_ms"]
        row["pass_ms"] = watch.milliseconds(row["block_size"] + 1)
        spent = tokens / max(row["acceptance_length"], 1) * (row["draft_ms"] + row["pass_ms"]) + row["source_ms"]
        if spent > 0:
            row["over_none"] = tokens * watch.milliseconds(1) / spent
    return {"encoder": watch.milliseconds("encoder"), "pass_of_one": watch.milliseconds(1)}


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table; times that were not measured stay empty."""
    numbers = [f"{row[key]:.2f}" if key in row else "" for key in ("source_ms", "draft_ms", "pass_ms", "over_none")]
    updates = "" if row["updates"] is None else f"{row['updates']:,}"
    known = [row["drafter"], f"{row['parameters'] / 1e6:.2f} M", updates, str(row["block_size"])]
    return [*known, f"{row['acceptance_length']:.3f}", *numbers]


def page_table(results: dict[str, Any], path: Path) -> str:
    """Return the table, what it means above it and where it comes from below it."""
    head = "test_2016_flickr, 1000 sentences, block sizes K."
    times = results.get("verifier_ms")
    if times:
        head += (
            f" Times of one sentence: the verifier's encoder takes {times['encoder']:.2f} ms, its pass of one position "
            f"{times['pass_of_one']:.2f} ms. *source*: what the drafter does once a sentence; *draft*: a block; "
            "*pass*: the verifier's pass of K + 1 positions. *over none*: how many times faster than passes of one."
        )
    return "\n\n".join([head, table(HEADER, [cells(row) for row in results["rows"]]), origin(results, path)])


def main() -> None:
    """Count, measure, write the file and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--verifier", required=True)
    parser.add_argument("--drafter", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", metavar="PAGE:TABLE")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--acceptance-only", action="store_true")
    part.add_argument("--times-only", action="store_true")
    args = parser.parse_args()
    drafters = dict(choice.split("=", 1) for choice in args.drafter)
    if args.times_only:
        known = json.loads(args.out.read_text("utf-8"))["rows"]
        rows = [row for row in known if row["drafter"] in drafters]
    else:
        rows = count(args.data, args.verifier, drafters)
    results = {"command": "scripts/train/draft_costs.py", **environment(), "rows": rows}
    if not args.acceptance_only:
        results["verifier_ms"] = measure_times(args.data, args.verifier, drafters, rows)
    args.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if args.page:
        write_table_at(args.page, page_table(results, args.out))


if __name__ == "__main__":
    main()
