#!/usr/bin/env python3
"""Hold beam search against fairseq's own: every hypothesis of every sentence, their order and their scores.

    beam_results.py DATA_BIN --path V.pt [--path-of-second W.pt] --out results.json [--limit N] [--gen-subset test]
                    [--page README.md:beams]

Stock generator and ours decode the same batches in one process. Rows are kept as they are made: a run that was
interrupted leaves those that it had.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from card import counts, origin, table, write_table_at
from decoding_runs import environment
from fairseq import checkpoint_utils
from torch import nn
from tqdm import tqdm

from fairseq_specdec.files import write_text
from fairseq_specdec.generator import Hypotheses, SpecGenerator
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask

COMMAND = "scripts/train/beam_results.py"
HEADER = ["options", "batch", "same n-best list", "hypotheses", "score difference", "certificate"]
# label: options, batch sizes, whether two models decode
CASES: dict[str, tuple[dict[str, Any], tuple[int, ...], bool]] = {
    "beam 5": ({"beam": 5}, (1, 8, 64), False),
    "beam 2": ({"beam": 2}, (64,), False),
    "beam 8": ({"beam": 8}, (64,), False),
    "beam 5, --no-repeat-ngram-size 3": ({"beam": 5, "no_repeat_ngram_size": 3}, (64,), False),
    "beam 5, --prefix-size 3": ({"beam": 5, "prefix_size": 3}, (64,), False),
    "beam 5, --lenpen 2 --min-len 10": ({"beam": 5, "lenpen": 2.0, "min_len": 10}, (64,), False),
    "beam 5, two models": ({"beam": 5}, (64,), True),
}


class Counted:
    """What two generators have in common, counted over batches."""

    def __init__(self) -> None:
        self.largest = self.sentences = self.hypotheses = self.identical = 0
        self.gap = 0.0

    def add(self, expected: Hypotheses, found: Hypotheses) -> None:
        """Count a batch."""
        self.largest = max(self.largest, len(expected))
        for wanted, got in zip(expected, found, strict=True):
            tokens = [one["tokens"].tolist() for one in wanted]
            self.sentences, self.hypotheses = self.sentences + 1, self.hypotheses + len(tokens)
            if tokens == [one["tokens"].tolist() for one in got]:
                self.identical += 1
                gaps = (abs(float(a["score"] - b["score"])) for a, b in zip(wanted, got, strict=True))
                self.gap = max(self.gap, *gaps)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers."""
        return {
            "largest_batch": self.largest,
            "sentences": self.sentences,
            "hypotheses": self.hypotheses,
            "identical": self.identical,
            "score_difference": self.gap if math.isfinite(self.gap) else None,
        }


class Comparison:
    """Decodes with both generators.

    Args:
        args: the command line's.
    """

    def __init__(self, args: Namespace) -> None:
        self.models, _, self.stock = checkpoint_utils.load_model_ensemble_and_task([args.path], {"data": args.data})
        self.second: list[nn.Module] = []
        if args.path_of_second:
            self.second, _ = checkpoint_utils.load_model_ensemble([args.path_of_second], task=self.stock)
        for model in (*self.models, *self.second):
            model.eval()
        self.subset, self.limit = args.gen_subset, args.limit
        self.stock.load_dataset(self.subset)
        languages = {"source_lang": self.stock.cfg.source_lang, "target_lang": self.stock.cfg.target_lang}
        self.config = {"data": args.data, "dataset_impl": None, "required_seq_len_multiple": 1, **languages}

    def _samples(self, size: int) -> Iterator[dict[str, Any]]:
        data, n = self.stock.dataset(self.subset), 0
        # fairseq keeps the batches of a data set, of whatever size they were
        batches = self.stock.get_batch_iterator(data, max_sentences=size, disable_iterator_cache=True)
        for sample in batches.next_epoch_itr(shuffle=False):
            assert sample["nsentences"] <= size
            yield sample
            n += sample["nsentences"]
            if self.limit and n >= self.limit:
                return

    def row(self, label: str, size: int) -> dict[str, Any]:
        """Decode the split; return what was counted."""
        options, _, both = CASES[label]
        models = [*self.models, *self.second] if both else self.models
        ours = self.ours(models, options, certify=size == 64)
        (row,) = self.rows(models, options, {label: ours}, size)
        return row

    def ours(self, models: list[nn.Module], options: dict[str, Any], **asked: Any) -> SpecGenerator:
        """Return our generator, with these options of generation and of the task."""
        task = TranslationSpecDecTask.setup_task(TranslationSpecDecConfig(**asked, **self.config))
        return task.build_spec_generator(models, Namespace(**options))

    def rows(
        self, models: list[nn.Module], options: dict[str, Any], ours: dict[str, SpecGenerator], size: int
    ) -> list[dict[str, Any]]:
        """Decode the split by stock fairseq and by each of our generators; return what was counted of each."""
        stock = self.stock.build_generator(models, Namespace(**options))
        counted = {label: Counted() for label in ours}
        for sample in tqdm(
            self._samples(size), desc=f"{', '.join(ours)}, batch size {size}", unit="batch", leave=False
        ):
            prefix = sample["target"][:, : options["prefix_size"]] if "prefix_size" in options else None
            with torch.no_grad():
                expected = stock.generate(models, sample, prefix_tokens=prefix)
                for label, generator in ours.items():
                    counted[label].add(expected, generator.generate(models, sample, prefix_tokens=prefix))
        return [
            {"options": label, "batch_size": size, **counted[label].as_dict(), "certificate": one.stats.certificate}
            for label, one in ours.items()
        ]


def cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return the rows of the table."""
    return [
        [
            row["options"],
            str(row["batch_size"]),
            f"{row['identical']} of {row['sentences']}",
            str(row["hypotheses"]),
            f"{row['score_difference']:.1e}",
            counts(row["certificate"]),
        ]
        for row in rows
    ]


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return the options that every comparison has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--path", required=True)
    parser.add_argument("--out", required=True, help="JSON file")
    parser.add_argument("--gen-subset", default="test")
    parser.add_argument("--limit", type=int, help="about so many sentences of the split")
    parser.add_argument("--page", help="PAGE:TABLE that is rewritten")
    return parser


def write_rows(args: Namespace, command: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the rows to --out; return what says where they come from."""
    content = {"command": command, **environment(), "data": Path(args.data).name, "gen_subset": args.gen_subset}
    write_text(args.out, json.dumps({**content, "rows": rows}, indent=1) + "\n")
    return content


def end(args: Namespace, content: dict[str, Any], rows: list[dict[str, Any]], shown: str) -> int:
    """Write the table that is shown to --page; return 1 where something differs by more than near ties."""
    if args.page:
        write_table_at(args.page, f"{shown}\n\n{origin(content, Path(args.out))}")
    return int(any(row["certificate"] and row["certificate"]["wrong"] for row in rows))


def main() -> int:
    """Compare, write, and return 1 where something differs by more than near ties."""
    parser = parser_of(__doc__)
    parser.add_argument("--path-of-second", help="for the ensemble; without it that row is left out")
    args = parser.parse_args()
    comparison, rows = Comparison(args), []
    cases = {label: case for label, case in CASES.items() if args.path_of_second or not case[2]}
    wanted = [(label, size) for label, (_, sizes, _) in cases.items() for size in sizes]
    for label, size in wanted:
        rows.append(comparison.row(label, size))
        content = write_rows(args, COMMAND, rows)
        print(" | ".join(cells(rows)[-1]), flush=True)
    return end(args, content, rows, table(HEADER, cells(rows)))


if __name__ == "__main__":
    sys.exit(main())
