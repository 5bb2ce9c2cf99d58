#!/usr/bin/env python3
"""Take words out of a text, one mask for each run of them: pairs to pre-train a model that fills them in, as for BART.

    infill.py --model SPM.model --rate 0.3 --seed 1 TEXT [TEXT ...] --out PREFIX [--longest 200] [--mask '<mask>']

Writes PREFIX.source with masks and PREFIX.target without, both as SentencePiece's pieces, one line for each line of the
texts, in a random order; lines of fewer than four words or more than --longest pieces are left out. Runs are as long as
a Poisson distribution of mean 3 says; one of no words puts a mask between two words.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy
import sentencepiece
from gec_files import read, write

MEAN_RUN = 3.0
FEWEST_WORDS = 4


def words_of(pieces: list[str]) -> list[list[str]]:
    """Group pieces into words: a word begins where a piece begins with SentencePiece's mark."""
    words: list[list[str]] = []
    for piece in pieces:
        if piece.startswith("▁") or not words:
            words.append([])
        words[-1].append(piece)
    return words


def infill(words: list[list[str]], rate: float, mask: str, rng: numpy.random.Generator) -> list[str]:
    """Return the pieces of a text with about ``rate`` of its words taken out."""
    budget = round(rate * len(words))
    runs: list[int] = []
    while sum(runs) < budget:
        runs.append(min(int(rng.poisson(MEAN_RUN)), budget - sum(runs)))
    stay = len(words) - budget
    taken: dict[int, int] = {}  # words to take out, by how many that stay are before them
    for place, run in zip(rng.integers(0, stay + 1, size=len(runs)).tolist(), runs, strict=True):
        taken[place] = taken.get(place, 0) + run  # runs at one place are one, so no two masks stand side by side
    noised, at = [], 0
    for place in range(stay + 1):
        if place in taken:
            noised.append(mask)
            at += taken[place]
        if place < stay:
            noised += words[at]
            at += 1
    return noised


def pairs_of(
    lines: Iterable[str],
    processor: sentencepiece.SentencePieceProcessor,
    rate: float,
    longest: int,
    mask: str,
    rng: numpy.random.Generator,
) -> list[tuple[str, str]]:
    """Return the pairs of these lines, in a random order."""
    pairs = []
    for line in lines:
        pieces = processor.encode(line, out_type=str)
        words = words_of(pieces)
        if len(words) >= FEWEST_WORDS and len(pieces) <= longest:
            pairs.append((" ".join(infill(words, rate, mask, rng)), " ".join(pieces)))
    return [pairs[n] for n in rng.permutation(len(pairs))]


def main() -> None:
    """Parse the command line and write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, metavar="PREFIX")
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=int, default=200, help="pieces (default: 200)")
    parser.add_argument("--mask", default="<mask>")
    args = parser.parse_args()
    if not 0 < args.rate < 1:
        parser.error(f"--rate must be above 0 and below 1, got {args.rate}: pass for example 0.3")
    rng = numpy.random.default_rng(args.seed)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(args.model))
    lines = (line for text in args.texts for line in read(text))
    pairs = pairs_of(lines, processor, args.rate, args.longest, args.mask, rng)
    write(Path(f"{args.out}.source"), (noised for noised, _ in pairs))
    write(Path(f"{args.out}.target"), (clean for _, clean in pairs))


if __name__ == "__main__":
    main()
