"""The oracle test: whatever the drafter says, the output is that of fairseq's generator with beam 1."""

from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_specdec.blocks import DraftBlock
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.search.width import BlockWidth
from tests import kinds, oracle, tiny
from tests.oracle import assert_same, batches, compare, ours, stock

OPTIONS = {
    "defaults": {},
    "max_len_b 4": {"max_len_b": 4},
    "max_len_a 0.5": {"max_len_a": 0.5, "max_len_b": 1},
    "min_len 9": {"min_len": 9},
    "min_len 0": {"min_len": 0},
    "prefix_size 3": {"prefix_size": 3, "min_len": 6},
    "unkpen": {"unkpen": -3.0},
    "temperature 0.7, lenpen 0.5": {"temperature": 0.7, "lenpen": 0.5},
    "match_source_len": {"match_source_len": True},
    "no bigram twice": {"no_repeat_ngram_size": 2},
    "unnormalized": {"unnormalized": True},
}


class Scripted(NoDrafter):
    """Drafts from the expected output: right, wrong, mixed at random, or nothing."""

    def __init__(self, kind, block_size):
        self.kind, self.block_size, self.expected = kind, block_size, None

    def start(self, source, state):
        self.rows = torch.arange(source.tokens.size(0))

    def select_rows(self, rows):
        self.rows = self.rows[rows]

    def propose(self, state, ask=None):
        where = state.lengths[:, None] - 1 + torch.arange(self.block_size)
        right = self.expected[self.rows].gather(1, where.clamp(max=self.expected.size(1) - 1))
        wrong = (right + 1) % 7
        lengths = torch.full_like(state.lengths, self.block_size)
        if self.kind == "right":
            return DraftBlock(right, lengths)
        if self.kind == "wrong":
            return DraftBlock(wrong, lengths)
        if self.kind == "empty":
            return DraftBlock(right, torch.zeros_like(lengths))
        mixed = torch.where(torch.rand(right.shape) < 0.2, wrong, right)
        return DraftBlock(mixed, torch.randint_like(lengths, 0, self.block_size + 1))


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("block_size", [1, 4, 25])
@pytest.mark.parametrize("kind", ["right", "wrong", "random", "empty"])
def test_no_draft_changes_the_output(setting, kind, block_size, size):
    torch.manual_seed(0)
    stats = compare(setting, Scripted(kind, block_size), batches(setting[1], size))
    if kind == "right":
        assert stats.acceptance_length > 0.6 * min(block_size + 1, stats.tokens / stats.sentences)
    elif kind == "empty":
        assert stats.acceptance_length == 1.0


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("kind", ["none", "random"])
def test_every_generation_option_is_honoured_as_by_fairseq(setting, kind, options):
    torch.manual_seed(0)
    compare(setting, NoDrafter() if kind == "none" else Scripted(kind, 4), batches(setting[1], 5), **options)


def test_an_ensemble_averages_probabilities(setting, data_bin, tmp_path):
    models, task = setting
    second = tiny.save_verifier(tmp_path / "second.pt", data_bin, seed=2)
    more, _ = checkpoint_utils.load_model_ensemble([str(second)], {"data": str(data_bin)}, task)
    torch.manual_seed(0)
    compare(([*models, *more], task), Scripted("random", 4), batches(task, 5))


def test_a_bos_token_starts_the_output_as_in_fairseq(setting):
    models, task = setting
    sample = next(batches(task, 8))
    fairseqs = task.build_generator(models, Namespace(beam=1))
    generator = ours(setting, NoDrafter())
    assert_same(fairseqs.generate(models, sample, bos_token=5), generator.generate(models, sample, bos_token=5))


def test_results_do_not_depend_on_who_shares_the_batch(setting):
    models, task = setting
    data = task.dataset("test")
    generator = ours(setting, NoDrafter())
    together = generator.generate(models, data.collater([data[i] for i in range(8)]))
    order = {int(i): row for i, row in zip(data.collater([data[i] for i in range(8)])["id"], together, strict=True)}
    for i in range(8):
        assert_same([order[i]], generator.generate(models, data.collater([data[i]])))


def test_nan_weights_give_an_error_that_says_so(setting):
    import copy

    models, task = setting
    broken = copy.deepcopy(models[0])
    broken.decoder.layers[0].fc1.weight.data.fill_(float("nan"))
    generator = ours(([broken], task), NoDrafter(), max_len_b=5)
    with pytest.raises(ValueError, match="hold NaN or infinite values; check the checkpoint given by --path"):
        generator.generate([broken], next(batches(task, 2)))


def test_weights_changed_by_training_are_read_again(setting):
    import copy

    models, task = setting
    model = copy.deepcopy(models[0])
    sample = next(batches(task, 4))
    generator = ours(([model], task), NoDrafter(), max_len_b=8)
    generator.generate([model], sample)
    model.decoder.layers[0].fc1.weight.data.mul_(-1)
    generator.weights_changed()
    (expected,) = stock(([model], task), [sample], max_len_b=8)
    assert_same(expected, generator.generate([model], sample))


@pytest.mark.parametrize("kind", ["right", "wrong", "random", "empty"])
@pytest.mark.parametrize("size", [1, 8])
def test_blocks_as_wide_as_pays_change_no_output(setting, kind, size):
    torch.manual_seed(0)
    drafter = Scripted(kind, 8)
    generator = ours(setting, drafter, adaptive=True)
    for sample in batches(setting[1], size):
        (expected,) = stock(setting, [sample])
        rows = [row[0]["tokens"] for row in expected]
        drafter.expected = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=1)
        assert_same(expected, generator.generate(setting[0], sample))


