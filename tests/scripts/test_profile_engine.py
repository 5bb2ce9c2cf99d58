"""The script that measures passes, on models small enough for a test."""

import json
import sys
from pathlib import Path

import pytest

from fairseq_specdec.engine.native import library as native

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import profile_engine  # noqa: E402

PAGE = "# Title\n\n<!-- table passes: written by a script -->\n<!-- end passes -->\n"


def test_the_multiplications_of_a_position_are_every_matrix_of_the_decoder_once_but_keys_and_values_of_the_source():
    model = profile_engine.build(16, 32, 2, 3, 40)
    layer = 4 * 16 * 16 + 2 * 16 * 16 + 2 * 16 * 32  # self-attention, queries and output over the source, feed-forward
    assert profile_engine.products(model) == 3 * layer + 40 * 16


def test_the_floor_is_what_takes_longer_of_reading_and_multiplying(monkeypatch):
    model = profile_engine.build(16, 32, 2, 3, 40)
    work = profile_engine.products(model)
    floors = profile_engine.floors(model, {"gigabytes_per_second": 1.0, "gigaproducts_per_second": 1.0})
    assert floors[1] == floors[2] == pytest.approx(4e-9 * work)
    assert floors[33] == pytest.approx(33e-9 * work)


def test_it_writes_numbers_and_tables(monkeypatch, tmp_path):
    monkeypatch.setattr(profile_engine, "SIZES", {"small": (16, 32, 2, 1, 40)})
    monkeypatch.setattr(profile_engine, "REPEATS", 1)
    monkeypatch.setattr(
        profile_engine, "machine", lambda: {"gigabytes_per_second": 1.0, "gigaproducts_per_second": 2.0}
    )
    (tmp_path / "page.md").write_text(PAGE)
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["profile_engine", "--out", str(out), "--page", str(tmp_path / "page.md")])
    profile_engine.main()
    size = json.loads(out.read_text())["sizes"]["small"]
    assert set(size["pass_seconds"]) == {"float32", "float32 by torch", "bf16", "int8"}
    assert all(seconds > 0 for passes in size["pass_seconds"].values() for seconds in passes.values())
    page = (tmp_path / "page.md").read_text()
    assert f"{1000 * size['pass_seconds']['int8']['33']:.2f} |" in page
    parts = size["sentence_seconds"]
    assert parts["total"] == pytest.approx(sum(parts[p] for p in ("encode", "verify", "draft", "other")), rel=0.5)
    assert f"without drafts takes {1000 * parts['total']:.2f} ms" in page
    assert native.library() is not None, "the row without compiled layers has left them off"
    assert "Measured" in page and "out.json" in page
