#!/usr/bin/env python3
"""Data for error correction and simplification: synthetic learners' errors, M2 to parallel text, whole data sets.

    gec.py errors --seed 1 --out-prefix OUT CLEAN.txt [CLEAN2.txt ...] [--config ERRORS.yaml] [--repeat R]
    gec.py m2 GOLD.m2[.gz] --out-prefix OUT [--annotator all|N]
    gec.py prepare --from DATA_FOLDER --out DIR --language en|uk [--task gec|simplification]

``errors`` writes OUT.src with errors and OUT.tgt without; the same seed and input always give the same errors.
``m2`` writes a pair for each sentence and annotator. ``prepare`` writes DIR/{synthetic,real,valid}.{src,tgt} and
DIR/eval/; no sentence of valid or of a held-out part is in the training files. Texts may be .gz.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gec_files import read, write_pairs
from learner_errors import ErrorGenerator, load_config

DEFAULT_CONFIG = Path(__file__).with_name("learner_errors.yaml")


def errors(args: argparse.Namespace) -> None:
    """Put errors into clean sentences; a line's number over all files decides which."""
    from gec_prepare import write_synthetic

    clean = [line for text in args.texts for line in read(text)]
    write_synthetic(args.out_prefix, clean, ErrorGenerator(load_config(args.config, args.set), args.seed), args.repeat)


def m2(args: argparse.Namespace) -> None:
    """Write the pairs of one annotator, or of each."""
    from gec_gold import m2_rows, m2_sentences

    rows = m2_rows(m2_sentences(args.gold))
    count = len(rows[0]) - 1
    if args.annotator != "all" and args.annotator not in map(str, range(count)):
        raise ValueError(
            f"--annotator must be all or a number below {count}, the number of annotators in {args.gold}, "
            f"got {args.annotator}: pass one of them."
        )
    annotators = range(count) if args.annotator == "all" else [int(args.annotator)]
    write_pairs(args.out_prefix, [(row[0], row[1 + n]) for row in rows for n in annotators])


def prepare(args: argparse.Namespace) -> None:
    """Write the files of a language and task."""
    import gec_prepare

    if not args.source.is_dir():
        raise ValueError(f"--from must be a folder, but {args.source} is none: pass the folder with the data sets.")
    if args.task == "simplification":
        if args.language != "en":
            raise ValueError(f"--language must be en with --task simplification, got {args.language}: pass en.")
        gec_prepare.simplification(args.source, args.out)
    elif args.language == "uk":
        gec_prepare.ukrainian(args.source, args.out)
    else:
        generator = ErrorGenerator(load_config(args.config, args.set), args.seed)
        gec_prepare.english(args.source, args.out, generator, args.repeat)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    synthetic = argparse.ArgumentParser(add_help=False)
    synthetic.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="rates of the errors")
    synthetic.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one rate of these")
    synthetic.add_argument("--seed", type=int, default=1)
    synthetic.add_argument("--repeat", type=int, default=1, help="pairs made of each clean sentence")

    step = steps.add_parser("errors", parents=[synthetic], help="clean sentences to pairs")
    step.add_argument("texts", nargs="+", type=Path, metavar="CLEAN")
    step.add_argument("--out-prefix", required=True, type=Path)
    step.set_defaults(run=errors)

    step = steps.add_parser("m2", help="M2 file to pairs")
    step.add_argument("gold", type=Path)
    step.add_argument("--out-prefix", required=True, type=Path)
    step.add_argument("--annotator", default="all", metavar="all|N")
    step.set_defaults(run=m2)

    step = steps.add_parser("prepare", parents=[synthetic], help="data folder to training and evaluation files")
    step.add_argument("--from", dest="source", required=True, type=Path, metavar="DATA_FOLDER")
    step.add_argument("--out", required=True, type=Path)
    step.add_argument("--language", required=True, choices=["en", "uk"])
    step.add_argument("--task", default="gec", choices=["gec", "simplification"])
    step.set_defaults(run=prepare)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and run the chosen step."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except ValueError as error:
        sys.exit(f"gec.py {args.step}: {error}")


if __name__ == "__main__":
    main()
