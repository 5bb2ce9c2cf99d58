"""Task ``spec_drafter``: masking on the fly, options, and training by both of fairseq's commands."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils, tasks

from fairseq_specdec.models.load import load_drafter
from fairseq_specdec.models.vocabulary import digest
from fairseq_specdec.tasks.spec_drafter import SpecDrafterTaskConfig
from tests import tiny

ROOT = Path(__file__).parents[2]
PAD, UNK = 1, 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    splits = {"train": 240, "valid": 16}
    return tiny.make_data_bin(tmp_path_factory.mktemp("corpus") / "bin", joined=True, splits=splits, longest=8)


def set_up(data, **options):
    cfg = SpecDrafterTaskConfig(data=str(data), train_subset="train", dataset_impl=None, **options)
    cfg.required_seq_len_multiple, cfg._name = 1, "spec_drafter"
    return tasks.get_task("spec_drafter").setup_task(cfg)


class Recorder(torch.nn.Module):
    """Stands in for model and criterion: keeps the batch it is given."""

    def set_num_updates(self, update):
        self.update = update

    def __call__(self, model, sample):
        self.sample = sample
        return torch.zeros((), requires_grad=True), 1, {}


def batch(task, split="valid", rows=range(8)):
    task.load_dataset(split)
    dataset = task.dataset(split)
    return dataset.collater([dataset[i] for i in rows])


def train_step(task, sample, seed):
    recorder = Recorder()
    torch.manual_seed(seed)
    task.train_step(sample, recorder, recorder, SimpleNamespace(backward=lambda loss: None), 12)
    return recorder.sample


def test_training_masks_blocks_anew_at_every_update_by_the_seed(data):
    task = set_up(data, block_size=4)
    sample = batch(task)
    first, again, other = (train_step(task, sample, seed) for seed in (1, 1, 2))
    tokens = first["net_input"]["prev_output_tokens"]
    assert first["update_num"] == 12
    assert tokens.eq(UNK).sum(dim=1).tolist() == [4] * 8
    assert tokens.equal(again["net_input"]["prev_output_tokens"])
    assert not tokens.equal(other["net_input"]["prev_output_tokens"][:, : tokens.size(1)])
    kept = tokens.ne(UNK) & tokens.ne(PAD)
    assert tokens[kept].equal(first["target"][kept])


def test_validation_masks_a_sentence_alike_in_every_batch(data):
    task = set_up(data, block_size=4)
    recorder = Recorder()
    masked = []
    for rows in (range(8), [3]):
        task.valid_step(batch(task, rows=rows), recorder, recorder)
        ids = recorder.sample["id"].tolist()
        masked.append(recorder.sample["net_input"]["prev_output_tokens"][ids.index(3)])
    alone = masked[1][masked[1].ne(PAD)]
    assert masked[0][masked[0].ne(PAD)].equal(alone)
    assert "update_num" not in recorder.sample


@pytest.mark.parametrize("block_size", [0, 65])
def test_block_sizes_out_of_range_are_refused(data, block_size):
    with pytest.raises(ValueError, match=f"--block-size must lie between 1 and 64, got {block_size}"):
        set_up(data, block_size=block_size)


def test_targets_padded_on_the_left_are_refused(data):
    with pytest.raises(ValueError, match="--left-pad-target must be False with --task spec_drafter"):
        set_up(data, left_pad_target=True)


def test_decoding_with_a_drafter_alone_is_refused_with_the_command_to_use(data):
    with pytest.raises(ValueError, match="--task spec_drafter trains and cannot decode .* --drafter nat"):
        set_up(data).build_generator([], SimpleNamespace())


def test_the_state_holds_fingerprints_of_the_dictionaries_and_going_on_with_others_is_refused(data):
    task = set_up(data)
    stored = task.state_dict()
    assert stored["dictionaries"]["target"] == digest(task.target_dictionary)
    task.load_state_dict(stored)
    task.load_state_dict({})  # checkpoints of other tasks have none
    with pytest.raises(ValueError, match="must have been trained with the dictionaries of DATA"):
        task.load_state_dict({"dictionaries": {"source": "a", "target": "b"}})


def run(module, *arguments):
    """Run one of fairseq's commands in a new process; return its log."""
    command = [sys.executable, "-m", f"fairseq_cli.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def losses(log):
    return [float(value) for value in re.findall(r"valid on 'valid' subset \| loss ([0-9.]+)", log)]


def check_trained(log, checkpoint, data):
    found = losses(log)
    assert len(found) >= 2 and found[-1] < found[0] - 0.1
    source, target = tiny.read_dictionaries(data)
    model, block_size = load_drafter(str(checkpoint), target, source)
    assert block_size == 5 and len(model.encoder.layers) == 2
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)])
    assert type(model).__name__ == "SpecDrafterModel" and task.block_size == 5


