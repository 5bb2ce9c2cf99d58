"""Drafters that write one token at a time: whatever they say, the output is that of fairseq's greedy search."""

import copy

import pytest
import torch

from fairseq_specdec.blocks import Ask
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.autoregressive import ArDrafter, SelfDrafter
from tests import oracle, tiny
from tests.kinds import OF_A_VERIFIER, drafter_for
from tests.oracle import EOS, HARD_SOURCES, PAD, assert_same, batches, compare, ours, stock

ARCHITECTURES = {
    "post-norm": {},
    "pre-norm, learned positions": {
        "encoder_normalize_before": True, "decoder_normalize_before": True, "decoder_learned_pos": True,
    },
    "gelu, no positions": {
        "layernorm_embedding": True, "activation_fn": "gelu", "no_token_positional_embeddings": True,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


def other_model(data_bin, seed=5, **options):
    model, _ = tiny.build_model(data_bin, seed, **options)
    tiny.liven(model, tiny.read_dictionaries(data_bin)[0], seed)
    return model


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("block_size", [1, 4, 25])
@pytest.mark.parametrize("dtype", ["int8", "bf16"])
def test_the_verifiers_own_rounded_weights_draft_and_change_nothing(setting, layers_by, dtype, block_size, size):
    drafter = SelfDrafter(setting[0][0], block_size, PAD, EOS, dtype)
    stats = compare(setting, drafter, batches(setting[1], size))
    assert stats.acceptance_length > 0.6 * min(block_size + 1, stats.tokens / stats.sentences)


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("block_size", [1, 6])
def test_another_model_drafts_and_changes_nothing(setting, data_bin, layers_by, block_size, size):
    model = other_model(
        data_bin, decoder_layers=1, encoder_embed_dim=16, encoder_ffn_embed_dim=24, decoder_embed_dim=16
    )
    compare(setting, ArDrafter(model, block_size, PAD, EOS), batches(setting[1], size))


@pytest.mark.parametrize("options", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_every_kind_of_decoder_drafts_for_itself(data_bin, setting, options):
    model = other_model(data_bin, 1, **options)
    stats = compare(([model], setting[1]), SelfDrafter(model, 6, PAD, EOS), batches(setting[1], 5))
    assert stats.acceptance_length > 3


@pytest.mark.parametrize("kind", [*OF_A_VERIFIER, "ar"])
@pytest.mark.parametrize(
    "options",
    [
        {"max_len_b": 4},
        {"min_len": 9},
        {"prefix_size": 3, "min_len": 6},
        {"unkpen": -3.0, "temperature": 0.7},
        {"no_repeat_ngram_size": 2},
        {"match_source_len": True},
    ],
    ids=str,
)
def test_every_generation_option_is_honoured_as_by_fairseq(setting, data_bin, kind, options):
    compare(setting, drafter_for(data_bin, kind, setting[0][0]), batches(setting[1], 5), **options)


@pytest.mark.parametrize("sources", HARD_SOURCES.values(), ids=HARD_SOURCES.keys())
@pytest.mark.parametrize("kind", ["self", "ar"])
def test_hard_sources_change_nothing(setting, data_bin, kind, sources):
    compare(setting, drafter_for(data_bin, kind, setting[0][0]), [oracle.sample_of(sources)], max_len_b=20)


@pytest.mark.parametrize("kind", ["self", "ar"])
@pytest.mark.parametrize("size", [1, 8])
def test_drafts_as_long_as_pays_change_no_output(setting, data_bin, layers_by, kind, size):
    generator = ours(setting, drafter_for(data_bin, kind, setting[0][0]), adaptive=True)
    for sample in batches(setting[1], size):
        (expected,) = stock(setting, [sample])
        assert_same(expected, generator.generate(setting[0], sample))


def test_a_member_of_an_ensemble_drafts_for_all(setting, data_bin):
    models = [*setting[0], other_model(data_bin, 2)]
    member = ArDrafter(copy.deepcopy(models[1]), 5, PAD, EOS)
    alone = compare((models[:1], setting[1]), member, batches(setting[1], 5)).acceptance_length
    together = compare((models, setting[1]), member, batches(setting[1], 5)).acceptance_length
    assert together > alone
    compare((models, setting[1]), SelfDrafter(models[0], 5, PAD, EOS), batches(setting[1], 5))


def test_weights_changed_by_training_are_rounded_again(setting):
    (model,), task = oracle.load_again(setting)
    drafter = SelfDrafter(model, 5, PAD, EOS)
    sample = next(batches(task, 4))
    generator = ours(([model], task), drafter, max_len_b=8)
    generator.generate([model], sample)
    model.decoder.layers[0].fc1.weight.data.mul_(-1)
    generator.weights_changed()
    (expected,) = stock(([model], task), [sample], max_len_b=8)
    rounds = generator.stats.rounds
    assert_same(expected, generator.generate([model], sample))
    assert generator.stats.rounds - rounds <= 4 * 3  # drafts of the old weights would be wrong


def test_a_source_longer_than_the_drafters_positions_is_decoded_without_drafts(setting, data_bin, caplog):
    model = other_model(data_bin, max_source_positions=8)
    sources = [list(range(4, 20)) + [EOS]]
    stats = compare(setting, ArDrafter(model, 4, PAD, EOS), [oracle.sample_of(sources)])
    assert stats.acceptance_length == 1.0
    assert "a source of 17 tokens exceeds the drafter's 8 positions" in caplog.text


def test_own_weights_are_refused_where_rounding_them_gains_nothing(setting):
    half = copy.deepcopy(setting[0][0]).half()
    with pytest.raises(OptionError, match=r"--drafter self needs a float32 model on a CPU, got torch.float16 on cpu"):
        SelfDrafter(half, 4, PAD, EOS).to(torch.device("cpu"), torch.float16)
    with pytest.raises(OptionError, match=r"--draft-dtype bf16 needs a float32 model on a CPU, got torch.float16"):
        ArDrafter(half, 4, PAD, EOS, "bf16").to(torch.device("cpu"), torch.float16)
    ArDrafter(half, 4, PAD, EOS).to(torch.device("cpu"), torch.float16)


def test_nothing_is_encoded_before_the_first_draft(setting, data_bin, monkeypatch):
    drafter = drafter_for(data_bin, "ar")
    generator = ours(setting, drafter)
    generator.generate(setting[0], next(batches(setting[1], 2)))
    monkeypatch.setattr(drafter._encoder, "forward", lambda net_input: pytest.fail("encoded"))
    source = next(batches(setting[1], 2))["net_input"]
    drafter.start(oracle.Source(source["src_tokens"], source["src_lengths"], PAD), oracle.fresh_state(2))
    assert drafter.tensors() == []
    drafter.select_rows(torch.tensor([1]))
    with pytest.raises(pytest.fail.Exception, match="encoded"):
        drafter.propose(oracle.fresh_state(1), Ask(3))
