"""Data for error correction: synthetic learners' errors, M2 to pairs, and held-out parts that stay out of training."""

import gzip
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts" / "data"
sys.path.insert(0, str(FOLDER))

import gec  # noqa: E402
import gec_english  # noqa: E402
import gec_gold  # noqa: E402
from learner_errors import ERRORS, ErrorConfig, ErrorGenerator, inflection, load_config  # noqa: E402
from learner_errors.words import insert, join, remove, split  # noqa: E402

CONFIG = FOLDER / "learner_errors.yaml"
RAW = (
    "However, I don't think that they're always happy because the teacher has given them important information.",
    "My friends usually go to school together, although it's more difficult to find a lot of time in the morning.",
    "She can write letters to her parents every day. It is better than the old way, isn't it?",
    "This student enjoys reading books without help and quickly learns new words.",
)
TOKENISED = tuple(gec_english.tokenise(line) for line in RAW)


def make(line: str, kind: str, tries: int = 60) -> set[str]:
    """Collect what one type of error makes of a line."""
    config = ErrorConfig(clean_share=0, errors_per_token=0, types={kind: 1})
    generator = ErrorGenerator(config, 7)
    return {generator.corrupt(line, str(key))[0] for key in range(tries)} - {line}


@pytest.mark.parametrize("kind", sorted(ERRORS))
@pytest.mark.parametrize("lines", [RAW, TOKENISED], ids=["raw", "tokenised"])
def test_each_type_of_error_changes_sentences_and_keeps_them_sane(kind, lines):
    made = {line: make(line, kind) for line in lines}
    assert any(made.values())
    for line, wrongs in made.items():
        for wrong in wrongs:
            assert wrong == wrong.strip() and "  " not in wrong
            assert abs(len(wrong.split()) - len(line.split())) <= 3
            assert abs(len(wrong) - len(line)) <= 16
            assert set(wrong.lower()) - set(line.lower()) <= set("abcdefghijklmnopqrstuvwxyz,. ")


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("known_misspelling", "They receive it .", "They recieve it ."),
        ("transpose", "A world .", "A wolrd ."),
        ("by_ear", "He believes .", "He beleives ."),
        ("agreement", "He is here .", "He are here ."),
        ("agreement", "He doesn't know.", "He don't know."),
        ("agreement", "She makes cakes .", "She make cakes ."),
        ("noun_number", "Two books .", "Two book ."),
        ("noun_number", "A city .", "A cities ."),
        ("noun_number", "The information .", "The informations ."),
        ("article_drop", "The dog barks .", "Dog barks ."),
        ("article_swap", "It is a dog .", "It is an dog ."),
        ("article_insert", "I like music .", "I like the music ."),
        ("preposition_swap", "I live in it .", "I live on it ."),
        ("preposition_drop", "I listen to music .", "I listen music ."),
        ("preposition_insert", "We discuss problems .", "We discuss about problems ."),
        ("verb_form", "He has gone .", "He has went ."),
        ("verb_form", "I can swim .", "I can to swim ."),
        ("verb_form", "I enjoy swimming .", "I enjoy to swim ."),
        ("word_form", "He runs quickly .", "He runs quick ."),
        ("more_twice", "It is easier .", "It is more easier ."),
        ("confusion", "It 's raining .", "Its raining ."),
        ("confusion", "Their dog .", "There dog ."),
        ("confusion", "You 're right .", "Your right ."),
        ("swap_words", "The very dog", "Very the dog"),
        ("move_adverb", "He always goes home .", "He goes always home ."),
        ("comma_drop", "Well , yes .", "Well yes ."),
        ("comma_insert", "I know that it works .", "I know , that it works ."),
        ("comma_insert", "I know that it works.", "I know, that it works."),
        ("stop_drop", "It works .", "It works"),
        ("stop_drop", "It works. He knows.", "It works, he knows."),
        ("stop_swap", "Why ?", "Why ."),
        ("apostrophe", "I do n't .", "I dont ."),
        ("apostrophe", "I don't.", "I dont."),
        ("lower_case", "So I go .", "So i go ."),
        ("upper_case", "a big dog .", "a big Dog ."),
        ("merge", "I eat a lot .", "I eat alot ."),
        ("split_word", "Go into it .", "Go in to it ."),
        ("space_lost", "Yes, it works.", "Yes,it works."),
        ("missing_word", "He is at home .", "He at home ."),
        ("repeat_word", "It is in Rome .", "It is in in Rome ."),
    ],
)
def test_the_usual_mistake_is_among_the_errors(kind, right, wrong):
    assert wrong in make(right, kind, tries=400)


def test_splitting_and_joining_words_gives_the_line_back():
    for line in (*RAW, *TOKENISED, 'He said: "3.5% of it’s mine" ( or so ) … naïve co-op 1,000'):
        assert join(split(line)) == line


