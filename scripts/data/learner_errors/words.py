"""Sentences as words that remember the blank before them, so that raw and tokenised text both survive a change."""

from __future__ import annotations

import re

PATTERN = re.compile(
    r"(\s*)("
    r"n[’']t\b|[’'](?:s|re|ve|ll|d|m)\b"  # the pieces of a contraction in tokenised text
    r"|[^\W\d_]+(?:[’'-][^\W\d_]+)*"  # a word, with its apostrophes and hyphens in raw text
    r"|\d+(?:[.,:]\d+)*"
    r"|\S)"
)
CLITICS = frozenset(("n't", "'s", "'re", "'ve", "'ll", "'d", "'m", "n’t", "’s", "’re", "’ve", "’ll", "’d", "’m"))


class Word:
    """A word, the blank before it, and whether an error has already changed it."""

    __slots__ = ("gap", "text", "lower", "touched")

    def __init__(self, gap: str, text: str, touched: bool = False) -> None:
        self.gap = gap
        self.text = text
        self.lower = text.lower()
        self.touched = touched

    def put(self, text: str) -> bool:
        """Replace the text, keep its capitals, and say whether this changed anything."""
        new = with_capitals_of(self.text, text)
        if new == self.text:
            return False
        return self.put_exactly(new)

    def put_exactly(self, text: str) -> bool:
        """Replace the text as it is."""
        self.text, self.lower, self.touched = text, text.lower(), True
        return True


def split(line: str) -> list[Word]:
    """Split a line into words; ``join`` gives the line back."""
    return [Word(gap, text) for gap, text in PATTERN.findall(line)]


def join(words: list[Word]) -> str:
    """Put the words and their blanks together."""
    return "".join([part for word in words for part in (word.gap, word.text)]).strip()


def with_capitals_of(old: str, new: str) -> str:
    """Give ``new`` the capitals of ``old``: all, only the first, or none."""
    if not new or not old[:1].isupper() or old == "I":
        return new
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[0].upper() + new[1:]


def remove(words: list[Word], i: int) -> bool:
    """Take a word out; the next one inherits its place at the start and its capital."""
    gone = words.pop(i)
    if i < len(words):
        follower = words[i]
        if i == 0:
            follower.gap = gone.gap
            if gone.text[0].isupper() and follower.text[0].islower():
                follower.put_exactly(follower.text[0].upper() + follower.text[1:])
        follower.touched = True
    elif words:
        words[-1].touched = True
    return bool(words)


def insert(words: list[Word], i: int, text: str) -> bool:
    """Put a new word before word ``i``, which gives up its capital when it opened the sentence."""
    if i == 0 and words:
        first = words[0]
        words.insert(0, Word(first.gap, text[0].upper() + text[1:] if first.text[0].isupper() else text, True))
        first.gap = " "
        if first.text[0].isupper() and first.text[1:].islower() and first.text != "I":
            first.put_exactly(first.lower)
    else:
        words.insert(i, Word(" ", text, True))
    return True
