"""Errors of order, punctuation, capitals and blanks, and words left out, added or said twice."""

from __future__ import annotations

from random import Random

from . import lexicon
from .lexicon import words_of
from .words import CLITICS, Word, insert, remove

ADVERBS = words_of(lexicon.ADVERBS)
EXTRA_WORDS = tuple(lexicon.EXTRA_WORDS.split())
LINKS = words_of(lexicon.LINKS)
CLOSED = words_of("the a an is are was were to of in and that it he she they we i you have has be for on at with")


def _compounds() -> tuple[dict[str, list[str]], dict[str, list[tuple[list[str], str]]]]:
    """Read the compounds: one word -> its parts, and first part -> (all parts, the one word)."""
    split: dict[str, list[str]] = {}
    joined: dict[str, list[tuple[list[str], str]]] = {}
    for entry in lexicon.COMPOUNDS.replace("\n", " ").split(";"):
        parts, whole = entry.strip().split("=")
        split[whole] = parts.split()
        joined.setdefault(parts.split()[0], []).append((parts.split(), whole))
    return split, joined


SPLIT, JOINED = _compounds()


def _is_word(words: list[Word], i: int) -> bool:
    return 0 <= i < len(words) and words[i].text[0].isalpha() and words[i].lower not in CLITICS


def _swap(words: list[Word], i: int, j: int) -> bool:
    """Exchange two words; the capital of the sentence stays at its start."""
    one, other = words[i], words[j]
    first, second = one.text, other.text
    if first == second:
        return False
    if i == 0 and first[0].isupper() and first[1:].islower() | (len(first) == 1):
        first = first if first == "I" else first.lower()
        second = second[0].upper() + second[1:]
    other.put_exactly(first)
    return one.put_exactly(second)


def swap_words(words: list[Word], i: int, rng: Random) -> bool:
    """Exchange two neighbours."""
    return _is_word(words, i) and _is_word(words, i + 1) and not words[i + 1].touched and _swap(words, i, i + 1)


def move_adverb(words: list[Word], i: int, rng: Random) -> bool:
    """Put an adverb one or two words further on or back."""
    if words[i].lower not in ADVERBS or i == 0:
        return False
    to = i + rng.choice((-2, -1, 1, 1, 2))
    if to < 1 or not all(_is_word(words, k) for k in range(min(i, to), max(i, to) + 1)):
        return False
    adverb = words.pop(i)
    adverb.touched = True
    words.insert(to, adverb)
    return True