def test_a_removed_first_word_leaves_its_capital_and_an_inserted_one_takes_it():
    words = split("The dog barks .")
    remove(words, 0)
    assert join(words) == "Dog barks ."
    insert(words, 0, "a")
    assert join(words) == "A dog barks ."


@pytest.mark.parametrize(
    ("base", "forms"),
    [
        ("go", "goes went gone going"),
        ("stop", "stops stopped stopped stopping"),
        ("study", "studies studied studied studying"),
        ("refer", "refers referred referred referring"),
        ("lie", "lies lay lain lying"),
        ("write", "writes wrote written writing"),
        ("watch", "watches watched watched watching"),
        ("open", "opens opened opened opening"),
        ("agree", "agrees agreed agreed agreeing"),
    ],
)
def test_verbs_inflect(base, forms):
    assert inflection.VERBS[base] == (base, *forms.split())


def test_plurals_lose_their_ending_and_other_words_in_s_do_not():
    assert [inflection.singular(word) for word in ("cities", "boxes", "children", "houses", "dogs")] == [
        "city",
        "box",
        "child",
        "house",
        "dog",
    ]
    assert [inflection.singular(word) for word in ("always", "class", "physics", "his", "famous")] == [None] * 5


def test_errors_depend_on_seed_and_line_number_alone(tmp_path):
    lines = [line for _ in range(20) for line in RAW]
    (tmp_path / "all.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in lines[:33]), "utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines[33:])
    run("errors", tmp_path / "all.txt", "--out-prefix", tmp_path / "one", "--seed", 3, "--repeat", 2)
    run(
        "errors",
        tmp_path / "a.txt",
        tmp_path / "b.txt.gz",
        "--out-prefix",
        tmp_path / "two",
        "--seed",
        3,
        "--repeat",
        2,
    )
    run("errors", tmp_path / "all.txt", "--out-prefix", tmp_path / "other", "--seed", 4, "--repeat", 2)
    one, two, other = ((tmp_path / f"{name}.src").read_text("utf-8") for name in ("one", "two", "other"))
    assert one == two != other
    assert one.splitlines()[:80] != one.splitlines()[80:]
    assert (tmp_path / "one.tgt").read_text("utf-8").splitlines() == lines * 2


def test_rates_of_errors_and_of_clean_sentences_are_those_of_the_config():
    config = load_config(CONFIG)
    generator = ErrorGenerator(config, 1)
    line = "We think that the students of this school always write long letters to their old teachers in the morning ."
    length = len(split(line))
    counts = [len(generator.corrupt(line, str(key))[1]) for key in range(600)]
    wrong = [count for count in counts if count]
    assert abs(1 - len(wrong) / len(counts) - config.clean_share) < 0.05
    assert abs(sum(wrong) / len(wrong) / length - config.errors_per_token) < 0.02
    assert max(counts) <= config.most * length + 1


def test_weights_decide_how_often_a_type_is_drawn():
    config = ErrorConfig(clean_share=0, types={"drop_letter": 3, "keyboard": 1})
    generator = ErrorGenerator(config, 1)
    names = [name for key in range(800) for name in generator.corrupt(RAW[0], str(key))[1]]
    assert abs(names.count("drop_letter") / len(names) - 0.75) < 0.05


def test_the_config_names_every_type_of_error():
    assert set(load_config(CONFIG).types) == set(ERRORS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("types: {keybord: 1}", "Unknown error type 'keybord'. Did you mean 'keyboard'?"),
        ("clean_share: 1.5", "clean_share must be a number from 0 to 1, got 1.5"),
        ("types: {keyboard: -1}", "weight of 'keyboard' must be 0 or more, got -1"),
        ("types: {keyboard: 0}", "above 0 to some type"),
        ("clean: 1", "got ['clean']: remove the rest"),
    ],
)
def test_a_wrong_config_is_refused_with_the_rule_and_the_value(tmp_path, text, message):
    path = tmp_path / "errors.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError) as error:
        load_config(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("raw", "tokenised"),
    [
        ('I can\'t say "no" to John’s dog.', "I ca n't say \" no \" to John 's dog ."),
        ("They cannot; it's well-known.", "They can not ; it 's well-known ."),
        ("We haven't met Mr. O'Brien at 5 o'clock.", "We have n't met Mr. O'Brien at 5 o'clock ."),
        ("The Commission' s plan, 'Europe', DON'T!", "The Commission 's plan , ' Europe ' , DO N'T !"),
    ],
)
def test_raw_english_is_tokenised_as_learner_corpora_are(raw, tokenised):
    assert gec_english.tokenise(raw) == tokenised


