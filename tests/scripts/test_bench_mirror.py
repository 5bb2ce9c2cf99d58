"""The script that times beams that look ahead, on a few sentences and a decoder small enough for a test."""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts")]

import bench_mirror  # noqa: E402

PAGE = "# Title\n\n<!-- table mirror-measured: written by a script -->\n<!-- end mirror-measured -->\n"


def test_it_writes_what_each_system_took_and_that_passes_bring_several_steps(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_mirror, "REPEATS", 1)
    monkeypatch.setattr(bench_mirror, "SENTENCES", {"the corrector alone": 3, "small": 2})
    sizes = {"the corrector alone": None, "small": ("1 layer", (16, 32, 2, 1, 1700))}
    monkeypatch.setattr(bench_mirror, "SIZES", sizes)
    (tmp_path / "page.md").write_text(PAGE)
    out = tmp_path / "out.json"
    argv = ["bench_mirror", "--out", str(out), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", argv)
    bench_mirror.main()
    found = json.loads(out.read_text())["sizes"]
    assert set(found) == set(sizes)
    for size in found.values():
        assert set(size["systems"]) == set(bench_mirror.SYSTEMS)
        assert size["systems"]["plain"]["steps_a_pass"] == 1.0 and size["systems"]["7 ahead"]["steps_a_pass"] > 1.5
        assert all(row["seconds"] > 0 for row in size["systems"].values())
    assert "| passes of 1 layer beside it: 7 ahead | 2 |" in (tmp_path / "page.md").read_text()
