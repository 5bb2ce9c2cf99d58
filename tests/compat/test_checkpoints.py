import copy
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_specdec import compat
from fairseq_specdec.compat import CheckpointError, allow_list
from fairseq_specdec.compat.checkpoints import drop_fast_path_keys


class Foreign:
    """A class that no allow-list knows."""


class Attack:
    """Makes a folder when it is unpickled without restrictions."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(params=["load_checkpoint", "load_checkpoint_to_cpu", "load_model_ensemble_and_task"])
def read(request):
    """Each way to read a checkpoint: ours, and fairseq's own two."""
    return {
        "load_checkpoint": compat.load_checkpoint,
        "load_checkpoint_to_cpu": checkpoint_utils.load_checkpoint_to_cpu,
        "load_model_ensemble_and_task": lambda path: checkpoint_utils.load_model_ensemble_and_task([path]),
    }[request.param]


def load_model(path):
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([path])
    return model.eval(), task


def logits(model):
    tokens = torch.tensor([[4, 5, 6, 2], [7, 8, 2, 1]])
    with torch.no_grad():
        return model(tokens, torch.tensor([4, 3]), tokens)[0]


# Files that cannot be read


def test_a_missing_checkpoint_is_named_with_the_options_to_check(read, tmp_path):
    path = str(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match=f"{re.escape(path)}: No such file.*--drafter-path"):
        read(path)


def test_a_folder_in_place_of_a_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="Is a directory"):
        compat.load_checkpoint(str(tmp_path))


def test_a_missing_dictionary_is_not_taken_for_a_missing_checkpoint(state, save, tmp_path):
    cfg = copy.deepcopy(state["cfg"])
    cfg["task"]["data"] = str(tmp_path)
    with pytest.raises(FileNotFoundError, match="dict"):
        load_model(save(cfg=cfg))


@pytest.mark.parametrize("content", ["half", "empty", "text", "zeros"])
def test_a_file_that_is_no_whole_checkpoint_is_called_so(read, save, unpickler, content):
    path = Path(save())
    whole = path.read_bytes()
    damaged = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"hello\n" * 9, "zeros": bytes(99)}
    path.write_bytes(damaged[content])
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))} .*bytes.*truncated.*again"):
        read(str(path))


@pytest.mark.parametrize("content", [torch.ones(2), {"weights": 1}, {"model": None}], ids=["tensor", "dict", "empty"])
def test_a_torch_file_without_a_model_is_no_fairseq_checkpoint(read, tmp_path, content):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="not a fairseq checkpoint.*'model'"):
        read(str(tmp_path / "c.pt"))


# Classes that are not on the allow-list


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run_it(read, save, tmp_path, unpickler, zipped):
    path = save(extra_state=Attack(tmp_path / "made"), zipped=zipped)
    with pytest.raises(
        CheckpointError, match=r"Refused to load .*c\.pt: it needs (posix|nt)\.mkdir,.*may run any code"
    ):
        read(path)
    assert not (tmp_path / "made").exists()


def test_a_newer_fairseq_that_asks_for_free_unpickling_does_not_get_it(save, tmp_path):
    path = save(extra_state=Attack(tmp_path / "made"))
    with open(path, "rb") as file, pytest.raises(CheckpointError, match="Refused"):
        checkpoint_utils.torch.load(file, map_location="cpu", weights_only=False)
    assert not (tmp_path / "made").exists()


def test_every_foreign_class_is_named_at_once(save):
    if not allow_list.safe_by_default():
        pytest.skip("this torch finds the first only")
    path = save(extra_state={"a": Foreign(), "b": Path("p")})
    with pytest.raises(CheckpointError, match=rf"pathlib\S+, {re.escape(__name__)}\.Foreign,"):
        compat.load_checkpoint(path)


def test_the_remedy_in_the_message_works(save, tmp_path, unpickler, monkeypatch):
    with pytest.raises(CheckpointError) as refused:
        compat.load_checkpoint(save(extra_state={"a": Foreign()}))
    monkeypatch.chdir(tmp_path)
    exec(re.search(r'python -c "(.*?)" ', str(refused.value)).group(1), {})
    converted, plain = load_model(str(tmp_path / "converted.pt"))[0], load_model(save("plain.pt"))[0]
    assert torch.equal(logits(converted), logits(plain))


# Weights that 0.12.2 stored twice


def with_fast_path_copies(weights):
    """The state dict that 0.12.2 would have written for these weights; what the copies hold does not matter."""
    weights = dict(weights)
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        for kind in ("weight", "bias"):
            projections = [weights[f"{layer}.self_attn.{name}_proj.{kind}"] for name in "qkv"]
            weights[f"{layer}.in_proj_{kind}"] = torch.zeros_like(torch.cat(projections))
            weights[f"{layer}.out_proj_{kind}"] = torch.zeros_like(weights[f"{layer}.self_attn.out_proj.{kind}"])
            for name in ("fc1", "fc2"):
                weights[f"{layer}.{name}_{kind}"] = torch.zeros_like(weights[f"{layer}.{name}.{kind}"])
    for side in ("encoder", "decoder"):
        weights[f"{side}.embed_positions._float_tensor"] = torch.zeros(1)
    return weights


def test_a_checkpoint_of_0_12_2_decodes_as_the_same_one_without_the_copies(state, save):
    copies = with_fast_path_copies(state["model"])
    assert len(set(copies) - set(state["model"])) >= 2 * 8
    plain, task = load_model(save("plain.pt"))
    doubled, _ = load_model(save("doubled.pt", model=copies))
    assert torch.equal(logits(plain), logits(doubled))
    sample = {"net_input": {"src_tokens": torch.tensor([[4, 5, 6, 2]]), "src_lengths": torch.tensor([4])}}
    generator = task.build_generator([plain], SimpleNamespace(beam=2, max_len_b=9))
    outputs = [task.inference_step(generator, [model], sample)[0][0]["tokens"] for model in (plain, doubled)]
    assert torch.equal(*outputs)


def test_weights_with_similar_names_are_kept():
    weights = dict.fromkeys(
        ["encoder.layers.0.fc1.weight", "encoder.layers.0.self_attn.in_proj_weight", "encoder.layers.0.in_proj_weight"]
    )
    drop_fast_path_keys(weights)
    assert list(weights) == ["encoder.layers.0.fc1.weight", "encoder.layers.0.self_attn.in_proj_weight"]
