#!/usr/bin/env python3
"""German-English text for a model of published size: Tatoeba, Multi30k, TED talks, news, a part of Europarl.

    german_english.py --from DATA_FOLDER --out OUT [--most-words 60] [--limit N]

Written are OUT/train.{de,en}, and as they are OUT/valid.{de,en}, OUT/test.{de,en} (Tatoeba) and OUT/multi30k.{de,en}
(test_2016_flickr). A training pair is left out if one side is empty, has more than --most-words words, or is, without
regard to case, a sentence of the other files. --limit takes the first N pairs of each file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gec_files import read_parallel, write

TRAIN = [
    ("tatoeba_de-en", "train"),
    ("multi30k", "train"),
    *(("ted_de-en", f"TED.{name}") for name in ("dev2010", "tst2010", "tst2011")),
    ("wmt_news_en-de", "news-test2008"),
    *(("wmt_news_en-de", f"newstest{year}") for year in (2009, 2010, 2011, 2012, 2013, 2015, 2016, 2017)),
    ("europarl_de-en", "train"),
]
HELD_OUT = {
    "valid": ("tatoeba_de-en", "valid"),
    "test": ("tatoeba_de-en", "test"),
    "multi30k": ("multi30k", "test_2016_flickr"),
}


def pairs(source: Path, folder: str, name: str) -> list[tuple[str, ...]]:
    """Return the (German, English) lines of one text."""
    return read_parallel(source / folder, [f"{name}.{lang}" for lang in ("de", "en")])


def prepare(source: Path, out: Path, most_words: int, limit: int | None = None) -> int:
    """Write the files; see the top of this file. Returns the number of training pairs."""
    known: set[str] = set()
    for split, text in HELD_OUT.items():
        held = pairs(source, *text)
        known.update(side.strip().lower() for pair in held for side in pair)
        for lang, lines in zip(("de", "en"), zip(*held, strict=True), strict=True):
            write(out / f"{split}.{lang}", list(lines))
    kept = [pair for text in TRAIN for pair in pairs(source, *text)[:limit] if fit(pair, most_words, known)]
    for lang, lines in zip(("de", "en"), zip(*kept, strict=True), strict=True):
        write(out / f"train.{lang}", list(lines))
    return len(kept)


def fit(pair: tuple[str, ...], most_words: int, known: set[str]) -> bool:
    """Tell whether a pair may be learned from."""
    return all(0 < len(side.split()) <= most_words and side.strip().lower() not in known for side in pair)


def main() -> None:
    """Parse the command line, write the files, say how many pairs there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DATA_FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most-words", type=int, default=60)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    try:
        count = prepare(args.source, args.out, args.most_words, args.limit)
    except ValueError as error:
        sys.exit(f"german_english.py: {error}")
    print(f"{args.out}: {count:,} training pairs")


if __name__ == "__main__":
    main()
