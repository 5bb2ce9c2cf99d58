"""--also-user-dir: what the authors of a checkpoint registered."""

import sys

import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.tasks.user_dirs import import_user_dirs, named_on
from tests import tiny
from tests.tasks.test_drop_in import lines_of
from tests.tasks.test_translation_specdec import ROOT, assert_same_lines, command

ARCHITECTURE = """
from fairseq.models import register_model_architecture
from fairseq.models.transformer import base_architecture

@register_model_architecture("transformer", "{name}")
def fill_in(args):
    args.encoder_layers = getattr(args, "encoder_layers", 1)
    base_architecture(args)
"""


def make_user_dir(folder, name):
    folder.mkdir()
    (folder / "__init__.py").write_text(ARCHITECTURE.format(name=name), "utf-8")
    return folder


def test_folders_on_a_command_line_are_found_among_other_options():
    assert named_on(["x", "data", "--also-user-dir", "a", "--beam", "1", "--also-user-dir=b"]) == ["a", "b"]
    assert named_on(["pytest", "--also", "a"]) == []


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(OptionError, match="--also-user-dir must be an existing folder, got .*nowhere: check the path"):
        import_user_dirs([str(tmp_path / "nowhere")])


def test_checkpoints_of_other_user_dirs_are_decoded(data_bin, tmp_path):
    folders = [make_user_dir(tmp_path / f"of_authors_{i}", f"of_authors_{i}") for i in range(2)]
    model, cfg = tiny.build_model(data_bin)
    tiny.liven(model, tiny.read_dictionaries(data_bin)[0])
    stock = tiny.save_checkpoint(tmp_path / "stock.pt", model, cfg)
    cfg.model.arch = cfg.model._name = "of_authors_1"
    path = tiny.save_checkpoint(tmp_path / "v.pt", model, cfg)
    asked = [word for folder in folders for word in ("--also-user-dir", folder)]
    ours = lines_of(tmp_path / "ours", data_bin, path, "--task", "translation_specdec", *asked, "--beam", 2)
    assert_same_lines(lines_of(tmp_path / "s", data_bin, stock, "--task", "translation", "--beam", 2), ours)
    assert {"of_authors_0", "of_authors_1"} <= set(sys.modules)


def test_a_drafter_is_trained_for_a_verifier_of_another_user_dir(data_bin, tmp_path):
    folder = make_user_dir(tmp_path / "of_its_verifier", "of_its_verifier")
    model, cfg = tiny.build_model(data_bin)
    cfg.model.arch = cfg.model._name = "of_its_verifier"
    path = tiny.save_checkpoint(tmp_path / "v.pt", model, cfg)
    options = {"task": "spec_drafter", "arch": "spec_drafter_tiny", "also_user_dir": folder, "verifier": path}
    drafter, _ = tiny.build_model(data_bin, **options)
    assert sum(weight.numel() for weight in drafter.parameters()) > 0
    assert "of_its_verifier" in sys.modules


def test_architectures_of_other_user_dirs_can_be_named_in_training(data_bin, tmp_path):
    folder = make_user_dir(tmp_path / "for_training", "for_training")
    argv = [data_bin, "--user-dir", ROOT / "fairseq_specdec", "--also-user-dir", folder, "--arch", "for_training"]
    argv += ["--task", "translation_specdec", "--cpu", "--encoder-embed-dim", 16, "--decoder-embed-dim", 16]
    argv += ["--max-tokens", 500, "--max-update", 1, "--num-workers", 0, "--save-dir", tmp_path, "--optimizer", "adam"]
    done = command("train", *argv)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint_last.pt").is_file()