def test_fairseq_train_starts_from_the_verifier_learns_and_goes_on(data, tmp_path):
    verifier = tiny.save_trained_verifier(
        tmp_path / "verifier.pt", data, updates=1, encoder_ffn_embed_dim=64, share_all_embeddings=True
    )
    options = [
        data, "--user-dir", ROOT / "fairseq_specdec", "--cpu", "--task", "spec_drafter", "--arch", "spec_drafter_tiny",
        "--criterion", "spec_drafter_loss", "--block-size", 5, "--init-from-verifier", verifier, "--activation-fn",
        "relu", "--glance-start", 0.5, "--glance-end", 0.3, "--optimizer", "adam", "--lr", 0.005, "--max-tokens", 800,
        "--num-workers", 0, "--no-epoch-checkpoints", "--save-dir", tmp_path, "--log-format", "simple",
    ]  # fmt: skip
    log = run("train", *options, "--max-update", 20)
    assert "tensors from the verifier" in log
    check_trained(log, tmp_path / "checkpoint_last.pt", data)
    assert losses(run("train", *options, "--max-update", 25))[-1] < losses(log)[0]


def test_a_drafter_on_the_verifiers_encoder_learns_and_goes_on_with_that_verifier_alone(data, tmp_path):
    sizes = {"encoder_ffn_embed_dim": 64, "share_all_embeddings": True}
    verifier = tiny.save_trained_verifier(tmp_path / "verifier.pt", data, updates=1, **sizes)
    options = [
        data, "--user-dir", ROOT / "fairseq_specdec", "--cpu", "--task", "spec_drafter", "--arch", "spec_drafter_tiny",
        "--criterion", "spec_drafter_loss", "--block-size", 5, "--share-encoder", "--activation-fn", "relu",
        "--optimizer", "adam", "--lr", 0.005, "--max-tokens", 800, "--num-workers", 0, "--no-epoch-checkpoints",
        "--save-dir", tmp_path, "--log-format", "simple", "--init-from-verifier",
    ]  # fmt: skip
    log = run("train", *options, verifier, "--max-update", 20)
    found = losses(log)
    assert len(found) >= 2 and found[-1] < found[0] - 0.1
    assert "acceptance_length" in log
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "checkpoint_last.pt")])
    assert model.shares_encoder and "encoder" in task.state_dict()
    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=False)
    with pytest.raises(ValueError, match="must share the encoder of the verifier"):
        task.load_state_dict({**state["task_state"], "encoder": {"float32": "0"}})
    (theirs,), _ = checkpoint_utils.load_model_ensemble([str(verifier)], {"data": str(data)})
    source, target = tiny.read_dictionaries(data)
    assert load_drafter(str(tmp_path / "checkpoint_last.pt"), target, source, theirs.encoder)[1] == 5


def test_fairseq_hydra_train_takes_architecture_and_options_from_a_config(data, tmp_path):
    (tmp_path / "drafter.yaml").write_text(
        f"""# @package _group_
common: {{user_dir: {ROOT / "fairseq_specdec"}, cpu: true, log_format: simple}}
task: {{_name: spec_drafter, data: {data}, block_size: 5}}
criterion: {{_name: spec_drafter_loss, glance_start: 0.5, glance_end: 0.3}}
model: {{_name: spec_drafter_tiny, dropout: 0.0}}
optimizer: {{_name: adam}}
lr_scheduler: {{_name: fixed}}
optimization: {{max_update: 20, lr: [0.005]}}
dataset: {{max_tokens: 800, num_workers: 0}}
checkpoint: {{save_dir: {tmp_path}, no_epoch_checkpoints: true}}
hydra: {{run: {{dir: {tmp_path}}}}}
"""
    )
    log = run("hydra_train", "--config-dir", tmp_path, "--config-name", "drafter")
    check_trained(log, tmp_path / "checkpoint_last.pt", data)
