#!/usr/bin/env python3
"""The main job on the models and the text that this repository ships: decode, compare, print two tables.

    quickstart.py [--sentences N] [--batch-size N] [--warmup 0] [--out DIR] [--models DIR] [--text DIR]

Stock fairseq and this package decode the same sentences in one process, in turn (``specdec bench`` does it): German to
English, then English sentences with made-up errors to such without. Nothing is trained or downloaded. Everything in
the tables but the seconds is the same on every machine: block sizes are given, so none is chosen by the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UNCHANGED = "unchanged"
LENGTHS = ("--max-len-a", "1.5", "--max-len-b", "20")


@dataclass(frozen=True)
class Job:
    """What one table compares.

    Attributes:
        title: above the table.
        name: of its folder and JSON file.
        text: the stem of the test text's two files.
        langs: their endings, source first.
        model: checkpoint, dictionary and SentencePiece model have this name.
        metric: as in ``specdec bench``.
        systems: as in ``specdec bench``, and what the table calls each.
        drafter: the checkpoint of the drafter with weights, if there is one.
        corrects: the output could be the input.
    """

    title: str
    name: str
    text: str
    langs: tuple[str, str]
    model: str
    metric: str
    systems: dict[str, str]
    drafter: str | None = None
    corrects: bool = False


EVERYWHERE = {  # systems of every job
    "fairseq-beam5": "fairseq, beam 5",
    "fairseq": "fairseq, greedy",
    "none:beam=5": "this package, beam 5",
    "none": "this package, no drafter",
    "ngram:block=4": "this package, ngram",
    "self:block=6": "this package, self",
}
JOBS = (
    Job(
        title="Translation, German to English",
        name="translation",
        text="test",
        langs=("de", "en"),
        model="verifier",
        metric="bleu",
        systems={**EVERYWHERE, "nat:block=6": "this package, nat"},
        drafter="drafter",
    ),
    Job(
        title="Error correction, English",
        name="correction",
        text="correct",
        langs=("src", "tgt"),
        model="corrector",
        metric="gleu",
        systems={
            **EVERYWHERE,
            "input:block=16": "this package, input",
            "input:beam=5:block=7": "this package, input, beam 5",
        },
        corrects=True,
    ),
)


def binarise(job: Job, folder: Path, args: argparse.Namespace) -> None:
    """Write the first sentences of a job's text to ``folder`` as fairseq-preprocess does, with the shipped dictionary.

    The folder is a DATA_BIN for every command of fairseq.
    """
    import sentencepiece
    from fairseq import options
    from fairseq_cli import preprocess

    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(args.models / f"{job.model}.spm"))
    for lang in job.langs:
        lines = (args.text / f"{job.text}.{lang}").read_text("utf-8").splitlines()[: args.sentences]
        encoded = "".join(" ".join(pieces.encode(line, out_type=str)) + "\n" for line in lines)
        (folder / f"pieces.{lang}").write_text(encoded, "utf-8")
        (folder / f"text.{lang}").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    dictionary = str(args.models / f"{job.model}.dict.txt")
    argv = [
        "--source-lang",
        job.langs[0],
        "--target-lang",
        job.langs[1],
        "--srcdict",
        dictionary,
        "--joined-dictionary",
    ]
    argv += ["--testpref", str(folder / "pieces"), "--destdir", str(folder)]
    preprocess.main(options.get_preprocessing_parser().parse_args(argv))


def measure(job: Job, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run ``specdec bench`` on a job's data; return what it writes."""
    from fairseq_specdec.cli.main import main as specdec

    out = args.out / f"{job.name}.json"
    argv = ["bench", str(folder), "--path", str(args.models / f"{job.model}.pt"), "--systems", ",".join(job.systems)]
    argv += ["--drafter-path", str(args.models / f"{job.drafter}.pt")] if job.drafter else []
    argv += ["--batch-sizes", str(args.batch_size), "--repeats", "1", "--warmup", str(args.warmup)]
    argv += ["--metric", job.metric, "--remove-bpe", "sentencepiece", "--ref", str(folder / f"text.{job.langs[1]}")]
    argv += [*LENGTHS, "--cpu", "--json", str(out)]
    with contextlib.redirect_stdout(io.StringIO()):  # its table has more columns than a first look needs
        status = specdec(argv)
    if status:
        raise SystemExit(status)
    found = json.loads(out.read_text("utf-8"))
    if job.corrects:
        found["rows"].insert(0, unchanged(job, folder))
        out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def unchanged(job: Job, folder: Path) -> dict[str, Any]:
    """Return a row for doing nothing, in the form of ``specdec bench``."""
    from fairseq_specdec.evaluation.metrics import METRICS

    source, target = ((folder / f"text.{lang}").read_text("utf-8").splitlines() for lang in job.langs)
    metric = METRICS[job.metric].compute(source, [target], source)
    return {"system": UNCHANGED, "sentences": len(source), "metric": metric}


