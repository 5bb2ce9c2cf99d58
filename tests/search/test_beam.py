"""Beam search gives fairseq's hypotheses, all of them and in their order."""

import pytest
import torch

from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.beam_state import BeamState
from tests import oracle, tiny
from tests.oracle import EOS, HARD_SOURCES, PAD, UNK, batches, sample_of

OPTIONS = {
    "defaults": {},
    "a short maximum": {"max_len_b": 5},
    "a maximum by the source": {"max_len_a": 0.5, "max_len_b": 2},
    "a minimum and a length penalty": {"min_len": 6, "lenpen": 2.0},
    "no normalization": {"unnormalized": True},
    "penalty of unknown words, temperature": {"unkpen": 3.0, "temperature": 0.7},
    "rewarded unknown words": {"unkpen": -4.0},
    "no bigram twice": {"no_repeat_ngram_size": 2, "max_len_b": 20},
    "no trigram twice, a minimum": {"no_repeat_ngram_size": 3, "min_len": 10, "max_len_b": 20},
    "the length of the source": {"match_source_len": True},
    "a prefix": {"prefix_size": 3},
    "a prefix, no bigram twice, a minimum": {"prefix_size": 2, "no_repeat_ngram_size": 2, "min_len": 5},
    "a prefix to the end": {"prefix_size": 40},
}


@pytest.fixture(scope="module")
def setting(verifier, data_bin):
    return oracle.load(verifier, data_bin)


def compare(setting, samples, **options):
    """Decode batches with fairseq's generator and with ours; return how many hypotheses there were."""
    options = {"max_len_b": 12, **options}  # random models seldom end
    generator, n = oracle.ours(setting, NoDrafter(), **options), 0
    for sample in samples:
        (expected,) = oracle.stock(setting, [sample], **options)
        found = generator.generate(setting[0], sample, prefix_tokens=oracle.prefix_of(sample, options))
        oracle.assert_same(expected, found)
        n += sum(map(len, found))
    certificate = generator.stats.certificate
    assert certificate["wrong"] == 0
    assert certificate["exact"] >= 0.98 * certificate["tokens"] > 0
    return n


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("beam", [2, 5])
def test_every_hypothesis_is_fairseqs(setting, layers_by, name, beam):
    assert compare(setting, batches(setting[1], 6, 12), beam=beam, **OPTIONS[name]) >= 12


@pytest.mark.parametrize(("beam", "size"), [(8, 3), (5, 1), (3, 12)])
def test_every_size_of_a_batch_and_beam_gives_the_same(setting, layers_by, beam, size):
    compare(setting, batches(setting[1], size, 12), beam=beam, max_len_b=20)


@pytest.mark.parametrize("name", HARD_SOURCES)
def test_hard_sources_give_the_same(setting, layers_by, name):
    compare(setting, [sample_of(HARD_SOURCES[name])], beam=4)


def test_sources_padded_on_the_right_give_the_same(setting, layers_by):
    compare(setting, [sample_of([[7, 9, EOS], [5, EOS], [8] * 9 + [EOS]], left_pad=False)], beam=5)


def test_a_prefix_that_ends_gives_every_beam_the_first_ones_tokens(setting, layers_by):
    prefix = [[6, EOS], [7, 9, 4, EOS], [UNK, 5, 6, 7, 8]]
    sample = sample_of([[7, 9, EOS], [5, 6, EOS], [8] * 9 + [EOS]], prefix=prefix)
    assert sample["target"][0].tolist() == [6, EOS, PAD, PAD, PAD]
    compare(setting, [sample], beam=3, max_len_b=12, prefix_size=4)


def test_an_ensemble_averages_probabilities(setting, layers_by, data_bin, tmp_path):
    other = tiny.save_verifier(tmp_path / "other.pt", data_bin, seed=2)
    models = [*setting[0], *oracle.load(other, data_bin)[0]]
    compare((models, setting[1]), batches(setting[1], 4, 8), beam=4)


@pytest.mark.parametrize(
    "arch", [{"decoder_normalize_before": True}, {"decoder_learned_pos": True}, {"decoder_layers": 1}]
)
def test_decoders_of_other_kinds_give_the_same(data_bin, layers_by, tmp_path, arch):
    path = tiny.save_verifier(tmp_path / "v.pt", data_bin, **arch)
    setting = oracle.load(path, data_bin)
    compare(setting, batches(setting[1], 4, 8), beam=4)


@pytest.mark.parametrize("shift", [0.0, 1e-6])
def test_equal_scores_are_ordered_as_fairseq_orders_them(setting, layers_by, shift):
    """Symbols with one embedding, as when a vocabulary is extended, are equal or nearly so at every step."""
    models, task = oracle.load_again(setting)
    with torch.no_grad():
        table = models[0].decoder.output_projection.weight
        for twin, symbol in ((8, 7), (10, 9), (12, 9)):
            table[twin] = table[symbol] + shift
    compare((models, task), batches(task, 4, 8), beam=5, max_len_b=15)


def test_a_batch_that_memory_does_not_hold_is_decoded_in_halves(setting, monkeypatch, caplog):
    generator = oracle.ours(setting, NoDrafter(), certify=False, beam=4, max_len_b=15)
    (sample,) = batches(setting[1], 8, 8)
    expected = generator.generate(setting[0], sample)
    decoder, whole = generator._ready_decoder(), generator._ready_decoder().decode

    def decode(batch, trace):
        if batch.n_rows > 2:
            raise RuntimeError("out of memory")
        return whole(batch, trace)

    monkeypatch.setattr(decoder, "decode", decode)
    oracle.assert_same(expected, generator.generate(setting[0], sample))
    assert "decoding them in halves" in caplog.text


def test_where_no_host_read_is_free_the_same_comes_out(setting, like_a_gpu):
    compare(setting, batches(setting[1], 4, 8), beam=5)


def test_weights_without_a_finite_score_are_told(setting, layers_by):
    models, task = oracle.load_again(setting)
    with torch.no_grad():
        models[0].decoder.output_projection.weight.fill_(float("nan"))
    generator = oracle.ours((models, task), NoDrafter(), certify=False, beam=4)
    with pytest.raises(ValueError, match="no finite score"):
        generator.generate(models, next(batches(task, 4, 4)))


def test_statistics_count_a_step_of_a_sentence_as_a_round(setting):
    generator = oracle.ours(setting, NoDrafter(), certify=False, beam=2, max_len_b=9)
    for sample in batches(setting[1], 4, 8):
        generator.generate(setting[0], sample)
    stats = generator.stats
    assert stats.sentences == 8
    assert stats.tokens == stats.rounds > 8
    assert stats.acceptance_length == 1.0


def test_a_sentence_needs_a_slot_for_each_beam_of_each_step():
    limits = Limits(PAD, UNK, EOS, max_len=3)
    state = BeamState(limits, torch.tensor([EOS]), 2)
    used = []
    for _ in range(limits.max_len + 1):
        width = state.block()[0].size(1)
        used.append(state.n_slots + width)
        state.advance(state.rank(torch.zeros(1, width, 20)))
    assert used == [1, 3, 5, 7]  # the first step has one row
    assert state.capacity == 7 + 2
    assert not state.is_open
