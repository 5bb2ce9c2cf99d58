"""Grammar errors: agreement, number, articles, prepositions, verb forms, confused words."""

from __future__ import annotations

from random import Random

from . import lexicon
from .inflection import IRREGULAR_BASES, PLURALS, SINGULARS, VERBS, Verb, regular, singular, with_ed, with_s
from .lexicon import words_of
from .words import CLITICS, Word, insert, remove

AGREEMENT = {
    one: other
    for pair in ("is are", "was were", "has have", "does do", "doesn't don't", "isn't aren't", "wasn't weren't",
                 "hasn't haven't", "am is")
    for one, other in (pair.split(), pair.split()[::-1])
    if one != "is" or other != "am"
}  # fmt: skip
BE = words_of("am is are was were be been being 's 're 'm")
HAVE = words_of("have has had having 've")
MODALS = words_of("can could will would shall should may might must 'll 'd do does did ca wo cannot")
NEGATIONS = words_of("not n't never also always")
PLURAL_SUBJECTS = words_of("i you we they people who these those many")
SUBJECTS = PLURAL_SUBJECTS | words_of("he she it that which")
DETERMINERS = words_of("a an the this that these those my your his her its our their some any no each every one")
ARTICLES = ("a", "an", "the")
OPEN_ENDS = words_of("of in on at for from with to is are was were and or that which who has have , . ; : ? ! ) 's")
NOUN_ENDINGS = ("tion", "ment", "ness", "ity", "ist", "age", "ism", "ship", "ance", "ence", "ture")
PREPOSITIONS = words_of(lexicon.PREPOSITIONS)
PREPOSITION_SWAPS = {row[0]: row[1:] for row in lexicon.rows_of(lexicon.PREPOSITION_SWAPS, ";")}
SMALL = PREPOSITIONS | DETERMINERS | SUBJECTS | BE | HAVE | MODALS | NEGATIONS | words_of(lexicon.ADVERBS)
UNCOUNTABLE = words_of(lexicon.UNCOUNTABLE)
OTHER_FORMS = {"been": "be", "being": "been", "had": "have", "did": "do"}


def _confusions() -> dict[str, tuple[str, ...]]:
    others: dict[str, tuple[str, ...]] = {}
    for row in lexicon.rows_of(lexicon.CONFUSION_SETS, ";"):
        for word in row:
            others[word] = others.get(word, ()) + tuple(other for other in row if other != word)
    return others


CONFUSIONS = _confusions()
DEMONSTRATIVES = {"this": "these", "these": "this", "that": "those", "those": "that"}


def before(words: list[Word], i: int) -> str:
    """Give the word before ``i``, past a negation or an adverb, in lower case; empty at the start."""
    i -= 1
    while i > 0 and words[i].lower in NEGATIONS:
        i -= 1
    return words[i].lower if i >= 0 else ""


def _after(words: list[Word], i: int) -> str:
    return words[i + 1].lower if i + 1 < len(words) else "."


def _is_plain(word: Word) -> bool:
    return word.text.isalpha() and word.text.islower()


def agreement(words: list[Word], i: int, rng: Random) -> bool:
    """Let the verb disagree with its subject."""
    word = words[i]
    other = AGREEMENT.get(word.lower)
    if other is not None:
        return word.put(other)
    verb = VERBS.get(word.lower)
    if verb is None or not _is_plain(word):
        return False
    previous = before(words, i)
    if word.lower == verb.third and previous not in DETERMINERS - {"that", "this", "one"}:
        return word.put(verb.base)
    if word.lower == verb.base and (previous in PLURAL_SUBJECTS or previous in SINGULARS):
        return word.put(verb.third)
    return False


def noun_number(words: list[Word], i: int, rng: Random) -> bool:
    """Make a plural noun singular, or a singular noun plural where the place says that it is a noun."""
    word = words[i]
    if not _is_plain(word) or word.lower in CLITICS:
        return False
    one = singular(word.lower)
    if one is not None:
        verb = VERBS.get(word.lower)
        if verb is not None and word.lower == verb.third and word.lower not in SINGULARS:
            return False
        return word.put(one)
    known = PLURALS.get(word.lower)
    if known is None and (word.lower in UNCOUNTABLE or word.lower.endswith(NOUN_ENDINGS)):
        known = with_s(word.lower)
    if known is None and before(words, i) in DETERMINERS and word.lower not in SMALL and _after(words, i) in OPEN_ENDS:
        known = with_s(word.lower)
    return known is not None and _after(words, i) not in PLURALS and word.put(known)


