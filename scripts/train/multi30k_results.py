#!/usr/bin/env python3
"""Measure the Multi30k models: identity with fairseq, certificates, scores, acceptance lengths, speed.

    multi30k_results.py --data BIN --checkpoints DIR --out models/multi30k.en-de/results.json

Every run is fairseq-generate's own main function with the options a user would type; they share one process, so that
imports are paid once and the timed runs can be interleaved. What each run printed stays under runs/multi30k/. The
model card's tables are rewritten from the results.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import os
import platform
import re
import statistics
import time
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from fairseq import options as fairseq_options
from fairseq.data.data_utils import post_process
from fairseq_cli import generate as fairseq_generate
from multi30k_card import card_tables, readme_table, write_card

import fairseq_specdec
from fairseq_specdec.evaluation.generate_log import GenerateLog, read_generate_log
from fairseq_specdec.evaluation.scores import bleu

RUNS = Path("runs/multi30k")
STOCK = ("--task", "translation", "--beam", "1")
BLOCK_SIZES = (1, 5, 25)
BATCH_SIZES = (1, 8, 64)
DECODING_OPTIONS = (
    ("--max-len-b", "10"),
    ("--min-len", "20"),
    ("--prefix-size", "3"),
    ("--unkpen", "3"),
    ("--temperature", "0.7"),
)


@dataclass
class Run:
    """One run of fairseq-generate: its log file, what fairseq counts, and our statistics, if it was ours."""

    path: Path
    sentences: int
    seconds: float
    stats: dict[str, Any] | None

    @cached_property
    def log(self) -> GenerateLog:
        """The sentences, in the order of the data."""
        return read_generate_log([self.path])


class Bench:
    """Runs fairseq-generate on the test set.

    Args:
        data: data-bin folder.
        verifier: --path of the model.
    """

    def __init__(self, data: str, verifier: str) -> None:
        self.data, self.verifier = data, verifier
        self._summary = _SummaryHandler()
        logging.getLogger("fairseq_cli.generate").addHandler(self._summary)

    def run(self, name: str, *extra: str, path: str | None = None) -> Run:
        """Decode test_2016_flickr with these options; a run whose log is there already is decoded again."""
        folder = RUNS / name
        folder.mkdir(parents=True, exist_ok=True)
        stats = folder / "stats.json"
        ours = "translation_specdec" in extra
        argv = [self.data, "--user-dir", "fairseq_specdec", "--path", path or self.verifier, "--cpu"]
        argv += ["--results-path", str(folder), "--no-progress-bar", *extra]
        argv += ["--spec-stats", str(stats)] if ours else []
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        parser = fairseq_options.get_generation_parser()
        parser.add_argument("--arch", default="transformer")  # fairseq-generate asks for one, too
        fairseq_generate.main(fairseq_options.parse_args_and_arch(parser, argv))
        counted = self._summary.last
        return Run(folder / "generate-test.txt", *counted, json.loads(stats.read_text()) if ours else None)


class _SummaryHandler(logging.Handler):
    """Takes sentences and seconds from fairseq's closing line."""

    last = (0, 0.0)

    def emit(self, record: logging.LogRecord) -> None:
        found = re.search(r"Translated ([\d,]+) sentences .* tokens\) in ([\d.]+)s", record.getMessage())
        if found:
            self.last = (int(found[1].replace(",", "")), float(found[2]))


def differences(stock: Run, ours: Run) -> dict[str, Any]:
    """Compare H and P lines.

    Returns:
        sentences, how many have the same tokens, and the greatest difference of a sentence score and of a positional
        score among these (in nats; fairseq prints positional scores with four digits in base 2).
    """
    same, score, positional = 0, 0.0, 0.0
    pairs = list(zip(stock.log.sentences, ours.log.sentences, strict=True))
    for a, b in pairs:
        if a.id == b.id and a.hypothesis == b.hypothesis:
            same += 1
            score = max(score, abs(a.score - b.score))
            gaps = [abs(x - y) for x, y in zip(a.positional_scores, b.positional_scores, strict=True)]
            positional = max(positional, *gaps)
    nats = math.log(2)
    return {
        "sentences": len(pairs),
        "identical": same,
        "score_difference": score * nats,
        "positional_difference": positional * nats,
    }


def systems(checkpoints: Path) -> dict[str, tuple[str, ...]]:
    """Name every drafter that the identity check runs, with its options."""
    ours = ("--task", "translation_specdec", "--beam", "1")
    found = {"none": (*ours, "--drafter", "none")}
    for k in BLOCK_SIZES:
        trained = checkpoints / ("drafter" if k <= 8 else "drafter25") / "checkpoint_last.pt"
        for name, path in (("nat", trained), ("random-nat", checkpoints / "random" / "checkpoint_last.pt")):
            drafter = ("--drafter", "nat", "--drafter-path", str(path), "--block-size", str(k))
            found[f"{name}-k{k}"] = (*ours, *drafter)
    return found


