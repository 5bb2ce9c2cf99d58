import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils, tasks, utils
from fairseq.data import LanguagePairDataset, ListDataset, data_utils
from fairseq.modules import transformer_layer

from fairseq_specdec import compat
from fairseq_specdec.compat import repairs
from tests import tiny

REPOSITORY = Path(__file__).resolve().parents[2]

# As many sentences out as in


@pytest.mark.parametrize("limit", [{"max_sentences": 64}, {"max_tokens": 200}, {"max_sentences": 1}], ids=str)
@pytest.mark.parametrize("count", [1, 5, 461, 1000])
def test_as_many_sentences_come_out_of_the_stock_task_as_go_in(count, limit):
    lengths = [3 + i * 7 % 20 for i in range(count)]
    sentences = ListDataset([torch.full((n,), 4) for n in lengths], lengths)
    dataset = LanguagePairDataset(sentences, np.array(lengths), tiny.make_dictionary("s"), shuffle=False)
    task = tasks.FairseqTask(SimpleNamespace())
    batches = task.get_batch_iterator(dataset, required_batch_size_multiple=8, **limit).next_epoch_itr(shuffle=False)
    assert sorted(i for batch in batches for i in batch["id"].tolist()) == list(range(count))


def test_a_batch_that_fairseq_would_drop_is_its_own_last_one():
    batches = data_utils.batch_by_size(iter(range(21)), lambda i: 1, max_sentences=8, required_batch_size_multiple=8)
    assert [len(batch) for batch in batches] == [8, 8, 5]
    assert np.concatenate(batches).tolist() == list(range(21))


def test_no_sentence_gives_no_batch():
    assert list(data_utils.batch_by_size([], lambda i: 1, max_sentences=8, required_batch_size_multiple=8)) == []


def test_fixed_shapes_are_left_as_they_are():
    batches = data_utils.batch_by_size(range(5), lambda i: 4, fixed_shapes=[(2, 8)], required_batch_size_multiple=8)
    assert [list(batch) for batch in batches if len(batch)] == [[0, 1], [2, 3], [4]]


def test_a_fairseq_that_keeps_the_last_batch_is_left_alone(monkeypatch):
    def keeps_all(indices, *args, **kwargs):
        return [indices]

    monkeypatch.setattr(data_utils, "batch_by_size", keeps_all)
    repairs.keep_last_batch()
    assert data_utils.batch_by_size is keeps_all


# The fast path of 0.12.2


def test_an_encoder_layer_never_takes_the_fast_path_of_0_12_2(monkeypatch):
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.can_use_fastpath = True

        def _load_from_state_dict(self, *args):
            pass

    monkeypatch.setattr(transformer_layer, "TransformerEncoderLayerBase", Layer)
    assert Layer().can_use_fastpath
    repairs.leave_encoder_fast_path()
    assert not Layer().can_use_fastpath


# All repairs together


def test_applying_twice_changes_nothing():
    def patched():
        functions = checkpoint_utils.load_checkpoint_to_cpu, checkpoint_utils.load_model_ensemble_and_task
        return *functions, data_utils.batch_by_size, checkpoint_utils.torch, utils.eval, tuple(sys.meta_path)

    compat.apply()
    before = patched()
    compat.apply()
    assert patched() == before


def test_no_module_of_fairseq_holds_an_unrepaired_function():
    repaired = [
        (data_utils, "batch_by_size"),
        (checkpoint_utils, "load_checkpoint_to_cpu"),
        (checkpoint_utils, "load_model_ensemble_and_task"),
    ]
    originals = {getattr(getattr(module, name), "__wrapped__", None) for module, name in repaired} - {None}
    loaded = [module for name, module in list(sys.modules.items()) if name.startswith("fairseq") and module]
    assert not [m.__name__ for m in loaded for _, name in repaired if getattr(m, name, None) in originals]


def test_the_stock_generator_under_the_user_dir_reads_a_checkpoint_and_decodes_every_sentence(save, tmp_path):
    data = tiny.make_data_bin(tmp_path / "data", splits={"test": 5})
    command = [sys.executable, "-m", "fairseq_cli.generate", str(data), "--user-dir", "fairseq_specdec"]
    command += ["--task", "translation", "--path", save(extra_state={"best": np.float64(1)}), "--cpu"]
    command += ["--beam", "1", "--max-len-b", "5", "--num-workers", "0"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert sorted(re.findall(r"^H-(\d+)", run.stdout, re.M)) == list("01234")


def test_the_stock_generator_ends_with_the_message_and_status_1_when_the_checkpoint_is_missing(data_bin):
    command = [sys.executable, "-m", "fairseq_cli.generate", str(data_bin), "--user-dir", "fairseq_specdec"]
    command += ["--task", "translation", "--path", "absent.pt", "--cpu"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    assert "CheckpointError: Cannot open the checkpoint absent.pt: No such file" in run.stderr