def article_drop(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out an article."""
    return words[i].lower in ARTICLES and len(words) > 2 and remove(words, i)


def article_swap(words: list[Word], i: int, rng: Random) -> bool:
    """Take another article: a for an, the for a, a for the."""
    word = words[i]
    if word.lower not in ARTICLES:
        return False
    if word.lower == "the":
        if rng.random() < 0.5:  # a is seldom wrong where the is right
            return False
        following = _after(words, i)
        right = "an" if following[0] in "aeio" else "a"
        return word.put(right if rng.random() < 0.85 else "an" if right == "a" else "a")
    return word.put("the" if rng.random() < 0.4 else "an" if word.lower == "a" else "a")


def article_insert(words: list[Word], i: int, rng: Random) -> bool:
    """Put an article before a noun that has none."""
    word = words[i]
    lower = word.lower
    looks_like_noun = lower in SINGULARS or lower in UNCOUNTABLE or lower in PLURALS or lower.endswith(NOUN_ENDINGS)
    previous = words[i - 1].lower if i else ""
    if not looks_like_noun or not word.text.isalpha() or i == 0 and rng.random() < 0.5:
        return False
    if previous in DETERMINERS or not (i == 0 or previous in PREPOSITIONS or previous in VERBS or previous in BE):
        return False
    return insert(words, i, "the" if rng.random() < 0.75 or lower in SINGULARS else "an" if lower[0] in "aeio" else "a")


def preposition_swap(words: list[Word], i: int, rng: Random) -> bool:
    """Take another preposition."""
    swaps = PREPOSITION_SWAPS.get(words[i].lower)
    if swaps is None or words[i].lower == "to" and _after(words, i) in VERBS:
        return False
    return words[i].put(rng.choice(swaps))


def preposition_drop(words: list[Word], i: int, rng: Random) -> bool:
    """Leave out a preposition or the 'to' of an infinitive."""
    return i > 0 and words[i].lower in PREPOSITIONS and i + 1 < len(words) and remove(words, i)


def preposition_insert(words: list[Word], i: int, rng: Random) -> bool:
    """Put a preposition between a verb and its object."""
    previous = words[i - 1].lower if i else ""
    if previous not in VERBS or not words[i].text[0].isalpha() or words[i].lower in PREPOSITIONS | CLITICS:
        return False
    return insert(words, i, rng.choice(("to", "to", "of", "for", "about", "in", "on", "with", "at")))


def _verb_at(words: list[Word], i: int) -> Verb | None:
    """Find the verb whose form stands here: in the table, or any plain word right after a modal verb."""
    word = words[i]
    verb = VERBS.get(word.lower)
    if verb is None and before(words, i) in MODALS and word.lower not in SMALL and len(word.lower) > 2:
        verb = regular(word.lower) if word.text.isalpha() and not word.lower.endswith("ly") else None
    return verb


def verb_form(words: list[Word], i: int, rng: Random) -> bool:
    """Take another form of a verb: tense, participle, infinitive, gerund, or a form that does not exist."""
    word = words[i]
    if word.lower in OTHER_FORMS:
        return word.put(OTHER_FORMS[word.lower])
    verb = _verb_at(words, i) if word.text.isalpha() and (word.text.islower() or i == 0) else None
    if verb is None:
        return False
    previous = before(words, i)
    if word.lower == verb.base:
        if previous in MODALS and rng.random() < 0.15:
            return insert(words, i, "to")
        if previous in MODALS or previous == "to" or previous in SUBJECTS:
            return word.put(rng.choice((verb.ing, verb.past, verb.third, verb.participle)))
        return False
    if word.lower == verb.ing:
        if previous not in BE and i > 0 and rng.random() < 0.4:
            word.put(verb.base)
            return insert(words, i, "to")
        return word.put(rng.choice((verb.base, verb.base, verb.past)))
    if word.lower in (verb.past, verb.participle):
        # nothing in the sentence may tell the right tense of a verb that stands alone
        if previous not in BE and previous not in HAVE and rng.random() < 0.6:
            return False
        return word.put(rng.choice(_instead_of_past(verb, previous, word.lower)))
    return word.put(rng.choice((verb.base, verb.ing, verb.past)))


def _instead_of_past(verb: Verb, previous: str, form: str) -> list[str]:
    forms = [verb.base, verb.past, verb.participle]
    if verb.base in IRREGULAR_BASES:
        forms.append(with_ed(verb.base))  # "goed", "catched"
    forms.append(verb.ing if previous in HAVE or previous in BE else verb.third)
    return [other for other in forms if other != form]


def word_form(words: list[Word], i: int, rng: Random) -> bool:
    """Confuse adjective, adverb and noun by their endings."""
    word = words[i]
    if len(word.lower) < 6 or not _is_plain(word) or word.lower in NO_SUCH_ENDING:
        return False
    if word.lower.endswith("er") and _after(words, i) == "than":
        return word.put(word.lower[:-2])
    for ending, others in WORD_FORMS:
        if word.lower.endswith(ending):
            return word.put(word.lower[: len(word.lower) - len(ending)] + rng.choice(others))
    return False


WORD_FORMS = (
    ("ically", ("ical", "icly", "ic")), ("fully", ("ful", "fuly")), ("ably", ("able", "ablely")), ("ly", ("",)),
    ("ance", ("ant",)), ("ence", ("ent",)), ("ful", ("", "fully")), ("ative", ("ation", "atively")),
    ("ous", ("ously",)), ("ical", ("ic", "ically")), ("ness", ("",)), ("ic", ("ical",)),
)  # fmt: skip
NO_SUCH_ENDING = words_of(
    """family supply assembly anomaly monopoly italy butterfly science sentence influence audience experience conference
    reference sequence preference essence existence sentence advance chance finance balance romance instance insurance
    entrance performance substance alliance appliance guidance acceptance appearance assistance attendance maintenance
    music topic public traffic fabric logic republic critic mechanic electric arctic panic plastic business harness
    witness previous serious various obvious enormous delicious religious famous"""
)


def more_twice(words: list[Word], i: int, rng: Random) -> bool:
    """Write 'more' before a comparative that needs none, or leave it out."""
    if words[i].lower in ("more", "most") and i + 1 < len(words) and words[i + 1].text.isalpha():
        return remove(words, i)
    return words[i].lower in COMPARATIVES and insert(words, i, "more")


COMPARATIVES = words_of("better easier bigger faster cheaper older younger worse larger smaller higher lower safer")


def confusion(words: list[Word], i: int, rng: Random) -> bool:
    """Take a word that is often taken for this one, also where tokenised text splits one of the two."""
    word, following = words[i], _after(words, i)
    if following == "'re" and word.lower in ("you", "they", "we"):
        words.pop(i + 1)
        return word.put({"you": "your", "they": "their", "we": "were"}[word.lower])
    if following == "'s" and word.lower in ("it", "who") and i + 2 < len(words):
        words.pop(i + 1)
        return word.put({"it": "its", "who": "whose"}[word.lower])
    if word.lower in DEMONSTRATIVES and (word.lower in ("these", "those") or following in SINGULARS):
        return word.put(DEMONSTRATIVES[word.lower])
    others = CONFUSIONS.get(word.lower)
    return others is not None and (word.text != "US") and word.put(rng.choice(others))


ERRORS = {
    "agreement": agreement,
    "noun_number": noun_number,
    "article_drop": article_drop,
    "article_swap": article_swap,
    "article_insert": article_insert,
    "preposition_swap": preposition_swap,
    "preposition_drop": preposition_drop,
    "preposition_insert": preposition_insert,
    "verb_form": verb_form,
    "word_form": word_form,
    "more_twice": more_twice,
    "confusion": confusion,
}
