"""Spelling errors: slips of the finger, and letters chosen by ear."""

from __future__ import annotations

import re
from random import Random

from . import lexicon
from .words import CLITICS, Word

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    key: "".join(
        ROWS[r][c]
        for r in (row - 1, row, row + 1)
        for c in (column - 1, column, column + 1)
        if 0 <= r < 3 and 0 <= c < len(ROWS[r]) and (r, c) != (row, column)
    )
    for row, keys in enumerate(ROWS)
    for column, key in enumerate(keys)
}
MISSPELLINGS = {row[0]: row[1:] for row in lexicon.rows_of(lexicon.MISSPELLINGS)}
# Sounds that English writes in several ways. The first letter of a word rarely goes wrong, so most rules spare it.
BY_EAR = [
    (re.compile(pattern), to)
    for pattern, to in (
        ("(?<=.)ie", "ei"), ("(?<=.)ei", "ie"), ("ance$", "ence"), ("ence$", "ance"), ("ant(?=$|ly)", "ent"),
        ("ent(?=$|ly)", "ant"), ("able$", "ible"), ("ible$", "able"), (r"(?<=[aeiou])([bcdfglmnprst])\1", r"\1"),
        (r"(?<=[aeiou])([bcdfglmnprst])\1", r"\1"), (r"(?<=.[aeiou])([clmnprst])(?=[aeiou]..)", r"\1\1"), ("ph", "f"),
        ("(?<=.)c(?=[ei])", "s"), ("(?<=[aeiou])s(?=[ei])", "z"), ("tion", "sion"), ("tion", "tion"), ("ous$", "us"),
        ("ea", "ee"), ("ee", "ea"), ("(?<=.)gh(?=t)", ""), ("^kn", "n"), ("^wh", "w"), ("^th(?=.)", "t"), ("ck$", "k"),
        ("e(?=(?:ly|ment|ful|less)$)", ""), ("(?<=[^aeiou]..)e$", ""), ("(?<=[bcdfgklmnprt]{2})$", "e"),
        ("ful$", "full"), ("full$", "ful"), ("ly$", "lly"), ("lly$", "ly"), ("(?<=.)ai", "a"), ("(?<=.)ou", "o"),
        ("(?<=.)y(?=.)", "i"), ("(?<=.)i(?=[^aeioun])", "y"), ("er$", "or"), ("or$", "er"), ("ar(?=.)", "er"),
        ("(?<=.)sc(?=[ei])", "s"), ("qu", "q"), ("ould", "oud"), ("our", "or"), ("ur", "er"), ("ir", "er"),
        ("(?<=[^aeiou])a(?=[bcdlmnrst])", "e"), ("(?<=[^aeiou])e(?=[bcdlmnrst])", "a"),
        ("(?<=[^aeiou])i(?=[bcdlmnrst])", "e"), ("(?<=[^aeiou])e(?=[bcdlmnrst])", "i"),
        ("(?<=[^aeiou])o(?=[bclmnrst])", "a"), ("(?<=[^aeiou])u(?=[bclmnrst])", "o"), ("(?<=.)m(?=[bp])", "n"),
        ("dge", "ge"), ("ie(?=s$|d$)", "y"), ("(?<=.)x", "cs"), ("(?<=[rst])h", ""), ("(?<=ng|st|nt)$", "e"),
    )
]  # fmt: skip


def _can_misspell(words: list[Word], i: int, rng: Random) -> bool:
    """Spare short words, names more often than not, and what is no plain word."""
    text = words[i].text
    if len(text) < 3 or not text.isalpha() or not text.isascii() or words[i].lower in CLITICS:
        return False
    if i > 0 and text[0].isupper() and rng.random() < 0.7:
        return False
    # a long word is harder to spell
    return rng.random() < (len(text) - 1) / 9


def _rewrite(word: Word, lower: str) -> bool:
    return lower != word.lower and word.put(lower)


def keyboard(words: list[Word], i: int, rng: Random) -> bool:
    """Hit the key beside the right one."""
    word = words[i]
    if not _can_misspell(words, i, rng):
        return False
    at = rng.randrange(1, len(word.lower))
    return _rewrite(word, word.lower[:at] + rng.choice(NEIGHBOURS[word.lower[at]]) + word.lower[at + 1 :])


def transpose(words: list[Word], i: int, rng: Random) -> bool:
    """Exchange two letters, most often inside the word."""
    word = words[i]
    if not _can_misspell(words, i, rng) or len(word.text) < 4:
        return False
    at = rng.randrange(0 if rng.random() < 0.1 else 1, len(word.lower) - 1)
    old = word.lower
    return _rewrite(word, old[:at] + old[at + 1] + old[at] + old[at + 2 :])


def drop_letter(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out a letter after the first."""
    word = words[i]
    if not _can_misspell(words, i, rng) or len(word.text) < 4:
        return False
    at = rng.randrange(1, len(word.lower))
    return _rewrite(word, word.lower[:at] + word.lower[at + 1 :])


def double_letter(words: list[Word], i: int, rng: Random) -> bool:
    """Write a letter twice."""
    word = words[i]
    if not _can_misspell(words, i, rng):
        return False
    at = rng.randrange(1, len(word.lower))
    return _rewrite(word, word.lower[: at + 1] + word.lower[at:])


def insert_letter(words: list[Word], i: int, rng: Random) -> bool:
    """Write one letter too many: a neighbour of the key before."""
    word = words[i]
    if not _can_misspell(words, i, rng):
        return False
    at = rng.randrange(1, len(word.lower))
    letter = rng.choice(NEIGHBOURS[word.lower[at - 1]] if rng.random() < 0.5 else "aeinrst")
    return _rewrite(word, word.lower[:at] + letter + word.lower[at:])


def by_ear(words: list[Word], i: int, rng: Random) -> bool:
    """Write a sound in another way that English has for it."""
    word = words[i]
    if not _can_misspell(words, i, rng):
        return False
    start = rng.randrange(len(BY_EAR))
    for pattern, to in BY_EAR[start:] + BY_EAR[:start]:
        places = list(pattern.finditer(word.lower))
        if places:
            place = rng.choice(places)
            return _rewrite(word, word.lower[: place.start()] + place.expand(to) + word.lower[place.end() :])
    return False


def known_misspelling(words: list[Word], i: int, rng: Random) -> bool:
    """Take one of the usual misspellings of this word."""
    forms = MISSPELLINGS.get(words[i].lower)
    return forms is not None and words[i].put(rng.choice(forms))


ERRORS = {
    "keyboard": keyboard,
    "transpose": transpose,
    "drop_letter": drop_letter,
    "double_letter": double_letter,
    "insert_letter": insert_letter,
    "by_ear": by_ear,
    "known_misspelling": known_misspelling,
}