@pytest.mark.parametrize("options", [{}, {"match_source_len": True}, {"max_len_a": 1.0, "max_len_b": 1}], ids=str)
def test_a_batch_that_memory_does_not_hold_is_halved_until_it_does(setting, monkeypatch, caplog, options):
    take_steps, sizes = Verifier.take_steps, []

    def scarce(self, rows, limits, n, longest):
        sizes.append(rows.lengths.size(0))
        if rows.lengths.size(0) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return take_steps(self, rows, limits, n, longest)

    monkeypatch.setattr(Verifier, "take_steps", scarce)
    (sample,) = batches(setting[1], 10, 10)
    (expected,) = stock(setting, [sample], **options)
    generator = ours(setting, NoDrafter(), **options)
    assert_same(expected, generator.generate(setting[0], sample))
    assert generator.stats.sentences == 10 and max(sizes) == 10
    assert "out of memory with 10 sentences: decoding them in halves; lower --max-tokens" in caplog.text


def test_an_error_that_is_not_about_memory_is_not_swallowed(setting, monkeypatch):
    def broken(self, *args):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Verifier, "take_steps", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        ours(setting, NoDrafter()).generate(setting[0], next(batches(setting[1], 4)))


@pytest.mark.parametrize("size", [1, 24])
@pytest.mark.parametrize("kind", ["right", "random"])
def test_timing_passes_in_the_middle_of_a_batch_changes_no_output(setting, monkeypatch, kind, size, layers_by):
    """Every round times passes of every width; each row is at another place by then, and some have ended."""
    torch.manual_seed(0)
    timed = []

    def limit(self, rows, run, can_step):
        for n in range(1, 10):
            run(n)
        timed.append(rows)
        return len(timed) % 9

    monkeypatch.setattr(BlockWidth, "limit", limit)
    stats = compare(setting, Scripted(kind, 8), batches(setting[1], size))
    assert len(timed) > 5
    assert stats.certificate["wrong"] == 0


@pytest.mark.parametrize("kind", [*kinds.KINDS, "beam 3"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_torchs_default_precision_changes_nothing(setting, data_bin, kind, dtype):
    drafter = NoDrafter() if kind == "beam 3" else kinds.drafter_for(data_bin, kind)
    options = {"beam": 3} if kind == "beam 3" else {}
    samples = list(batches(setting[1], 6, 6))
    expected = [ours(setting, drafter, **options).generate(setting[0], sample) for sample in samples]
    try:
        torch.set_default_dtype(dtype)
        generator = ours(setting, drafter, **options)
        found = [generator.generate(setting[0], sample) for sample in samples]
    finally:
        torch.set_default_dtype(torch.float32)
    for before, after in zip(expected, found, strict=True):
        assert_same(before, after)
    assert generator.stats.certificate["wrong"] == 0


@pytest.mark.parametrize("beam", [1, 2])
@pytest.mark.parametrize("wrong", [-5, 10**9])
def test_a_prefix_that_is_none_of_the_symbols_raises(setting, beam, wrong):
    (sample,) = batches(setting[1], 3, 3)
    sample["target"][1, 1] = wrong
    with pytest.raises((IndexError, RuntimeError), match="index|ids of a prefix"):
        ours(setting, NoDrafter(), beam=beam, certify=False).generate(
            setting[0], sample, prefix_tokens=sample["target"][:, :3]
        )


@pytest.mark.parametrize("options", [{}, {"max_len_b": 4}, {"prefix_size": 3}, {"no_repeat_ngram_size": 2}])
@pytest.mark.parametrize("size", [1, 8])
def test_steps_of_compiled_code_are_rounds_without_drafts(setting, monkeypatch, size, options):
    samples = list(batches(setting[1], size))

    def decoded():
        passes = []
        with monkeypatch.context() as patch:
            patch.setattr(Verifier, "score", lambda *args: passes.append(1) or score(*args))
            generator = ours(setting, NoDrafter(), **options)
            found = [
                row[0]
                for sample in samples
                for row in generator.generate(setting[0], sample, prefix_tokens=oracle.prefix_of(sample, options))
            ]
        counts = {key: value for key, value in generator.stats.as_dict().items() if key != "seconds"}
        return [(row["tokens"].tolist(), row["positional_scores"].tolist()) for row in found], counts, len(passes)

    score = Verifier.score
    by_steps, counts, few = decoded()
    monkeypatch.setattr(Verifier, "takes_steps", False)
    by_rounds, same_counts, many = decoded()
    assert by_steps == by_rounds and counts == same_counts
    assert few < many and (few > 0) == ("prefix_size" in options)


def test_a_step_with_equal_scores_is_left_to_a_round(setting, monkeypatch):
    models, task = oracle.load_again(setting)
    table = models[0].decoder.output_projection.weight
    with torch.no_grad():
        table[5::2] = table[4:-1:2]  # each symbol has a twin
    passes, score = [], Verifier.score
    monkeypatch.setattr(Verifier, "score", lambda *args: passes.append(1) or score(*args))
    compare((models, task), NoDrafter(), batches(task, 4))
    assert len(passes) > 9
