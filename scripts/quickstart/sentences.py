"""Whole sentences in both languages at once: word order, subordination, questions, passives."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

import german
import lexicon
from clauses import Clause, Complements
from lexicon import Verb
from phrases import NounPhrase, Phrase
from relatives import RelativeGrammar

_TENSES = {"present": 40, "past": 34, "future": 13, "perfect": 13}
_SAME_IN_SUBCLAUSE = {"present": "present", "past": "past", "future": "present", "perfect": "present"}
# English conjunction, German ones, tenses of the main clause it suits
_CONJUNCTIONS = (
    ("because", ("weil", "da"), "present past perfect future", 30),
    ("although", ("obwohl", "obgleich"), "present past perfect future", 16),
    ("if", ("wenn", "falls"), "present future", 20),
    ("when", ("als",), "past", 16),
    ("when", ("wenn",), "present future", 8),
    ("while", ("während",), "present past", 10),
    ("before", ("bevor", "ehe"), "present past future", 10),
    ("after", ("nachdem",), "past", 10),
    ("until", ("bis",), "present past future", 6),
    ("as soon as", ("sobald",), "present future", 6),
)
_CONTRACTED = re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|should|could) not\b")
_THERE = NounPhrase("there", "there", dict.fromkeys(german.CASES[:3], "es"), "n")
_IT = NounPhrase("it", "it", dict.fromkeys(german.CASES[:3], "es"), "n", pronoun=True)
_WHO = NounPhrase("who", "who", {"nom": "wer"}, "m", human=True, pronoun=True)
_THERE_IS = replace(lexicon.BE, german=(german.parse_verb("geben gibt gab gegeben"),))
_WEATHER = tuple(
    Verb(lexicon.english.parse_verb(name), (german.parse_verb(form),))
    for name, form in (("rain", "regnen"), ("snow", "schneien"))
)
_HE, _SHE, _THEY = (
    NounPhrase("he", "him", {"nom": "er", "acc": "ihn", "dat": "ihm"}, "m", human=True, pronoun=True),
    NounPhrase("she", "her", {"nom": "sie", "acc": "sie", "dat": "ihr"}, "f", human=True, pronoun=True),
    NounPhrase(
        "they", "them", {"nom": "sie", "acc": "sie", "dat": "ihnen"}, "p", 3, "p", "p", human=True, pronoun=True
    ),
)


class SentenceGrammar(RelativeGrammar):
    """Draws sentences."""

    def __init__(self, rng: random.Random) -> None:
        """Draw everything from ``rng``."""
        super().__init__(rng)
        self.rules: list[tuple[Callable[[], Phrase], str, int]] = [
            (self.simple, ".", 26),
            (self.subordinated, ".", 20),
            (self.reported, ".", 12),
            (self.coordinated, ".", 14),
            (self.with_infinitive, ".", 11),
            (self.yes_no_question, "?", 6),
            (self.w_question, "?", 7),
            (self.passive, ".", 7),
            (self.existential, ".", 4),
        ]

    def sentence(self) -> Phrase:
        """Draw a sentence of any kind, punctuated and capitalised."""
        rule, mark, _ = self.rng.choices(self.rules, [weight for _, _, weight in self.rules])[0]
        self.polite = self.chance(0.2)
        phrase = rule()
        text = phrase.english.replace("can not", "cannot")
        if self.chance(0.5):
            text = _CONTRACTED.sub(r"\1n't", text)
        return Phrase(finish(text, mark), finish(phrase.german, mark))

    def tense(self) -> str:
        """Draw a tense."""
        return self.rng.choices(list(_TENSES), list(_TENSES.values()))[0]

    def statement(self, clause: Clause) -> Phrase:
        """Put a main clause in order, the time or an adverb in front now and then."""
        if clause.time and self.chance(0.38):
            comma = "," if self.chance(0.5) else ""
            return Phrase(
                clause.english(front=clause.time.english + comma, timed=False),
                clause.german(front=clause.time.german, timed=False),
            )
        if clause.time and self.chance(0.12):  # German puts it first where English does not
            return Phrase(clause.english(), clause.german(front=clause.time.german, timed=False))
        if clause.subject.english and self.chance(0.08):
            opener = self.gloss(self.rng.choice(lexicon.OPENERS))
            return Phrase(clause.english(front=opener.english + ","), clause.german(front=opener.german))
        return Phrase(clause.english(), clause.german())

    def simple(self) -> Phrase:
        """Draw a main clause."""
        return self.statement(self.clause(self.tense()))

    def refer(self, subject: NounPhrase) -> NounPhrase | None:
        """Return the pronoun that takes up ``subject``, where both languages agree on one."""
        if subject.pronoun:
            return subject
        if not subject.human or subject.column == "n":
            return None
        return {"m": _HE, "f": _SHE, "p": _THEY}[subject.column]

    def subordinated(self) -> Phrase:
        """Draw a main clause with a subordinate clause, which takes the first place or the last."""
        tense = self.tense()
        main = self.clause(tense)
        rows = [row for row in _CONJUNCTIONS if tense in row[2].split()]
        word, forms, _, _ = self.rng.choices(rows, [row[3] for row in rows])[0]
        sub = self.subclause(word, tense, main)
        if word == "because" and self.chance(0.1):
            first, second = self.statement(main), Phrase(f"because {sub.english()}", f", denn {sub.german()}")
            return Phrase(f"{first.english} {second.english}", f"{first.german} {second.german}")
        text, form = sub.english(front=word), sub.german("final", self.usual(forms))
        if self.chance(0.3):
            return Phrase(f"{text} , {main.english()}", main.german(front=f"{form} ,"))
        first = self.statement(main)
        return Phrase(f"{first.english} {text}", f"{first.german} , {form}")

    def subclause(self, word: str, tense: str, main: Clause) -> Clause:
        """Draw the subordinate clause that ``word`` opens in a sentence whose main clause is in ``tense``."""
        inner = "pluperfect" if word == "after" else _SAME_IN_SUBCLAUSE[tense]
        if word in ("because", "although") and tense == "perfect":
            inner = "past"
        if word in ("because", "if", "when", "although") and self.chance(0.08):
            return self.finished(inner, _IT, self.rng.choice(_WEATHER), Complements(), negated=False, plain=True)
        again = self.refer(main.subject) if self.chance(0.6) else None
        return self.clause(inner, again, plain=self.chance(0.5))

    def reported(self) -> Phrase:
        """Draw ``he says that ...`` or ``he asks me whether ...``."""
        tense = self.rng.choice(["present", "present", "past"])
        subject = self.argument(["person"])
        asks = self.chance(0.2)
        verb = _ASK if asks else self.rng.choice(lexicon.REPORTING)
        parts = Complements()
        if asks or verb.subjects == ("hearer",):
            hearer = self.argument(["person"], apart_from=subject)
            parts = self.one_object("transitive" if asks else "dative", verb, hearer)
        main = self.statement(self.finished(tense, subject, verb, parts, negated=False, plain=self.chance(0.7)))
        inner = ["present", "past", "perfect", "future"] if tense == "present" else ["past", "past", "pluperfect"]
        clause = self.clause(self.rng.choice(inner), plain=self.chance(0.5))
        if asks:
            word, form = self.usual(["whether", "if"]), "ob"
        else:
            word, form = self.rng.choice(["that", "that", ""]), "dass"
        return Phrase(f"{main.english} {clause.english(front=word)}", f"{main.german} , {clause.german('final', form)}")

    def coordinated(self) -> Phrase:
        """Draw two main clauses joined by ``and`` or ``but``, the subject said once or twice."""
        tense = self.tense()
        first = self.clause(tense)
        word, forms = self.rng.choice([("and", ["und"]), ("and", ["und"]), ("but", ["aber", "doch"])])
        comma = "," if word == "but" else ""
        if word == "and" and first.subject.human and self.chance(0.6):
            second = self.statement(self.clause(tense, first.subject.silent(), plain=True))
        else:
            second = self.statement(self.clause(tense, self.refer(first.subject) if self.chance(0.3) else None))
        main = self.statement(first)
        joined = f"{main.german} {comma} {self.usual(forms)} {second.german}"
        return Phrase(f"{main.english} {comma} {word} {second.english}", joined)

    def with_infinitive(self) -> Phrase:
        """Draw ``he tries to ...``, ``... in order to ...`` or ``... without ...ing``."""
        tense = self.tense()
        subject = self.argument(["person"])
        inner = self.clause("present", subject.silent(), plain=True)
        act = inner.infinitive()
        if self.chance(0.5):
            verb = self.rng.choice(lexicon.INFINITIVAL)
            main = self.statement(self.finished(tense, subject, verb, Complements(), self.chance(0.12)))
            return Phrase(f"{main.english} {act.english}", f"{main.german} , {act.german}")
        main = self.statement(self.clause(tense, subject, plain=self.chance(0.5)))
        if self.chance(0.75):
            order = self.rng.choice(["in order ", ""])
            return Phrase(f"{main.english} {order}{act.english}", f"{main.german} , um {act.german}")
        _, base, *rest = act.english.split(" ")
        text = " ".join(["without", lexicon.english.ing_form(base), *rest])
        return Phrase(f"{main.english} {text}", f"{main.german} , ohne {act.german}")

    def yes_no_question(self) -> Phrase:
        """Draw a question for yes or no."""
        clause = self.clause(self.tense())
        return Phrase(clause.english(question=True), clause.german("v1"))

    def w_question(self) -> Phrase:
        """Draw a question with ``who``, ``why``, ``when``, ``what``, ``which`` or ``how many``."""
        tense = self.tense()
        dice = self.rng.random()
        if dice < 0.2:
            clause = self.clause(tense, _WHO)
            return Phrase(clause.english(), clause.german())
        if dice < 0.5:
            word, forms = self.rng.choice([("why", ["warum", "wieso", "weshalb"]), ("when", ["wann"])])
            clause = replace(self.clause(tense), adverb=None)
            clause = replace(clause, time=None) if word == "when" else clause
            return Phrase(clause.english(question=True, front=word), clause.german(front=self.usual(forms)))
        verb = self.rng.choice(lexicon.TRANSITIVE)
        kind = self.rng.choice(verb.objects)
        front = self.asked_object(kind)
        clause = self.finished(tense, self.argument(verb.subjects), verb, self.with_extra(Complements()), False)
        return Phrase(clause.english(question=True, front=front.english), clause.german(front=front.german))

    def asked_object(self, kind: str) -> Phrase:
        """Draw ``what``, ``whom``, ``which book`` or ``how many books`` with their German accusatives."""
        noun = self.rng.choice(lexicon.NOUNS[kind])
        if self.chance(0.4):
            return Phrase("whom", "wen") if kind == "person" else Phrase("what", "was")
        if self.chance(0.4) and not noun.mass and not noun.pair:
            phrase = self.build(noun, ("how many", "wie viele"), None, plural=True)
        else:
            phrase = self.build(
                noun, ("which", "welch"), self.adjective(kind), plural=self.chance(0.2) and not noun.mass
            )
        return Phrase(phrase.object, phrase.german["acc"])

    def passive(self) -> Phrase:
        """Draw ``the letter was written by my sister``."""
        tense = self.rng.choice(["present", "past", "past"])
        verb = self.rng.choice([verb for verb in lexicon.TRANSITIVE if verb.english.base not in _NO_PASSIVE])
        subject = self.noun_phrase(verb.objects)
        parts = Complements()
        if self.chance(0.55):
            agent = self.argument(["person"])
            parts = Complements((f"by {agent.object}",), closing=(f"von {agent.german['dat']}",))
        parts = self.with_extra(parts)
        clause = self.finished(tense, subject, verb, parts, self.chance(0.1))
        forms = {"present": "passive-present", "past": "passive-preterite"}
        clause = replace(clause, english_form=f"passive-{tense}", german_form=forms[tense], modal=("", ""))
        return self.statement(clause)

    def existential(self) -> Phrase:
        """Draw ``there is a cat in the garden``."""
        tense = self.rng.choice(["present", "past"])
        thing = self.noun_phrase(["person", "animal", "place", "vehicle", "event"], simple=True)
        while not thing.english.startswith(("a ", "an ", "many ")) and not thing.english[0].isdigit():
            thing = self.noun_phrase(["person", "animal", "place", "vehicle", "event"], simple=True)
        place = self.place(self.rng.choice(["place", "place", "city"]), goal=False)
        there = replace(_THERE, english_number=thing.english_number)
        parts = Complements((thing.object, place.english), objects=(thing.german["acc"],), closing=(place.german,))
        clause = self.finished(tense, there, _THERE_IS, parts, negated=False, plain=self.chance(0.5))
        return self.statement(replace(clause, german_form="present" if tense == "present" else "preterite"))


_ASK = Verb(lexicon.english.parse_verb("ask"), (german.parse_verb("fragen"),))
_NO_PASSIVE = frozenset(("know", "love", "meet", "need", "lose", "look"))


def finish(text: str, mark: str) -> str:
    """Set commas and the final ``mark`` close to the words, drop doubled ones, begin with a capital."""
    text = re.sub(r"\s*,(\s*,)*", ",", f"{text} {mark}")
    text = re.sub(r",?\s*([.?])$", r"\1", re.sub(r"\s+", " ", text))
    text = text.lstrip(" ,")
    return text[0].upper() + text[1:]
