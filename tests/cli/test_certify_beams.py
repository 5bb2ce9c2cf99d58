import json
import re

import pytest

from fairseq_specdec.cli.main import main
from fairseq_specdec.search.beam_state import BeamState
from tests import tiny

BEAM5 = ("--beam", "5", "--nbest", "5")
# what fairseq-generate writes into its log first
OPTIONS = (
    "2024-01-01 10:00:00 | INFO | fairseq_cli.generate | {{'_name': None, 'common': {{'seed': 1}}, 'generation': "
    "{{'_name': None, 'beam': {beam}, 'nbest': {nbest}, 'lenpen': {lenpen}, 'unnormalized': False}}}}"
)
END = "2024-01-01 10:00:09 | INFO | fairseq_cli.generate | Translated 40 sentences (7 tokens) in 1.0s"


@pytest.fixture(scope="module")
def log(data_bin, verifier, tmp_path_factory):
    """Lines of the log of stock fairseq-generate with beam 5 and all hypotheses."""
    log = tiny.fairseq_generate(data_bin, verifier, tmp_path_factory.mktemp("log"), *BEAM5)
    return log.read_text("utf-8").splitlines()


@pytest.fixture
def certify(data_bin, verifier, tmp_path, capsys):
    """Run the command with --json on the lines of a log; returns the status, the object and the messages."""

    def run(lines, *arguments, path=verifier, data=data_bin):
        given = tmp_path / "given.log"
        given.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        capsys.readouterr()
        status = main(["certify", str(data), "--path", str(path), "--gen", str(given), "--json", *arguments])
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if status < 2 else None, printed.err

    return run


def places(lines, kind, sentence):
    """Return where a log has the lines of a kind of a sentence."""
    return [place for place, line in enumerate(lines) if line.startswith(f"{kind}-{sentence}\t")]


def changed(lines, kind, sentence, hypothesis, change):
    """Return a log with one line changed; change takes and gives its fields."""
    place = places(lines, kind, sentence)[hypothesis]
    head, *fields = lines[place].split("\t")
    return [*lines[:place], "\t".join([head, *change(*fields)]), *lines[place + 1 :]]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--beam", "2"], id="beam 2, nbest 1"),
        pytest.param(["--beam", "5", "--nbest", "3"], id="beam 5, nbest 3"),
        pytest.param(["--beam", "5", "--nbest", "5", "--lenpen", "2", "--min-len", "9"], id="lenpen, min_len"),
        pytest.param(["--beam", "3", "--nbest", "3", "--unnormalized", "--batch-size", "7"], id="unnormalized"),
        pytest.param(["--beam", "4", "--nbest", "4", "--prefix-size", "3"], id="prefix"),
        pytest.param(["--beam", "2", "--nbest", "2", "--no-repeat-ngram-size", "2"], id="no_repeat_ngram"),
        pytest.param(["--beam", "3", "--nbest", "3", "--unkpen", "-3", "--temperature", "0.7"], id="unkpen"),
        pytest.param(["--beam", "3", "--nbest", "3", "--match-source-len"], id="match_source_len"),
        pytest.param(["--beam", "3", "--nbest", "2", "--max-len-a", "0.5", "--max-len-b", "1"], id="max_len"),
    ],
)
def test_log_of_stock_is_certified_and_its_options_are_needed(certify, data_bin, verifier, tmp_path, arguments):
    lines = tiny.fairseq_generate(data_bin, verifier, tmp_path / "log", *arguments).read_text("utf-8").splitlines()
    status, found, said = certify(lines, *arguments)
    assert (status, found["wrong"], found["wrong_sentences"], said) == (0, 0, [], "")
    assert found["hypotheses"] == sum(line.startswith("H-") for line in lines)
    assert found["tokens"] > found["hypotheses"] + found["sentences"] == found["hypotheses"] + 40
    if len(arguments) > 4:
        assert certify(lines, *arguments[:4])[0] == 1


def test_every_hypothesis_of_a_log_is_counted(certify, log):
    status, found, _ = certify(log, *BEAM5)
    assert (status, found["sentences"], found["hypotheses"]) == (0, 40, 200)
    assert (found["near_tie_sentences"], found["wrong_sentences"], found["wrong"]) == ([], [], 0)
    assert found["exact"] == found["tokens"]
    assert found["largest_gap"] < 1e-4


