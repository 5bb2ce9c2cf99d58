"""The grammar of the quickstart corpus: inflection, word order, agreement, and the files it writes."""

import itertools
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts" / "quickstart"
sys.path.insert(0, str(FOLDER))

import corpus  # noqa: E402
import english  # noqa: E402
import german  # noqa: E402
import lexicon  # noqa: E402
from clauses import Clause, Complements  # noqa: E402
from phrases import NounPhrase, Phrase, inflect  # noqa: E402
from sentences import SentenceGrammar, finish  # noqa: E402

I = NounPhrase("I", "me", {"nom": "ich", "acc": "mich", "dat": "mir"}, "m", 1, german_person=1, pronoun=True)  # noqa: E741
HE = NounPhrase("he", "him", {"nom": "er", "acc": "ihn", "dat": "ihm"}, "m", pronoun=True, human=True)
LEHRER = inflect("der", "", german.GermanNoun("m", "Lehrer", "Lehrer", "s"), plural=False)
TEACHER = NounPhrase("the teacher", "the teacher", LEHRER, "m")


def noun(name: str) -> lexicon.Noun:
    return next(entry for entries in lexicon.NOUNS.values() for entry in entries if entry.english == name)


def verb(name: str, table: tuple[lexicon.Verb, ...] = lexicon.TRANSITIVE) -> lexicon.Verb:
    return next(v for v in table if " ".join(filter(None, (v.english.base, v.english.rest))) == name)


PRESENT = ("present", "present")


def clause(
    subject: NounPhrase, which: lexicon.Verb, forms: tuple[str, str], parts: Complements, **more: object
) -> Clause:
    return Clause(subject, which, which.german[0], *forms, parts, **more)


NOUN_PHRASES = """
der alt man s: der alte Mann|den alten Mann|dem alten Mann|des alten Mannes
ein alt man s: ein alter Mann|einen alten Mann|einem alten Mann|eines alten Mannes
der jung boy s: der junge Junge|den jungen Jungen|dem jungen Jungen|des jungen Jungen
mein klein child s: mein kleines Kind|mein kleines Kind|meinem kleinen Kind|meines kleinen Kindes
kein neu book p: keine neuen Bücher|keine neuen Bücher|keinen neuen Büchern|keiner neuen Bücher
- neu book p: neue Bücher|neue Bücher|neuen Büchern
- kalt milk s: kalte Milch|kalte Milch|kalter Milch
- heiß coffee s: heißer Kaffee|heißen Kaffee|heißem Kaffee
drei rot car p: drei rote Autos|drei rote Autos|drei roten Autos
dies müde woman s: diese müde Frau|diese müde Frau|dieser müden Frau|dieser müden Frau
ein müde man s: ein müder Mann|einen müden Mann|einem müden Mann|eines müden Mannes
jed - train s: jeder Zug|jeden Zug|jedem Zug|jedes Zuges
all teuer ring p: alle teuren Ringe|alle teuren Ringe|allen teuren Ringen|aller teuren Ringe
viel dunkel house p: viele dunkle Häuser|viele dunkle Häuser|vielen dunklen Häusern|vieler dunkler Häuser
unser - neighbour s: unser Nachbar|unseren Nachbarn|unserem Nachbarn|unseres Nachbarn
welch gut beer s: welches gute Bier|welches gute Bier|welchem guten Bier|welches guten Biers"""


@pytest.mark.parametrize("row", NOUN_PHRASES.strip().splitlines())
def test_article_adjective_and_noun_agree(row: str) -> None:
    parts, expected = row.split(": ")
    word, adjective, name, number = parts.replace("-", "").split(" ")
    plural = number == "p"
    assert "|".join(inflect(word, adjective, noun(name).german[0], plural).values()) == expected


