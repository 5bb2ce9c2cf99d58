"""The script that times one sentence at full size, on models small enough for a test."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import full_size  # noqa: E402

SMALL = full_size.Size(2, 16, 32, 2, 60)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(full_size, "TOKENS", 6)
    monkeypatch.setattr(full_size, "REPEATS", 1)


def test_sizes_are_the_published_ones():
    counted = {}
    for name, size in full_size.SIZES.items():
        layers = size.layers * (12 * size.width**2 + 4 * size.width * size.feed_forward)
        counted[name] = (size.symbols * size.width + layers) / 1e6
    assert counted == pytest.approx(
        {"M2M-100 418M": 484, "NLLB-200 600M": 615}, rel=0.01
    )  # with every position's share


@pytest.mark.parametrize("system", full_size.SYSTEMS)
def test_outputs_have_the_asked_length_and_exact_systems_give_fairseqs(system):
    found = full_size.measure_one(SMALL, system, 1)
    assert {len(tokens) for tokens in found["tokens"]} == {7}
    assert all(tokens[0] == SMALL.symbols - 1 for tokens in found["tokens"])  # the language is forced
    assert found["seconds"] > 0
    assert found["peak_mb"] >= found["loaded_mb"] > 0
    if not system.startswith("int8"):
        stock = full_size.measure_one(SMALL, full_size.STOCK.get(system, system), 1)
        assert found["tokens"] == stock["tokens"]


def test_it_writes_numbers_and_a_table(monkeypatch, tmp_path):
    (tmp_path / "page.md").write_text("# T\n\n<!-- table full size: written by a script -->\n<!-- end full size -->\n")
    monkeypatch.setattr(full_size, "SIZES", {"small": SMALL})
    monkeypatch.setattr(full_size, "SYSTEMS", ["fairseq", "none"])
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(out), "--page", str(tmp_path / "page.md"), "--threads", "1"])
    full_size.main()
    found = json.loads(out.read_text())["models"]["small"]
    assert found["none"]["identical"] is True
    page = (tmp_path / "page.md").read_text()
    assert "| small | none |" in page
    assert " yes |" in page
