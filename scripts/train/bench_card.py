#!/usr/bin/env python3
"""Write the table of a ``specdec bench`` JSON file into Markdown pages.

bench_card.py BENCH.json PAGE.md:TABLE [PAGE.md:TABLE ...] [--title TEXT] [--systems LIST]
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from card import origin, table, write_table_at

FOLDER = re.compile(r"=[^:=]*/")  # of a file named in a system
HEADER = ["system", "batch", "seconds", "over fairseq", "over none", "acceptance length", "identical"]


def bench_table(bench: dict[str, Any], path: Path, title: str, systems: list[str]) -> str:
    """Return the table, what was measured above it and where it comes from below it."""
    rows = [row for row in bench["rows"] if not systems or FOLDER.sub("=", row["system"]) in systems]
    cells = [_cells(row) for row in rows]
    sentences = max((row["sentences"] for row in rows), default=0)  # a system that failed has none
    head = (
        f"{title or bench['data']}: {sentences} sentences, encoding and decoding alone; median of "
        f"{bench['repeats']} passes in turn, ratios within a pass."
    )
    return "\n\n".join([head, table(HEADER, cells), origin({"command": "specdec bench", **bench}, path)])


def _cells(row: dict[str, Any]) -> list[str]:
    if row.get("error") or row["seconds"] is None:
        return [row["system"], str(row["batch_size"]), "failed", "", "", "", ""]
    low, high = row["spread"]
    return [
        f"`{FOLDER.sub('=', row['system'])}`",
        str(row["batch_size"]),
        f"{row['seconds']:.2f} ({low:.2f} to {high:.2f})",
        _number(row["speedup_vs_fairseq"]),
        _number(row["speedup_vs_none"]),
        _number(row["acceptance_length"]),
        "" if row["identical"] is None else f"{100 * row['identical']:.1f}%",
    ]


def _number(value: float | None) -> str:
    """Write a number; nothing where there is none, as of a ratio to what failed or took no time."""
    return "" if value is None else f"{value:.2f}"


def main() -> None:
    """Write the table into each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path)
    parser.add_argument("pages", nargs="+", metavar="PAGE:TABLE")
    parser.add_argument("--title", default="")
    parser.add_argument("--batch-size", type=int, help="rows of this batch size only")
    parser.add_argument("--systems", default="", help="names with commas between; default: all")
    args = parser.parse_args()
    bench = json.loads(args.bench.read_text("utf-8"))
    if args.batch_size is not None:
        bench["rows"] = [row for row in bench["rows"] if row["batch_size"] == args.batch_size]
    text = bench_table(bench, args.bench, args.title, args.systems.split(",") if args.systems else [])
    for page in args.pages:
        write_table_at(page, text)


if __name__ == "__main__":
    main()