GERMAN_VERBS = """
kaufen | kaufe kaufst kauft kaufen kauft kaufen | kaufte kauftest kaufte kauften kauftet kauften | gekauft | zu kaufen
warten | warte wartest wartet warten wartet warten | wartete wartetest wartete warteten wartetet warteten | gewartet \
| zu warten
lesen liest las gelesen | lese liest liest lesen lest lesen | las lasest las lasen last lasen | gelesen | zu lesen
geben gibt gab gegeben | gebe gibst gibt geben gebt geben | gab gabst gab gaben gabt gaben | gegeben | zu geben
halten hält hielt gehalten | halte hältst hält halten haltet halten | hielt hieltest hielt hielten hieltet hielten \
| gehalten | zu halten
ein.laden lädt lud geladen | lade lädst lädt laden ladet laden | lud ludest lud luden ludet luden | eingeladen \
| einzuladen
zahlen | zahle zahlst zahlt zahlen zahlt zahlen | zahlte zahltest zahlte zahlten zahltet zahlten | gezahlt | zu zahlen
spielen | spiele spielst spielt spielen spielt spielen | spielte spieltest spielte spielten spieltet spielten \
| gespielt | zu spielen
lächeln | lächle lächelst lächelt lächeln lächelt lächeln | lächelte lächeltest lächelte lächelten lächeltet lächelten \
| gelächelt | zu lächeln
sein ist war gewesen + | bin bist ist sind seid sind | war warst war waren wart waren | gewesen | zu sein
verfehlen | verfehle verfehlst verfehlt verfehlen verfehlt verfehlen \
| verfehlte verfehltest verfehlte verfehlten verfehltet verfehlten | verfehlt | zu verfehlen
reparieren | repariere reparierst repariert reparieren repariert reparieren \
| reparierte repariertest reparierte reparierten repariertet reparierten | repariert | zu reparieren"""


@pytest.mark.parametrize("row", GERMAN_VERBS.strip().splitlines())
def test_german_verbs_conjugate(row: str) -> None:
    text, present, preterite, participle, infinitive = (field.strip() for field in row.split("|"))
    parsed = german.parse_verb(text)
    slots = [(person, number) for number in "sp" for person in (1, 2, 3)]
    assert " ".join(german.present(parsed, *slot) for slot in slots) == present
    assert " ".join(german.preterite(parsed, *slot) for slot in slots) == preterite
    assert (parsed.participle, german.to_infinitive(parsed)) == (participle, infinitive)


@pytest.mark.parametrize(
    ("text", "third", "past", "ing"),
    [
        ("stop", "stops", "stopped", "stopping"),
        ("carry", "carries", "carried", "carrying"),
        ("watch", "watches", "watched", "watching"),
        ("go/went/gone", "goes", "went", "going"),
        ("visit", "visits", "visited", "visiting"),
        ("lie/lay/lain", "lies", "lay", "lying"),
        ("dance", "dances", "danced", "dancing"),
        ("travel", "travels", "travelled", "travelling"),
        ("have/had/had", "has", "had", "having"),
        ("answer", "answers", "answered", "answering"),
    ],
)
def test_english_verbs_conjugate(text: str, third: str, past: str, ing: str) -> None:
    parsed = english.parse_verb(text)
    assert (english.third_person(parsed.base), parsed.past, english.ing_form(parsed.base)) == (third, past, ing)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("old car", "an old car"),
        ("car", "a car"),
        ("university", "a university"),
        ("hour", "an hour"),
        ("egg", "an egg"),
    ],
)
def test_the_english_article_follows_the_sound(phrase: str, expected: str) -> None:
    assert english.with_article(phrase) == expected


def test_english_comparatives_are_long_or_short() -> None:
    words = ["old", "big", "happy", "expensive", "brave", "good", "famous"]
    expected = ["older", "bigger", "happier", "more expensive", "braver", "better", "more famous"]
    assert [english.comparative(word) for word in words] == expected


def test_a_separable_verb_splits_in_the_main_clause_and_joins_in_the_subordinate_clause() -> None:
    call = clause(HE, verb("call"), PRESENT, Complements(("the teacher",), objects=("den Lehrer",)))
    assert call.german() == "er ruft den Lehrer an"
    assert call.german("final", "weil") == "weil er den Lehrer anruft"
    assert call.infinitive() == Phrase("to call the teacher", "den Lehrer anzurufen")
    assert replace(call, german_form="perfect").german() == "er hat den Lehrer angerufen"


