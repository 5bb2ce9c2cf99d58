#!/usr/bin/env python3
"""Put learners' errors into German sentences: articles, prepositions, word order, spelling, commas, capitals.

    errors.py --out OUT --seed 1 CLEAN.de       writes OUT.err with errors and OUT.cor without, line by line

A sentence gets none (one in five), one, two or three errors. The same options give the same files.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable
from pathlib import Path

# forms that learners take for one another
CONFUSED = (
    ("der", "die", "das", "den", "dem", "des"),
    ("ein", "eine", "einen", "einem", "einer", "eines"),
    ("kein", "keine", "keinen", "keinem", "keiner"),
    ("mein", "meine", "meinen", "meinem", "meiner"),
    ("sein", "seine", "seinen", "seinem", "seiner"),
    ("ihr", "ihre", "ihren", "ihrem", "ihrer"),
    ("in", "auf", "an", "bei", "zu", "nach", "mit", "von"),
    ("ist", "sind", "bin", "bist", "seid"),
    ("hat", "haben", "habe", "hast", "habt"),
    ("wird", "werden", "werde", "wirst"),
    ("dass", "das"),
    ("weil", "wenn", "als", "ob"),
)
FORMS = {form: forms for forms in CONFUSED for form in forms}
LETTERS = re.compile(r"\w{4,}")

Rule = Callable[[random.Random, list[str]], bool]


def confuse(rng: random.Random, words: list[str]) -> bool:
    """Replace a word by one that learners take for it."""
    places = [i for i, word in enumerate(words) if word.lower() in FORMS]
    if not places:
        return False
    i = rng.choice(places)
    other = rng.choice([form for form in FORMS[words[i].lower()] if form != words[i].lower()])
    words[i] = other.capitalize() if words[i][0].isupper() else other
    return True


def drop(rng: random.Random, words: list[str]) -> bool:
    """Leave out an article or a preposition."""
    places = [i for i, word in enumerate(words) if word in FORMS]
    if not places:
        return False
    del words[rng.choice(places)]
    return True


def swap(rng: random.Random, words: list[str]) -> bool:
    """Exchange two neighbours inside the sentence."""
    if len(words) < 5:
        return False
    i = rng.randrange(1, len(words) - 2)
    words[i], words[i + 1] = words[i + 1], words[i]
    return True


def misspell(rng: random.Random, words: list[str]) -> bool:
    """Exchange, double or drop a letter of a longer word."""
    places = [i for i, word in enumerate(words) if LETTERS.match(word)]
    if not places:
        return False
    i = rng.choice(places)
    word = words[i]
    k = rng.randrange(1, len(LETTERS.match(word)[0]) - 1)
    words[i] = rng.choice((
        word[:k] + word[k + 1] + word[k] + word[k + 2 :],
        word[:k] + word[k] + word[k:],
        word[:k] + word[k + 1 :],
    ))  # fmt: skip
    return words[i] != word


def lower(rng: random.Random, words: list[str]) -> bool:
    """Write a noun without its capital."""
    places = [i for i, word in enumerate(words) if i and word[0].isupper()]
    if not places:
        return False
    i = rng.choice(places)
    words[i] = words[i][0].lower() + words[i][1:]
    return True


def drop_comma(rng: random.Random, words: list[str]) -> bool:
    """Leave out a comma."""
    places = [i for i, word in enumerate(words) if word.endswith(",")]
    if not places:
        return False
    i = rng.choice(places)
    words[i] = words[i][:-1]
    return True


RULES: tuple[tuple[Rule, float], ...] = (
    (confuse, 4.0),
    (drop, 1.5),
    (swap, 1.0),
    (misspell, 2.5),
    (lower, 1.0),
    (drop_comma, 1.0),
)


def with_errors(rng: random.Random, sentence: str) -> str:
    """Return the sentence with none to three errors."""
    words = sentence.split()
    for _ in range(rng.choices((0, 1, 2, 3), (0.2, 0.4, 0.3, 0.1))[0]):
        rules, weights = zip(*RULES, strict=True)
        for rule in rng.choices(rules, weights, k=4):  # a rule that finds no place leaves its turn to the next
            if rule(rng, words):
                break
    return " ".join(words)


def main() -> None:
    """Parse the command line and write both files, under their names only when they are whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path)
    parser.add_argument("--out", required=True, help="OUT.err and OUT.cor are written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="use this many sentences from the start")
    args = parser.parse_args()
    clean = args.clean.read_text("utf-8").splitlines()[: args.limit]
    rng = random.Random(args.seed)
    for ending, lines in (("err", [with_errors(rng, line) for line in clean]), ("cor", clean)):
        part = Path(f"{args.out}.{ending}.part")
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        part.rename(f"{args.out}.{ending}")


if __name__ == "__main__":
    main()
