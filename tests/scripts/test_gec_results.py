"""The script behind the cards of correction models, from checkpoints to the card, on tiny ones."""

import json
import sys
from pathlib import Path

import pytest
from fairseq.utils import import_user_module

from tests import tiny

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path[:0] = [str(SCRIPTS / "train")]

import decoding_runs  # noqa: E402
import gec_results  # noqa: E402

CARD = "# Card\n\n<!-- table results: written by a script -->\n<!-- end results -->\n"


@pytest.fixture
def place(joined_data_bin, joined_verifier, tmp_path, monkeypatch):
    """A working folder as the recipe leaves it."""
    texts = {side: (joined_data_bin / f"test.{side}").read_text("utf-8") for side in (tiny.SOURCE, tiny.TARGET)}
    files = {
        "data/gec.uk/bpe/ua_gec_dev.tgt": texts[tiny.TARGET],
        "data/gec.uk/text/eval/ua_gec_dev.src": texts[tiny.SOURCE],
        "data/gec.uk/text/eval/ua_gec_dev.ref0": texts[tiny.TARGET],
        "models/gec.uk/README.md": CARD,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "data/gec.uk/bin").symlink_to(joined_data_bin)
    verifier = tmp_path / "checkpoints/gec.uk/verifier/checkpoint_last.pt"
    verifier.parent.mkdir(parents=True)
    verifier.symlink_to(joined_verifier)
    (tmp_path / "fairseq_specdec").mkdir()  # the --user-dir, which this process has imported
    monkeypatch.setattr(import_user_module, "memo", {str(tmp_path / "fairseq_specdec")}, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gec_results", "--system", "gec.uk", *arguments])
    gec_results.main()
    return json.loads(Path("models/gec.uk/results.json").read_text("utf-8"))


def test_every_part_looks_at_every_sentence_and_ends_up_on_the_card(place, monkeypatch):
    results = run(monkeypatch)
    count = tiny.SPLITS["test"]
    assert [(row["batch_size"], row["system"]) for row in results["identity"]] == [
        (size, name) for size in (64, 8, 1) for name in ("input", "ngram", "file")
    ]
    assert all(row["identical"] == row["sentences"] == count for row in results["identity"])
    certified = [row for row in results["identity"] if row["certificate"] is not None]
    assert [(row["batch_size"], row["system"]) for row in certified] == [(64, "input")]
    assert {row["system"] for row in results["rounds"]} == {"input", "input, published rule", "ngram", "file"}
    assert all(row["sentences"] == row["identical_to_batch_64"] == count for row in results["rounds"])
    assert [row["system"] for row in results["scores"]] == ["source", "greedy", "beam 5"]
    card = (place / "models/gec.uk/README.md").read_text("utf-8")
    for row in results["rounds"]:
        assert f"| UA-GEC dev | {row['system']} | {count} | {row['acceptance_length']:.2f} |" in card
    assert f"| UA-GEC dev | source | {results['scores'][0]['gleu']:.2f} |" in card


def test_runs_that_came_to_their_end_are_taken_again_only_when_asked_and_unchanged(place, monkeypatch):
    Path("models/gec.uk/results.json").write_text(json.dumps({"scores": [{"test_set": "a", "system": "b"}]}))
    results = run(monkeypatch, "--part", "rounds")
    assert results["scores"] == [{"test_set": "a", "system": "b"}], "other parts stay as they were measured"
    first = results["rounds"]
    assert len(first) == 4
    log = Path("runs/gec.uk/test/1/input/generate-test.txt")
    for options, is_new in (([], True), (["--resume"], False)):
        before = log.stat().st_mtime_ns
        assert run(monkeypatch, "--part", "rounds", *options)["rounds"] == first
        assert (log.stat().st_mtime_ns != before) == is_new
    (log.parent / "run.json").unlink()  # as if it had been interrupted
    before = log.stat().st_mtime_ns
    assert run(monkeypatch, "--part", "rounds", "--resume")["rounds"] == first
    assert log.stat().st_mtime_ns != before
    stock = Path("runs/gec.uk/test/64/stock/generate-test.txt")
    before = log.stat().st_mtime_ns, stock.stat().st_mtime_ns
    monkeypatch.setattr(decoding_runs, "code_digest", lambda: "of a changed package")
    assert run(monkeypatch, "--part", "rounds", "--resume")["rounds"] == first
    assert (log.stat().st_mtime_ns != before[0], stock.stat().st_mtime_ns != before[1]) == (True, False)
