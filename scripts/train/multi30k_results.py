#!/usr/bin/env python3
"""Measure the Multi30k models: identity with fairseq, certificates, scores, acceptance lengths.

    multi30k_results.py --data BIN --checkpoints DIR --out models/multi30k.en-de/results.json

Every run is fairseq-generate's own main function with the options a user would type; they share one process, so that
imports are paid once. What each run printed stays under runs/multi30k/. The model card's tables are rewritten from the
results. Speed is measured by ``specdec bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from card import write_table
from decoding_runs import STOCK, Run, Runs, differences, environment, text_of
from multi30k_card import card_tables

from fairseq_specdec.config import ENGINE_DTYPES
from fairseq_specdec.evaluation.scores import bleu

RUNS = Path("runs/multi30k")
BLOCK_SIZES = (1, 5, 25)
BATCH_SIZES = (1, 8, 64)
DECODING_OPTIONS = (
    ("--max-len-b", "10"),
    ("--min-len", "20"),
    ("--prefix-size", "3"),
    ("--unkpen", "3"),
    ("--temperature", "0.7"),
)


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


def check_identity(bench: Runs, checkpoints: Path) -> list[dict[str, Any]]:
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


def score_systems(bench: Runs, checkpoints: Path, reference: list[str]) -> list[dict[str, Any]]:
    """Score teacher and verifier, greedy and with beam 5, and the relaxed modes."""
    teacher = str(checkpoints / "teacher" / "checkpoint_last.pt")
    drafter = ("--drafter", "nat", "--drafter-path", str(checkpoints / "drafter" / "checkpoint_last.pt"))
    spec = ("--task", "translation_specdec", "--beam", "1", "--block-size", "8", *drafter)
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


def reduced_precision(bench: Runs, reference: list[str]) -> list[dict[str, Any]]:
    """Decode with rounded weights; count what that changes, and certify it against the stock modules."""
    stock = bench.run("reduced/fairseq", *STOCK, "--batch-size", "64")
    rows = []
    for dtype in ENGINE_DTYPES:
        options = ("--task", "translation_specdec", "--beam", "1", "--engine-dtype", dtype, "--batch-size", "64")
        ours = bench.run(f"reduced/{dtype}", *options)
        score = bleu(text_of(ours), [reference])["bleu"]
        rows.append({
            "engine_dtype": dtype,
            **differences(stock, ours),
            "bleu": score,
            "certificate": certificate_of(bench, ours),
        })  # fmt: skip
    return rows


def certificate_of(bench: Runs, run: Run) -> dict[str, Any]:
    """Certify a run's log; in a process of its own, since a wrong token ends it with status 1."""
    command = [str(Path(sys.executable).parent / "specdec"), "certify", bench.data, "--path", bench.verifier]
    command += ["--gen", str(run.path), "--batch-size", "64", "--cpu", "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Run everything and write the results, then the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoints", required=True, type=Path)
    parser.add_argument("--reference", type=Path, default=Path("data/multi30k.en-de/text/test_2016_flickr.de"))
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--part", choices=["scores", "reduced", "identity"], action="append", help="default: all")
    args = parser.parse_args()
    bench = Runs(args.data, str(args.checkpoints / "verifier" / "checkpoint_last.pt"), RUNS)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    results |= {"command": "scripts/train/multi30k.sh", **environment()}
    reference = args.reference.read_text("utf-8").splitlines()
    for part in args.part or ["scores", "reduced", "identity"]:
        if part == "scores":
            results[part] = score_systems(bench, args.checkpoints, reference)
        elif part == "reduced":
            results[part] = reduced_precision(bench, reference)
        else:
            results[part] = check_identity(bench, args.checkpoints)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    write_table(args.out.parent / "README.md", "results", card_tables(results))


if __name__ == "__main__":
    main()
