"""Memory of decoding: measured in a process of its own for each system, beam and batch size."""

import json
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "train")]

import beam_memory  # noqa: E402
import measured  # noqa: E402
import pytest  # noqa: E402

from tests import oracle, tiny  # noqa: E402


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


def test_long_sources_are_made_up_and_have_sizes_of_their_own(data_bin):
    task = oracle.load(tiny.save_random(data_bin.parent / "v.pt", data_bin), data_bin)[1]
    sample = beam_memory.first_batch(task, 3, 50)["net_input"]
    assert sample["src_tokens"].shape == (3, 50) and sample["src_lengths"].tolist() == [50] * 3
    assert sample["src_tokens"][:, -1].eq(2).all()
    assert beam_memory.plan(50) == (beam_memory.LONG_BEAMS, beam_memory.LONG_SIZES)
    results = {"source": 50, "model": "tiny", "rows": [], **measured.environment(), "command": "scripts/beam_memory.py"}
    for beam, size in product(*beam_memory.plan(50)):
        each = {"beam": beam, "batch_size": size, "decoding_mb": size, "weights_mb": 1.0}
        results["rows"] += [{"system": who, **each} for who in beam_memory.WHO]
    text = beam_memory.page_of(results, Path("docs/memory_long.json"))
    assert "50 tokens in and 28 out" in text and "| this package | 1 | 8 | 32 |" in text
