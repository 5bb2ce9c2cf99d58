#!/usr/bin/env python3
"""Write a seeded English-German corpus drawn from a synchronous grammar.

    corpus.py --out DIR --train 80000 --valid 500 --test 500 --seed 1

writes DIR/{train,valid,test}.{en,de}, one sentence a line. No English sentence occurs twice, within a file or across
files. The same options give the same files whatever the number of processes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from phrases import Phrase
from sentences import SentenceGrammar
from tqdm import tqdm

CHUNK = 500
WORDS = range(5, 33)  # of the English sentence


def draw_chunk(seed_and_index: tuple[int, int]) -> list[Phrase]:
    """Draw ``CHUNK`` sentence pairs; each index of a seed gives its own."""
    seed, index = seed_and_index
    grammar = SentenceGrammar(random.Random(f"{seed}/{index}"))
    return [grammar.sentence() for _ in range(CHUNK)]


def draw(seed: int, processes: int) -> Iterator[Phrase]:
    """Draw sentence pairs without end, in an order that only ``seed`` decides."""
    tasks = ((seed, index) for index in itertools.count())
    if processes == 1:
        yield from itertools.chain.from_iterable(map(draw_chunk, tasks))
        return
    with multiprocessing.Pool(processes) as pool:
        while True:  # imap reads its tasks ahead without limit, hence slices
            yield from itertools.chain.from_iterable(pool.map(draw_chunk, itertools.islice(tasks, 4 * processes), 1))


def split_corpus(pairs: Iterator[Phrase], sizes: dict[str, int]) -> dict[str, list[Phrase]]:
    """Fill the splits in order, leaving out sentences seen before and those too short or too long.

    Args:
        pairs: As many pairs as it takes.
        sizes: The number of pairs of each split.

    Returns:
        The splits; their English sides have no sentence in common.
    """
    seen: set[str] = set()
    splits: dict[str, list[Phrase]] = {}
    with tqdm(total=sum(sizes.values()), desc="corpus", unit=" pairs", mininterval=5.0) as progress:
        for name, size in sizes.items():
            rows: list[Phrase] = []
            while len(rows) < size:
                pair = next(pairs)
                if pair.english.lower() not in seen and len(pair.english.split()) in WORDS:
                    seen.add(pair.english.lower())
                    rows.append(pair)
                    progress.update()
            splits[name] = rows
    return splits


def estimate_distinct(pairs: list[Phrase]) -> float:
    """Estimate how many different pairs the grammar has from the repetitions among ``pairs``.

    Of n draws from N equally likely pairs about n * n / 2N repeat another one. Ours are not equally likely, which
    makes the estimate far too low: the repetitions are short sentences, the variety is in the long ones.
    """
    repeated = len(pairs) - len(set(pairs))
    return len(pairs) ** 2 / (2 * max(repeated, 1))


def write_splits(splits: dict[str, list[Phrase]], out: Path) -> None:
    """Write each split as two parallel files, under their names only when they are whole."""
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        for language, lines in (("en", [row.english for row in rows]), ("de", [row.german for row in rows])):
            part = out / f"{name}.{language}.part"
            part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            part.rename(out / f"{name}.{language}")


def main() -> None:
    """Parse the command line and write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    for split in ("train", "valid", "test"):
        parser.add_argument(f"--{split}", required=True, type=int, metavar="N", help="sentence pairs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1))
    args = parser.parse_args()
    sizes = {"test": args.test, "valid": args.valid, "train": args.train}
    if min(sizes.values()) < 1 or args.processes < 1:
        parser.error(f"--train, --valid, --test and --processes must be at least 1, got {sizes}, {args.processes}")
    splits = split_corpus(draw(args.seed, args.processes), sizes)
    write_splits(splits, args.out)
    words = sum(len(row.english.split()) for row in splits["train"]) / args.train
    print(f"{sum(sizes.values())} pairs, {words:.1f} English words a sentence, in {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
