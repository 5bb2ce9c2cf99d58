"""Beams that look ahead give the hypotheses of the plain search and of fairseq, whatever is guessed."""

import random

import pytest
import torch

from fairseq_specdec.config import SpecConfig
from fairseq_specdec.drafters.file import FileDrafter
from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.engine.native.mirror import Mirror
from fairseq_specdec.search.mirror import MirrorDecoder
from tests import oracle, tiny
from tests.oracle import EOS, HARD_SOURCES, batches, sample_of
from tests.search.test_beam import OPTIONS

SHORT = {"max_len_b": 12}  # random models seldom end


@pytest.fixture(scope="module")
def setting(verifier, data_bin):
    return oracle.load(verifier, data_bin)


def guesses(expected, kind):
    """Return a text for each sentence, made of what fairseq gives for it."""
    rng = random.Random(kind)
    best = [batch[0][0]["tokens"] for batch in expected]
    if kind == "right":
        return best
    if kind == "half right":
        return [torch.where(torch.rand(len(row)) < 0.7, row, torch.randint(4, 20, row.shape)) for row in best]
    if kind == "empty":
        return [row[:0] for row in best]
    return [torch.tensor([rng.randrange(30) for _ in range(rng.randrange(20))], dtype=torch.int64) for _ in best]


def file_of(setting, samples, texts, block_size):
    """Return a drafter that knows a text for each sentence of some batches of one."""
    lines = [torch.empty(0, dtype=torch.int64)] * len(setting[1].dataset("test"))
    for sample, text in zip(samples, texts, strict=True):
        lines[int(sample["id"])] = text
    return FileDrafter(lines, "guesses.txt", block_size)


def decode(setting, drafter, samples, **options):
    """Decode batches; return the generator, whose certificate has nothing wrong, and what came out."""
    generator = oracle.ours(setting, drafter, **options)
    found = [generator.generate(setting[0], one, prefix_tokens=oracle.prefix_of(one, options)) for one in samples]
    assert generator.stats.certificate["wrong"] == 0
    return generator, found


def assert_bits(expected, found):
    """Tokens and scores have the same bits."""
    for one, other in zip(sum(expected, []), sum(found, []), strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a["tokens"], b["tokens"]) and torch.equal(a["score"], b["score"])
            assert torch.equal(a["positional_scores"], b["positional_scores"])


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("beam", [2, 5])
def test_whatever_is_guessed_every_hypothesis_is_fairseqs_and_the_plain_searchs(setting, name, beam):
    options = {**SHORT, "beam": beam, **OPTIONS[name]}
    samples = list(batches(setting[1], 1, 4))
    expected = oracle.stock(setting, samples, **options)
    _, plain = decode(setting, NoDrafter(), samples, **options)
    for kind, block_size in (("right", 7), ("half right", 13), ("wrong", 4), ("empty", 64)):
        drafter = file_of(setting, samples, guesses(expected, kind), block_size)
        generator, found = decode(setting, drafter, samples, **options)
        assert isinstance(generator._decoder, MirrorDecoder)
        assert_bits(plain, found)
        for one, other in zip(expected, found, strict=True):
            oracle.assert_same(one, other)


@pytest.mark.parametrize("name", HARD_SOURCES)
def test_hard_sources_give_the_same(setting, name):
    samples = [sample_of([source]) for source in HARD_SOURCES[name]]
    drafter = InputDrafter(torch.arange(len(setting[1].source_dictionary)).roll(-4), 7)
    for sample, wanted in zip(samples, oracle.stock(setting, samples, beam=4, **SHORT), strict=True):
        oracle.assert_same(wanted, decode(setting, drafter, [sample], beam=4, **SHORT)[1][0])


def test_an_ensemble_and_a_decoder_of_one_layer_give_the_same(setting, data_bin, tmp_path):
    other = oracle.load(tiny.save_verifier(tmp_path / "v.pt", data_bin, seed=2, decoder_layers=1), data_bin)[0]
    for models in ([*setting[0], *other], other):
        samples = list(batches(setting[1], 1, 3))
        expected = oracle.stock((models, setting[1]), samples, beam=4, **SHORT)
        drafter = file_of(setting, samples, guesses(expected, "right"), 7)
        for wanted, found in zip(
            expected, decode((models, setting[1]), drafter, samples, beam=4, **SHORT)[1], strict=True
        ):
            oracle.assert_same(wanted, found)