def test_the_finite_verb_stays_second_after_a_fronted_adverbial() -> None:
    parts = Complements(("a book",), objects=("ein Buch",))
    buy = clause(HE, verb("buy"), ("past", "preterite"), parts, time=Phrase("yesterday", "gestern"))
    assert buy.german() == "er kaufte gestern ein Buch"
    assert buy.german(front="gestern", timed=False) == "gestern kaufte er ein Buch"
    assert buy.english() == "he bought a book yesterday"
    assert buy.english(question=True) == "did he buy a book yesterday"
    assert buy.german("v1") == "kaufte er gestern ein Buch"


def test_modals_and_perfects_close_the_clause() -> None:
    parts = Complements(("home",), closing=("nach Hause",))
    go = clause(HE, verb("go", lexicon.MOTION), PRESENT, parts, modal=("have to", "müssen"))
    assert (go.english(), go.german()) == ("he has to go home", "er muss nach Hause gehen")
    assert go.german("final", "dass") == "dass er nach Hause gehen muss"
    perfect = replace(go, modal=("", ""), english_form="perfect", german_form="perfect")
    assert (perfect.english(), perfect.german("final", "ob")) == ("he has gone home", "ob er nach Hause gegangen ist")


def test_negation_takes_do_in_english_and_nicht_or_kein_in_german() -> None:
    see = clause(HE, verb("see"), PRESENT, Complements(("the car",), objects=("das Auto",)), negated=True)
    assert (see.english(), see.german()) == ("he does not see the car", "er sieht das Auto nicht")
    none = replace(see, complements=Complements(("a car",), objects=("kein Auto",)))
    assert (none.english(), none.german()) == ("he does not see a car", "er sieht kein Auto")
    none = replace(see, complements=Complements(("a friend",), closing=("auf keinen Freund",)))
    assert "nicht" not in none.german()


def test_reflexive_pronouns_agree_with_the_subject_and_may_precede_it() -> None:
    rest = verb("rest", lexicon.INTRANSITIVE)
    assert clause(I, rest, PRESENT, Complements()).german() == "ich ruhe mich aus"
    his = clause(TEACHER, rest, ("past", "perfect"), Complements())
    assert his.german("final", "weil") == "weil sich der Lehrer ausgeruht hat"
    assert replace(his, pronoun_first=False).german("v1") == "hat der Lehrer sich ausgeruht"
    assert his.german() == "der Lehrer hat sich ausgeruht"


def test_relative_pronouns_agree_with_the_noun_and_take_the_case_of_the_gap() -> None:
    assert [german.relative_pronoun(case, "m") for case in german.CASES[:3]] == ["der", "den", "dem"]
    assert german.relative_pronoun("dat", "p") == "denen"
    grammar = SentenceGrammar(random.Random(3))
    for _ in range(100):
        phrase = grammar.object_gap(TEACHER, "person", verb("wait for", lexicon.PREPOSITIONAL))
        assert phrase.german["acc"].startswith("den Lehrer , auf den ")
        phrase = grammar.object_gap(TEACHER, "person", verb("help", lexicon.DATIVE))
        assert phrase.german["dat"].startswith("dem Lehrer , dem ")


def test_prepositions_contract_and_two_way_prepositions_choose_their_case() -> None:
    assert german.contract("in", "dem Garten") == "im Garten"
    assert german.contract("zu", "der Schule") == "zur Schule"
    assert german.contract("in", "diesem Garten") == "in diesem Garten"
    grammar = SentenceGrammar(random.Random(1))
    for _ in range(200):
        place, goal = grammar.place("furniture", goal=False).german, grammar.place("furniture", goal=True).german
        assert not re.search(r" (das|die|den|ein|eine|einen|dieses|diese|diesen) \w+[^ns]$", place), place
        assert not re.search(r" (dem|einem|diesem|meinem) |^(im|am) ", goal), goal


