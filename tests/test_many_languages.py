"""Models of many languages from Python: the direction is an argument, for all sentences or for each."""

import shutil

import pytest

import fairseq_specdec
from fairseq_specdec.config import OptionError
from tests.tasks import many
from tests.tasks.test_drop_in import lines_of

NAMES = ["M2M-100", "NLLB", "the target's language in the source", "languages in place of eos"]
DIRECTIONS = [("de", "en"), ("en", "de"), ("de", "fr")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = many.make_data(tmp_path_factory.mktemp("many") / "data-bin")
    for source, target in DIRECTIONS[2:]:  # the same sentences, called otherwise
        for end in ("bin", "idx"):
            for language, like in ((source, "de"), (target, "en")):
                shutil.copy(data / f"test.de-en.{like}.{end}", data / f"test.{source}-{target}.{language}.{end}")
    return data


@pytest.fixture(scope="module")
def saved(data):
    return {name: many.save(data.parent / f"{i}.pt", data, many.KINDS[name]) for i, name in enumerate(NAMES)}


def stock(folder, data, path, name, direction, *extra):
    """Return sources and outputs of fairseq's own command, each of them alone in a batch."""
    kind, (source, target) = many.KINDS[name], direction
    pairs = ("--lang-pairs", ",".join("-".join(pair) for pair in DIRECTIONS))
    task = ("--task", kind.stock, *kind.arguments, *pairs, "-s", source, "-t", target)
    lines = lines_of(folder, data, path, *task, "--batch-size", 1, *extra)
    return [(lines[f"S-{i} 1"], lines[f"H-{i} 1"].split("\t")[1]) for i in range(12)]


def load(data, path, name, **more):
    options = {**many.KINDS[name].options, "lang_pairs": ["-".join(pair) for pair in DIRECTIONS]}
    options |= {"task": many.KINDS[name].ours, "source_lang": "de", "target_lang": "en", "max_len_b": 20}
    return fairseq_specdec.load(path, data, **{**options, **more})


def plain(source):
    """Return a source as a user would write it."""
    return " ".join(word for word in source.split() if not word.startswith("__"))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, {}) for name in NAMES),
        *((name, {"beam": 3}) for name in (NAMES[0], NAMES[3])),
        *((name, {"drafter": "input", "block_size": 5}) for name in (NAMES[0], NAMES[3])),
    ],
    ids=str,
)
def test_directions_mixed_in_one_batch_give_what_each_gives_alone(data, saved, tmp_path, name, more):
    extra = ("--beam", more.get("beam", 1))
    expected = [
        (direction, *pair)
        for i, direction in enumerate(DIRECTIONS)
        for pair in stock(tmp_path / str(i), data, saved[name], name, direction, *extra)
    ]
    expected = expected[::2] + expected[1::2]
    model = load(data, saved[name], name, **more)
    directions = [direction for direction, _, _ in expected]
    found = model.generate_tokens(
        [plain(source) for _, source, _ in expected],
        batch_size=16,
        source_lang=[source for source, _ in directions],
        target_lang=[target for _, target in directions],
    )
    assert [hypothesis.text for hypothesis in found.best] == [output for _, _, output in expected]
    if name != "the target's language in the source":  # there is nothing that makes the target's language differ
        assert len({output for _, _, output in expected}) > 24


def test_one_language_goes_for_all_and_the_loaded_one_where_none_is_asked(data, saved, tmp_path):
    name = "M2M-100"
    expected = stock(tmp_path / "en", data, saved[name], name, ("de", "en"), "--beam", 1)
    other = stock(tmp_path / "fr", data, saved[name], name, ("de", "fr"), "--beam", 1)
    model = load(data, saved[name], name)
    sentences = [plain(source) for source, _ in expected]
    for asked, wanted in (({}, expected), ({"target_lang": "en"}, expected), ({"target_lang": "fr"}, other)):
        assert model.generate(sentences, batch_size=1, **asked) == [output for _, output in wanted]
    assert model.generate(sentences, batch_size=1) == [output for _, output in expected]  # nothing stays behind


def test_what_cannot_be_asked_of_a_model_is_refused_by_name(data, saved, tmp_path):
    model = load(data, saved["M2M-100"], "M2M-100")
    with pytest.raises(OptionError, match="target_lang must be one of de, en, fr, got it: choose one"):
        model.generate(["s1 s2"], target_lang="it")
    with pytest.raises(
        OptionError, match="target_lang must be one language, or one for each of the 2 sentences, got 1"
    ):
        model.generate(["s1 s2", "s3"], target_lang=["en"])
    with pytest.raises(OptionError, match="lang_pairss must be an option of .*: did you mean lang_pairs"):
        load(data, saved["M2M-100"], "M2M-100", lang_pairss="de-en")
    with pytest.raises(OptionError, match="task must be one of .*translation_multi_specdec.*, got translation: choose"):
        load(data, saved["M2M-100"], "M2M-100", task="translation")


@pytest.mark.parametrize("name", ["mBART", "pairs that share"])
def test_models_of_one_direction_are_loaded_for_it(data, tmp_path, name):
    path = many.save(tmp_path / "v.pt", data, many.KINDS[name])
    kind = many.KINDS[name]
    lines = lines_of(tmp_path, data, path, "--task", kind.stock, *kind.arguments, "-s", "de", "-t", "en", "--beam", 2)
    options = {"task": kind.ours, "source_lang": "de", "target_lang": "en", "max_len_b": 20, "beam": 2}
    model = fairseq_specdec.load(path, data, **kind.options, **options)
    sentences = (data / "test.de").read_text("utf-8").splitlines()
    text = model.generate(sentences[:1], batch_size=1)
    if name != "mBART":  # sentences that are typed have no bos there, which --prepend-bos puts before those of a file
        assert text == [lines["H-0 1"].split("\t")[1]]
    with pytest.raises(OptionError, match="target_lang must be left to the model with this task.*leave it out for en"):
        model.generate(sentences[:1], target_lang="fr")
