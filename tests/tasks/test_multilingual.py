"""Siblings of fairseq's tasks for several languages, as users meet them: the same lines as by the stock command."""

import functools
import gc
import json
import logging

import pytest
from fairseq import tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import interactive

from fairseq_specdec.config import OptionError
from tests import tiny
from tests.tasks import many
from tests.tasks.test_drop_in import lines_of
from tests.tasks.test_translation_specdec import assert_same_lines, parse

PAIR = ("-s", "de", "-t", "en")
BATCH = ("--batch-size", 7)
BEAMS = {
    "greedy": ("--beam", 1),
    "four": ("--beam", 4, "--nbest", 3, "--lenpen", 1.5, "--min-len", 4),
    "no bigram twice": ("--beam", 2, "--no-repeat-ngram-size", 2),
    "prefix": ("--beam", 3, "--prefix-size", 2),
}


WITH_RULES = ("M2M-100", "languages in place of eos", "pairs that share", "mBART")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return many.make_data(tmp_path_factory.mktemp("many") / "data-bin")


@pytest.fixture(scope="module")
def saved(data):
    """Checkpoints by the name of their kind."""
    return {name: many.save(data.parent / f"{i}.pt", data, kind) for i, (name, kind) in enumerate(many.KINDS.items())}


def run(folder, data, saved, name, *extra, ours=True, pair=PAIR):
    kind = many.KINDS[name]
    task = ("--task", kind.ours if ours else kind.stock)
    return lines_of(folder, data, saved[name], *task, *kind.arguments, *pair, *BATCH, *extra)


@pytest.fixture(scope="module")
def greedy(data, saved, tmp_path_factory):
    """What fairseq's own task prints, by the name of the kind, decoded once."""
    folder = tmp_path_factory.mktemp("stock")
    return functools.cache(lambda name: run(folder / name, data, saved, name, "--beam", 1, ours=False))


@pytest.mark.parametrize(
    ("name", "beam"),
    [(name, beam) for name in many.KINDS for beam in ("greedy", "four")]
    + [(name, beam) for name in WITH_RULES for beam in ("no bigram twice", "prefix")],
)
def test_lines_are_those_of_fairseqs_own_task(data, saved, greedy, tmp_path, caplog, name, beam):
    if beam == "greedy":
        stock = greedy(name)
    else:
        stock = run(tmp_path / "stock", data, saved, name, *BEAMS[beam], ours=False)
    ours = run(tmp_path / "ours", data, saved, name, *BEAMS[beam])
    assert_same_lines(stock, ours)
    assert "fairseq's own generator" not in caplog.text
    outputs = {line.split("\t")[1] for label, line in stock.items() if label[0] == "H"}
    assert len(outputs) > 20
    if name in ("M2M-100", "NLLB", "mBART's names"):
        assert not any("__en__" in text or "[en]" in text for text in outputs)  # what is forced is stripped


@pytest.mark.parametrize("name", ["M2M-100", "languages in place of eos", "a model for each pair", "mBART"])
def test_the_other_direction_is_translated_by_the_same_checkpoint(data, saved, tmp_path, name):
    back = ("-s", "en", "-t", "de")
    stock = run(tmp_path / "stock", data, saved, name, "--beam", 2, ours=False, pair=back)
    assert_same_lines(stock, run(tmp_path / "ours", data, saved, name, "--beam", 2, pair=back))


@pytest.fixture(scope="module")
def drafters(data, saved, tmp_path_factory):
    """Options of every drafter, by the name of a kind: a trained one needs the task's dictionary."""
    folder, found = tmp_path_factory.mktemp("drafters"), {}
    for i, (name, kind) in enumerate(many.KINDS.items()):
        _, cfg = tiny.build_model(data, task=kind.stock, **{**kind.options, **kind.arch})
        dictionary, place = tasks.setup_task(cfg.task).target_dictionary, folder / str(i)
        place.mkdir()
        for language in ("de", "en"):
            dictionary.save(str(place / f"dict.{language}.txt"))
        nat = tiny.save_random(place / "nat.pt", place, arch="spec_drafter_tiny", task="spec_drafter", block_size=6)
        found[name] = {
            "nat": ("--drafter-path", nat),
            "input": (),
            "ngram": ("--ngram-corpus", data / "train.en"),
            "file": ("--draft-file", data / "test.en"),
        }
    return found


@pytest.mark.parametrize(
    ("name", "drafter"),
    [(name, drafter) for name in WITH_RULES for drafter in ("nat", "input", "ngram", "file")]
    + [(name, "input") for name in many.KINDS if name not in WITH_RULES],
)
def test_drafters_leave_the_lines_as_they_are(data, saved, greedy, drafters, tmp_path, name, drafter):
    asked = ("--drafter", drafter, *drafters[name][drafter], "--block-size", 5)
    counted = ("--spec-stats", tmp_path / "stats.json", "--certify")
    assert_same_lines(greedy(name), run(tmp_path / "ours", data, saved, name, "--beam", 1, *asked, *counted))
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["drafted"] > 0
    assert stats["certificate"]["wrong"] == 0


