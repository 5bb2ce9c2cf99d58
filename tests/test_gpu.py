"""What has to hold on a CUDA device; run by ``make test-gpu``."""

import copy
from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils, utils

from fairseq_specdec.config import SpecConfig
from fairseq_specdec.drafters.nat import NatDrafter
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.stats import SpecStats
from tests import tiny

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(verifier)], {"data": str(data_bin)})
    task.load_dataset("test")
    return models[0].cuda(), task


def batches(task, size):
    data = task.dataset("test")
    for begin in range(0, len(data), size):
        rows = [data[i] for i in range(begin, min(begin + size, len(data)))]
        yield utils.move_to_cuda(data.collater(rows))


def generator_for(model, task, drafter):
    stats = SpecStats(SpecConfig(certify=True, spec_stats="unused.json"), drafter.block_size)
    return SpecGenerator([model], task.target_dictionary, drafter, GenerationOptions(), stats)


def drafter_for(data_bin, kind):
    if kind == "none":
        return NoDrafter()
    model, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter")
    return NatDrafter(model, 5)


@pytest.mark.parametrize("kind", ["none", "nat"])
@pytest.mark.parametrize("size", [1, 8, 40])
def test_float32_output_is_that_of_fairseq(setting, data_bin, kind, size):
    model, task = setting
    stock = task.build_generator([model], Namespace(beam=1))
    ours = generator_for(model, task, drafter_for(data_bin, kind))
    for sample in batches(task, size):
        for (a,), (b,) in zip(stock.generate([model], sample), ours.generate([model], sample), strict=True):
            assert a["tokens"].tolist() == b["tokens"].tolist()
            torch.testing.assert_close(a["positional_scores"], b["positional_scores"], rtol=0, atol=1e-4)
    assert ours.stats.certificate["wrong"] == 0
    assert ours.stats.as_dict()["device"] == "cuda"
    assert ours.stats.seconds["verify"] > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["none", "nat"])
def test_half_precision_output_has_nothing_wrong(setting, data_bin, kind, dtype):
    model, task = setting
    half = copy.deepcopy(model).to(dtype)
    ours = generator_for(half, task, drafter_for(data_bin, kind))
    for sample in batches(task, 8):
        ours.generate([half], sample)
    assert ours.stats.certificate["wrong"] == 0
    assert ours.stats.dtype == str(dtype).removeprefix("torch.")
