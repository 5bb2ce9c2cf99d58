"""German inflection and word order: articles, adjectives, nouns, verbs, clauses.

Cases are ``nom acc dat gen``; a column is a gender ``m f n`` or the plural ``p``. A person is 1, 2 or 3, a number
``s`` or ``p``; the polite ``Sie`` is the third person plural.
"""

from __future__ import annotations

from dataclasses import dataclass

CASES = ("nom", "acc", "dat", "gen")
_DEFINITE = {
    "m": ("der", "den", "dem", "des"),
    "f": ("die", "die", "der", "der"),
    "n": ("das", "das", "dem", "des"),
    "p": ("die", "die", "den", "der"),
}
_STRONG_ENDINGS = {
    "m": ("er", "en", "em", "es"),
    "f": ("e", "e", "er", "er"),
    "n": ("es", "es", "em", "es"),
    "p": ("e", "e", "en", "er"),
}
_RELATIVE = {**_DEFINITE, "p": ("die", "die", "denen", "deren")}
_CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("an", "das"): "ans",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("bei", "dem"): "beim",
    ("von", "dem"): "vom",
}
_REFLEXIVE = {(1, "s"): "mich", (2, "s"): "dich", (1, "p"): "uns", (2, "p"): "euch"}
_INSEPARABLE = ("be", "ver", "er", "ent", "emp", "zer", "ge", "miss")
_IRREGULAR_PRESENT = {
    "sein": ("bin", "bist", "ist", "sind", "seid", "sind"),
    "haben": ("habe", "hast", "hat", "haben", "habt", "haben"),
    "werden": ("werde", "wirst", "wird", "werden", "werdet", "werden"),
    "wissen": ("weiß", "weißt", "weiß", "wissen", "wisst", "wissen"),
    "können": ("kann", "kannst", "kann", "können", "könnt", "können"),
    "müssen": ("muss", "musst", "muss", "müssen", "müsst", "müssen"),
    "wollen": ("will", "willst", "will", "wollen", "wollt", "wollen"),
    "sollen": ("soll", "sollst", "soll", "sollen", "sollt", "sollen"),
    "dürfen": ("darf", "darfst", "darf", "dürfen", "dürft", "dürfen"),
}
_PRETERITE_OF_IRREGULAR = {
    "sein": "war",
    "haben": "hatte",
    "werden": "wurde",
    "wissen": "wusste",
    "können": "konnte",
    "müssen": "musste",
    "wollen": "wollte",
    "sollen": "sollte",
    "dürfen": "durfte",
}


@dataclass(frozen=True)
class GermanNoun:
    """A noun: ``genitive`` is an ending, ``w`` for the weak declension or ``-``; ``plural`` is ``-`` for a mass."""

    gender: str
    singular: str
    plural: str
    genitive: str


@dataclass(frozen=True)
class GermanVerb:
    """A verb by its principal parts, the separable prefix left out of all of them but ``participle``."""

    infinitive: str
    third: str
    preterite: str
    participle: str
    auxiliary: str = "haben"
    prefix: str = ""
    reflexive: bool = False


@dataclass(frozen=True)
class VerbGroup:
    """What a clause does with its verb: ``finite`` moves, ``prefix`` splits off it, ``tail`` closes the clause."""

    finite: str
    prefix: str = ""
    tail: str = ""


def decline_noun(noun: GermanNoun, case: str, plural: bool) -> str:
    """Return the form of ``noun`` in ``case``."""
    if plural:
        needs_n = case == "dat" and noun.plural[-1] not in "ns"
        return noun.plural + ("n" if needs_n else "")
    if noun.genitive == "w":
        return noun.singular if case == "nom" else noun.plural
    if case == "gen" and noun.genitive != "-":
        return noun.singular + noun.genitive
    return noun.singular


