#!/usr/bin/env python3
"""Hold drafts by a model against stock fairseq's greedy search: every token of every sentence, batches of three sizes.

    draft_results.py DATA_BIN --path V.pt [--drafter-path D.pt] --out results.json [--limit N] [--gen-subset test]
                     [--batch-sizes 1,8,32] [--page README.md:drafts]

The verifier drafts for itself in both precisions (self), and a second model drafts for it (ar), as much as pays and a
whole block in each round. Stock generator and ours decode the same batches in one process; where whole blocks are
drafted for large batches each output is certified: scored again by stock modules. Rows of other batch sizes that
the file holds stay in it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from beam_results import Comparison, end, parser_of, write_rows
from card import counts, table

COMMAND = "scripts/train/draft_results.py"
# label: options of the task; ar also has the second model
CASES: dict[str, dict[str, Any]] = {
    "self, int8": {"drafter": "self", "draft_dtype": "int8"},
    "self, bf16": {"drafter": "self", "draft_dtype": "bf16"},
    "ar": {"drafter": "ar"},
}
CERTIFIED = 32  # sentences in a batch, from which on whole blocks are certified: it takes as long as stock fairseq does
BLOCK_SIZE = 8  # of whole blocks: what pays may be nothing
HEADER = ["drafts", "batch", "same output", "tokens a round", "score difference", "certificate"]


def rows_of(comparison: Comparison, drafter_path: str | None, size: int) -> list[dict[str, Any]]:
    """Decode the split in batches of a size, with every drafter, drafting what pays and a whole block."""
    greedy, ours = {"beam": 1}, {}
    for label, asked in CASES.items():
        if asked["drafter"] == "ar":
            if drafter_path is None:
                continue
            asked = {**asked, "drafter_path": drafter_path}
        for name, block_size in ((label, None), (f"{label}, {BLOCK_SIZE} tokens", BLOCK_SIZE)):
            certify = block_size is not None and size >= CERTIFIED
            ours[name] = comparison.ours(comparison.models, greedy, block_size=block_size, certify=certify, **asked)
    rows = comparison.rows(comparison.models, greedy, ours, size)
    for row in rows:
        row["acceptance_length"] = ours[row["options"]].stats.acceptance_length
    return rows


def cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return the rows of the table."""
    return [
        [
            row["options"],
            str(row["batch_size"]),
            f"{row['identical']} of {row['sentences']}",
            f"{row['acceptance_length']:.2f}",
            f"{row['score_difference']:.1e}",
            counts(row["certificate"]),
        ]
        for row in rows
    ]


def main() -> int:
    """Compare, write, and return 1 where something differs by more than near ties."""
    parser = parser_of(__doc__)
    parser.add_argument("--drafter-path", help="of the model that drafts as ar; without it those rows are left out")
    parser.add_argument("--batch-sizes", type=lambda text: [int(size) for size in text.split(",")], default=[1, 8, 32])
    args = parser.parse_args()
    args.path_of_second = None
    comparison, out = Comparison(args), Path(args.out)
    rows = json.loads(out.read_text("utf-8"))["rows"] if out.is_file() else []
    for size in args.batch_sizes:
        found = rows_of(comparison, args.drafter_path, size)
        rows = sorted([row for row in rows if row["batch_size"] != size] + found, key=lambda row: row["batch_size"])
        content = write_rows(args, COMMAND, rows)
        for line in cells(found):
            print(" | ".join(line), flush=True)
    return end(args, content, rows, table(HEADER, cells(rows)))


if __name__ == "__main__":
    sys.exit(main())