def test_english_and_german_may_disagree_in_number() -> None:
    grammar = SentenceGrammar(random.Random(1))
    phrase = grammar.build(noun("trousers"), ("the", "der"), None, plural=False)
    here = Complements(("here",), closing=("hier",))
    lie = clause(phrase, verb("lie", lexicon.LOCATION), PRESENT, here)
    assert (lie.english(), lie.german()) == ("the trousers lie here", "die Hose liegt hier")


def test_the_genitive_follows_the_owned_thing_and_names_precede_it() -> None:
    grammar = SentenceGrammar(random.Random(5))
    forms = {grammar.owned(noun("key"), TEACHER).german["nom"] for _ in range(300)}
    assert "der Schlüssel des Lehrers" in forms and "der Schlüssel vom Lehrer" in forms
    anna = NounPhrase("Anna", "Anna", {"nom": "Anna", "acc": "Anna", "dat": "Anna", "gen": "Annas"}, "f")
    forms = {grammar.owned(noun("key"), anna).german["nom"] for _ in range(300)}
    assert "Annas Schlüssel" in forms and "der Schlüssel von Anna" in forms


def test_commas_merge_and_sentences_begin_with_a_capital() -> None:
    assert finish("der Mann , der schläft , , weil er müde ist ,", ".") == "Der Mann, der schläft, weil er müde ist."


@pytest.fixture(scope="module")
def sample() -> list[Phrase]:
    return list(itertools.islice(corpus.draw(7, 2), 20_000))


def test_more_than_99_percent_of_20000_pairs_are_distinct(sample: list[Phrase]) -> None:
    assert len(sample) == 20_000
    assert len(set(sample)) > 0.99 * len(sample)
    assert corpus.estimate_distinct(sample) > 1e6


def test_sentences_are_well_formed_text(sample: list[Phrase]) -> None:
    for pair in sample:
        for text in (pair.english, pair.german):
            assert not text[0].islower() and text[-1] in ".?" and "  " not in text, text
            assert " ," not in text and ",," not in text and ",." not in text, text
            assert re.fullmatch(r"[a-zA-ZäöüÄÖÜß0-9 .,:?'-]+", text), text


def test_some_sources_have_several_translations() -> None:
    grammar = SentenceGrammar(random.Random(2))
    bought = clause(HE, verb("buy"), ("past", "preterite"), Complements())
    forms = {grammar.verb_forms("past", False, bought.german_verb, False, False) for _ in range(200)}
    assert forms == {("past", "preterite"), ("past", "perfect")}
    assert {grammar.usual(["Auto", "Wagen"]) for _ in range(200)} == {"Auto", "Wagen"}


def test_splits_are_disjoint_and_repeatable() -> None:
    sizes = {"test": 50, "valid": 30, "train": 400}
    first, second = (corpus.split_corpus(corpus.draw(3, 1), sizes) for _ in range(2))
    assert first == second and {name: len(rows) for name, rows in first.items()} == sizes
    sources = [row.english for rows in first.values() for row in rows]
    assert len(set(sources)) == len(sources)
    assert all(5 <= len(source.split()) <= 32 for source in sources)


def test_the_command_writes_parallel_files_that_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for processes in ("1", "2"):
        command = [sys.executable, str(FOLDER / "corpus.py"), "--out", str(tmp_path / processes), "--train", "300"]
        subprocess.run([*command, "--valid", "20", "--test", "20", "--processes", processes], check=True)
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert names == ["test.de", "test.en", "train.de", "train.en", "valid.de", "valid.en"]
    for name in names:
        lines = (tmp_path / "1" / name).read_text("utf-8").splitlines()
        assert len(lines) == (300 if name.startswith("train") else 20)
        assert (tmp_path / "2" / name).read_text("utf-8").splitlines() == lines


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "corpus.py"), "--out", str(tmp_path), "--train", "0"]
    result = subprocess.run([*command, "--valid", "1", "--test", "1"], capture_output=True, text=True)
    assert result.returncode == 2 and "must be at least 1" in result.stderr
