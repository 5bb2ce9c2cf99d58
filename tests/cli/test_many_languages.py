"""The commands with models of several languages: what a task does to a sentence, they do."""

import json
import shutil

import pytest

from fairseq_specdec.cli.main import main
from tests import tiny
from tests.tasks import many

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
    return {name: many.save(data.parent / f"{i}.pt", data, kind) for i, (name, kind) in enumerate(many.KINDS.items())}


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
    for name in ("M2M-100", "pairs that share"):
        log = generate(tmp_path / name, data, saved, name, *back)
        assert certify(name, log, *back)[0] == 0


def test_the_options_of_the_task_are_needed_for_the_certificate(data, saved, certify, tmp_path):
    log = generate(tmp_path, data, saved, "M2M-100", "--beam", 1)
    assert certify("M2M-100", log, task="translation_multi_specdec")[0] == 0
    status, error = certify("M2M-100", log, "--encoder-langtok", "tgt")
    assert (status, "--gen must be the log of split test, but S-0 is '__de__" in error) == (2, True)
    status, found = certify("M2M-100", log, "-t", "fr", "--lang-pairs", "de-fr")
    assert (status, found["wrong"] > 0) == (1, True)


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
