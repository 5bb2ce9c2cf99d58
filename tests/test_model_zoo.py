"""The configs of the model zoo start a training as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_specdec.compat import load_checkpoint
from tests import tiny

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "models").glob("*/*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_config_trains_through_fairseq_hydra_train(config, joined_data_bin, tmp_path):
    (tmp_path / "fairseq_specdec").symlink_to(ROOT / "fairseq_specdec")
    choices = [f"task.data={joined_data_bin}", f"task.source_lang={tiny.SOURCE}", f"task.target_lang={tiny.TARGET}"]
    choices += ["common.cpu=true", "optimization.max_update=1", "checkpoint.save_dir=saved", "dataset.max_tokens=200"]
    choices += ["dataset.disable_validation=true"]
    for started_from in ("task.init_from_verifier", "checkpoint.finetune_from_model"):
        if started_from.split(".")[1] in config.read_text("utf-8"):
            choices += [f"{started_from}=null"]
    command = "from fairseq_cli.hydra_train import cli_main; cli_main()"
    argv = [sys.executable, "-c", command, "--config-dir", config.parent, "--config-name", config.stem, *choices]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    saved = load_checkpoint(str(tmp_path / "saved" / "checkpoint_last.pt"))
    assert saved["model"]["encoder.embed_tokens.weight"].size(1) == 256


def test_every_system_has_a_card_and_the_configs_of_what_it_trains():
    for folder in (path for path in (ROOT / "models").iterdir() if path.is_dir()):
        names = {path.name for path in folder.iterdir()}
        assert {"README.md", "verifier.yaml"} <= names, folder
        assert ("drafter.yaml" in names) == ("`drafter.yaml`" in (folder / "README.md").read_text("utf-8")), folder
