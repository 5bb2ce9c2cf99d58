"""English inflection by rule and table: enough to make and to unmake the forms that learners confuse."""

from __future__ import annotations

import re
from typing import NamedTuple

from . import lexicon

CONSONANT_Y = re.compile(r"[^aeiou]y$")
HISSING = re.compile(r"(?:s|x|z|ch|sh)$")
DOUBLES = re.compile(r"^[^aeiou]*(?:qu)?[aeiou][bdgklmnprt]$")
STRESSED_END = frozenset("admit prefer refer occur begin forget forbid upset control regret permit".split())


class Verb(NamedTuple):
    """The five forms of a verb."""

    base: str
    third: str
    past: str
    participle: str
    ing: str


def with_s(word: str) -> str:
    """Add the -s of the plural and of the third person."""
    if CONSONANT_Y.search(word):
        return word[:-1] + "ies"
    return word + ("es" if HISSING.search(word) or word in ("go", "do") else "s")


def with_ed(base: str) -> str:
    """Add a regular -ed."""
    if base.endswith("e"):
        return base + "d"
    if CONSONANT_Y.search(base):
        return base[:-1] + "ied"
    return (base + base[-1] if _doubles(base) else base) + "ed"


def with_ing(base: str) -> str:
    """Add -ing."""
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return base[:-1] + "ing"
    return (base + base[-1] if _doubles(base) else base) + "ing"


def _doubles(base: str) -> bool:
    return DOUBLES.match(base) is not None or base in STRESSED_END


def regular(base: str) -> Verb:
    """Give the forms of a regular verb."""
    return Verb(base, with_s(base), with_ed(base), with_ed(base), with_ing(base))


def _verbs() -> dict[str, Verb]:
    """Map each form of each known verb to the verb; a base form wins over another verb's past form."""
    verbs = [Verb(b, with_s(b), past, part, with_ing(b)) for b, past, part in lexicon.rows_of(lexicon.IRREGULAR_VERBS)]
    verbs += [regular(base) for base in lexicon.REGULAR_VERBS.split()]
    forms = {verb.base: verb for verb in verbs}
    for verb in verbs:
        for form in verb[1:]:
            forms.setdefault(form, verb)
    return forms


VERBS = _verbs()
IRREGULAR_BASES = frozenset(row[0] for row in lexicon.rows_of(lexicon.IRREGULAR_VERBS))
PLURALS = {noun: with_s(noun) for noun in lexicon.NOUNS.split()} | dict(lexicon.rows_of(lexicon.IRREGULAR_NOUNS))
SINGULARS = {plural: noun for noun, plural in PLURALS.items()}
NOT_PLURAL = re.compile(r"(?:ss|us|is|ous|ics|ings)$")
# words in -s that are no plurals
PLAIN_S = lexicon.words_of(
    """always perhaps besides sometimes across news series species means his its hers ours yours theirs this was has
    does is as us plus thus less unless yes afterwards towards nowadays whereas overseas physics mathematics politics
    gas bus goods thanks"""
)


def singular(word: str) -> str | None:
    """Take the plural ending off a lower-case word, or say that it has none."""
    if word in SINGULARS:
        return SINGULARS[word]
    if len(word) < 4 or not word.endswith("s") or word in PLAIN_S or NOT_PLURAL.search(word):
        return None
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]