def test_the_line_counts_sentences(data_bin, verifier, log, tmp_path, capsys):
    path = tmp_path / "log"
    path.write_text("\n".join(log) + "\n", "utf-8")
    assert main(["certify", str(data_bin), "--path", str(verifier), "--gen", str(path), *BEAM5]) == 0
    assert re.match(
        r"certificate of 40 sentences \(40 exact, 0 with near ties, 0 wrong\): "
        r"\d+ hypotheses and steps of the search, \d+ exact, 0 near ties, 0 wrong",
        capsys.readouterr().out,
    )


def test_ensemble_is_certified(certify, data_bin, verifier, tmp_path):
    path = f"{verifier}:{tiny.save_verifier(tmp_path / 'other.pt', data_bin, seed=2)}"
    lines = tiny.fairseq_generate(data_bin, path, tmp_path / "log", *BEAM5).read_text("utf-8").splitlines()
    assert certify(lines, *BEAM5, path=path)[0] == 0
    assert certify(lines, *BEAM5)[0] == 1


def test_one_changed_token_is_wrong(certify, log):
    def other(score, text):
        first, *rest = text.split(" ")
        return score, " ".join(["t9" if first == "t8" else "t8", *rest])

    status, found, said = certify(changed(log, "H", 7, 2, other), *BEAM5)
    assert (status, found["wrong_sentences"]) == (1, [7])
    assert re.search(r"sentence 7: wrong: hypothesis 3 has -\d+\.\d+ for token 1, stock modules give ", said)


@pytest.mark.parametrize("hypothesis", [0, 4])
def test_one_changed_score_is_wrong(certify, log, hypothesis):
    lines = changed(log, "H", 11, hypothesis, lambda score, text: (str(float(score) + 2e-4), text))
    status, found, said = certify(lines, *BEAM5)
    assert (status, found["wrong_sentences"], found["wrong"]) == (1, [11], 1)
    assert f"sentence 11: wrong: hypothesis {hypothesis + 1} has score " in said
    assert 1e-4 < found["largest_gap"] < 2e-4  # the log's is in base 2


def test_one_changed_score_of_a_token_is_wrong(certify, log):
    def other(scores):
        first, second, *rest = scores.split(" ")
        return [" ".join([first, f"{float(second) - 0.0003:.4f}", *rest])]

    status, found, said = certify(changed(log, "P", 0, 1, other), *BEAM5)
    assert (status, found["wrong_sentences"], found["wrong"]) == (1, [0], 1)
    assert "sentence 0: wrong: hypothesis 2 has -" in said
    assert " for token 2, stock modules give -" in said


def test_two_swapped_hypotheses_are_wrong(certify, log):
    lines = list(log)
    for kind in "HDP":
        first, second = places(log, kind, 21)[1:3]
        lines[first], lines[second] = log[second], log[first]
    status, found, said = certify(lines, *BEAM5)
    assert (status, found["wrong_sentences"]) == (1, [21])
    assert "sentence 21: wrong: hypothesis 2 is out of order by " in said
    assert 2 <= found["wrong"] <= 4


@pytest.mark.parametrize("hypothesis", [0, 2, 4])
def test_missing_hypothesis_is_wrong(certify, log, hypothesis):
    gone = {places(log, kind, 33)[hypothesis] for kind in "HDP"}
    status, found, said = certify([line for place, line in enumerate(log) if place not in gone], *BEAM5)
    assert (status, found["wrong_sentences"], found["wrong"], found["near_tie"]) == (1, [33], 1, 0)
    assert "sentence 33: wrong: has 4 hypotheses where the search gives 5." in said


def test_hypothesis_from_behind_the_n_best_is_wrong(certify, log):
    gone = {
        places(log, kind, i)[place] for kind in "HDP" for i in range(40) for place in ((0, 4) if i == 5 else (3, 4))
    }
    status, found, said = certify([line for n, line in enumerate(log) if n not in gone], "--beam", "5", "--nbest", "3")
    assert (status, found["wrong_sentences"], found["wrong"]) == (1, [5], 1)
    assert "sentence 5: wrong: hypothesis 3 is number 4 of the search, " in said