@pytest.mark.parametrize("shift", [0.0, 1e-6])
def test_equal_scores_are_left_to_the_plain_search(setting, shift, monkeypatch):
    models, task = oracle.load_again(setting)
    with torch.no_grad():
        table = models[0].decoder.output_projection.weight
        for twin, symbol in ((8, 7), (10, 9), (12, 9)):
            table[twin] = table[symbol] + shift
    samples, options = list(batches(task, 1, 5)), {"beam": 5, "max_len_b": 15}
    plan, asked = Mirror.plan, []
    monkeypatch.setattr(Mirror, "plan", lambda self, again=False: asked.append(again) or plan(self, again))
    expected = oracle.stock((models, task), samples, **options)
    drafter = file_of(setting, samples, guesses(expected, "right"), 7)
    _, found = decode((models, task), drafter, samples, **options)
    assert (any(asked) or shift) and not all(asked)
    for one, other in zip(expected, found, strict=True):
        oracle.assert_same(one, other)


def test_right_guesses_bring_several_steps_a_pass_and_slots_suffice(setting):
    samples, options = list(batches(setting[1], 1, 6)), {"beam": 3, "max_len_b": 30, "min_len": 20}
    expected = oracle.stock(setting, samples, **options)
    generator = oracle.ours(setting, file_of(setting, samples, guesses(expected, "right"), 9), **options)
    decoder, room, used = generator._ready_decoder(), [], []

    class Watched:
        score = decoder.verifier.score

        def start(self, net_input, capacity):
            room.append(capacity)
            used.append(0)
            return type(self).verifier.start(net_input, capacity)

        def commit(self, kept):
            used[-1] += int(kept)
            type(self).verifier.commit(kept)

    Watched.verifier, decoder.verifier = decoder.verifier, Watched()
    for sample, wanted in zip(samples, expected, strict=True):
        oracle.assert_same(wanted, generator.generate(setting[0], sample))
    stats = generator.stats
    assert stats.acceptance_length > 1.2  # random models have no clear favourites, so beams come and go
    assert 0 < stats.accepted < stats.drafted
    assert len(used) == len(samples) and all(one <= most for one, most in zip(used, room, strict=True))


def test_unless_told_how_far_several_sentences_at_once_and_torch_alone_are_decoded_by_the_plain_search(
    setting, layers_by
):
    samples = [*batches(setting[1], 3, 6), *(batches(setting[1], 1, 2) if layers_by == "torch" else [])]
    generator = oracle.ours(setting, InputDrafter(None, 7), adaptive=True, beam=3, **SHORT)
    found = [generator.generate(setting[0], sample) for sample in samples]
    for wanted, one in zip(oracle.stock(setting, samples, beam=3, **SHORT), found, strict=True):
        oracle.assert_same(wanted, one)
    assert generator.stats.acceptance_length == 1.0 and generator.stats.drafted == 0


def test_what_was_decoded_before_and_how_far_is_looked_ahead_changes_nothing(setting):
    samples = list(batches(setting[1], 1, 12))
    _, plain = decode(setting, NoDrafter(), samples, beam=4, **SHORT)
    generator = oracle.ours(setting, InputDrafter(None, 32), adaptive=True, certify=False, beam=4, **SHORT)
    decoder = generator._ready_decoder()
    asked = [0, 13, 3, 7] * 6
    decoder._budget.choose = lambda: asked.pop()
    found = [generator.generate(setting[0], sample) for sample in samples * 2]
    assert_bits(plain * 2, found)
    stats = generator.stats
    assert stats.tokens == sum(n * times for n, times in enumerate(stats.histogram, start=1)) > stats.rounds


def test_the_block_size_says_how_far_is_looked_ahead(setting):
    sample = sample_of([[7, 9, 8, 4, 11, 5, EOS]])
    counts = {}
    for block_size in (1, 5, 40):
        generator, _ = decode(setting, InputDrafter(None, block_size), [sample], beam=2, max_len_b=25)
        counts[block_size] = generator.stats.drafted / generator.stats.rounds
        assert generator.stats.config == SpecConfig(certify=True)
    assert 0 < counts[1] <= 1 < counts[5] <= 5
    assert counts[5] < counts[40] <= 40
