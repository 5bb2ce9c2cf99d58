"""The benchmark on random weights, from end to end in a small size."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "# Title\n\n<!-- table base: written by a script -->\n<!-- end base -->\n"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "scripts/bench_base.sh", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PATH": path})


def test_it_times_systems_on_random_weights_and_writes_the_page(tmp_path):
    (tmp_path / "performance.md").write_text(PAGE)
    small = ("--arch", "transformer_tiny", "--symbols", "60", "--limit", "3", "--batch-sizes", "1")
    done = run(*small, "--systems", "fairseq,none", "--out", str(tmp_path), "--data", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "transformer_base.json").read_text())["rows"]
    assert [(row["system"], row["tokens"], row["identical"]) for row in rows] == [("fairseq", 84, 1), ("none", 84, 1)]
    assert "28 tokens in and out: 3 sentences" in (tmp_path / "performance.md").read_text()


def test_a_wrong_option_is_named():
    for options, message in ((("--size", "3"), "'--size'"), (("--symbols", "few"), "at least 40, got 'few'")):
        done = run(*options)
        assert done.returncode == 2 and message in done.stderr
