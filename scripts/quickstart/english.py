"""English inflection and word order: articles, plurals, verb forms, do-support."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOUBLING = {"forget", "begin", "travel"}
_SPOKEN_CONSONANT = ("uni", "use", "eu", "one")
_SPOKEN_VOWEL = ("hour", "honest")
_BE = {"present": ("am", "are", "is", "are"), "past": ("was", "were", "was", "were")}


@dataclass(frozen=True)
class EnglishVerb:
    """A verb: ``base``, ``past`` and ``participle`` of its first word, ``rest`` the words that follow it."""

    base: str
    past: str
    participle: str
    rest: str = ""


@dataclass(frozen=True)
class EnglishGroup:
    """The verb of a clause: ``first`` trades places with the subject in questions and carries ``not``."""

    first: str
    others: tuple[str, ...] = ()
    auxiliary: bool = True


def with_article(phrase: str) -> str:
    """Put ``a`` or ``an`` before ``phrase`` by its first sound."""
    word = phrase.lower()
    vowel = word[0] in "aeiou" and not word.startswith(_SPOKEN_CONSONANT) or word.startswith(_SPOKEN_VOWEL)
    return ("an " if vowel else "a ") + phrase


def possessive(phrase: str, plural: bool) -> str:
    """Add ``'s``, or the apostrophe alone to a plural in -s."""
    return phrase + ("'" if plural and phrase.endswith("s") else "'s")


def parse_verb(text: str) -> EnglishVerb:
    """Read the notation of ``verbs.py``, for example ``get/got/got up`` or ``look for``."""
    head, _, rest = text.strip().partition(" ")
    forms = head.split("/")
    if len(forms) == 1:
        past = _regular_past(head)
        forms += [past, past]
    base, past, participle = forms
    return EnglishVerb(base, past, participle, rest)


def _regular_past(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return _double(base) + "ed"


def _double(base: str) -> str:
    one_syllable = len(re.findall("[aeiou]+", base)) == 1
    closed = re.search("[^aeiou][aeiou][^aeiouwxy]$", base) is not None
    doubles = base in _DOUBLING or one_syllable and closed
    return base + base[-1] if doubles else base


def third_person(base: str) -> str:
    """Return the form with ``he`` in the present."""
    if base == "have":
        return "has"
    if base.endswith(("s", "sh", "ch", "x", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def ing_form(base: str) -> str:
    """Return the form in -ing."""
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith("ee") and base != "be":
        return base[:-1] + "ing"
    return _double(base) + "ing"


def comparative(adjective: str) -> str:
    """Return the comparative: -er for short adjectives, ``more`` for long ones."""
    if adjective in ("good", "bad"):
        return {"good": "better", "bad": "worse"}[adjective]
    if adjective.endswith("y"):
        return adjective[:-1] + "ier"
    if len(re.findall("[aeiou]+", adjective.removesuffix("e"))) > 1 and adjective not in ("clever", "quiet"):
        return f"more {adjective}"
    return adjective + "r" if adjective.endswith("e") else _double(adjective) + "er"


def be(tense: str, person: int, number: str) -> str:
    """Return the form of ``be`` in the ``present`` or the ``past``."""
    return _BE[tense][3 if number == "p" else person - 1]


def verb_group(verb: EnglishVerb, form: str, person: int, number: str, support: bool, modal: str = "") -> EnglishGroup:
    """Build the verb of a clause.

    Args:
        verb: The full verb; ``be`` counts as its own auxiliary.
        form: ``present``, ``past``, ``perfect``, ``pluperfect``, ``future``, ``present-progressive``,
            ``past-progressive``, ``passive-present`` or ``passive-past``; with ``modal`` the first two only.
        person: 1, 2 or 3.
        number: ``s`` or ``p``.
        support: Whether the clause needs an auxiliary: questions and negated clauses take ``do``.
        modal: ``can``, ``may``, ``must`` (present only), ``should``, ``have to`` or ``want to``, or nothing.

    Returns:
        The word that carries person and tense, and those that follow it.
    """
    third = person == 3 and number == "s"
    tail = (verb.rest,) if verb.rest else ()
    if modal:
        return _modal_group(modal, form, person, number, support, (verb.base, *tail))
    if form in ("perfect", "pluperfect"):
        have = "had" if form == "pluperfect" else "has" if third else "have"
        return EnglishGroup(have, (verb.participle, *tail))
    if form == "future":
        return EnglishGroup("will", (verb.base, *tail))
    if form.startswith("passive-"):
        return EnglishGroup(be(form.removeprefix("passive-"), person, number), (verb.participle, *tail))
    if form.endswith("-progressive"):
        return EnglishGroup(be(form.removesuffix("-progressive"), person, number), (ing_form(verb.base), *tail))
    if verb.base == "be":
        return EnglishGroup(be(form, person, number), tail)
    if support:
        return EnglishGroup("did" if form == "past" else "does" if third else "do", (verb.base, *tail))
    finite = verb.past if form == "past" else third_person(verb.base) if third else verb.base
    return EnglishGroup(finite, tail, auxiliary=False)


def _modal_group(modal: str, form: str, person: int, number: str, support: bool, rest: tuple[str, ...]) -> EnglishGroup:
    if modal in ("have to", "want to"):
        base = EnglishVerb("have", "had", "had", "to") if modal == "have to" else parse_verb("want to")
        group = verb_group(base, form, person, number, support)
        return EnglishGroup(group.first, (*group.others, *rest), group.auxiliary)
    if form == "present":
        return EnglishGroup(modal, rest)
    if modal == "may":
        return EnglishGroup(be("past", person, number), ("allowed to", *rest))
    return EnglishGroup({"can": "could", "should": "should"}[modal], rest)


def arrange(question: bool, front: str, subject: str, adverbs: list[str], group: EnglishGroup, rest: list[str]) -> str:
    """Put a clause in order.

    Args:
        question: Whether subject and auxiliary trade places.
        front: What stands first: an adverbial, a conjunction or a question word.
        subject: The subject, empty when it is the gap of a relative clause or left out after ``and``.
        adverbs: ``not`` and adverbs of frequency, which follow the auxiliary or come before a verb without one.
        group: The verb.
        rest: The other phrases, in order.

    Returns:
        The words of the clause, joined by spaces.
    """
    if not group.auxiliary:
        words = [front, subject, *adverbs, group.first, *group.others]
    elif question:
        words = [front, group.first, subject, *adverbs, *group.others]
    else:
        words = [front, subject, group.first, *adverbs, *group.others]
    return " ".join(word for word in [*words, *rest] if word)