def determiner(word: str, case: str, column: str) -> str:
    """Inflect ``der``, an ein-word (``ein``, ``kein``, ``mein`` ...) or a stem such as ``dies``, ``jed``, ``viel``.

    An ein-word is recognised by its last letters; ``ein`` has no plural and gives the empty string there.
    """
    index = CASES.index(case)
    if word == "der":
        return _DEFINITE[column][index]
    bare = column == "m" and case == "nom" or column == "n" and case in ("nom", "acc")
    if is_ein_word(word):
        if word == "ein" and column == "p":
            return ""
        return word if bare else word + _STRONG_ENDINGS[column][index]
    return word + _STRONG_ENDINGS[column][index]


def is_ein_word(word: str) -> bool:
    """Tell whether ``word`` declines like ``ein``: no ending where der-words have -er and -es."""
    return word in ("ein", "kein", "mein", "dein", "sein", "ihr", "Ihr", "unser")


def adjective(stem: str, kind: str, case: str, column: str) -> str:
    """Inflect an attributive adjective; ``kind`` is ``weak``, ``mixed`` or ``strong``."""
    if stem in ("teuer", "dunkel"):
        stem = stem[:-2] + stem[-1]
    stem = stem.removesuffix("e")
    index = CASES.index(case)
    strong = _STRONG_ENDINGS[column][index]
    if kind == "strong":
        # the genitive of a strong masculine or neuter ends in -en: the noun's -s marks the case
        return stem + ("en" if case == "gen" and column in "mn" else strong)
    if column == "p" or case in ("dat", "gen") or (case == "acc" and column == "m"):
        return stem + "en"
    return stem + (strong if kind == "mixed" else "e")


def comparative(stem: str, irregular: str = "") -> str:
    """Return the comparative: -er on the given vowel-changed form or on the stem."""
    if irregular in ("besser", "dunkler"):
        return irregular
    if irregular:
        return irregular if irregular.endswith("er") else irregular + "er"
    return "teurer" if stem == "teuer" else stem + ("r" if stem.endswith("e") else "er")


def relative_pronoun(case: str, column: str) -> str:
    """Return the relative pronoun that agrees with ``column`` and stands in ``case``."""
    return _RELATIVE[column][CASES.index(case)]


def reflexive_pronoun(person: int, number: str) -> str:
    """Return the accusative reflexive pronoun."""
    return _REFLEXIVE.get((person, number), "sich")


def contract(preposition: str, phrase: str) -> str:
    """Join a preposition and a phrase, with ``im``, ``zum``, ``ins`` ... where the article allows it."""
    first, _, rest = phrase.partition(" ")
    short = _CONTRACTIONS.get((preposition, first))
    return f"{short} {rest}" if short and rest else f"{preposition} {phrase}"


def parse_verb(text: str) -> GermanVerb:
    """Read the notation of ``verbs.py``, for example ``ein.laden lädt lud geladen`` or ``sich aus.ruhen``."""
    words = text.split()
    reflexive = words[0] == "sich"
    auxiliary = "sein" if words[-1] == "+" else "haben"
    words = [word for word in words if word not in ("sich", "+")]
    prefix, _, infinitive = words[0].rpartition(".")
    if len(words) == 1:
        words += _weak_parts(infinitive)
    _, third, preterite, participle = words
    return GermanVerb(infinitive, third, preterite, prefix + participle, auxiliary, prefix, reflexive)


def _weak_parts(infinitive: str) -> list[str]:
    stem = _stem(infinitive)
    link = "e" if stem[-1] in "td" or stem.endswith(("fn", "chn")) else ""
    unprefixed = infinitive.startswith(_INSEPARABLE) or infinitive.endswith("ieren")
    participle = ("" if unprefixed else "ge") + stem + link + "t"
    return [stem + link + "t", stem + link + "te", participle]


def _stem(infinitive: str) -> str:
    return infinitive[:-1] if infinitive.endswith(("eln", "ern")) else infinitive[:-2]


