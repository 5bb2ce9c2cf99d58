"""The small tools of the recipes: tables in pages, perturbed guesses, longer dictionaries."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fairseq.data import Dictionary

from tests import tiny

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path[:0] = [str(SCRIPTS / "train"), str(SCRIPTS / "data")]

import bench_card  # noqa: E402
import card  # noqa: E402
import draft_costs  # noqa: E402
from perturb import perturb  # noqa: E402

PAGE = "# Title\n\n<!-- table speed: written by a script -->\nold\n<!-- end speed -->\n\nbehind\n"
ROW = {
    "system": "input",
    "batch_size": 1,
    "sentences": 40,
    "seconds": 1.5,
    "spread": [1.25, 1.75],
    "speedup_vs_fairseq": 7.0,
    "speedup_vs_none": 4.0,
    "acceptance_length": 8.0,
    "identical": 1.0,
}
BENCH = {
    "date": "2026-01-01",
    "device_name": "a CPU",
    "threads": 2,
    "dtype": "float32",
    "repeats": 3,
    "data": "bin",
    "versions": {"torch": "2", "python": "3"},
    "rows": [ROW, {**ROW, "system": "nat", "error": "out of memory"}],
}


def test_a_table_replaces_what_stands_between_its_markers_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    for text in ("new", "newer"):
        card.write_table(page, "speed", text)
    assert page.read_text() == PAGE.replace("old", "newer")


def test_a_page_without_the_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(ValueError, match="must hold the lines '<!-- table quality: written by a script -->'"):
        card.write_table(page, "quality", "new")
    assert page.read_text() == PAGE


def test_a_benchmark_becomes_a_table_with_its_origin():
    text = bench_card.bench_table(BENCH, Path("bench.json"), "A title", [])
    assert "A title: 40 sentences" in text
    assert "| `input` | 1 | 1.50 (1.25 to 1.75) | 7.00 | 4.00 | 8.00 | 100.0% |" in text
    assert "| nat | 1 | failed |" in text
    assert "a CPU, 2 threads, float32, torch 2, Python 3; from `bench.json`" in text
    assert "nat" not in bench_card.bench_table(BENCH, Path("bench.json"), "", ["input"])


def test_ratios_to_what_failed_or_took_no_time_stay_empty():
    without = {"speedup_vs_fairseq": None, "speedup_vs_none": None, "identical": None}
    failed = {**dict.fromkeys(ROW), "system": "fairseq", "batch_size": 1, "sentences": 0, "error": "out of memory"}
    text = bench_card.bench_table({**BENCH, "rows": [failed, {**ROW, **without}]}, Path("b.json"), "A title", [])
    assert "A title: 40 sentences" in text
    assert "| `input` | 1 | 1.50 (1.25 to 1.75) |  |  | 8.00 |  |" in text
    assert "0 sentences" in bench_card.bench_table({**BENCH, "rows": []}, Path("b.json"), "A title", [])


def test_what_was_never_timed_takes_no_time():
    assert draft_costs.Stopwatch().milliseconds("second draft") == 0


def test_about_the_share_of_words_asked_for_is_replaced_the_same_way_for_a_seed():
    lines = [" ".join(f"w{i * 20 + k}" for k in range(20)) for i in range(100)]
    changed = perturb(lines, 0.15, seed=1)
    assert changed == perturb(lines, 0.15, seed=1) != perturb(lines, 0.15, seed=2)
    pairs = [
        (a, b) for old, new in zip(lines, changed, strict=True) for a, b in zip(old.split(), new.split(), strict=True)
    ]
    assert 0.12 < sum(a != b for a, b in pairs) / len(pairs) < 0.18
    assert perturb(lines, 0.0, seed=1) == lines


def test_a_dictionary_grows_to_the_size_of_another_and_loads(tmp_path):
    for name, count in (("short", 5), ("long", 9)):
        (tmp_path / name).write_text("".join(f"s{i} 1\n" for i in range(count)))

    def run(short, like):
        argv = [tmp_path / short, "--like", tmp_path / like, "--out", tmp_path / "out"]
        return subprocess.run([sys.executable, SCRIPTS / "train" / "pad_dictionary.py", *argv], capture_output=True)

    assert run("short", "long").returncode == 0
    grown, like = (Dictionary.load(str(tmp_path / name)) for name in ("out", "long"))
    assert len(grown) == len(like) and grown.symbols[:9] == like.symbols[:9]
    refused = run("long", "short")
    assert refused.returncode == 2 and b"must not be longer than" in refused.stderr


def test_drafters_are_counted_timed_and_laid_out(data_bin, verifier, tmp_path, monkeypatch):
    monkeypatch.chdir(SCRIPTS.parent)
    monkeypatch.setattr(draft_costs, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(draft_costs, "REPEATS", 1)
    page, out = tmp_path / "page.md", tmp_path / "drafts.json"
    page.write_text(PAGE)
    own = {"arch": "spec_drafter_tiny", "task": "spec_drafter", "block_size": 8}
    tiny.save_random(tmp_path / "own.pt", data_bin, **own)
    tiny.save_sharing(tmp_path / "shared.pt", data_bin, verifier, block_size=8, decoder_layers=1)
    argv = ["draft_costs.py", "--data", str(data_bin), "--verifier", str(verifier), "--out", str(out)]
    argv += ["--drafter", f"own={tmp_path / 'own.pt'}"]
    shared = ["--drafter", f"shared={tmp_path / 'shared.pt'}", "--page", f"{page}:speed"]
    monkeypatch.setattr(sys, "argv", [*argv, *shared])
    draft_costs.main()
    rows = json.loads(out.read_text())["rows"]
    assert [(row["drafter"], row["block_size"]) for row in rows] == [(d, k) for d in ("own", "shared") for k in (5, 8)]
    assert len({row["tokens"] for row in rows}) == 1 and rows[2]["parameters"] < rows[0]["parameters"]
    assert all(row["acceptance_length"] >= 1 and row["draft_ms"] > 0 and row["over_none"] > 0 for row in rows)
    assert "| shared | " in page.read_text() and "encoder takes" in page.read_text()
    monkeypatch.setattr(draft_costs, "count", None)  # counts are taken from the file
    monkeypatch.setattr(sys, "argv", [*argv, "--times-only"])
    draft_costs.main()
    assert [row["drafter"] for row in json.loads(out.read_text())["rows"]] == ["own", "own"]
