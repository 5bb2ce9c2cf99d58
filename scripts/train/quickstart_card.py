#!/usr/bin/env python3
"""Put what the quickstart measured into the results file of its models and into pages.

    quickstart_card.py [--whole DIR] --sample DIR --models DIR [--teacher LOG] --results RESULTS.json [--page PAGE.md]

--whole and --sample are folders that scripts/quickstart.py wrote: over the whole test text, for quality, and as ``make
quickstart`` runs it, for speed. LOG is what fairseq-generate printed of the teacher's greedy translations of the whole
test text. Without --whole or --teacher what the results file says of these stays. Each page gets those of the tables
``shipped``, ``quality`` and ``quickstart`` that it has markers for.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from card import origin, table, write_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from quickstart import JOBS, UNCHANGED, compared, labels  # noqa: E402

from fairseq_specdec.compat import load_checkpoint  # noqa: E402
from fairseq_specdec.evaluation.generate_log import read_generate_log  # noqa: E402
from fairseq_specdec.evaluation.metrics import METRICS  # noqa: E402

COMMAND = "make quickstart"


def collect(
    whole: Path | None, sample: Path, models: Path, teacher: Path | None, known: dict[str, Any]
) -> dict[str, Any]:
    """Return what the results file holds; known: what it held, for that which was not measured again."""
    folders = {kind: folder for kind, folder in (("whole", whole), ("sample", sample)) if folder is not None}
    runs = {kind: {job.name: json.loads((folder / f"{job.name}.json").read_text("utf-8")) for job in JOBS}
            for kind, folder in folders.items()}  # fmt: skip
    measured = runs["sample"][JOBS[0].name]
    kept = ("date", "device_name", "threads", "dtype", "versions")
    return {
        "command": COMMAND,
        **{name: measured[name] for name in kept},
        "shipped": [describe(path) for path in sorted(models.glob("*.pt"))],
        "teacher": known["teacher"] if teacher is None else teacher_score(teacher),
        "megabytes": round(sum(path.stat().st_size for path in models.iterdir()) / 1e6, 2),
        "whole": known.get("whole"),
        **{kind: {name: run["rows"] for name, run in found.items()} for kind, found in runs.items()},
    }


def teacher_score(log: Path) -> dict[str, Any]:
    """Return the teacher's BLEU."""
    sentences = read_generate_log([log], "--teacher").sentences
    references = [sentence.target or "" for sentence in sentences]
    return METRICS["bleu"].compute([sentence.detokenized or "" for sentence in sentences], [references])


def describe(path: Path) -> dict[str, Any]:
    """Return the name, size and number of parameters of a shipped checkpoint; tied weights count once."""
    weights = load_checkpoint(str(path))["model"].values()
    counts = {tensor.data_ptr(): tensor.numel() for tensor in weights if tensor.is_floating_point() and tensor.dim()}
    return {"name": path.stem, "megabytes": round(path.stat().st_size / 1e6, 2), "parameters": sum(counts.values())}


def tables(results: dict[str, Any], path: Path) -> dict[str, str]:
    """Return the Markdown of every table."""
    shipped = [
        [row["name"], f"{row['parameters'] / 1e6:.2f} M", f"{row['megabytes']:.2f}"] for row in results["shipped"]
    ]
    text = {
        "shipped": f"{table(['model', 'parameters', 'MB'], shipped)}\n\n"
        f"{results['megabytes']} MB with dictionaries and SentencePiece models.",
        "quality": "\n\n".join(_rows(results["whole"], speed=False))
        + f"\n\nThe teacher's greedy output has {results['teacher']['bleu']:.1f} BLEU.",
        "quickstart": "\n\n".join(_rows(results["sample"], speed=True)),
    }
    return {name: f"{own}\n\n{origin(results, path)}" for name, own in text.items()}


def _rows(runs: dict[str, Any], speed: bool) -> list[str]:
    parts = []
    for job in JOBS:
        rows = {row["system"]: row for row in runs[job.name]}
        head = [
            "system",
            job.metric.upper(),
            "tokens a round",
            *(["seconds", "speed-up"] if speed else []),
            "identical",
        ]
        cells = []
        for system, label in labels(job).items():
            row = rows[system]
            if system == UNCHANGED:
                cells.append([label, f"{row['metric'][job.metric]:.1f}", *[""] * (len(head) - 2)])
                continue
            length = "" if row["acceptance_length"] is None else f"{row['acceptance_length']:.2f}"
            faster, same = compared(row)
            fast = [f"{row['seconds']:.2f}", f"{faster:.1f}"] if speed else []
            cells.append([label, f"{row['metric'][job.metric]:.1f}", length, *fast, f"{100 * same:.1f}%"])
        parts += [f"{job.title}, {rows[system]['sentences']} sentences:", table(head, cells)]
    return parts


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("whole", "sample", "models", "teacher", "results"):
        parser.add_argument(f"--{name}", type=Path, required=name not in ("whole", "teacher"))
    parser.add_argument("--page", type=Path, action="append", default=[])
    args = parser.parse_args()
    known = json.loads(args.results.read_text("utf-8")) if args.results.exists() else {}
    missing = [name for name in ("whole", "teacher") if getattr(args, name) is None and name not in known]
    if missing:
        parser.error(f"--{' and --'.join(missing)} must be given, for {args.results} does not say it yet.")
    results = collect(args.whole, args.sample, args.models, args.teacher, known)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    for page in args.page:
        for name, text in tables(results, args.results).items():
            if f"<!-- table {name}: " in page.read_text("utf-8"):
                write_table(page, name, text)


if __name__ == "__main__":
    main()