def check_identity(bench: Bench, checkpoints: Path) -> list[dict[str, Any]]:
    """Compare every system with stock fairseq, at every batch size and under every option."""
    rows = []

    def compare(label: str, path: str | None, names: list[str], *extra: str) -> None:
        stock = bench.run(f"identity/{label}/fairseq", *STOCK, *extra, path=path)
        for name in names:
            # certifying one block size is enough: the certificate looks at the output alone, and outputs are compared
            certify = ("--certify",) if name in ("none", "nat-k5") else ()
            ours = bench.run(f"identity/{label}/{name}", *every[name], *extra, *certify, path=path)
            row = {"options": label, "system": name, **differences(stock, ours)}
            rows.append(
                {**row, "acceptance_length": ours.stats["acceptance_length"], "certificate": ours.stats["certificate"]}
            )

    every = systems(checkpoints)
    for size in BATCH_SIZES:
        compare(f"batch-size {size}", None, list(every), "--batch-size", str(size))
    few = ["none", "nat-k5", "random-nat-k5"]
    for option in DECODING_OPTIONS:
        compare(" ".join(option).removeprefix("--"), None, few, "--batch-size", "64", *option)
    ensemble = os.pathsep.join((bench.verifier, str(checkpoints / "teacher" / "checkpoint_last.pt")))
    compare("ensemble of two", ensemble, few, "--batch-size", "64")
    return rows


def text_of(run: Run) -> list[str]:
    """Return the hypotheses as plain text."""
    return [post_process(sentence.hypothesis, "sentencepiece") for sentence in run.log.sentences]


def score_systems(bench: Bench, checkpoints: Path, reference: list[str]) -> list[dict[str, Any]]:
    """Score teacher and verifier, greedy and with beam 5, and the relaxed modes."""
    teacher = str(checkpoints / "teacher" / "checkpoint_last.pt")
    drafter = ("--drafter", "nat", "--drafter-path", str(checkpoints / "drafter" / "checkpoint_last.pt"))
    spec = ("--task", "translation_specdec", "--beam", "1", *drafter)
    wanted = {
        "teacher, beam 5": (teacher, ("--task", "translation", "--beam", "5")),
        "teacher, greedy": (teacher, STOCK),
        "verifier, beam 5": (None, ("--task", "translation", "--beam", "5")),
        "verifier, greedy": (None, STOCK),
        "verifier, nat, exact": (None, spec),
        "verifier, nat, relaxed (beta 3, tau 1)": (None, (*spec, "--beta", "3", "--tau", "1")),
        "verifier, nat, relaxed (beta 5, tau 3)": (None, (*spec, "--beta", "5", "--tau", "3")),
    }
    rows = []
    for name, (path, extra) in wanted.items():
        run = bench.run(f"scores/{name}", *extra, "--batch-size", "64", path=path)
        score = bleu(text_of(run), [reference])
        length = run.stats["acceptance_length"] if run.stats else None
        rows.append({"system": name, **score, "acceptance_length": length})
    return rows


def time_systems(bench: Bench, checkpoints: Path, repeats: int, shards: int) -> list[dict[str, Any]]:
    """Time systems at batch size 1, interleaved, on one shard of the test set; ratios are taken repeat by repeat."""
    drafter = ("--drafter", "nat", "--drafter-path", str(checkpoints / "drafter" / "checkpoint_last.pt"))
    spec = ("--task", "translation_specdec", "--beam", "1")
    timed = {"fairseq": STOCK, "fairseq-beam5": ("--task", "translation", "--beam", "5"), "none": spec}
    timed |= {f"nat-k{k}": (*spec, *drafter, "--block-size", str(k)) for k in (3, 5, 8)}
    timed["nat-k5, relaxed (beta 3, tau 1)"] = (*timed["nat-k5"], "--beta", "3", "--tau", "1")
    shard = ("--num-shards", str(shards), "--shard-id", "0", "--batch-size", "1")
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    stats: dict[str, Any] = {}
    for repeat, (name, extra) in itertools.product(range(repeats + 1), timed.items()):
        run = bench.run(f"time/{name}", *extra, *shard)
        stats[name] = (run.sentences, run.stats and run.stats["acceptance_length"])
        if repeat:  # the first round warms up
            seconds[name].append(run.seconds)
    rows = []
    for name, own in seconds.items():
        ratios = [stock / mine for stock, mine in zip(seconds["fairseq"], own, strict=True)]
        rows.append({
            "system": name,
            "batch_size": 1,
            "sentences": stats[name][0],
            "seconds": statistics.median(own),
            "spread": max(own) - min(own),
            "speedup_vs_fairseq": statistics.median(ratios),
            "speedup_spread": [min(ratios), max(ratios)],
            "acceptance_length": stats[name][1],
        })  # fmt: skip
    return rows


def environment() -> dict[str, Any]:
    """Describe where the numbers were made."""
    model = (
        re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
    )
    return {
        "date": date.today().isoformat(),
        "processor": model[1] if model else platform.processor(),
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "dtype": "float32",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sacrebleu": sacrebleu.__version__,
            "fairseq_specdec": fairseq_specdec.__version__,
        },
    }


def main() -> None:
    """Run everything and write the results, then the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoints", required=True, type=Path)
    parser.add_argument("--reference", type=Path, default=Path("data/multi30k.en-de/text/test_2016_flickr.de"))
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats after one for warming up")
    parser.add_argument("--shards", type=int, default=8, help="time one of so many shards of the test set")
    parser.add_argument("--part", choices=["scores", "time", "identity"], action="append", help="default: all three")
    args = parser.parse_args()
    bench = Bench(args.data, str(args.checkpoints / "verifier" / "checkpoint_last.pt"))
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    results |= {"command": "scripts/train/multi30k.sh", **environment()}
    for part in args.part or ["scores", "time", "identity"]:
        if part == "scores":
            results[part] = score_systems(bench, args.checkpoints, args.reference.read_text("utf-8").splitlines())
        elif part == "time":
            results[part] = time_systems(bench, args.checkpoints, args.repeats, args.shards)
        else:
            results[part] = check_identity(bench, args.checkpoints)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    write_card(args.out.parent / "README.md", card_tables(results))
    if "time" in results:
        write_card(Path("README.md"), readme_table(results))


if __name__ == "__main__":
    main()
