"""The GPU benchmark, tried on a CPU with tiny models in the places of the trained ones."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(folder / "scripts" / "bench_gpu.sh"), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)


@pytest.fixture
def folder(tmp_path, joined_data_bin, joined_verifier):
    """A checkout in which the recipes have been run, with tiny models."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "fairseq_specdec").symlink_to(ROOT / "fairseq_specdec")
    for system in ("multi30k.en-de", "gec.en"):
        (tmp_path / "data" / system).mkdir(parents=True)
        (tmp_path / "data" / system / "bin").symlink_to(joined_data_bin)
        for model in ("verifier", "drafter"):
            (tmp_path / "checkpoints" / system / model).mkdir(parents=True)
        shutil.copy(joined_verifier, tmp_path / "checkpoints" / system / "verifier" / "checkpoint_last.pt")
    drafter = tmp_path / "checkpoints" / "multi30k.en-de" / "drafter" / "checkpoint_last.pt"
    tiny.save_random(drafter, joined_data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=5)
    return tmp_path


def test_translation_correction_and_exactness_are_measured_and_tabled(folder):
    stages = [word for name in ("multi30k", "gec", "exact") for word in ("--stage", name)]
    done = run(folder, "--cpu", "--limit", "2", "--batch-sizes", "1", "--out", "results", *stages)
    assert done.returncode == 0, done.stderr
    page = (folder / "results" / "gpu.md").read_text()
    for name, recorded in (("multi30k", "none:cuda-graphs=true"), ("gec", "input:cuda-graphs=true")):
        rows = {r["system"]: r for r in json.loads((folder / "results" / f"{name}.json").read_text())["rows"]}
        assert rows["none"]["identical"] == rows[recorded]["identical"] == 1
        assert f"<!-- table {name}:" in page
        assert ("ctranslate2" in rows) == bool(importlib.util.find_spec("ctranslate2"))
    assert "| `nat:block=5` | 1 |" in page
    exact = json.loads((folder / "results" / "exact.json").read_text())
    assert exact == {"dtype": "float32", "sentences": tiny.SPLITS["test"], "identical": tiny.SPLITS["test"]}
    assert "certificate:" in done.stdout and ", 0 wrong" in done.stdout


def test_what_cannot_be_measured_is_said(folder):
    shutil.rmtree(folder / "checkpoints" / "gec.en")
    for options, message in (
        (("--cpu", "--stage", "gec"), "checkpoint_last.pt is missing; it is made by scripts/train/gec.sh gec.en"),
        (("--cpu", "--stage", "all"), "unknown stage 'all'"),
        (("--dtype", "int4"), "--dtype must be fp16, bf16 or fp32, got 'int4'"),
        (("--gpu",), "unknown option '--gpu'"),
    ):
        done = run(folder, *options)
        assert done.returncode == 2 and message in done.stderr
