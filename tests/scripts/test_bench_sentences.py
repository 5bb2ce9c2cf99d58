"""The benchmark on random weights, from end to end in a small size."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "".join(f"<!-- table {name}: written by a script -->\n<!-- end {name} -->\n" for name in ("sentences", "ratios"))


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/bench_sentences.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_it_times_systems_on_random_weights_and_writes_the_page(tmp_path):
    (tmp_path / "page.md").write_text(PAGE)
    small = ("--models", "tiny", "--limit", "3", "--batch-sizes", "1", "--repeats", "1", "--cpu")
    files = ("--out", tmp_path / "out.json", "--data", tmp_path / "data", "--page", f"{tmp_path / 'page.md'}:sentences")
    files += ("--summary", f"{tmp_path / 'page.md'}:ratios")
    done = run(*small, "--systems", "fairseq,fairseq-beam5,none,none:beam=5", *map(str, files))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["models"]["tiny"]
    assert [(row["system"], row["tokens"]) for row in rows] == [
        ("fairseq", 84), ("fairseq-beam5", 84), ("none", 84), ("none:beam=5", 84)
    ]  # fmt: skip
    lines = [line for line in (tmp_path / "page.md").read_text().splitlines() if "`none" in line]
    assert [line.split(" | ")[-1] for line in lines] == ["100.0% |", "100.0% |"]
    ratios = (tmp_path / "page.md").read_text().partition("<!-- table ratios")[2].splitlines()[3]
    beam, without, greedy, too = (cell.strip() for cell in ratios.split("|")[3:-1])
    assert float(beam) > 0 < float(greedy) and without == too == ""


def test_a_wrong_option_is_named(tmp_path):
    for options, message in (
        (("--models", "3+3,huge"), "got huge"),
        (("--batch-sizes", "few"), "numbers from 1 with commas between, got few"),
    ):
        done = run("--out", str(tmp_path / "out.json"), *options)
        assert done.returncode == 2 and message in done.stderr
