"""The configs of the model zoo start a training as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_specdec.compat import load_checkpoint
from tests import tiny

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for name in ("verifier", "drafter") for path in (ROOT / "models").glob(f"*/{name}.yaml"))


TRAIN_ALL = """
import sys
from fairseq_cli.hydra_train import cli_main
from hydra.core.global_hydra import GlobalHydra

for argv in map(str.split, open("commands.txt")):
    GlobalHydra.instance().clear()
    sys.argv[1:] = argv
    cli_main()
"""


@pytest.fixture(scope="module")
def trained(joined_data_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where fairseq-hydra-train has trained by every config, in one process: to start one takes seconds."""
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "fairseq_specdec").symlink_to(ROOT / "fairseq_specdec")
    commands = []
    for config in CONFIGS:
        options = [f"task.data={joined_data_bin}", f"task.source_lang={tiny.SOURCE}", f"task.target_lang={tiny.TARGET}"]
        options += ["common.cpu=true", "optimization.max_update=1", "dataset.max_tokens=200"]
        save_dir = folder / config.parent.name / config.stem
        options += ["dataset.disable_validation=true", f"checkpoint.save_dir={save_dir}"]
        for started_from in ("task.init_from_verifier", "checkpoint.finetune_from_model"):
            if started_from.split(".")[1] in config.read_text("utf-8"):
                options += [f"{started_from}=null"]
        commands.append(" ".join(["--config-dir", str(config.parent), "--config-name", config.stem, *options]))
    (folder / "commands.txt").write_text("\n".join(commands))
    argv, environment = [sys.executable, "-c", TRAIN_ALL], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_config_trains_through_fairseq_hydra_train(config: Path, trained: Path) -> None:
    saved = load_checkpoint(str(trained / config.parent.name / config.stem / "checkpoint_last.pt"))
    assert saved["model"]["encoder.embed_tokens.weight"].size(1) == 256


def test_every_system_has_a_card_and_the_configs_of_what_it_trains():
    for folder in (path for path in (ROOT / "models").iterdir() if path.is_dir()):
        names = {path.name for path in folder.iterdir()}
        assert "README.md" in names and names & {"verifier.yaml", "recipe.yaml"}, folder
        assert ("drafter.yaml" in names) == ("`drafter.yaml`" in (folder / "README.md").read_text("utf-8")), folder