def test_hypothesis_that_is_there_twice_is_wrong(certify, log):
    lines = list(log)
    for kind in "HDP":
        first, second = places(log, kind, 2)[:2]
        lines[second] = log[first]
    status, found, said = certify(lines, *BEAM5)
    assert (status, found["wrong_sentences"]) == (1, [2])
    assert "hypothesis 2 is there twice" in said


def test_log_of_another_beam_leaves_the_search(certify, data_bin, verifier, tmp_path):
    lines = tiny.fairseq_generate(data_bin, verifier, tmp_path / "log", "--beam", "2").read_text("utf-8").splitlines()
    status, found, said = certify(lines, "--beam", "5")
    assert status == 1
    assert found["wrong"] == len(found["wrong_sentences"]) > 0
    assert re.search(r"hypothesis 1 (leaves the search at token \d+|is number \d of the search), ", said)
    assert "another --beam" in said


def test_fault_of_the_search_made_again_is_told_apart(certify, log, monkeypatch):
    rank = BeamState.rank

    def forget_the_best(state, lprobs):
        candidates = rank(state, lprobs)
        if state.step == 1:
            for part in candidates:
                part[:, :-1] = part[:, 1:].clone()
        return candidates

    monkeypatch.setattr(BeamState, "rank", forget_the_best)
    status, _, said = certify(log, *BEAM5)
    assert status == 1
    assert re.search(r"\d+ steps of the search made again are wrong: the fault is in this package", said)


def test_more_hypotheses_than_nbest_are_refused(certify, log):
    status, _, said = certify(log, "--beam", "5", "--nbest", "4")
    assert status == 2
    assert "--nbest must be that of the run, but --gen has 5 hypotheses of sentence 0, got 4: pass the run's" in said


def test_options_that_the_log_names_are_held_against_those_given(certify, log):
    lines = [OPTIONS.format(beam=5, nbest=5, lenpen=1), *log, END]
    status, _, said = certify(lines)
    assert status == 2
    assert "--beam must be that of the run, which its log says is 5, got 1 (the default of this command): pass" in said
    assert "--nbest must be that of the run, which its log says is 5" in said
    assert certify(lines, *BEAM5)[0] == 0


def test_other_options_that_the_log_names_are_told_where_something_is_wrong(certify, log):
    lines = [OPTIONS.format(beam=5, nbest=5, lenpen=1), *log, END]
    status, _, said = certify(lines, *BEAM5, "--lenpen", "0.5", "--unnormalized")
    assert status == 1
    assert "--lenpen (the log says 1, given is 0.5); --unnormalized (the log says False, given is True)." in said


def test_beam_that_the_engine_cannot_search_is_refused(certify, log):
    status, _, said = certify(log, "--beam", "50", "--nbest", "5")
    assert status == 2
    assert "the engine cannot search again as the run did: --beam outside 1..15" in said


def test_sentences_that_the_log_lacks_leave_the_others_alone(certify, log):
    lines = [line for line in log if not re.match(r"[STHDP]-(3|17|39)\t", line)]
    status, found, said = certify(lines, *BEAM5)
    assert (status, found["sentences"], found["missing"], found["hypotheses"], found["wrong"]) == (0, 37, 3, 185, 0)
    assert "3 of 40 sentences are not in the log (3, 17, 39" in said


def test_symbols_that_the_dictionary_has_twice_are_those_of_the_search(certify, data_bin, tmp_path):
    twins = tiny.with_twins(data_bin, tmp_path / "twins")
    path = tiny.save_verifier(tmp_path / "v.pt", twins)
    log = tiny.fairseq_generate(twins, path, tmp_path / "log", *BEAM5).read_text("utf-8").splitlines()
    status, found, _ = certify(log, *BEAM5, path=path, data=twins)
    assert (status, found["hypotheses"], found["wrong"], found["exact"]) == (0, 200, 0, found["tokens"])
    other = changed(log, "H", 7, 1, lambda score, text: (score, " ".join(["t9", *text.split(" ")[1:]])))
    status, found, _ = certify(other, *BEAM5, path=path, data=twins)
    assert (status, found["wrong_sentences"]) == (1, [7])
