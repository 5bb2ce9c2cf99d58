"""Memory of decoding: measured in a process of its own for each system, beam and batch size."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "train")]

import beam_memory  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("<!-- table memory: written by a script -->\n<!-- end memory -->\n")
    return path


def test_each_system_is_measured_and_tabled(tmp_path, page, monkeypatch):
    monkeypatch.setattr(beam_memory, "BEAMS", (5,))
    monkeypatch.setattr(beam_memory, "SIZES", (64,))
    out, table = tmp_path / "memory.json", f"{page}:memory"
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(
        sys, "argv", ["m", "--model", "tiny", "--data", str(tmp_path), "--out", str(out), "--page", table]
    )
    beam_memory.main()
    rows = json.loads(out.read_text())["rows"]
    assert [row["system"] for row in rows] == ["fairseq", "ours"]
    assert all(0 <= row["decoding_mb"] < 500 and row["weights_mb"] >= 0 for row in rows)
    assert "| this package | 5 |" in page.read_text() and "transformer_tiny" in page.read_text()