def present(verb: GermanVerb, person: int, number: str) -> str:
    """Conjugate in the present tense, without the separable prefix."""
    slot = person - 1 + (3 if number == "p" else 0)
    if verb.infinitive in _IRREGULAR_PRESENT:
        return _IRREGULAR_PRESENT[verb.infinitive][slot]
    stem = _stem(verb.infinitive)
    link = "e" if stem[-1] in "td" or stem.endswith(("fn", "chn")) else ""
    if slot == 0:
        return stem[:-2] + "le" if verb.infinitive.endswith("eln") else stem + "e"
    if slot == 1:
        return _second_person(verb.third, stem)
    return (verb.third, verb.infinitive, stem + link + "t", verb.infinitive)[slot - 2]


def _second_person(third: str, stem: str) -> str:
    if stem.endswith("t") and not third.endswith("et"):
        return third + "st"  # hält, hältst: the ending of the third person is swallowed by the stem
    base = third.removesuffix("t")
    return base + ("t" if base[-1] in "sßzx" else "st")


def preterite(verb: GermanVerb, person: int, number: str) -> str:
    """Conjugate in the preterite, without the separable prefix."""
    form = _PRETERITE_OF_IRREGULAR.get(verb.infinitive, verb.preterite)
    weak = form.endswith("e")
    if number == "s":
        if person == 2:
            return form + ("est" if form[-1] in "tdsßz" else "st")
        return form
    if person == 2:
        return form + ("et" if form[-1] in "td" else "t")
    return form + ("n" if weak else "en")


def verb_group(verb: GermanVerb, form: str, person: int, number: str, modal: str = "") -> VerbGroup:
    """Build the verb of a clause.

    Args:
        verb: The full verb.
        form: ``present``, ``preterite``, ``perfect``, ``pluperfect``, ``future``, or the passives
            ``passive-present``, ``passive-preterite``; with ``modal`` the first two only.
        person: 1, 2 or 3.
        number: ``s`` or ``p``.
        modal: A modal verb that takes the full verb as its infinitive, or nothing.

    Returns:
        The finite form, the prefix that splits off it and the words that close the clause.
    """
    if modal:
        return VerbGroup(_finite(modal, form, person, number), tail=verb.prefix + verb.infinitive)
    if form in ("present", "preterite"):
        finite = present(verb, person, number) if form == "present" else preterite(verb, person, number)
        return VerbGroup(finite, prefix=verb.prefix)
    if form == "future":
        return VerbGroup(_finite("werden", "present", person, number), tail=verb.prefix + verb.infinitive)
    if form.startswith("passive-"):
        return VerbGroup(_finite("werden", form.removeprefix("passive-"), person, number), tail=verb.participle)
    tense = {"perfect": "present", "pluperfect": "preterite"}[form]
    return VerbGroup(_finite(verb.auxiliary, tense, person, number), tail=verb.participle)


def _finite(auxiliary: str, form: str, person: int, number: str) -> str:
    verb = GermanVerb(auxiliary, "", "", "")
    return present(verb, person, number) if form == "present" else preterite(verb, person, number)


def to_infinitive(verb: GermanVerb) -> str:
    """Return the infinitive with ``zu``, inside the verb where the prefix is separable."""
    return f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"


def arrange(order: str, front: str, subject: str, middle: list[str], group: VerbGroup) -> str:
    """Put a clause in order.

    Args:
        order: ``v2`` (statement, w-question), ``v1`` (yes-no question) or ``final`` (subordinate clause).
        front: What stands before the finite verb; in ``v2`` the subject when empty, in ``final`` the conjunction.
        subject: The subject, empty when it is the gap of a relative clause or left out after ``und``.
        middle: The other phrases, in order.
        group: The verb.

    Returns:
        The words of the clause, joined by spaces.
    """
    if order == "final":
        closing = [group.tail, group.prefix + group.finite] if group.tail else [group.prefix + group.finite]
        words = [front, subject, *middle, *closing]
    elif order == "v1":
        words = [front, group.finite, subject, *middle, group.prefix, group.tail]
    else:
        lead, rest = (front, subject) if front else (subject, "")
        words = [lead, group.finite, rest, *middle, group.prefix, group.tail]
    return " ".join(word for word in words if word)
