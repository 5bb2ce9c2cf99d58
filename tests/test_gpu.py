"""What has to hold on a CUDA device; run by ``make test-gpu``."""

import copy
from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils, utils

from fairseq_specdec.config import SpecConfig
from fairseq_specdec.drafters.file import FileDrafter
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.engine.graphs import CudaRecorder
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.recording.ahead import AheadDecoder
from fairseq_specdec.recording.beams import RecordedBeamDecoder
from fairseq_specdec.stats import SpecStats
from tests import tiny
from tests.kinds import KINDS, drafter_for

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


def generator_for(model, task, drafter, spec_stats="unused.json", beam=1, **config):
    stats = SpecStats(SpecConfig(certify=True, spec_stats=spec_stats, **config), drafter.block_size)
    return SpecGenerator([model], task.target_dictionary, drafter, GenerationOptions(beam=beam), stats)


@pytest.mark.parametrize("kind", KINDS)
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
    assert ours.stats.seconds["verify"] > 0  # statistics look between the parts of a round, so nothing is recorded
    assert not isinstance(ours._decoder, AheadDecoder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_output_has_nothing_wrong(setting, data_bin, kind, dtype):
    model, task = setting
    half = copy.deepcopy(model).to(dtype)
    ours = generator_for(half, task, drafter_for(data_bin, kind))
    for sample in batches(task, 8):
        ours.generate([half], sample)
    assert ours.stats.certificate["wrong"] == 0
    assert ours.stats.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("edit_aware", [True, False])
def test_right_guesses_are_accepted(setting, edit_aware):
    model, task = setting
    samples = list(batches(task, 8))
    outputs = {}
    for sample in samples:
        hypotheses = generator_for(model, task, NoDrafter()).generate([model], sample)
        outputs |= {int(i): row[0]["tokens"].cpu() for i, row in zip(sample["id"], hypotheses, strict=True)}
    guesses = [outputs[i] for i in range(len(outputs))]
    ours = generator_for(model, task, FileDrafter(guesses, "guesses.txt", 32, edit_aware))
    for sample in samples:
        ours.generate([model], sample)
    assert ours.stats.certificate["wrong"] == 0
    assert ours.stats.acceptance_length > 5


class Strict(CudaRecorder):
    """Makes every look at the device an error while a round is made to warm up."""

    def warm_up(self, work):
        def strictly():
            torch.cuda.set_sync_debug_mode("error")
            try:
                work()
            finally:
                torch.cuda.set_sync_debug_mode("default")

        super().warm_up(strictly)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_round_reads_nothing_from_the_device(setting, data_bin, kind, dtype, monkeypatch, caplog):
    monkeypatch.setattr("fairseq_specdec.generator.CudaRecorder", Strict)
    model, task = copy.deepcopy(setting[0]).to(dtype), setting[1]
    ours = generator_for(model, task, drafter_for(data_bin, kind), spec_stats=None, cuda_graphs=True)
    for sample in batches(task, 8):
        ours.generate([model], sample)
    assert isinstance(ours._decoder, AheadDecoder)
    assert "decoding without CUDA graphs" not in caplog.text
    assert ours.stats.certificate["wrong"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 40])
def test_graphs_change_no_output(setting, data_bin, kind, size, caplog):
    model, task = setting
    plain, fast = (
        generator_for(model, task, drafter_for(data_bin, kind), spec_stats=None, cuda_graphs=recorded)
        for recorded in (False, True)
    )
    for _ in range(2):
        for sample in batches(task, size):
            for (a,), (b,) in zip(plain.generate([model], sample), fast.generate([model], sample), strict=True):
                assert a["tokens"].tolist() == b["tokens"].tolist()
                torch.testing.assert_close(a["positional_scores"], b["positional_scores"], rtol=0, atol=1e-4)
    assert isinstance(fast._decoder, AheadDecoder)
    assert not isinstance(plain._decoder, AheadDecoder)
    assert "decoding without CUDA graphs" not in caplog.text
    assert fast.stats.certificate["wrong"] == 0
    if kind != "ngram":
        assert fast.stats.histogram == plain.stats.histogram


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", ["none", "input"])
@pytest.mark.parametrize("beam", [2, 5])
def test_a_pass_of_beams_reads_nothing_from_the_device(setting, data_bin, beam, kind, dtype, monkeypatch, caplog):
    monkeypatch.setattr("fairseq_specdec.generator.CudaRecorder", Strict)
    model, task = copy.deepcopy(setting[0]).to(dtype), setting[1]
    drafter = drafter_for(data_bin, kind)
    ours = generator_for(model, task, drafter, spec_stats=None, beam=beam, cuda_graphs=True)
    for sample in batches(task, 8):
        ours.generate([model], sample)
    assert isinstance(ours._decoder, RecordedBeamDecoder)
    assert "decoding without CUDA graphs" not in caplog.text
    assert ours.stats.certificate["wrong"] == 0


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("kind", ["none", "input"])
@pytest.mark.parametrize(("beam", "size"), [(5, 1), (5, 8), (2, 40)])
def test_beams_are_fairseqs_with_graphs_and_without(setting, data_bin, beam, size, kind, recorded, caplog):
    model, task = setting
    stock = task.build_generator([model], Namespace(beam=beam))
    drafter = drafter_for(data_bin, kind)
    ours = generator_for(model, task, drafter, spec_stats=None, beam=beam, cuda_graphs=recorded)
    for sample in batches(task, size):
        for a, b in zip(stock.generate([model], sample), ours.generate([model], sample), strict=True):
            assert [one["tokens"].tolist() for one in a] == [one["tokens"].tolist() for one in b]
            for one, other in zip(a, b, strict=True):
                torch.testing.assert_close(one["positional_scores"], other["positional_scores"], rtol=0, atol=1e-4)
    assert isinstance(ours._decoder, RecordedBeamDecoder) == recorded
    assert "decoding without CUDA graphs" not in caplog.text
    assert ours.stats.certificate["wrong"] == 0


@pytest.mark.parametrize("drafter", ["none", "input", "ngram"])
def test_fairseq_generate_writes_the_same_lines_without_graphs(joined_data_bin, joined_verifier, tmp_path, drafter):
    lines = []
    for name, extra in (("plain", []), ("fast", ["--cuda-graphs"])):
        options = ["--task", "translation_specdec", "--beam", "1", "--drafter", drafter, "--batch-size", "6", *extra]
        log = tiny.fairseq_generate(joined_data_bin, joined_verifier, tmp_path / name, "--no-progress-bar", *options)
        fields = [line.split("\t") for line in log.read_text("utf-8").splitlines()]
        lines.append([(label, rest[-1]) for label, *rest in fields if label.startswith(("S-", "T-", "H-", "D-"))])
    assert lines[0] == lines[1]
    assert lines[0]
