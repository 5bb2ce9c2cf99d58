"""The table of drafters: measured in pieces that stay in the file, and what it says to take."""

import json
import sys
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "train")]

import bench_drafters  # noqa: E402

PAGE = "<!-- table drafters: written by a script -->\n<!-- end drafters -->\n"


def run(monkeypatch, folder, *options):
    files = ("--out", folder / "out.json", "--data", folder / "data", "--page", f"{folder / 'page.md'}:drafters")
    monkeypatch.setattr(sys, "argv", ["bench_drafters.py", *map(str, (*files, *options))])
    bench_drafters.main()
    return json.loads((folder / "out.json").read_text())["models"]


def test_models_and_batch_sizes_are_measured_in_pieces(joined_data_bin, joined_verifier, tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(PAGE)
    asked = []

    def bench(*command):  # in this process: to start another takes seconds
        asked.append([str(word) for word in command])
        from fairseq_specdec.cli.main import main

        assert main([str(word) for word in command[1:]]) == 0

    monkeypatch.setattr(bench_drafters.bench_sentences, "call", bench)
    trained = ("--trained", "tiny, trained", joined_data_bin, joined_verifier, "none,self:block=4,input+self")
    small = ("--models", "", "--limit", 4, "--repeats", 1, "--cpu", "--num-workers", 0, *trained)
    run(monkeypatch, tmp_path, *small, "--batch-sizes", 2)
    found = run(monkeypatch, tmp_path, *small, "--batch-sizes", 1)
    assert list(found["tiny, trained"]) == ["1", "2"]
    systems = [row["system"] for row in found["tiny, trained"]["1"]["rows"]]
    assert systems == ["fairseq", "none", "self:block=4", "input+self"]
    assert all(row["identical"] == 1.0 for row in found["tiny, trained"]["2"]["rows"])
    page = (tmp_path / "page.md").read_text()
    assert page.count("| tiny, trained | 1 |") == 3  # what to take, and two drafters
    assert "| `self:block=4` |" in page and "| 100.0% |" in page
    assert all("--max-len-a" in command for command in asked)
    assert tiny.SPLITS["test"] > 4


def test_what_to_take_is_the_fastest_drafter_or_none():
    rows = [{"system": name, "speedup_vs_none": speed} for name, speed in (("ngram", 0.99), ("self", 1.01))]
    assert bench_drafters._best(rows) == "`none`"
    assert bench_drafters._best([*rows, {"system": "ar:drafter-path=a/b.pt", "speedup_vs_none": 1.5}]) == (
        "`ar:drafter-path=b.pt` (1.50)"
    )


def test_every_shipped_model_and_random_one_has_a_label_and_systems():
    jobs = {job.name for job in bench_drafters.quickstart.JOBS}
    assert set(bench_drafters.SHIPPED) == jobs
    assert set(bench_drafters.DEFAULT.split(",")) <= {*bench_drafters.SHIPPED, *bench_drafters.RANDOM}


def test_an_unknown_model_is_named(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "--models", "huge")
    assert "got huge: choose among them" in capsys.readouterr().err
