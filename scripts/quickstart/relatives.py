"""Relative clauses in both languages at once."""

from __future__ import annotations

import german
import lexicon
from clauses import Clause, ClauseGrammar, Complements
from lexicon import Verb
from phrases import NounPhrase

_TENSES = ("present", "present", "past", "past", "perfect")
_ACTIVE = ("person", "animal", "vehicle")  # kinds that have verbs of their own; the others may only be old or red


class RelativeGrammar(ClauseGrammar):
    """Draws noun phrases with a relative clause: the gap is the subject or an object."""

    def with_relative(self, kind: str) -> NounPhrase:
        """Draw ``the man who lives in Berlin``, ``the book that he reads`` or ``the friend he is waiting for``.

        The German pronoun agrees with its noun in gender and number, and its case is that of the gap.
        """
        head = self.determined(self.rng.choice(lexicon.NOUNS[kind]))
        self.nested = True
        by_object = [verb for verb in (*lexicon.TRANSITIVE, *lexicon.DATIVE) if kind in verb.objects]
        by_preposition = [verb for verb in lexicon.PREPOSITIONAL if kind in verb.objects]
        dice = self.rng.random()
        if by_preposition and dice < 0.2:
            phrase = self.object_gap(head, kind, self.rng.choice(by_preposition))
        elif by_object and dice < 0.55:
            phrase = self.object_gap(head, kind, self.rng.choice(by_object))
        else:
            phrase = self.subject_gap(head, kind)
        self.nested = False
        return phrase

    def subject_gap(self, head: NounPhrase, kind: str) -> NounPhrase:
        """Add a clause whose subject is ``head``."""
        tense = self.rng.choice(_TENSES if kind in _ACTIVE else _TENSES[:-1])
        clause = self.clause(tense, head.silent(), kind, plain=True)
        word = self.usual(["who", "that"] if kind == "person" else ["that", "which"])
        pronoun = german.relative_pronoun("nom", head.column)
        return self._attached(head, clause, word, pronoun)

    def object_gap(self, head: NounPhrase, kind: str, verb: Verb) -> NounPhrase:
        """Add a clause whose object, with or without a preposition, is ``head``."""
        subject = self.participant(verb.subjects, simple=True)
        clause = self.finished(self.rng.choice(_TENSES), subject, verb, Complements(), negated=False, plain=True)
        if verb.preposition:
            preposition, case = verb.preposition
            pronoun = f"{preposition} {german.relative_pronoun(case, head.column)}"
        else:
            pronoun = german.relative_pronoun("dat" if verb in lexicon.DATIVE else "acc", head.column)
        word = self.rng.choice(["that", "", "whom" if kind == "person" else "which"])
        return self._attached(head, clause, word, pronoun)

    def _attached(self, head: NounPhrase, clause: Clause, word: str, pronoun: str) -> NounPhrase:
        english = clause.english(front=word)
        return head.extended(english, f", {clause.german('final', pronoun)} ,")