def comma_drop(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out a comma."""
    return 0 < i < len(words) - 1 and words[i].text == "," and remove(words, i)


def comma_insert(words: list[Word], i: int, rng: Random) -> bool:
    """Put a comma before a link, or after any other word now and then."""
    if i == 0 or not _is_word(words, i) or not _is_word(words, i - 1):
        return False
    if words[i].lower not in LINKS and rng.random() < 0.8:
        return False
    words.insert(i, Word(_punctuation_gap(words), ",", True))
    return True


def _punctuation_gap(words: list[Word]) -> str:
    """Give the blank before punctuation in this sentence, none where no punctuation tells."""
    for word in reversed(words):
        if word.text in (".", ",", "?", "!", ";", ":") or word.lower in CLITICS:
            return word.gap
    return ""


def stop_drop(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out the full stop, or put a comma for it inside the line."""
    if i == 0 or words[i].text not in (".", "?", "!"):
        return False
    if i == len(words) - 1:
        words.pop()
        words[-1].touched = True
        return True
    if words[i].text != "." or not words[i + 1].gap or not _is_word(words, i - 1):
        return False
    if words[i + 1].text[1:].islower():
        words[i + 1].put_exactly(words[i + 1].lower)
    return words[i].put_exactly(",")


def stop_swap(words: list[Word], i: int, rng: Random) -> bool:
    """End a question with a full stop."""
    return words[i].text == "?" and words[i].put_exactly(".")


def apostrophe(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out an apostrophe: "dont", "its", "my friends house"."""
    word = words[i]
    if i > 0 and word.lower in CLITICS and words[i - 1].text.isalpha():
        words.pop(i)
        piece = word.text.replace("'", "").replace("’", "")
        return words[i - 1].put_exactly(words[i - 1].text + piece)
    bare = word.text.replace("'", "").replace("’", "")
    return bool(bare) and bare.isalpha() and bare != word.text and word.put_exactly(bare)


def lower_case(words: list[Word], i: int, rng: Random) -> bool:
    """Write a capital small: at the start of the sentence, in 'I', in a name."""
    word = words[i]
    return word.text[0].isupper() and (word.text == "I" or word.text[1:].islower()) and word.put_exactly(word.lower)


def upper_case(words: list[Word], i: int, rng: Random) -> bool:
    """Write a capital where none belongs."""
    word = words[i]
    return i > 0 and len(word.text) > 2 and word.text.islower() and word.put_exactly(word.text.capitalize())


def merge(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out the blank between two words: first the pairs that many people join."""
    for parts, whole in JOINED.get(words[i].lower, ()):
        if [word.lower for word in words[i : i + len(parts)]] == parts:
            del words[i + 1 : i + len(parts)]
            return words[i].put(whole)
    if rng.random() < 0.9 or not (_is_word(words, i) and _is_word(words, i + 1)):
        return False
    return words[i].put_exactly(words[i].text + words.pop(i + 1).text)


def split_word(words: list[Word], i: int, rng: Random) -> bool:
    """Put a blank into a word: first the words that many people split."""
    word = words[i]
    parts = SPLIT.get(word.lower)
    if parts is None:
        if rng.random() < 0.97 or len(word.text) < 6 or not (word.text.isalpha() and word.text.islower()):
            return False
        at = rng.randrange(2, len(word.text) - 2)
        parts = [word.text[:at], word.text[at:]]
    word.put(parts[0])
    word.touched = True
    words[i + 1 : i + 1] = [Word(" ", part, True) for part in parts[1:]]
    return True


def space_lost(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out the blank after a comma or a full stop inside the line."""
    if (
        not (0 < i < len(words) - 1)
        or words[i].text not in (",", ".")
        or not words[i + 1].gap
        or not _is_word(words, i + 1)
    ):
        return False
    words[i].touched = words[i + 1].touched = True
    words[i].gap, words[i + 1].gap = "", rng.choice(("", "", words[i + 1].gap))
    return True


def missing_word(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out a small word, seldom any other."""
    if len(words) < 4 or not _is_word(words, i) or (words[i].lower not in CLOSED and rng.random() < 0.97):
        return False
    return remove(words, i)


def extra_word(words: list[Word], i: int, rng: Random) -> bool:
    """Write a small word too many."""
    return i > 0 and _is_word(words, i) and _is_word(words, i - 1) and insert(words, i, rng.choice(EXTRA_WORDS))


def repeat_word(words: list[Word], i: int, rng: Random) -> bool:
    """Write a word twice, most often a small one."""
    word = words[i]
    if not _is_word(words, i) or (word.lower not in CLOSED and rng.random() < 0.8):
        return False
    again = word.text if word.text == "I" or i else word.lower
    words.insert(i + 1, Word(" ", again, True))
    word.touched = True
    return True


ERRORS = {
    "swap_words": swap_words,
    "move_adverb": move_adverb,
    "comma_drop": comma_drop,
    "comma_insert": comma_insert,
    "stop_drop": stop_drop,
    "stop_swap": stop_swap,
    "apostrophe": apostrophe,
    "lower_case": lower_case,
    "upper_case": upper_case,
    "merge": merge,
    "split_word": split_word,
    "space_lost": space_lost,
    "missing_word": missing_word,
    "extra_word": extra_word,
    "repeat_word": repeat_word,
}