def test_clean_sentences_are_short_english_and_mostly_letters():
    good = "This is a sentence ."
    assert gec_english.is_clean(good)
    bad = ("Yes .", " ".join(["word"] * 61), "12 : 34 5 6 7", "Это не по-английски .", "See http : / / a.com now")
    assert not any(gec_english.is_clean(line) for line in bad)


M2 = """S He go home .
A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0
A 1 2|||R:VERB:TENSE|||went|||REQUIRED|||-NONE-|||1

S Fine .
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0
"""


@pytest.mark.parametrize(
    ("annotator", "sources", "targets"),
    [
        ("all", ["He go home ."] * 2 + ["Fine ."] * 2, ["He goes home .", "He went home .", "Fine .", "Fine ."]),
        ("1", ["He go home .", "Fine ."], ["He went home .", "Fine ."]),
    ],
)
def test_m2_becomes_a_pair_for_each_sentence_and_annotator(tmp_path, annotator, sources, targets):
    with gzip.open(tmp_path / "gold.m2.gz", "wt", encoding="utf-8") as file:
        file.write(M2)
    run("m2", tmp_path / "gold.m2.gz", "--out-prefix", tmp_path / "out", "--annotator", annotator)
    assert lines_of(tmp_path / "out.src") == sources
    assert lines_of(tmp_path / "out.tgt") == targets


@pytest.mark.parametrize("annotator", ["2", "-1", "both"])
def test_an_annotator_who_is_not_in_the_m2_file_is_refused(tmp_path, annotator):
    (tmp_path / "gold.m2").write_text(M2, "utf-8")
    with pytest.raises(SystemExit, match="--annotator must be all or a number below 2"):
        run("m2", tmp_path / "gold.m2", "--out-prefix", tmp_path / "out", f"--annotator={annotator}")


