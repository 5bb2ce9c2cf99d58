"""Commands held against fairseq's own: every decoding, drafter, batch size and direction has its row and its table."""

import json
import sys
from pathlib import Path

import pytest
from fairseq.utils import import_user_module

from tests import tiny
from tests.tasks import many

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts" / "train")]

import identity_results  # noqa: E402

PAGE = "".join(f"<!-- table {kind}-made: written by a script -->\n<!-- end {kind}-made -->\n"
               for kind in ("identity", "quality"))  # fmt: skip
COUNT = tiny.SPLITS["test"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in a folder of its own; return its exit status, rows and page."""
    (tmp_path / "fairseq_specdec").mkdir()  # the --user-dir, which this process has imported
    monkeypatch.setattr(import_user_module, "memo", {str(tmp_path / "fairseq_specdec")}, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text(PAGE)

    def call(data, path, *options):
        argv = [data, "--path", path, "--runs", "runs", "--out", "results.json", "--name", "made", "--page", "page.md"]
        monkeypatch.setattr(sys, "argv", ["identity_results.py", *map(str, [*argv, *options])])
        status = identity_results.main()
        return status, json.loads(Path("results.json").read_text())["data"]["made"]["rows"], Path("page.md").read_text()

    return call


def test_drafters_and_beams_are_held_against_fairseq_under_each_rule_and_size(run, joined_data_bin, joined_verifier):
    Path("results.json").write_text(json.dumps({"data": {"other": {"rows": []}}}))
    options = ("--rules", "free,xsum", "--drafters", "none,input", "--beam", "2", "--batch-sizes", "1,8")
    reference = joined_data_bin / f"test.{tiny.TARGET}"
    status, rows, page = run(joined_data_bin, joined_verifier, *options, "--ref", reference)
    assert status == 0
    assert [(row["rule"], row["beam"], row["batch_size"], row["system"]) for row in rows] == [
        (rule, beam, size, system)
        for rule in ("free", "xsum")
        for beam in (1, 2)
        for size in (1, 8)
        for system in ("fairseq", "none", *(["input"] if beam == 1 else []))
    ]
    ours = [row for row in rows if row["system"] != "fairseq"]
    assert all(row["identical"] == row["sentences"] == COUNT for row in ours)
    assert all(("score" in row) == (row["batch_size"] == 8) for row in rows)
    certified = [row["certificate"] for row in ours if row["batch_size"] == 8]
    assert all(one["exact"] > COUNT and one["wrong"] == 0 for one in certified)
    assert f"| beam 2, rules of xsum, `none` | {COUNT} of {COUNT} | {COUNT} of {COUNT} |" in page
    scored = {(row["rule"], row["beam"], row["system"]): row["score"] for row in rows if "score" in row}
    assert scored["free", 1, "input"] == scored["free", 1, "fairseq"]
    assert f"| greedy, `fairseq` | {scored['free', 1, 'fairseq']['rouge1']['f']:.2f} |" in page
    assert "other" in json.loads(Path("results.json").read_text())["data"]


def test_one_sentence_in_so_many_is_decoded_alone(run, joined_data_bin, joined_verifier):
    options = ("--drafters", "ngram", "--beam", "1", "--batch-sizes", "1,8", "--one-in", "4")
    status, rows, page = run(joined_data_bin, joined_verifier, *options)
    few = -(-COUNT // 4)
    assert status == 0 and [row["sentences"] for row in rows] == [few, few, COUNT, COUNT]
    assert f"| greedy, `ngram` | {few} of {few} | {COUNT} of {COUNT} |" in page


def test_a_difference_is_counted_and_must_be_a_near_tie(run, joined_data_bin, joined_verifier, monkeypatch):
    told = {"sentences": COUNT, "identical": COUNT - 1, "score_difference": 0.0, "positional_difference": 0.0}
    monkeypatch.setattr(identity_results, "differences", lambda stock, ours: told)
    status, _, page = run(joined_data_bin, joined_verifier, "--drafters", "none", "--beam", "1", "--batch-sizes", "8")
    assert status == 0, "the certificate calls none of the tokens wrong"
    assert f"| greedy, `none` | {COUNT - 1} of {COUNT} | 0.0e+00 |" in page
    status, _, _ = run(joined_data_bin, joined_verifier, "--drafters", "none", "--beam", "1", "--batch-sizes", "1,8")
    assert status == 1, "where there is no certificate, nothing may differ"


def test_directions_of_a_model_of_many_languages_go_through_the_sibling_task(run, tmp_path):
    data = many.make_data(tmp_path / "many")
    kind = many.KINDS["M2M-100"]
    path = many.save(tmp_path / "many.pt", data, kind)
    options = ("--task", kind.stock, "--directions", "de-en,en-de", f"--options={' '.join(kind.arguments)}", "--mixed")
    references = ("--metric", "bleu", "--ref", str(data / "test.TARGET"))
    status, rows, page = run(data, path, *options, *references, "--batch-sizes", "8", "--drafters", "ngram")
    assert status == 0 and {row["direction"] for row in rows} == {"de-en", "en-de", "mixed"}
    each = {"de-en": COUNT, "en-de": COUNT, "mixed": 2 * COUNT}
    assert all(row.get("identical", row["sentences"]) == row["sentences"] == each[row["direction"]] for row in rows)
    mixed = [(row["beam"], row["system"]) for row in rows if row["direction"] == "mixed"]
    assert mixed == [(1, "ngram"), (4, "none")]
    assert f"| en-de, beam 4, `none` | {COUNT} of {COUNT} |" in page and "| decoding | BLEU |" in page


def test_a_drafter_without_its_weights_and_unknown_rules_are_refused(run, joined_data_bin, joined_verifier, capsys):
    for options, reason in (
        (("--drafters", "nat"), "--drafter-path must name"),
        (("--rules", "a"), "must be of free,"),
    ):
        with pytest.raises(SystemExit):
            run(joined_data_bin, joined_verifier, *options)
        assert reason in capsys.readouterr().err