def test_forced_languages_cost_no_round_and_are_no_drafts(data, saved, greedy, tmp_path):
    stock = greedy("M2M-100")
    outputs = [stock[f"H-{i} 1"].split("\t")[1] for i in range(tiny.SPLITS["test"])]
    counts = {}
    for language in ("", "__en__ ", "__fr__ "):
        guesses = tmp_path / "guesses.txt"
        guesses.write_text("".join(f"{language}{line}\n" for line in outputs), "utf-8")
        asked = ("--drafter", "file", "--draft-file", guesses, "--block-size", 40)
        counted = ("--spec-stats", tmp_path / "stats.json")
        ours = run(tmp_path / (language.strip() or "none"), data, saved, "M2M-100", "--beam", 1, *asked, *counted)
        assert_same_lines(stock, ours)
        counts[language] = json.loads((tmp_path / "stats.json").read_text())
    right, wrong = counts["__en__ "], counts["__fr__ "]
    assert right["rounds"] == right["sentences"]
    # of each sentence the language is forced; all else was guessed, but for an eos at the maximum length
    assert 0 <= right["tokens"] - right["sentences"] - right["accepted"] <= 2
    assert right["drafted"] >= right["accepted"]
    assert (wrong["rounds"], wrong["accepted"]) == (right["rounds"], right["accepted"])
    assert counts[""]["rounds"] <= 3 * right["rounds"]


def test_beams_are_certified(data, saved, tmp_path):
    for name in WITH_RULES:
        run(tmp_path / name, data, saved, name, "--beam", 3, "--certify", "--spec-stats", tmp_path / "stats.json")
        certificate = json.loads((tmp_path / "stats.json").read_text())["certificate"]
        assert certificate["tokens"] > 100
        assert certificate["wrong"] == 0


@pytest.mark.parametrize("name", WITH_RULES)
@pytest.mark.parametrize(
    "extra", [("--sampling", "--sampling-topk", 3, "--nbest", 2), ("--match-source-len",)], ids=["topk", "len"]
)
def test_what_the_engine_cannot_do_is_decoded_by_fairseqs_task_with_one_warning(
    data, saved, tmp_path, caplog, name, extra
):
    is_ours = extra == ("--match-source-len",) and name != "mBART"  # where fairseq's task has another meaning for it
    stock = run(tmp_path / "stock", data, saved, name, "--beam", 2, *extra, ours=False)
    caplog.set_level(logging.WARNING)
    ours = run(tmp_path / "ours", data, saved, name, "--beam", 2, *extra)
    if is_ours:
        assert_same_lines(stock, ours)
    else:
        assert stock == ours
    assert caplog.text.count("fairseq's own generator") == int(not is_ours)


def test_references_are_scored_by_fairseq(data, saved, tmp_path):
    for name in ("M2M-100", "mBART"):  # fairseq cannot score by a model for each pair
        stock = run(tmp_path / f"{name}0", data, saved, name, "--score-reference", ours=False)
        assert_same_lines(stock, run(tmp_path / f"{name}1", data, saved, name, "--score-reference"))


def test_drafts_that_the_engine_cannot_check_are_refused(data, saved, tmp_path):
    with pytest.raises(OptionError, match=r"--drafter input needs this package's engine.*--sampling"):
        run(tmp_path, data, saved, "M2M-100", "--beam", 1, "--drafter", "input", "--sampling")


@pytest.mark.parametrize("name", WITH_RULES)
def test_guesses_find_their_sentences_in_what_is_typed(data, saved, tmp_path, capsys, name):
    kind, lines = many.KINDS[name], (data / "test.de").read_text("utf-8").splitlines()[:5]
    (tmp_path / "text").write_text("\n".join(lines) + "\n", "utf-8")
    found = {}
    for task in (kind.stock, kind.ours):
        argv = [data, "--task", task, *kind.arguments, *PAIR, "--path", saved[name], "--cpu", "--beam", 1]
        argv += ["--input", tmp_path / "text", "--buffer-size", 3, "--batch-size", 3, "--max-len-b", 20]
        if task == kind.ours:
            (tmp_path / "guesses").write_text("\n".join(found[kind.stock]) + "\n", "utf-8")
            argv += ["--drafter", "file", "--draft-file", tmp_path / "guesses", "--block-size", 40]
            argv += ["--spec-stats", tmp_path / "stats.json"]
        interactive.main(convert_namespace_to_omegaconf(parse([str(word) for word in argv])))
        out = capsys.readouterr().out.splitlines()
        found[task] = [line.split("\t")[2] for line in out if line.startswith("H-")]
    gc.collect()  # the statistics are written when the generator goes
    assert found[kind.ours] == found[kind.stock]
    assert json.loads((tmp_path / "stats.json").read_text())["acceptance_length"] > 3
