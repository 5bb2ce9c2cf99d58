"""Beam search held against fairseq's: batches are of the size that the table says."""

import json
import sys
from pathlib import Path

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "train")]

import beam_results  # noqa: E402


def test_each_case_is_decoded_in_batches_of_its_size_and_tabled(data_bin, verifier, tmp_path, monkeypatch, capsys):
    page, out = tmp_path / "page.md", tmp_path / "beams.json"
    page.write_text("<!-- table beams: written by a script -->\n<!-- end beams -->\n")
    command = [str(data_bin), "--path", str(verifier), "--path-of-second", str(verifier), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["beam_results.py", *command, "--page", f"{page}:beams"])
    assert beam_results.main() == 0
    rows = json.loads(out.read_text())["rows"]
    n = tiny.SPLITS["test"]
    assert [(row["batch_size"], row["largest_batch"]) for row in rows[:3]] == [(1, 1), (8, 8), (64, min(n, 64))]
    assert [row["options"] for row in rows[3:]] == list(beam_results.CASES)[1:]
    assert all(row["identical"] == row["sentences"] == n for row in rows)
    assert all(row["certificate"]["wrong"] == 0 for row in rows if row["batch_size"] == 64)
    assert f"| beam 5, two models | 64 | {n} of {n} |" in page.read_text()
