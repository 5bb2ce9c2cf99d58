"""The script that measures linear maps, on maps small enough for a test."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import profile_kernels  # noqa: E402

PAGE = "# Title\n\n<!-- table kernels: written by a script -->\n<!-- end kernels -->\n"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Small maps, and the script's arguments."""
    for name, value in {"WEIGHTS": ((32, 8), (48, 16)), "ROWS": (1, 3), "LARGE": 16, "SECONDS": 0.0}.items():
        monkeypatch.setattr(profile_kernels, name, value)
    (tmp_path / "page.md").write_text(PAGE)
    arguments = ["--out", str(tmp_path / "out.json"), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", ["profile_kernels", *arguments])
    return tmp_path


def test_it_writes_numbers_and_a_table(small, monkeypatch):
    monkeypatch.setattr(profile_kernels, "layers_by", lambda: "avx2")
    profile_kernels.main()
    results = json.loads((small / "out.json").read_text())
    assert set(results["maps"]) == {"32x8", "48x16"}
    assert all(rate > 0 for rows in results["maps"].values() for pair in rows.values() for rate in pair.values())
    page = (small / "page.md").read_text()
    assert "| 48x16 torch |" in page and "GB/s" in page and str(small / "out.json") in page


def test_without_a_library_there_is_nothing_to_measure(small, monkeypatch, capsys):
    monkeypatch.setattr(profile_kernels, "layers_by", lambda: "torch")
    with pytest.raises(SystemExit):
        profile_kernels.main()
    assert "got torch: build it" in capsys.readouterr().err


def test_functions_that_take_turns_run_equally_often():
    counts = [0, 0]

    def count(i):
        counts[i] += 1

    assert len(profile_kernels.in_turn([lambda: count(0), lambda: count(1)], 0.0)) == 2
    assert counts == [5, 5]
