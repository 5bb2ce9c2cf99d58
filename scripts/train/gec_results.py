#!/usr/bin/env python3
"""Measure a correction or simplification model: identity with fairseq, rounds by either draft rule, quality.

    gec_results.py --system gec.en [--layers 9+3] [--part identity|rounds|scores]... [--resume]

Data and checkpoints are where scripts/train/gec.sh puts them. What each run printed stays under runs/SYSTEM/, the
numbers go to models/SYSTEM/results.json, and the card's table is rewritten from them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from card import write_table
from decoding_runs import STOCK, Run, Runs, differences, environment, text_of
from gec_card import card_tables

from fairseq_specdec.evaluation.m2_file import read_m2
from fairseq_specdec.evaluation.metrics import METRICS

SPEC = ("--task", "translation_specdec", "--beam", "1")
BATCH_SIZES = (64, 8, 1)


@dataclass(frozen=True, eq=False)
class TestSet:
    """A split of the data.

    Args:
        name: as in the tables.
        split: fairseq's name of it.
        metrics: their names; none where the split only serves the identity check.
        text: stem of its plain text in text/eval: ``stem.src``, the references ``stem.ref*`` and ``stem.m2``.
        pieces: stem of its subword files; the target side is the guess of the drafter ``file``.
    """

    name: str
    split: str
    pieces: str
    metrics: tuple[str, ...] = ()
    text: str | None = None


SYSTEMS = {
    "gec.en": [
        TestSet("JFLEG dev", "test", "jfleg_dev"),
        TestSet("CWEB dev", "test1", "cweb_dev"),
        TestSet("JFLEG dev, held-out third", "test2", "jfleg-heldout", ("gleu",), "jfleg-heldout"),
        TestSet("CoNLL-14, held-out quarter", "test3", "conll14-heldout", ("gleu", "m2"), "conll14-heldout"),
        TestSet("CWEB dev, held-out tenth", "test4", "cweb-heldout", ("gleu", "m2"), "cweb-heldout"),
    ],
    "gec.uk": [TestSet("UA-GEC dev", "test", "ua_gec_dev", ("gleu",), "ua_gec_dev")],
    "simplification.en": [TestSet("ASSET valid", "test", "asset", ("sari",), "asset")],
}


class Measurement:
    """Runs everything for one system."""

    def __init__(self, system: str, kind: str, resume: bool) -> None:
        self.data = Path("data") / system
        self.sets = SYSTEMS[system]
        verifier = str(Path("checkpoints") / f"{system}{kind}" / "verifier" / "checkpoint_last.pt")
        logs = Path("runs") / f"{system}{kind}"
        data = str(self.data / "bin")
        self.runs = {t.split: Runs(data, verifier, logs / t.split, t.split, resume) for t in self.sets}

    def drafters(self, test: TestSet) -> dict[str, tuple[str, ...]]:
        """Name the drafters with their options."""
        guesses = str(self.data / "bpe" / f"{test.pieces}.tgt")
        return {
            "input": ("--drafter", "input"),
            "input, published rule": ("--drafter", "input", "--draft-rule", "published"),
            "ngram": ("--drafter", "ngram"),
            "file": ("--drafter", "file", "--draft-file", guesses),
        }

    @cache  # noqa: B019 (one object a run of this script)
    def stock(self, test: TestSet, size: int) -> Run:
        """Decode with stock fairseq, greedily."""
        return self.runs[test.split].run(f"{size}/stock", *STOCK, "--batch-size", str(size))

    @cache  # noqa: B019
    def ours(self, test: TestSet, size: int, name: str) -> Run:
        """Decode with a drafter.

        At batch size 1 with its own block size, so that rounds can be compared; at others the width of a round is left
        to what pays on the machine. The certificate looks at outputs alone: it is asked for once.
        """
        options = ["--batch-size", str(size)]
        options += ["--block-size", "8" if name == "ngram" else "32"] * (size == 1)
        options += ["--certify"] * (size == BATCH_SIZES[0] and name == "input")
        return self.runs[test.split].run(f"{size}/{name}", *SPEC, *self.drafters(test)[name], *options)

    def _checked(self) -> list[TestSet]:
        """Return the whole sets; held-out parts of them are there for scores."""
        return [test for test in self.sets if not test.metrics or len(self.sets) == 1]

    def identity(self) -> Iterator[dict[str, Any]]:
        """Compare every drafter with stock fairseq, on every sentence."""
        for test in self._checked():
            for size in BATCH_SIZES:
                for name in ("input", "ngram", "file"):
                    ours = self.ours(test, size, name)
                    yield {
                        "test_set": test.name,
                        "batch_size": size,
                        "system": name,
                        **differences(self.stock(test, size), ours),
                        **_rates(ours.stats),
                        "certificate": ours.stats["certificate"],
                    }

    def rounds(self) -> Iterator[dict[str, Any]]:
        """Count rounds a sentence and positions at batch size 1 for each drafter, and for both rules of `input`."""
        for test in self.sets:
            for name in self.drafters(test):
                run = self.ours(test, 1, name)
                yield {
                    "test_set": test.name,
                    "system": name,
                    "sentences": run.stats["sentences"],
                    **_rates(run.stats),
                    "identical_to_batch_64": differences(self.stock(test, 64), run)["identical"],
                }

    def scores(self) -> Iterator[dict[str, Any]]:
        """Score doing nothing, greedy decoding and beam 5."""
        for test in (t for t in self.sets if t.metrics):
            stem = self.data / "text" / "eval" / test.text
            source = stem.with_suffix(".src").read_text("utf-8").splitlines()
            refs = [path.read_text("utf-8").splitlines() for path in sorted(stem.parent.glob(f"{stem.name}.ref*"))]
            runs = self.runs[test.split]
            beam5 = runs.run("scores/beam5", "--task", "translation", "--beam", "5", "--batch-size", "64")
            greedy = runs.run("scores/greedy", *SPEC, "--drafter", "input", "--batch-size", "64")
            outputs = {"source": source, "greedy": text_of(greedy), "beam 5": text_of(beam5)}
            for name, hypotheses in outputs.items():
                row = {"test_set": test.name, "system": name, "references": len(refs)}
                for metric in (METRICS[name] for name in test.metrics):
                    if metric.m2_reference:
                        row |= metric.compute(hypotheses, read_m2(stem.with_suffix(".m2")))
                    else:
                        row |= metric.compute(hypotheses, refs, source)
                yield row


def _rates(stats: dict[str, Any]) -> dict[str, float]:
    """Return what a run's statistics say of a round and of a sentence."""
    sentences = max(stats["sentences"], 1)
    return {
        "acceptance_length": stats["acceptance_length"],
        "rounds_per_sentence": stats["rounds"] / sentences,
        "wasted_per_sentence": (stats["drafted"] - stats["accepted"]) / sentences,
    }


def main() -> None:
    """Measure the parts asked for and write the results, then the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", required=True, choices=list(SYSTEMS))
    parser.add_argument("--layers", default="6+6", help="of encoder and decoder, as given to gec.sh")
    parser.add_argument("--part", choices=["scores", "rounds", "identity"], action="append", help="default: all three")
    parser.add_argument("--resume", action="store_true", help="take the runs that came to their end before")
    args = parser.parse_args()
    folder, kind = Path("models") / args.system, "" if args.layers == "6+6" else f"-{args.layers}"
    out = folder / f"results{kind}.json"
    results = json.loads(out.read_text()) if out.exists() else {}
    results |= {"command": f"scripts/train/gec.sh {args.system}", **environment()}
    measurement = Measurement(args.system, kind, args.resume)
    for part in args.part or ["scores", "identity", "rounds"]:
        results[part] = []
        for row in getattr(measurement, part)():
            results[part].append(row)
            out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    write_table(folder / "README.md", f"results{kind}", card_tables(results, out))


if __name__ == "__main__":
    main()