def run(*args: object) -> None:
    gec.main([str(arg) for arg in args])


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def sentences(n: int, seed: int) -> list[str]:
    rng = Random(seed)
    pick = lambda words: rng.choice(words.split())  # noqa: E731
    return [
        f"The {pick('old young big small nice')} {pick('dog cat teacher student farmer')} {pick('likes sees finds')} "
        f"the {pick('red blue green')} {pick('house tree car book')} of number {chr(97 + i % 26)} {chr(97 + i // 26)} ."
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def english_data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    right = sentences(60, 1)
    for n in range(4):
        write(folder / f"jfleg/dev.ref{n}", right)
        write(folder / f"gmeg_wiki/dev.ref{n}", [line.replace("number", "figure") for line in right])
    write(folder / "jfleg/dev.src", [line.replace("likes", "like") for line in right])
    write(folder / "gmeg_wiki/dev.source", [line.replace("number", "fugure") for line in right])
    for name in ("cweb/CWEB-G.dev.m2", "cweb/CWEB-S.dev.m2", "conll14/official-2014.combined.m2"):
        blocks = [f"S Oh {line}\nA 0 1|||R|||Ah|||REQUIRED|||-NONE-|||0\n" for line in sentences(60, len(name))]
        write(folder / name, blocks)
    # each gold sentence again in the clean text: those held out must not come back from there
    raw = [line.replace(" .", ".") for line in right]
    for name in ("tatoeba_de-en/train.en", "europarl_de-en/train.en", "wmt_news_en-de/a.en", "ted_de-en/b.en"):
        write(folder / name, [*raw, "It's new here.", "It's new here.", "Yes."])
    write(folder / "wikisplit/tune.tsv", ["It is big , and old .\tIt is big . <::::> It is old ."])
    write(folder / "wikisplit/test.tsv", ["A b , c .\tThe house is '' very big '' . <::::> It is older ."])
    return folder


@pytest.fixture(scope="module")
def english(english_data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out")
    run("prepare", "--from", english_data, "--out", out, "--language", "en")
    return out


def test_no_held_out_sentence_is_in_the_english_training_data(english):
    heldout = [path for path in (english / "eval").glob("*-heldout.*") if path.suffix != ".m2"]
    assert len(heldout) == 16  # 5 sources, 4 references each of JFLEG and GMEG, 1 of the others
    kept_out = {gec_gold.key(line) for path in (*heldout, english / "valid.tgt") for line in lines_of(path)}
    training = [english / f"{name}.{side}" for name in ("real", "synthetic") for side in ("src", "tgt")]
    for path in (*training, english / "clean.txt"):
        lines = {gec_gold.key(line) for line in lines_of(path)}
        # a synthetic error may by chance make another sentence, but never of these
        assert lines and not lines & kept_out, path


def test_held_out_rows_are_those_of_the_stated_indices(english, english_data):
    source = lines_of(english_data / "jfleg/dev.src")
    assert lines_of(english / "eval/jfleg-heldout.src") == source[::3]
    assert lines_of(english / "eval/jfleg_dev.src") == source
    assert len(lines_of(english / "eval/cweb_g-heldout.ref0")) == 6
    assert len(lines_of(english / "eval/conll14-heldout.src")) == 15
    assert len(lines_of(english / "eval/gmeg-heldout.ref3")) == 6
    assert len(lines_of(english / "eval/cweb_dev.tgt")) == 120


def test_clean_english_is_tokenised_and_without_repeats(english):
    clean = lines_of(english / "clean.txt")
    assert clean == lines_of(english / "synthetic.tgt")
    assert len(clean) == len(set(clean))
    assert {"It 's new here .", "It is old .", 'The house is " very big " .'} <= set(clean)
    assert "Yes ." not in clean


def test_ukrainian_pairs_stay_as_they_are_without_empty_sides(tmp_path, capsys):
    for split_name, n in (("train", 5), ("dev", 2)):
        write(tmp_path / f"ua_gec/gec-only.{split_name}.src", [f"Я  йду {i}." for i in range(n)] + [""])
        write(tmp_path / f"ua_gec/gec-only.{split_name}.tgt", [f"Я йду {i}." for i in range(n)] + ["Так."])
    run("prepare", "--from", tmp_path, "--out", tmp_path / "out", "--language", "uk")
    assert lines_of(tmp_path / "out/real.src") == [f"Я  йду {i}." for i in range(5)]
    assert len(lines_of(tmp_path / "out/valid.tgt")) == 2
    assert "5 pairs, 1 with an empty side left out" in capsys.readouterr().err


def test_simplification_pairs_join_the_simple_sentences_and_hold_out_the_last_tenth(tmp_path):
    for part in ("tune", "test", "validation"):
        write(tmp_path / f"wikisplit/{part}.tsv", [f"Long {part} .\tOne {part} . <::::> Two {part} ."])
    for levels in ("ADV-ELE", "ADV-INT", "INT-ELE"):
        write(tmp_path / f"onestop/{levels}.src", [f"hard {levels} {i}" for i in range(20)])
        write(tmp_path / f"onestop/{levels}.tgt", [f"easy {levels} {i % 19}" for i in range(20)])
    write(tmp_path / "asset/valid.orig", ["Long test ."])
    for n in range(10):
        write(tmp_path / f"asset/valid.simp.{n}", [f"Short {n} ."])
    out = tmp_path / "out"
    run("prepare", "--from", tmp_path, "--out", out, "--language", "en", "--task", "simplification")
    real = list(zip(lines_of(out / "real.src"), lines_of(out / "real.tgt"), strict=True))
    assert ("Long tune .", "One tune . Two tune .") in real
    assert not any(source == "Long test ." for source, _ in real)  # it is in ASSET
    assert lines_of(out / "eval/onestop.src")[:2] == ["hard ADV-ELE 18", "hard ADV-ELE 19"]
    assert not {target for _, target in real} & set(lines_of(out / "eval/onestop.ref0"))
    assert lines_of(out / "eval/asset.ref9") == ["Short 9 ."]


def test_missing_files_and_unequal_lengths_are_refused_with_a_remedy(tmp_path):
    arguments = ("prepare", "--out", tmp_path / "out", "--language", "uk", "--from")
    with pytest.raises(SystemExit, match="--from must be a folder, but .*nowhere is none: pass the folder"):
        run(*arguments, tmp_path / "nowhere")
    with pytest.raises(SystemExit, match="must hold gec-only.train.src or gec-only.train.src.gz"):
        run(*arguments, tmp_path)
    write(tmp_path / "ua_gec/gec-only.train.src", ["a", "b"])
    write(tmp_path / "ua_gec/gec-only.train.tgt", ["a"])
    with pytest.raises(SystemExit, match="train.src has 2 and gec-only.train.tgt has 1"):
        run(*arguments, tmp_path)
    with pytest.raises(SystemExit, match="must be a readable file, got .*none.txt"):
        run("errors", tmp_path / "none.txt", "--out-prefix", tmp_path / "out")


def test_the_script_runs_from_any_folder(tmp_path):
    write(tmp_path / "clean.txt", list(RAW))
    command = [sys.executable, FOLDER / "gec.py", "errors", "clean.txt", "--out-prefix", "pairs"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert lines_of(tmp_path / "pairs.tgt") == list(RAW)


def test_one_rate_can_be_changed_without_another_file() -> None:
    changed = load_config(CONFIG, ["errors_per_token=0.25", "clean_share=0"])
    assert (changed.errors_per_token, changed.clean_share) == (0.25, 0.0)
    assert changed.types == load_config(CONFIG).types
    with pytest.raises(ValueError, match="--set must be NAME=VALUE with clean_share, errors_per_token, .* got rate=1"):
        load_config(CONFIG, ["rate=1"])
