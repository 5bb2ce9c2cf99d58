"""Beams of a batch that look ahead give the hypotheses of the plain search and of fairseq, whatever is guessed."""

import pytest
import torch

from fairseq_specdec.drafters.file import FileDrafter
from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.search.ahead_state import AheadState
from fairseq_specdec.search.batch_mirror import BatchMirror
from tests import oracle, tiny
from tests.oracle import HARD_SOURCES, batches, sample_of
from tests.search.test_beam import OPTIONS
from tests.search.test_mirror import assert_bits, guesses

SHORT = {"max_len_b": 12}  # random models seldom end
WITHOUT_PREFIX = [name for name in OPTIONS if "prefix_size" not in OPTIONS[name]]
SIZES = [(2, 3), (5, 8), (8, 1), (5, 3), (2, 8), (8, 3), (5, 1), (2, 1), (8, 8)]  # beam, sentences


@pytest.fixture(scope="module")
def setting(verifier, data_bin):
    return oracle.load(verifier, data_bin)


def looking_ahead(setting, drafter, **options):
    """Return a generator that looks ahead in every batch."""
    generator = oracle.ours(setting, drafter, **options)
    decoder = generator._ready_decoder()
    generator._decoder = BatchMirror(decoder.verifier, options["beam"], drafter)
    return generator


def file_of(setting, samples, expected, kind, block_size):
    """Return a drafter that has a text for each sentence, made of what comes out."""
    texts = guesses([[row] for batch in expected for row in batch], kind)
    lines = [torch.empty(0, dtype=torch.int64)] * len(setting[1].dataset("test"))
    for i, text in zip(torch.cat([sample["id"] for sample in samples]).tolist(), texts, strict=True):
        lines[i] = text
    return FileDrafter(lines, "guesses.txt", block_size)


def source_drafter(setting, block_size):
    return InputDrafter(torch.arange(len(setting[1].source_dictionary)).roll(-4), block_size)


def decode(generator, samples, **options):
    return [generator.generate(None, one, prefix_tokens=oracle.prefix_of(one, options)) for one in samples]


def compare(setting, samples, kinds=("right",), same=assert_bits, **options):
    """Decode by the plain search and ahead, with certificates that agree; return the last one's statistics."""
    plain = oracle.ours(setting, NoDrafter(), **options)
    expected = decode(plain, samples, **options)
    for kind, block_size in zip(kinds, (7, 13, 4), strict=False):
        generator = looking_ahead(setting, file_of(setting, samples, expected, kind, block_size), **options)
        same(expected, decode(generator, samples, **options))
        assert generator.stats.certificate["wrong"] == 0
        assert generator.stats.certificate["tokens"] == plain.stats.certificate["tokens"]
    return generator.stats


def assert_all_same(expected, found):
    for one, other in zip(expected, found, strict=True):
        oracle.assert_same(one, other)


@pytest.mark.parametrize(("name", "size"), [*zip(WITHOUT_PREFIX, SIZES * 2, strict=False)])
def test_whatever_is_guessed_every_hypothesis_is_the_plain_searchs(setting, name, size):
    options = {"beam": size[0], **OPTIONS[name], "max_len_b": min(OPTIONS[name].get("max_len_b", 12), 12)}
    samples = list(batches(setting[1], size[1], size[1] if size[1] > 2 else 2))
    compare(setting, samples, ("right", "half right", "wrong"), **options)


@pytest.mark.parametrize("name", ["defaults", "no bigram twice", "the length of the source", "a prefix"])
def test_by_torch_every_hypothesis_is_fairseqs(setting, like_a_gpu, name):
    options, samples = {**SHORT, "beam": 4, **OPTIONS[name]}, list(batches(setting[1], 5, 5))
    generator = looking_ahead(setting, source_drafter(setting, 9), **options)
    assert_all_same(oracle.stock(setting, samples, **options), decode(generator, samples, **options))
    assert generator.stats.certificate["wrong"] == 0
    assert (generator.stats.drafted > 0) == ("prefix_size" not in options)


def test_hard_sources_give_the_same(setting):
    samples = [sample_of(sources) for sources in HARD_SOURCES.values()]
    generator = looking_ahead(setting, source_drafter(setting, 7), beam=4, **SHORT)
    plain = oracle.ours(setting, NoDrafter(), beam=4, **SHORT)
    assert_bits(decode(plain, samples), decode(generator, samples))


def test_an_ensemble_gives_the_same(setting, data_bin, tmp_path):
    other = oracle.load(tiny.save_verifier(tmp_path / "v.pt", data_bin, seed=2, decoder_layers=1), data_bin)[0]
    compare(([*setting[0], *other], setting[1]), list(batches(setting[1], 3, 3)), beam=4, **SHORT)


@pytest.mark.parametrize("shift", [0.0, 1e-6])
def test_equal_scores_are_left_to_the_plain_step(setting, shift, monkeypatch):
    models, task = oracle.load_again(setting)
    with torch.no_grad():
        table = models[0].decoder.output_projection.weight
        for twin, symbol in ((8, 7), (10, 9), (12, 9)):
            table[twin] = table[symbol] + shift
    compare((models, task), list(batches(task, 3, 3)), beam=5, max_len_b=12)


def test_right_guesses_bring_several_steps_a_pass_and_finished_sentences_are_dropped(setting, monkeypatch):
    sizes, select = [], AheadState.select_rows
    monkeypatch.setattr(AheadState, "select_rows", lambda self, rows: sizes.append(len(rows)) or select(self, rows))
    stats = compare(setting, list(batches(setting[1], 8, 8)), beam=2, max_len_b=20)
    assert stats.acceptance_length > 1.15  # random models have no clear favourites, so beams come and go
    assert 0 < stats.accepted < stats.drafted
    assert stats.tokens == sum(n * times for n, times in enumerate(stats.histogram, start=1)) > stats.rounds
    assert sizes


def test_a_pass_makes_a_step_at_least_so_slots_suffice(setting):
    generator = looking_ahead(setting, source_drafter(setting, 5), beam=3, max_len_b=9, min_len=9)
    decoder, used = generator._decoder, []
    opened = decoder.open

    def watched(*args, **kwargs):
        used.append(opened(*args, **kwargs))
        return used[-1]

    decoder.open = watched
    decode(generator, list(batches(setting[1], 4, 4)))
    assert used[0].n_slots <= used[0].capacity == (3 + 5) * (9 + 1)
