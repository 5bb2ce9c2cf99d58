#!/usr/bin/env python3
"""Time every drafter on models of several sizes, at several batch sizes, and say which one to take.

    bench_drafters.py --out docs/drafters.json [--page docs/performance.md:drafters] [--models correction,base]
                      [--batch-sizes 1,8,32] [--trained LABEL DATA_BIN VERIFIER SYSTEMS]

`specdec bench` measures: the shipped models on the shipped text, a Transformer-base with random weights (on which a
drafter is right as often as on no real text), and trained models that are given, each with its systems as
`specdec bench` writes them (ar:drafter-path=D.pt). Other models and batch sizes that the file holds stay in it, so that
it can be measured in pieces. Options that are not listed here are handed to `specdec bench`. Measure with nothing else
running.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import bench_sentences  # noqa: E402
import quickstart  # noqa: E402
from card import origin, table, write_table_at  # noqa: E402

from fairseq_specdec.files import write_text  # noqa: E402

COMMAND = "scripts/bench_drafters.py"
ENOUGH = 1.02  # over no drafts, for a drafter to be worth naming
HEADER = ["model", "batch", "drafter", "seconds", "over `none`", "over fairseq", "tokens a round", "identical"]
SHIPPED = {  # the job of the quickstart: what the table calls it, its systems
    "translation": ("3+3 layers, 192/768, Tatoeba", "none,ngram,self,nat:drafter-path={models}/drafter.pt"),
    "correction": ("3+1 layers, 192/512, corrections", "none,input,ngram,self,input+self"),
}
RANDOM = {name: f"{words}, random weights" for name, words in bench_sentences.WORDS.items()}
RANDOM_SYSTEMS = "none,ngram,self,self:draft-dtype=bf16"
DEFAULT = "translation,correction,base"


@dataclass(frozen=True)
class Entry:
    """A model to measure.

    Args:
        label: what the table calls it.
        data: DATA_BIN.
        verifier: checkpoint.
        systems: as in ``specdec bench``.
        options: of generation.
    """

    label: str
    data: Path
    verifier: Path
    systems: str
    options: tuple[str, ...] = quickstart.LENGTHS


def prepare(name: str, args: Namespace) -> Entry:
    """Make the data of a model that is known by name, and the model where it has random weights."""
    folder = args.data / name
    if name in RANDOM:
        verifier = bench_sentences.make(name, folder)
        options = tuple(bench_sentences.FORCED)
        return Entry(RANDOM[name], folder / "bin", verifier, RANDOM_SYSTEMS, options)
    (job,) = (job for job in quickstart.JOBS if job.name == name)
    models, text = quickstart.ROOT / "checkpoints" / "quickstart", quickstart.ROOT / "data" / "quickstart"
    quickstart.binarise(job, folder, Namespace(sentences=args.limit, models=models, text=text))
    label, systems = SHIPPED[name]
    # the results name the drafter's file: not by where this checkout lies
    return Entry(label, folder, models / f"{job.model}.pt", systems.format(models=os.path.relpath(models)))


def bench(entry: Entry, size: int, args: Namespace, others: list[str]) -> dict[str, Any]:
    """Return what `specdec bench` writes for one batch size."""
    out = args.data / "bench.json"
    bench_sentences.call("specdec", "bench", entry.data, "--path", entry.verifier, "--systems", entry.systems,
                         "--batch-sizes", size, "--limit", args.limit, "--repeats", args.repeats, "--json", out,
                         *entry.options, *others)  # fmt: skip
    content = json.loads(out.read_text("utf-8"))
    kept = ("date", "device", "device_name", "dtype", "threads", "versions", "repeats", "limit", "rows")
    return {"command": COMMAND, **{name: content[name] for name in kept}}


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the tables: which drafter to take, and what each brings."""
    cells, best = [], []
    for label, sizes in results["models"].items():
        for size, found in sizes.items():
            rows = [row for row in found["rows"] if row["system"] not in ("fairseq", "none") and row["seconds"]]
            cells += [_cells(label, size, row) for row in rows]
            best.append([label, size, _best(rows)])
    origins = {origin(found, path) for sizes in results["models"].values() for found in sizes.values()}
    said = (
        f"Seconds of encoding and decoding are medians of {_repeats(results)} passes in turn (the least and "
        "the greatest behind them), ratios medians within a pass; a drafter is named where it is "
        f"{ENOUGH:.2f} times as fast as none."
    )
    return "\n\n".join([table(["model", "batch", "take"], best), said, table(HEADER, cells), *sorted(origins)])


def _repeats(results: dict[str, Any]) -> str:
    found = {entry["repeats"] for sizes in results["models"].values() for entry in sizes.values()}
    return " or ".join(map(str, sorted(found)))


def _cells(label: str, size: str, row: dict[str, Any]) -> list[str]:
    low, high = row["spread"]
    return [
        label,
        size,
        f"`{_short(row['system'])}`",
        f"{row['seconds']:.2f} ({low:.2f} to {high:.2f})",
        f"{row['speedup_vs_none']:.2f}",
        f"{row['speedup_vs_fairseq']:.2f}",
        f"{row['acceptance_length']:.2f}",
        f"{100 * row['identical']:.1f}%",
    ]


def _short(system: str) -> str:
    """Return a system's name without the folders of its files."""
    return ":".join("=".join(Path(part).name for part in option.split("=")) for option in system.split(":"))


def _best(rows: list[dict[str, Any]]) -> str:
    """Return the fastest of the drafters, with what it brings, or none."""
    first = max(rows, key=lambda row: row["speedup_vs_none"], default=None)
    if first is None or first["speedup_vs_none"] < ENOUGH:
        return "`none`"
    return f"`{_short(first['system'])}` ({first['speedup_vs_none']:.2f})"


def main() -> None:
    """Measure model by model, writing after each batch size, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=DEFAULT, help="of translation, correction and those of bench_sentences.py")
    parser.add_argument("--trained", nargs=4, action="append", default=[], metavar=("LABEL", "BIN", "V.pt", "SYSTEMS"))
    parser.add_argument("--batch-sizes", default="1,8,32", help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, default=64, help="sentences (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes of each system (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data/drafters"), help="made anew; default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--page", metavar="PAGE:TABLE", help="Markdown page with the markers of the table")
    args, others = parser.parse_known_args()
    names = [name for name in args.models.split(",") if name]
    unknown = [name for name in names if name not in (*SHIPPED, *RANDOM)]
    if unknown:
        known = ", ".join([*SHIPPED, *RANDOM])
        parser.error(f"--models must be of {known}, got {', '.join(unknown)}: choose among them.")
    results = json.loads(args.out.read_text("utf-8")) if args.out.is_file() else {"command": COMMAND, "models": {}}
    args.data.mkdir(parents=True, exist_ok=True)
    for name in [*names, *args.trained]:
        entry = prepare(name, args) if isinstance(name, str) else Entry(name[0], *map(Path, name[1:3]), name[3])
        for size in map(int, args.batch_sizes.split(",")):
            sizes = results["models"].setdefault(entry.label, {})
            sizes[str(size)] = bench(entry, size, args, others)
            results["models"][entry.label] = dict(sorted(sizes.items(), key=lambda pair: int(pair[0])))
            write_text(args.out, json.dumps(results, indent=1) + "\n")
            print(f"{entry.label}, batch size {size}: done", flush=True)
    if args.page:
        write_table_at(args.page, page_of(results, args.out))


if __name__ == "__main__":
    main()