def table(job: Job, found: dict[str, Any]) -> str:
    """Lay the rows of a job out as text."""
    rows = {row["system"]: row for row in found["rows"]}
    count = rows["fairseq"]["sentences"]
    size = rows["fairseq"]["batch_size"]
    about = f"{job.title}: {count} sentences, {'one' if size == 1 else size} at a time, {found['threads']} threads, "
    head = f"{'system':<26}{job.metric.upper():>7}{'tokens/round':>14}{'seconds':>9}{'speed-up':>10}{'identical':>11}"
    lines = [f"{about}{found['versions']['layers']} layers", "", head, "-" * len(head)]
    for system, label in labels(job).items():
        row = rows[system]
        line = f"{label:<26}{row['metric'][job.metric]:>7.1f}"
        if system != UNCHANGED:
            length = "-" if row["acceptance_length"] is None else f"{row['acceptance_length']:.2f}"
            faster, same = compared(row)
            line += f"{length:>14}{row['seconds']:>9.2f}{faster:>9.1f}x{100 * same:>10.1f}%"
        lines.append(line)
    return "\n".join(lines)


def compared(row: dict[str, Any]) -> tuple[float, float]:
    """Return how many times faster a row is than fairseq with the same beam, and the share of identical outputs."""
    if row["beam"] > 1:
        return row["speedup_vs_same_beam"], row["identical_same_beam"]
    return row["speedup_vs_fairseq"], row["identical"]


def labels(job: Job) -> dict[str, str]:
    """Return what the table calls each row of a job."""
    return {UNCHANGED: "the input, unchanged", **job.systems} if job.corrects else job.systems


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, decode, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=120, metavar="N", help="of each text (default: 120)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/quickstart"),
        metavar="DIR",
        help="where data and results go (default: runs/quickstart)",
    )
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="most sentences of a batch (default: 1)")
    parser.add_argument("--warmup", type=int, choices=[0, 1], default=1, help="passes that are not timed (default: 1)")
    parser.add_argument("--models", type=Path, default=ROOT / "checkpoints" / "quickstart", metavar="DIR")
    parser.add_argument("--text", type=Path, default=ROOT / "data" / "quickstart", metavar="DIR")
    args = parser.parse_args(argv)
    for option in ("sentences", "batch_size"):
        if getattr(args, option) < 1:
            parser.error(f"--{option.replace('_', '-')} must be at least 1, got {getattr(args, option)}: raise it")
    tables = []
    for number, job in enumerate(JOBS, start=1):
        print(f"[{number}/{len(JOBS)}] {job.title}: {len(job.systems)} systems decode", file=sys.stderr, flush=True)
        logging.disable(logging.INFO)  # fairseq's import lets every library's messages through
        folder = args.out / job.name
        binarise(job, folder, args)
        tables.append(table(job, measure(job, folder, args)))
    print("\n" + "\n\n".join(tables))
    print(f"\nSpeed-up and identical outputs are against fairseq with the same beam. Data and numbers: {args.out}")
    print(
        "Drafters have a fixed block here, which shows how many tokens a round they bring. A pass of models this\n"
        "small costs so little that few of them pay; without --block-size none drafts where it does not."
    )


if __name__ == "__main__":
    main()
