"""The vocabulary as objects: reads the tables of ``nouns.py``, ``words.py`` and ``verbs.py`` once, at import."""

from __future__ import annotations

from dataclasses import dataclass

import english
import german
import nouns
import verbs
import words
from english import EnglishVerb
from german import GermanNoun, GermanVerb


@dataclass(frozen=True)
class Noun:
    """A noun of a semantic ``kind``; ``pair`` marks English words such as ``trousers`` that have no singular."""

    english: str
    english_plural: str
    german: tuple[GermanNoun, ...]
    kind: str
    pair: bool = False

    @property
    def mass(self) -> bool:
        """Whether the noun has no plural and takes no indefinite article."""
        return self.german[0].plural == "-"


@dataclass(frozen=True)
class Place:
    """A place with its prepositions: ``at`` for English, ``where`` (dative) and ``goal`` for German."""

    noun: Noun
    at: str
    where: str
    goal: str


@dataclass(frozen=True)
class Adjective:
    """An adjective for nouns of certain ``kinds``; ``comparative`` only where the vowel changes."""

    english: str
    german: tuple[str, ...]
    comparative: str
    kinds: frozenset[str]


@dataclass(frozen=True)
class Verb:
    """A verb, its translations, the kinds of noun it takes and, for prepositional verbs, (German, case)."""

    english: EnglishVerb
    german: tuple[GermanVerb, ...]
    subjects: tuple[str, ...] = ("person",)
    objects: tuple[str, ...] = ()
    preposition: tuple[str, str] | None = None
    shift: bool = False


@dataclass(frozen=True)
class Gloss:
    """A fixed expression and its translations."""

    english: str
    german: tuple[str, ...]


def _rows(table: str) -> list[list[str]]:
    return [[field.strip() for field in line.split("|")] for line in table.strip().splitlines()]


def _noun(name: str, forms: str, kind: str) -> Noun:
    pair = name.startswith("*")
    singular, _, plural = name.removeprefix("*").partition(",")
    variants = tuple(GermanNoun(*form.split()) for form in forms.split(";"))
    return Noun(singular, plural or (singular if pair else singular + "s"), variants, kind, pair)


def _places() -> tuple[Place, ...]:
    return tuple(Place(_noun(name, forms, "place"), *prep.split()) for name, forms, prep in _rows(nouns.PLACES))


def _nouns() -> dict[str, tuple[Noun, ...]]:
    table = {kind: tuple(_noun(name, forms, kind) for name, forms in _rows(rows)) for kind, rows in nouns.NOUNS.items()}
    table["place"] = tuple(place.noun for place in PLACES)
    table["story"] = tuple(noun for noun in table["text"] if noun.english == "story")
    return table


def _adjective(name: str, forms: str, kinds: str) -> Adjective:
    first, *others = forms.split(";")
    first, _, irregular = first.partition("/")
    return Adjective(name, (first, *others), irregular, frozenset(kinds.split()))


def _verb(name: str, forms: str, subjects: str = "person", objects: str = "", shift: str = "") -> Verb:
    variants = tuple(german.parse_verb(form) for form in forms.split(";"))
    return Verb(
        english.parse_verb(name), variants, tuple(subjects.split()), tuple(objects.split()), shift=shift == "shift"
    )


def _verbs(table: str) -> tuple[Verb, ...]:
    return tuple(_verb(*row) for row in _rows(table))


def _prepositional() -> tuple[Verb, ...]:
    result = []
    for name, preposition, forms, subjects, objects in _rows(verbs.PREPOSITIONAL):
        word, case = preposition.split()
        verb = _verb(name, forms, subjects, objects)
        result.append(Verb(verb.english, verb.german, verb.subjects, verb.objects, (word, case)))
    return tuple(result)


def _glosses(table: str) -> tuple[Gloss, ...]:
    return tuple(Gloss(name, tuple(forms.split(";"))) for name, forms in _rows(table))


def _pairs(table: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, form) for name, form in (item.split("|") for item in table.split()))


PLACES = _places()
NOUNS = _nouns()
ADJECTIVES = tuple(_adjective(*row) for row in _rows(words.ADJECTIVES))
CITIES = _pairs(words.CITIES)
MONTHS, WEEKDAYS, SEASONS, NUMBERS = map(_pairs, (words.MONTHS, words.WEEKDAYS, words.SEASONS, words.NUMBERS))
TIMES = {tense: _glosses(table) for tense, table in words.TIMES.items()}
FREQUENCIES = {tense: _glosses(table) for tense, table in words.FREQUENCIES.items()}
MANNERS = _glosses(words.MANNERS)
OPENERS = _glosses(words.OPENERS)
FIRST_NAMES = {gender: tuple(names.split()) for gender, names in words.FIRST_NAMES.items()}
SURNAMES = tuple(words.SURNAMES.split())

INTRANSITIVE = _verbs(verbs.INTRANSITIVE)
TRANSITIVE = _verbs(verbs.TRANSITIVE)
DATIVE = _verbs(verbs.DATIVE)
DITRANSITIVE = _verbs(verbs.DITRANSITIVE)
PREPOSITIONAL = _prepositional()
MOTION = _verbs(verbs.MOTION)
LOCATION = _verbs(verbs.LOCATION)
PLACEMENT = _verbs(verbs.PLACEMENT)
REPORTING = _verbs(verbs.REPORTING)
INFINITIVAL = _verbs(verbs.INFINITIVAL)

BE = Verb(EnglishVerb("be", "was", "been"), (german.parse_verb("sein ist war gewesen +"),))
MODALS = (("can", "können"), ("have to", "müssen"), ("want to", "wollen"), ("should", "sollen"), ("may", "dürfen"))
