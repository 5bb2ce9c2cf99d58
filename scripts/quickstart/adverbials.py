"""Times, places and other adverbials in both languages."""

from __future__ import annotations

import german
import lexicon
from phrases import NounPhrase, Phrase, PhraseGrammar

_SPATIAL = (("on", "auf"), ("under", "unter"), ("behind", "hinter"), ("next to", "neben"), ("in front of", "vor"))
# English singular, German accusative and dative plural
_UNITS = (
    ("day", "Tage", "Tagen"),
    ("week", "Wochen", "Wochen"),
    ("month", "Monate", "Monaten"),
    ("year", "Jahre", "Jahren"),
)


class AdverbialGrammar(PhraseGrammar):
    """Draws adverbials."""

    def time(self, tense: str) -> Phrase:
        """Draw a time that suits the ``present``, ``past`` or ``future``."""
        dice = self.rng.random()
        if dice < 0.45:
            return self.gloss(self.rng.choice(lexicon.TIMES[tense]))
        if dice < 0.6:
            return self.clock()
        if tense == "present":
            return self.weekday() if dice < 0.8 else self.season()
        if dice < 0.72:
            return self.weekday()
        if dice < 0.86:
            return self.date(tense)
        return self.distance(tense)

    def weekday(self) -> Phrase:
        """Draw ``on Monday`` or ``on Monday evening``."""
        name, form = self.rng.choice(lexicon.WEEKDAYS)
        part, suffix = self.rng.choice([("", ""), ("", ""), (" morning", "morgen"), (" evening", "abend")])
        return Phrase(f"on {name}{part}", f"am {form}{suffix}")

    def season(self) -> Phrase:
        """Draw ``in summer`` or ``in May``."""
        name, form = self.rng.choice(lexicon.SEASONS + lexicon.MONTHS)
        return Phrase(f"in {name}", f"im {form}")

    def date(self, tense: str) -> Phrase:
        """Draw a date in one of the English notations, or a year."""
        day, (month, form) = self.rng.randint(1, 28), self.rng.choice(lexicon.MONTHS)
        year = self.rng.randint(1950, 2023) if tense == "past" else self.rng.randint(2027, 2060)
        dice = self.rng.random()
        if dice < 0.3:
            return Phrase(f"in {year}", self.usual([f"im Jahr {year}", f"{year}"]))
        if dice < 0.6:
            return Phrase(f"on {day} {month}", f"am {day}. {form}")
        english = f"on {month} {day}, {year}" if dice < 0.8 else f"on {day} {month} {year}"
        return Phrase(english, f"am {day}. {form} {year}")

    def clock(self) -> Phrase:
        """Draw a time of day."""
        hour = self.rng.randint(1, 10)
        words = ("one|eins",) + tuple("|".join(pair) for pair in lexicon.NUMBERS)
        name, form = words[hour - 1].split("|")
        dice = self.rng.random()
        if dice < 0.35:
            return Phrase(f"at {name} o'clock", f"um {'ein' if form == 'eins' else form} Uhr")
        if dice < 0.6:
            return Phrase(f"at half past {name}", f"um halb {words[hour].split('|')[1]}")
        minute = self.rng.choice((10, 15, 20, 30, 40, 45))
        return Phrase(f"at {hour}:{minute}", self.usual([f"um {hour}.{minute} Uhr", f"um {hour}:{minute} Uhr"]))

    def distance(self, tense: str) -> Phrase:
        """Draw ``three weeks ago`` or ``in three weeks``."""
        number, form = self.number()
        unit, _, dative = self.rng.choice(_UNITS)
        if tense == "past":
            return Phrase(f"{number} {unit}s ago", f"vor {form} {dative}")
        return Phrase(f"in {number} {unit}s", f"in {form} {dative}")

    def duration(self) -> Phrase:
        """Draw ``for three weeks``."""
        number, form = self.number()
        unit, accusative, _ = self.rng.choice(_UNITS)
        return Phrase(f"for {number} {unit}s", f"{form} {accusative} lang")

    def place(self, kind: str, goal: bool) -> Phrase:
        """Draw where something happens (dative) or, with ``goal``, where it leads (accusative, ``nach``, ``zu``).

        Args:
            kind: ``city``, ``place`` or ``furniture``.
            goal: Motion towards the place.
        """
        if kind == "city":
            name, form = self.rng.choice(lexicon.CITIES)
            return Phrase(f"to {name}", f"nach {form}") if goal else Phrase(f"in {name}", f"in {form}")
        if kind == "furniture":
            preposition, translation = self.rng.choice(_SPATIAL)
            phrase = self.noun_phrase(["furniture"], simple=True)
            return self.prepositional(preposition, translation, "acc" if goal else "dat", phrase)
        place = self.rng.choice(lexicon.PLACES)
        phrase = self.determined(place.noun, plurals=0.08)
        if not goal:
            return self.prepositional(place.at, place.where, "dat", phrase)
        return self.prepositional("to", place.goal, "dat" if place.goal == "zu" else "acc", phrase)

    def prepositional(self, preposition: str, translation: str, case: str, phrase: NounPhrase) -> Phrase:
        """Join a preposition and a noun phrase in ``case``; a phrase with words after it keeps its article apart."""
        form = phrase.german[case]
        joined = f"{translation} {form}" if phrase.heavy else german.contract(translation, form)
        return Phrase(f"{preposition} {phrase.object}", joined)

    def company(self) -> Phrase:
        """Draw ``with my friends``."""
        phrase = self.name() if self.chance(0.3) else self.noun_phrase(["person"], simple=True)
        return Phrase(f"with {phrase.object}", f"mit {phrase.german['dat']}")

    def vehicle(self) -> Phrase:
        """Draw ``by train``."""
        noun = self.rng.choice(lexicon.NOUNS["vehicle"])
        form = self.usual(noun.german)
        dative = german.determiner("der", "dat", form.gender)
        return Phrase(f"by {noun.english}", f"mit {dative} {form.singular}")
