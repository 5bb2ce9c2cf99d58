"""The commands with models of several languages: what a task does to a sentence, they do."""

import functools
import json
import shlex
import shutil

import pytest
import torch

from fairseq_specdec.cli.info import as_text, describe
from fairseq_specdec.cli.main import main
from fairseq_specdec.evaluation.metrics import METRICS
from tests import tiny
from tests.tasks import many
from tests.tasks.test_drop_in import lines_of
from tests.tasks.test_translation_specdec import assert_same_lines

PAIR = ("-s", "de", "-t", "en")
NAMES = ("M2M-100", "languages in place of eos", "pairs that share", "mBART")
SEARCHES = {
    "drafts": ("--beam", 1, "--drafter", "input", "--block-size", 4),
    "beams": ("--beam", 3, "--nbest", 2),
    "prefix": ("--beam", 1, "--prefix-size", 2),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = many.make_data(tmp_path_factory.mktemp("many") / "data-bin")
    for end in ("bin", "idx"):  # the same sentences, called otherwise
        for language, like in (("de", "de"), ("fr", "en")):
            shutil.copy(data / f"test.de-en.{like}.{end}", data / f"test.de-fr.{language}.{end}")
    return data


@pytest.fixture(scope="module")
def saved(data):
    """Checkpoints by the name of their kind."""
    return Saved(data)


class Saved(dict):
    """Made when asked for."""

    def __init__(self, data):
        super().__init__()
        self._data = data

    def __missing__(self, name):
        self[name] = many.save(self._data.parent / f"{len(self)}.pt", self._data, many.KINDS[name])
        return self[name]


def words(*arguments):
    return [str(argument) for argument in arguments]


def generate(folder, data, saved, name, *extra):
    kind = many.KINDS[name]
    task = words("--task", kind.ours, *kind.arguments, *PAIR, "--batch-size", 7)
    return tiny.fairseq_generate(data, saved[name], folder, *task, *words(*extra))


@pytest.fixture
def certify(data, saved, capsys):
    """Run the command with --json for a kind of model; returns the status and the object, or the errors."""

    def run(name, log, *extra, task=None):
        kind = many.KINDS[name]
        given = ["certify", data, "--path", saved[name], "--gen", log, "--json", "--task", task or kind.stock]
        capsys.readouterr()
        status = main(words(*given, *kind.arguments, *PAIR, "--batch-size", 7, *extra))
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if status < 2 else printed.err

    return run


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", NAMES)
def test_logs_of_every_task_are_certified(data, saved, certify, tmp_path, name, search):
    asked = SEARCHES[search]
    kept = asked[:2] if search == "drafts" else asked
    status, found = certify(name, generate(tmp_path, data, saved, name, *asked), *kept)
    assert status == 0, found
    assert (found["wrong"], found["sentences"]) == (0, tiny.SPLITS["test"])
    assert found["tokens"] > 300


def test_the_other_direction_is_certified_as_such(data, saved, certify, tmp_path):
    back = ("-s", "en", "-t", "de", "--beam", 2)
    log = generate(tmp_path, data, saved, "M2M-100", *back)
    assert certify("M2M-100", log, *back)[0] == 0


def test_the_options_of_the_task_are_needed_for_the_certificate(data, saved, certify, tmp_path):
    log = generate(tmp_path, data, saved, "M2M-100", "--beam", 1)
    assert certify("M2M-100", log, task="translation_multi_specdec")[0] == 0
    status, error = certify("M2M-100", log, "--encoder-langtok", "tgt")
    assert (status, "--gen must be the log of split test, but S-0 is '__de__" in error) == (2, True)
    status, found = certify("M2M-100", log, "-t", "fr", "--lang-pairs", "de-fr")
    assert (status, found["wrong"] > 0) == (1, True)


def test_logs_are_scored_without_the_language(data, saved, tmp_path, capsys):
    log = generate(tmp_path, data, saved, "M2M-100", "--beam", 1, "--remove-bpe")
    lines = [line.split("\t") for line in log.read_text("utf-8").splitlines()]
    texts = [[line[-1] for line in lines if line[0].startswith(kind)] for kind in ("D-", "T-")]
    capsys.readouterr()
    assert main(words("score", "bleu", "--gen", log, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["bleu"] == METRICS["bleu"].compute(texts[0], [texts[1]])["bleu"]
    assert not any("__en__" in text for text in texts[0] + texts[1])


def test_what_the_task_does_otherwise_cannot_be_certified(data, saved, certify, tmp_path):
    log = generate(tmp_path, data, saved, "mBART", "--beam", 1)
    status, error = certify("mBART", log, "--match-source-len")
    assert (status, "--match-source-len, which fairseq's task for mBART handles otherwise" in error) == (2, True)


def test_options_without_a_meaning_for_a_certificate_are_refused(data, saved, certify, tmp_path, capsys):
    log = generate(tmp_path, data, saved, "M2M-100", "--beam", 1)
    status, error = certify("M2M-100", log, "--drafter", "input")
    assert (status, "--drafter input has no place in a certificate: leave it out" in error) == (2, True)
    status, error = certify("M2M-100", log, task="translation_lev")
    assert (status, "--task must be one that this package decodes" in error) == (2, True)
    with pytest.raises(SystemExit, match="2"):
        certify("M2M-100", log, "--lang-pair", "de-en")
    assert "specdec certify: error: unrecognized arguments: --lang-pair de-en" in capsys.readouterr().err


@pytest.fixture
def bench(data, saved, capsys):
    """Run the command for a kind of model; returns the status, its rows by system, and what it said."""

    def run(folder, name, *extra, task=None):
        kind = many.KINDS[name]
        given = ["bench", data, "--path", saved[name], "--task", task or kind.stock, *kind.arguments, *PAIR, "--cpu"]
        given += [
            "--max-len-b",
            20,
            "--repeats",
            1,
            "--warmup",
            0,
            "--limit",
            12,
            "--batch-sizes",
            5,
            "--json",
            folder / "out.json",
        ]
        capsys.readouterr()
        status = main(words(*given, *extra))
        said = capsys.readouterr().err
        if status:
            return status, {}, said
        rows = json.loads((folder / "out.json").read_text("utf-8"))["rows"]
        return status, {row["system"]: row for row in rows}, said

    return run


@pytest.mark.parametrize("name", NAMES)
def test_systems_are_measured_on_every_task(data, saved, bench, tmp_path, name):
    asked = ("--systems", "none,none:beam=3,input:block=4", "--remove-bpe")
    status, rows, said = bench(tmp_path, name, *asked, "--beam", 5)
    assert status == 0, said
    assert {system: row["identical"] for system, row in rows.items() if "beam" not in system} == {
        "fairseq": 1.0, "none": 1.0, "input:block=4": 1.0,
    }  # fmt: skip
    assert rows["none:beam=3"]["identical_same_beam"] == 1.0
    lines = lines_of(tmp_path / "log", data, saved[name], "--task", many.KINDS[name].stock,
                     *many.KINDS[name].arguments, *PAIR, "--beam", 1, "--batch-size", 5, "--remove-bpe")  # fmt: skip
    printed = [[lines[f"{kind}-{i} 1"].split("\t")[-1] for i in range(12)] for kind in "DT"]
    assert rows["fairseq"]["metric"]["bleu"] == pytest.approx(METRICS["bleu"].compute(printed[0], [printed[1]])["bleu"])


def test_the_other_language_is_measured_as_such(bench, tmp_path):
    status, rows, said = bench(
        tmp_path, "M2M-100", "-t", "fr", "--lang-pairs", "de-fr", task="translation_multi_specdec"
    )
    assert status == 0, said
    assert [rows[system]["identical"] for system in ("fairseq", "none", "ngram")] == [1.0, 1.0, 1.0]


def test_another_converter_is_refused_where_a_task_has_languages(bench, tmp_path):
    pytest.importorskip("ctranslate2")
    status, _, said = bench(tmp_path, "M2M-100", "--systems", "ctranslate2")
    assert (status, "--systems ctranslate2: --task must be translation, got translation_multi" in said) == (2, True)


def test_tasks_that_are_not_decoded_here_are_refused(bench, tmp_path):
    status, _, said = bench(tmp_path, "M2M-100", task="translation_lev")
    assert (status, "--task must be one that this package decodes" in said) == (2, True)


@pytest.fixture(scope="module")
def described(saved):
    """What is said of a checkpoint, by the name of its kind."""
    return functools.cache(lambda name: describe(str(saved[name])))


@pytest.mark.parametrize("name", [*NAMES, "NLLB"])
def test_a_checkpoint_is_decoded_by_what_is_said_of_it(data, saved, described, tmp_path, name):
    kind, found = many.KINDS[name], described(name)
    assert (found["usable_as"], found["reasons"], found["task"]) == ("verifier", [], kind.stock)
    assert set(found["languages"]) - {"fr"} == {"de", "en"}
    assert found["encoder"] == found["decoder"]
    assert found["decoder"]["layers"] == 2
    given = shlex.split(found["decode_with"].replace("SOURCE", "de").replace("TARGET", "en"))
    given += () if "-s" in given else PAIR
    stock = lines_of(tmp_path / "0", data, saved[name], "--task", kind.stock, *kind.arguments, *PAIR, "--beam", 1)
    assert_same_lines(stock, lines_of(tmp_path / "1", data, saved[name], *given, "--beam", 1))
    assert f"usable as   verifier: {found['decode_with']} --path {saved[name]}" in as_text(found).splitlines()


def test_what_becomes_of_languages_is_said(described):
    said = {name: described(name)["does"] for name in many.KINDS}
    assert said["M2M-100"].startswith(
        "the source language's token marks a source; the target language's token is forced"
    )
    assert said["NLLB"] == said["M2M-100"]
    assert said["the target's language in the source"] == "the target language's token marks a source"
    assert "stands before the first token" in said["languages in place of eos"]
    assert "stands before the first token" in said["pairs that share"]
    assert said["mBART"].startswith("the target language's token ends an output")
    text = as_text(described("M2M-100"))
    assert "languages   de, en, fr; trained for de-en, en-de" in text
    assert f"decoding    {said['M2M-100']}" in text


def test_long_lists_of_languages_are_shortened(saved, tmp_path, capsys):
    state = torch.load(saved["M2M-100"], weights_only=False)
    names = [f"l{i}" for i in range(100)]
    vars(state["cfg"]["task"]).update(langs=names, lang_pairs=[f"{a}-{b}" for a in names for b in names])
    torch.save(state, tmp_path / "v.pt")
    assert main(["info", str(tmp_path / "v.pt")]) == 0
    text = capsys.readouterr().out
    assert "languages   l0, l1, l2, l3, l4, l5, l6, l7 ... (100); trained for l0-l0, " in text
    assert "(10000)" in text
    assert "--lang-pairs LANG_PAIRS --langs LANGS" in text


def test_drafters_are_compared_with_a_model_of_many_languages(data, saved, tmp_path, capsys):
    small = many.save(tmp_path / "small.pt", data, many.KINDS["M2M-100"], decoder_layers=1)
    assert main(words("info", small, "--drafts-for", saved["M2M-100"])) == 0
    assert "--drafter ar --drafter-path" in capsys.readouterr().out
