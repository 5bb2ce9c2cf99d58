"""Phrases in both languages at once: noun phrases, prepositional phrases, times and places.

Every rule draws from one seeded generator and returns the English and the German side together. German noun phrases
keep all their cases, since only the clause they end up in knows which one it needs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import english
import german
import lexicon
from german import CASES, GermanNoun
from lexicon import Adjective, Gloss, Noun

T = TypeVar("T")
USUAL = 0.87  # how often the usual translation is taken where there are several


@dataclass(frozen=True)
class Phrase:
    """A phrase that does not inflect any further."""

    english: str
    german: str


@dataclass(frozen=True)
class NounPhrase:
    """A noun phrase in every form a clause may ask for.

    ``english`` and ``object`` are the subject and object forms, ``german`` maps cases to forms (no ``gen`` where
    the genitive is not usual). Persons are 1-3, numbers ``s`` or ``p``; they differ between the languages for words
    such as ``trousers``. ``column`` is what a relative pronoun agrees with. A ``heavy`` phrase has words after the
    noun.
    """

    english: str
    object: str
    german: dict[str, str]
    column: str
    person: int = 3
    number: str = "s"
    english_number: str = "s"
    german_person: int = 3
    pronoun: bool = False
    heavy: bool = False
    human: bool = False

    def silent(self) -> NounPhrase:
        """Return a phrase without words that still governs the verb: a gap, or a subject left out after ``and``."""
        return replace(self, english="", object="", german=dict.fromkeys(CASES, ""))

    def extended(self, english_words: str, german_words: str) -> NounPhrase:
        """Return the phrase with words after it that do not inflect."""
        return replace(
            self,
            english=f"{self.english} {english_words}",
            object=f"{self.object} {english_words}",
            german={case: f"{form} {german_words}" for case, form in self.german.items()},
            heavy=True,
        )


# English subject, object, German cases, person and number; ``du`` and ``Sie`` share an English form
_PRONOUNS = (
    ("I", "me", "ich mich mir", 1, "s", 3),
    ("you", "you", "du dich dir", 2, "s", 2),
    ("he", "him", "er ihn ihm", 3, "s", 4),
    ("she", "her", "sie sie ihr", 3, "s", 4),
    ("we", "us", "wir uns uns", 1, "p", 3),
    ("they", "them", "sie sie ihnen", 3, "p", 2),
)
_POLITE = NounPhrase(
    "you", "you", {"nom": "Sie", "acc": "Sie", "dat": "Ihnen"}, "p", 2, "p", "p", 3, pronoun=True, human=True
)
_POSSESSIVES = (("my", "mein"), ("your", "dein"), ("his", "sein"), ("her", "ihr"), ("our", "unser"), ("their", "ihr"))
_SINGULAR = (("the", "der", 40), ("a", "ein", 26), ("poss", "", 20), ("this", "dies", 8), ("every", "jed", 3))
_PLURAL = (("the", "der", 36), ("", "", 22), ("poss", "", 16), ("num", "", 14), ("many", "viel", 7), ("all", "all", 5))
_MASS = (("the", "der", 40), ("", "", 45), ("poss", "", 15))


def inflect(word: str, adjective: str, noun: GermanNoun, plural: bool) -> dict[str, str]:
    """Return the cases of determiner, adjective and noun together.

    ``word`` is a determiner as in ``german.determiner``, an invariable word such as a number, or nothing; it decides
    between the weak, mixed and strong endings of ``adjective``. Without an inflected determiner there is no genitive.
    """
    column = "p" if plural else noun.gender
    inflected = word in ("der", "dies", "jed", "all", "viel", "welch") or german.is_ein_word(word)
    kind = "weak" if word in ("der", "dies", "jed", "all", "welch") else "strong"
    if german.is_ein_word(word) and not (word == "ein" and plural):
        kind = "mixed"
    forms = {}
    for case in CASES if inflected and not (word == "ein" and plural) else CASES[:3]:
        lead = german.determiner(word, case, column) if inflected else word
        middle = german.adjective(adjective, kind, case, column) if adjective else ""
        forms[case] = " ".join(part for part in (lead, middle, german.decline_noun(noun, case, plural)) if part)
    return forms


@cache
def _adjectives_for(kind: str) -> list[Adjective]:
    return [entry for entry in lexicon.ADJECTIVES if kind in entry.kinds]


class PhraseGrammar:
    """Draws phrases."""

    def __init__(self, rng: random.Random) -> None:
        """Draw everything from ``rng``."""
        self.rng = rng
        self.polite = False  # whether this sentence says Sie

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < probability

    def usual(self, options: Sequence[T]) -> T:
        """Return mostly the first option, now and then one of the others."""
        if len(options) == 1 or self.chance(USUAL):
            return options[0]
        return self.rng.choice(options[1:])

    def gloss(self, entry: Gloss) -> Phrase:
        """Translate a fixed expression."""
        return Phrase(entry.english, self.usual(entry.german))

    def pronoun(self) -> NounPhrase:
        """Draw a personal pronoun."""
        row = self.rng.choices(_PRONOUNS, [row[5] for row in _PRONOUNS])[0]
        if row[0] == "you" and self.polite:
            return _POLITE
        forms = dict(zip(CASES, row[2].split(), strict=False))
        column = "p" if row[4] == "p" else "f" if row[0] == "she" else "m"
        return NounPhrase(row[0], row[1], forms, column, row[3], row[4], row[4], row[3], pronoun=True, human=True)

    def name(self) -> NounPhrase:
        """Draw a first name, or ``Mr`` or ``Mrs`` with a surname."""
        gender = self.rng.choice("mf")
        if self.chance(0.6):
            name = self.rng.choice(lexicon.FIRST_NAMES[gender])
            return NounPhrase(name, name, {**dict.fromkeys(CASES, name), "gen": name + "s"}, gender, human=True)
        surname = self.rng.choice(lexicon.SURNAMES)
        forms = {case: f"Frau {surname}" for case in CASES[:3]}
        if gender == "m":
            forms = {"nom": f"Herr {surname}", "acc": f"Herrn {surname}", "dat": f"Herrn {surname}"}
        title = ("Mr " if gender == "m" else "Mrs ") + surname
        return NounPhrase(title, title, forms, gender, human=True)

    def noun_phrase(self, kinds: Sequence[str], negated: bool = False, simple: bool = False) -> NounPhrase:
        """Draw a noun phrase of one of the ``kinds``.

        Args:
            kinds: Keys of ``lexicon.NOUNS``.
            negated: The clause is negated: an indefinite phrase takes ``kein``. Nothing tells the caller except
                that ``german["nom"]`` starts with it.
            simple: No genitive or prepositional phrase after the noun.
        """
        kind = self.rng.choice(kinds)
        noun = self.rng.choice(lexicon.NOUNS[kind])
        phrase = self.determined(noun, negated)
        negative = phrase.german["nom"].startswith("kein")
        if simple or negative or phrase.english.startswith(("every", "all", "many")) or not self.chance(0.16):
            return phrase
        if self.chance(0.5):
            owner = self.name() if self.chance(0.4) else self.noun_phrase(["person"], simple=True)
            return self.owned(noun, owner)
        if kind == "person":
            other = self.noun_phrase(["clothes", "animal"], simple=True)
            return phrase.extended(f"with {other.object}", f"mit {other.german['dat']}")
        if kind in ("text", "thing"):
            other = self.noun_phrase(["person"], simple=True)
            return phrase.extended(f"from {other.object}", german.contract("von", other.german["dat"]))
        return phrase

    def determined(self, noun: Noun, negated: bool = False, plurals: float = 0.27) -> NounPhrase:
        """Draw determiner, number and adjective for ``noun``; ``plurals`` is the share of plural phrases."""
        plural = not noun.mass and not noun.pair and self.chance(plurals)
        table = _MASS if noun.mass else _PLURAL if plural else _SINGULAR
        word, translation, _ = self.rng.choices(table, [row[2] for row in table])[0]
        if noun.pair and word == "every":
            word, translation = "the", "der"
        if word == "poss":
            word, translation = self.rng.choice(_POSSESSIVES)
            translation = "Ihr" if word == "your" and self.polite else translation
        elif word == "num":
            word, translation = self.number()
        elif word == "this" and noun.pair:
            word = "these"
        elif word in ("a", "") and negated:
            word, translation = "any" if plural or noun.mass or noun.pair else "a", "kein"
        elif word == "a" and noun.pair:
            word = ""
        adjective = self.adjective(noun.kind) if self.chance(0.33) else None
        return self.build(noun, (word, translation), adjective, plural)

    def build(self, noun: Noun, determiner: tuple[str, str], adjective: Adjective | None, plural: bool) -> NounPhrase:
        """Put together a noun phrase from its parts, (English, German) for the determiner."""
        word, translation = determiner
        bare = noun.english_plural if plural or noun.pair else noun.english
        bare = f"{adjective.english} {bare}" if adjective else bare
        text = english.with_article(bare) if word == "a" else f"{word} {bare}".strip()
        form = self.usual(noun.german)
        forms = inflect(translation, self.usual(adjective.german) if adjective else "", form, plural)
        number = "p" if plural else "s"
        english_number = "p" if plural or noun.pair else "s"
        column = "p" if plural else form.gender
        return NounPhrase(text, text, forms, column, 3, number, english_number, human=noun.kind == "person")

    def owned(self, noun: Noun, owner: NounPhrase) -> NounPhrase:
        """Draw ``Anna's car``, ``my father's car`` or ``the car of my father``; German genitive, sometimes ``von``."""
        plural = not noun.mass and not noun.pair and self.chance(0.2)
        adjective = self.adjective(noun.kind) if self.chance(0.25) else None
        is_name = owner.german.get("gen", "").endswith("s") and " " not in owner.english
        phrase = self.build(noun, ("the", "" if is_name else "der"), adjective, plural)
        from_dative = german.contract("von", owner.german["dat"])
        if is_name:
            forms = {case: f"{owner.german['gen']} {form}" for case, form in phrase.german.items()}
            if not self.chance(USUAL):
                phrase = self.build(noun, ("the", "der"), adjective, plural)
                forms = {case: f"{form} {from_dative}" for case, form in phrase.german.items()}
        else:
            genitive = "gen" in owner.german and self.chance(USUAL)
            tail = owner.german["gen"] if genitive else from_dative
            forms = {case: f"{form} {tail}" for case, form in phrase.german.items()}
        possessor = english.possessive(owner.english, owner.english_number == "p")
        text = phrase.english.removeprefix("the ")
        text = f"{possessor} {text}" if is_name or self.chance(0.6) else f"the {text} of {owner.object}"
        return replace(phrase, english=text, object=text, german=forms)

    def participant(self, kinds: Sequence[str], negated: bool = False, simple: bool = False) -> NounPhrase:
        """Draw a noun phrase, and for persons also a pronoun, a name or two of them."""
        if "person" not in kinds or self.rng.choice(kinds) != "person":
            return self.noun_phrase([kind for kind in kinds if kind != "person"] or kinds, negated, simple)
        dice = self.rng.random()
        if dice < 0.36:
            return self.pronoun()
        if dice < 0.5:
            return self.name()
        if dice < 0.58 and not simple:
            return self.pair(self.name(), self.noun_phrase(["person"], simple=True))
        return self.noun_phrase(["person"], negated, simple)

    def pair(self, first: NounPhrase, second: NounPhrase) -> NounPhrase:
        """Join two noun phrases with ``and``."""
        forms = {case: f"{first.german[case]} und {second.german[case]}" for case in CASES[:3]}
        text = f"{first.english} and {second.object}"
        return NounPhrase(text, text, forms, "p", 3, "p", "p", human=True)

    def adjective(self, kind: str) -> Adjective | None:
        """Draw an adjective that suits nouns of ``kind``."""
        options = _adjectives_for(kind)
        return self.rng.choice(options) if options else None

    def number(self) -> tuple[str, str]:
        """Draw a number from two on: a word up to twelve, digits beyond."""
        if self.chance(0.7):
            return self.rng.choice(lexicon.NUMBERS)
        digits = str(self.rng.randint(13, 99))
        return digits, digits
