"""Drafts held against fairseq's greedy search: every drafter, every batch size, and the table."""

import json
import sys
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "train")]

import draft_results  # noqa: E402


@pytest.mark.parametrize("has_second", [True, False])
def test_each_drafter_is_held_against_fairseq_at_each_size(data_bin, verifier, tmp_path, monkeypatch, has_second):
    page, out = tmp_path / "page.md", tmp_path / "drafts.json"
    page.write_text("<!-- table drafts: written by a script -->\n<!-- end drafts -->\n")
    command = [str(data_bin), "--path", str(verifier), "--out", str(out), "--limit", "12", "--page", f"{page}:drafts"]
    if has_second:
        command += ["--drafter-path", str(verifier)]
    for size in ("8", "1"):  # in pieces
        monkeypatch.setattr(sys, "argv", ["draft_results.py", *command, "--batch-sizes", size])
        monkeypatch.setattr(draft_results, "CERTIFIED", 8)
        assert draft_results.main() == 0
    rows = json.loads(out.read_text())["rows"]
    labels = [label for label in draft_results.CASES if has_second or label != "ar"]
    names = [name for label in labels for name in (label, f"{label}, 8 tokens")]
    assert [(row["options"], row["batch_size"]) for row in rows] == [(name, size) for size in (1, 8) for name in names]
    assert all(row["identical"] == row["sentences"] >= 12 for row in rows)
    whole = [row for row in rows if row["options"].endswith("tokens")]
    assert all(row["acceptance_length"] > 1.5 for row in whole)
    assert all(row["certificate"]["wrong"] == 0 for row in whole if row["batch_size"] == 8)
    assert f"| self, int8, 8 tokens | 1 | {whole[0]['sentences']} of" in page.read_text()
    assert tiny.SPLITS["test"] >= rows[0]["sentences"]
