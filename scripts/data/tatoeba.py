#!/usr/bin/env python3
"""Text for the quickstart's models from Tatoeba: German and English, and English sentences with made-up errors.

    tatoeba.py --from DATA_FOLDER --out OUT --errors ERRORS.yaml [--limit N]

DATA_FOLDER/tatoeba_de-en holds train, valid and test, each .de and .en, plain or .gz. Written are OUT/SPLIT.{de,en} as
they are, and for the corrector OUT/correct/SPLIT.{src,tgt}: different English sentences of the split, with and without
errors, each training sentence three times with other errors. Those to check and test on are 8 words or longer, those to
train on 6, and no sentence to train on is in another split.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gec_files import find, read, write
from gec_prepare import write_synthetic
from learner_errors import ErrorGenerator, load_config

FOLDER = "tatoeba_de-en"
MOST_WORDS = 30


def different(lines: list[str], least: int, known: set[str] = frozenset()) -> list[str]:
    """Return the lines of ``least`` words or more, each once; none whose lower-case form is in ``known``."""
    seen, found = set(known), []
    for line in lines:
        if least <= len(line.split()) <= MOST_WORDS and line.lower() not in seen:
            seen.add(line.lower())
            found.append(line)
    return found


def prepare(source: Path, out: Path, config: Path, limit: int | None = None) -> None:
    """Write the files of both models.

    Args:
        source: the value of --from.
        out: folder to write to.
        config: which errors, and how many.
        limit: take the first so many training pairs.

    Raises:
        ValueError: a file is missing, or the config breaks a rule.
    """
    text = {(split, lang): read(find(source / FOLDER, f"{split}.{lang}"))
            for split in ("train", "valid", "test") for lang in ("de", "en")}  # fmt: skip
    for lang in ("de", "en"):
        text["train", lang] = text["train", lang][:limit]
    for (split, lang), lines in text.items():
        write(out / f"{split}.{lang}", lines)
    held_out = {line.lower() for split in ("valid", "test") for line in text[split, "en"]}
    rates = load_config(config)
    correct = out / "correct"
    clean = different(text["train", "en"], 6, held_out)
    write(correct / "clean.txt", clean)
    write_synthetic(correct / "train", clean, ErrorGenerator(rates, seed=1), repeat=3)
    for split in ("valid", "test"):
        write_synthetic(correct / split, different(text[split, "en"], 8), ErrorGenerator(rates, seed=2), repeat=1)


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DATA_FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--errors", type=Path, required=True, metavar="ERRORS.yaml")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N training pairs")
    args = parser.parse_args()
    try:
        prepare(args.source, args.out, args.errors, args.limit)
    except ValueError as error:
        sys.exit(f"tatoeba.py: {error}")


if __name__ == "__main__":
    main()
