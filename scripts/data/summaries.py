#!/usr/bin/env python3
"""Text and its summaries as parallel files, from the published files of six data sets.

    summaries.py NAME --from DIR --out OUT [--split SPLIT ...] [--limit N] [--line-break ' | ']

NAME is one of dialogsum, samsum, scitldr, sentence_compression, cnn_dm, xsum. DIR holds its files as they are published
(summary_files.py lists them), unpacked; those of one text a line may be plain or .gz. Written are OUT/SPLIT.source and
OUT/SPLIT.target for train, valid and test as far as DIR has them: one record a line, and --line-break where a text has
one. Where records have several summaries, each is a pair of its own in train; in the other splits the rest of them are
in OUT/SPLIT.target1, target2, ..., which repeat the first summary where a record has fewer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from gec_files import write
from summary_files import READERS, SPLITS, Record


def one_line(text: str, line_break: str) -> str:
    """Return a text as one line: its lines joined, each run of blanks as one."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return line_break.join(line for line in lines if line)


def columns(records: Iterable[Record], split: str, line_break: str) -> list[list[str]]:
    """Return what to write: the sources, and one list for each summary that a record can have.

    Records without a source or without a summary are left out.
    """
    rows = []
    for source, targets in records:
        source = one_line(source, line_break)
        targets = [line for line in (one_line(target, line_break) for target in targets) if line]
        if source and targets:
            rows += [(source, [target]) for target in targets] if split == "train" else [(source, targets)]
    most = max((len(targets) for _, targets in rows), default=1)
    return [
        [source for source, _ in rows],
        *([targets[n] if n < len(targets) else targets[0] for _, targets in rows] for n in range(most)),
    ]


def prepare(name: str, source: Path, out: Path, splits: list[str], limit: int | None, line_break: str) -> None:
    """Write the files of one data set.

    Args:
        name: one of READERS.
        source: the value of --from.
        out: folder to write to.
        splits: which of SPLITS; empty takes all that are there.
        limit: take the first so many records of each.
        line_break: what stands where a text has a line break.

    Raises:
        ValueError: a split is not there or a file is not as it is published.
    """
    written = 0
    for split in splits or SPLITS:
        records = READERS[name](source, split)
        if records is None:
            if splits:
                raise ValueError(
                    f"--split must be a part that --from has, got {split}, of which {source} has no file: "
                    f"add it, or leave the option out to take what is there."
                )
            continue
        lines = columns(records[:limit], split, line_break)
        for n, column in enumerate(lines):
            suffix = "source" if n == 0 else "target" if n == 1 else f"target{n - 1}"
            write(out / f"{split}.{suffix}", column)
        several = f", up to {len(lines) - 1} summaries each" if len(lines) > 2 else ""
        print(f"{name} {split}: {len(lines[0])} of {len(records)} records{several}", file=sys.stderr)
        written += 1
    if not written:
        raise ValueError(
            f"--from must hold files of {name}, but {source} has none of them: "
            f"scripts/data/summary_files.py says which they are."
        )


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(READERS))
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", action="append", default=[], choices=SPLITS, help="default: all that are there")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N records of each split")
    parser.add_argument("--line-break", default=" | ", help="what stands for a line break (default: ' | ')")
    args = parser.parse_args()
    try:
        prepare(args.name, args.source, args.out, args.split, args.limit, args.line_break)
    except ValueError as error:
        sys.exit(f"summaries.py: {error}")


if __name__ == "__main__":
    main()
