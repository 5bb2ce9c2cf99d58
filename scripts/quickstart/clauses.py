"""Clauses in both languages at once: a verb with its subject and complements, not yet put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import english
import german
import lexicon
from adverbials import AdverbialGrammar
from german import GermanVerb
from lexicon import Verb
from phrases import NounPhrase, Phrase

_STATIVE = frozenset("be believe belong claim find forget hear hope know lose love need notice".split()) | frozenset(
    "remember see think trust understand".split()
)
_COMPARED = frozenset("old young big small tall rich poor strong clever beautiful expensive cheap famous long".split())
_FRAMES = {
    "transitive": 30,
    "ditransitive": 12,
    "prepositional": 13,
    "motion": 11,
    "location": 10,
    "intransitive": 9,
    "dative": 6,
    "placement": 7,
    "predicate": 8,
}
_TABLES = {
    "transitive": lexicon.TRANSITIVE,
    "ditransitive": lexicon.DITRANSITIVE,
    "prepositional": lexicon.PREPOSITIONAL,
    "motion": lexicon.MOTION,
    "location": lexicon.LOCATION,
    "intransitive": lexicon.INTRANSITIVE,
    "dative": lexicon.DATIVE,
    "placement": lexicon.PLACEMENT,
}
_DEGREES = (("", ""), ("", ""), ("very ", "sehr "), ("too ", "zu "), ("really ", "wirklich "))
_SIMPLE = ("present", "past", "future")


@dataclass(frozen=True)
class Complements:
    """What the verb takes. German ``pronouns`` and ``objects`` stand before ``nicht``, ``closing`` after it."""

    english: tuple[str, ...] = ()
    pronouns: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clause:
    """A clause whose words are all chosen but not yet in order; ``tense`` names the English tense."""

    subject: NounPhrase
    verb: Verb
    german_verb: GermanVerb
    english_form: str
    german_form: str
    complements: Complements
    modal: tuple[str, str] = ("", "")
    negated: bool = False
    time: Phrase | None = None
    adverb: Phrase | None = None
    pronoun_first: bool = True

    def english(self, question: bool = False, front: str = "", timed: bool = True) -> str:
        """Put the English side in order; ``timed`` tells whether the time is said here or was put in ``front``."""
        group = english.verb_group(
            self.verb.english,
            self.english_form,
            self.subject.person,
            self.subject.english_number,
            self.negated or question,
            self.modal[0],
        )
        adverbs = ["not"] if self.negated else []
        if self.adverb:
            adverbs.append(self.adverb.english)
        rest = [*self.complements.english, self.time.english if self.time and timed else ""]
        return english.arrange(question, front, self.subject.english, adverbs, group, rest)

    def german(self, order: str = "v2", front: str = "", timed: bool = True) -> str:
        """Put the German side in order, see ``german.arrange``."""
        person, number = self.subject.german_person, self.subject.number
        group = german.verb_group(self.german_verb, self.german_form, person, number, self.modal[1])
        parts, pronouns = self.complements, self._german_pronouns()
        negative = any(" kein" in f" {phrase}" for phrase in (*parts.objects, *parts.closing))
        subject = self.subject.german["nom"]
        if (front or order != "v2") and pronouns and self.pronoun_first and subject and not self.subject.pronoun:
            subject, pronouns = " ".join([*pronouns, subject]), []
        time = self.time.german if self.time and timed else ""
        adverb = self.adverb.german if self.adverb else ""
        negation = "nicht" if self.negated and not negative else ""
        middle = [*pronouns, time, adverb, *parts.objects, negation, *parts.closing]
        return german.arrange(order, front, subject, middle, group)

    def _german_pronouns(self) -> list[str]:
        reflexive = german.reflexive_pronoun(self.subject.german_person, self.subject.number)
        return [reflexive, *self.complements.pronouns] if self.german_verb.reflexive else [*self.complements.pronouns]

    def infinitive(self) -> Phrase:
        """Put the clause in order without its subject, as an infinitive with ``to`` and ``zu``."""
        verb, parts = self.verb.english, self.complements
        words = ["to", verb.base, verb.rest, *parts.english]
        middle = [*self._german_pronouns(), *parts.objects, *parts.closing]
        german_words = [*middle, german.to_infinitive(self.german_verb)]
        return Phrase(" ".join(filter(None, words)), " ".join(filter(None, german_words)))


@cache
def _verbs_with(kind: str | None) -> dict[str, list[Verb]]:
    """Return the verbs of each frame that take a subject of ``kind``, or all of them."""
    return {
        frame: [verb for verb in table if kind is None or kind in verb.subjects] for frame, table in _TABLES.items()
    }


class ClauseGrammar(AdverbialGrammar):
    """Draws clauses. Relative clauses nest one deep."""

    nested = False

    def argument(self, kinds: Sequence[str], negated: bool = False, apart_from: NounPhrase | None = None) -> NounPhrase:
        """Draw a subject or an object; never ``I ... me``, and seldom with a relative clause."""
        if not self.nested and not negated and self.chance(0.09):
            return self.with_relative(self.rng.choice(kinds))
        phrase = self.participant(kinds, negated, simple=self.nested)
        while apart_from is not None and phrase.pronoun and self._same(phrase, apart_from):
            phrase = self.participant(kinds, negated, simple=self.nested)
        return phrase

    def _same(self, first: NounPhrase, second: NounPhrase) -> bool:
        return second.pronoun and (first.person < 3 or second.person < 3) and first.person == second.person

    def clause(
        self, tense: str, subject: NounPhrase | None = None, kind: str = "person", plain: bool = False
    ) -> Clause:
        """Draw a clause.

        Args:
            tense: ``present``, ``past``, ``perfect``, ``pluperfect`` or ``future``.
            subject: What is to be the subject, or nothing to draw one.
            kind: The kind of noun that ``subject`` is.
            plain: Neither time nor adverb nor negation, as in the parts of long sentences.
        """
        fitting = _verbs_with(kind if subject else None)
        frames = [frame for frame in _FRAMES if fitting.get(frame, frame == "predicate" and tense in _SIMPLE)]
        frame = self.rng.choices(frames, [_FRAMES[frame] for frame in frames])[0]
        if frame == "predicate":
            return self.predicate(tense, subject, kind, plain)
        verb = self.rng.choice(fitting[frame])
        if subject is None:
            subject = self.argument(verb.subjects)
        negated = not plain and self.chance(0.14)
        parts = self.complements(frame, verb, subject, negated)
        return self.finished(tense, subject, verb, parts, negated, plain)

    def finished(
        self, tense: str, subject: NounPhrase, verb: Verb, parts: Complements, negated: bool, plain: bool = False
    ) -> Clause:
        """Choose verb forms, modal, time and adverb for a verb with its complements."""
        modal = ("", "")
        if tense in ("present", "past") and subject.human and verb.english.base != "be" and self.chance(0.17):
            modal = self.rng.choice(lexicon.MODALS)
            if modal[0] == "should" and tense == "past":
                modal = ("have to", "müssen")
            elif modal[0] == "have to" and tense == "present" and not negated and self.chance(0.6):
                modal = ("must", "müssen")
        timed = tense in ("present", "past", "future") and not plain and self.chance(0.5)
        time = self.time(tense) if timed else None
        adverb = None
        if not negated and not plain and self.chance(0.12 if timed else 0.3):
            own = tense == "perfect" or tense == "present" and self.chance(0.4)
            adverb = self.gloss(self.rng.choice(lexicon.FREQUENCIES[tense if own else "any"]))
        german_verb = self.usual(verb.german)
        lasting = not modal[0] and not adverb and verb.english.base not in _STATIVE
        forms = self.verb_forms(tense, lasting, german_verb, bool(modal[0]), timed)
        return Clause(
            subject, verb, german_verb, *forms, parts, modal, negated, time, adverb, pronoun_first=self.chance(0.75)
        )

    def verb_forms(
        self, tense: str, lasting: bool, german_verb: GermanVerb, modal: bool, timed: bool
    ) -> tuple[str, str]:
        """Choose the English and the German verb form in ``tense``; only what is ``lasting`` can be progressive."""
        if tense == "present":
            return ("present-progressive" if lasting and self.chance(0.4) else "present"), "present"
        if tense == "past":
            told = modal or german_verb.infinitive in ("sein", "haben") or self.chance(0.85)
            form = "past-progressive" if lasting and self.chance(0.15) else "past"
            return form, "preterite" if told else "perfect"
        if tense == "future":
            return "future", "present" if timed and self.chance(0.15) else "future"
        return tense, tense  # perfect and pluperfect go by the same names in both languages

    def complements(self, frame: str, verb: Verb, subject: NounPhrase, negated: bool) -> Complements:
        """Draw what ``verb`` takes in ``frame``, and sometimes a place, a manner or company after it."""
        if frame in ("transitive", "dative", "prepositional"):
            thing = self.argument(verb.objects, negated, apart_from=subject)
            return self.with_extra(self.one_object(frame, verb, thing))
        if frame == "ditransitive":
            return self.two_objects(verb, subject, negated)
        if frame == "motion":
            goal = self.place(self.rng.choice(verb.objects), goal=True)
            by = self.vehicle() if verb.objects[-1] == "city" and self.chance(0.3) else Phrase("", "")
            return Complements((goal.english, by.english), closing=(by.german, goal.german))
        if frame == "location":
            place = self.place(self.rng.choice(verb.objects), goal=False)
            lasts = self.duration() if self.chance(0.15) else Phrase("", "")
            return Complements((place.english, lasts.english), closing=(lasts.german, place.german))
        if frame == "placement":
            thing, goal = self.noun_phrase(verb.objects, negated), self.place("furniture", goal=True)
            return Complements((thing.object, goal.english), objects=(thing.german["acc"],), closing=(goal.german,))
        return self.with_extra(Complements())

    def one_object(self, frame: str, verb: Verb, thing: NounPhrase) -> Complements:
        """Place one object: accusative, dative, or after the verb's preposition."""
        if frame == "prepositional":
            if verb.preposition is None:
                raise ValueError(f"the prepositional verb {verb.english.base!r} has no preposition in its table")
            word, case = verb.preposition
            return Complements((thing.object,), closing=(self.prepositional("", word, case, thing).german,))
        form = thing.german["dat" if frame == "dative" else "acc"]
        if thing.pronoun:
            return Complements((thing.object,), pronouns=(form,))
        return Complements((thing.object,), objects=(form,))

    def two_objects(self, verb: Verb, subject: NounPhrase, negated: bool) -> Complements:
        """Place receiver and thing: German dative before accusative, English either way where the verb allows it."""
        receiver = self.argument(["person"], apart_from=subject)
        thing = self.noun_phrase(verb.objects, negated, simple=True)
        if verb.shift and self.chance(0.6):
            words: tuple[str, ...] = (receiver.object, thing.object)
        else:
            words = (thing.object, f"to {receiver.object}")
        if receiver.pronoun:
            return Complements(words, (receiver.german["dat"],), (thing.german["acc"],))
        return Complements(words, objects=(receiver.german["dat"], thing.german["acc"]))

    def with_extra(self, parts: Complements) -> Complements:
        """Add a manner, company or a place after the complements, or nothing."""
        dice = self.rng.random()
        if dice < 0.1:
            extra = self.gloss(self.rng.choice(lexicon.MANNERS))
        elif dice < 0.18:
            extra = self.company()
        elif dice < 0.4:
            extra = self.place("place", goal=False)
        elif dice < 0.46:
            extra = self.place("city", goal=False)
        else:
            return parts
        first = dice < 0.18  # manner and company come before a prepositional object, places after it
        closing = (extra.german, *parts.closing) if first else (*parts.closing, extra.german)
        return replace(parts, english=(*parts.english, extra.english), closing=closing)

    def predicate(
        self, tense: str, subject: NounPhrase | None = None, kind: str = "person", plain: bool = False
    ) -> Clause:
        """Draw ``is old``, ``is older than ...`` or ``is in the garden``."""
        if subject is None:
            kind = self.rng.choice(["person", "person", "thing", "vehicle", "text", "opening", "animal"])
            subject = self.argument([kind])
        dice = self.rng.random()
        fitting = self.adjective(kind)
        if dice < 0.3 and fitting is not None and fitting.english in _COMPARED:
            other = self.noun_phrase([kind], simple=True)
            more = f"{english.comparative(fitting.english)} than {other.object}"
            mehr = f"{german.comparative(fitting.german[0], fitting.comparative)} als {other.german['nom']}"
            parts = Complements((more,), closing=(mehr,))
        elif dice < 0.75 and fitting is not None:
            degree = self.rng.choice(_DEGREES)
            parts = Complements((degree[0] + fitting.english,), closing=(degree[1] + self.usual(fitting.german),))
        else:
            place = self.place("place", goal=False)
            parts = Complements((place.english,), closing=(place.german,))
        negated = not plain and self.chance(0.14)
        return self.finished(tense, subject, lexicon.BE, parts, negated, plain)
