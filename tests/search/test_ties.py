"""Equal scores are decided as fairseq decides them."""

import math

import pytest
import torch

from fairseq_specdec import device
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.search.ties import best_of_equals, choose, totals_before
from tests import kinds, oracle
from tests.oracle import batches, compare, ours, stock, tokens_of


def with_copies(setting):
    """Return the setting with every third symbol's embedding copied to the next, as when a vocabulary is extended."""
    models, task = oracle.load_again(setting)
    table = models[0].decoder.output_projection.weight
    with torch.no_grad():
        table[5::3] = table[4:-1:3]
    return models, task


@pytest.fixture(scope="module")
def tied(data_bin, verifier):
    return with_copies(oracle.load(verifier, data_bin))


@pytest.mark.parametrize(("size", "count"), [(1, 6), (32, 40)])
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_tied_symbols_come_out_as_from_fairseq(tied, data_bin, kind, size, count):
    stats = compare(tied, kinds.drafter_for(data_bin, kind), batches(tied[1], size, count))
    assert stats.certificate["near_tie"] == 0


@pytest.mark.parametrize("options", [{"max_len_b": 150, "min_len": 140}, {"unkpen": 0.3}, {"temperature": 3.0}])
@pytest.mark.parametrize("kind", ["none", "input"])
def test_so_do_long_outputs_whose_total_makes_scores_equal(tied, data_bin, kind, options):
    compare(tied, kinds.drafter_for(data_bin, kind), batches(tied[1], 6, 6), **options)


def test_without_the_rule_of_fairseq_the_outputs_differ(tied, monkeypatch):
    """The first of equals is another system: what is tested above is there."""
    samples = list(batches(tied[1], 32, 40))
    expected = tokens_of(stock(tied, samples))
    monkeypatch.setattr("fairseq_specdec.search.acceptance.best_of_equals", lambda totals: totals.argmax(-1)[:, None])
    generator = ours(tied, NoDrafter(), certify=False)
    found = tokens_of(generator.generate(tied[0], sample) for sample in samples)
    assert sum(a != b for a, b in zip(expected, found, strict=True)) > 9


@pytest.mark.parametrize("kind", ["none", "nat", "input"])
def test_tied_symbols_come_out_as_from_fairseq_by_torch_alone(tied, data_bin, monkeypatch, kind):
    monkeypatch.setattr("fairseq_specdec.engine.native.rounds.library", lambda: None)
    compare(tied, kinds.drafter_for(data_bin, kind), batches(tied[1], 8, 16))


def test_half_precision_where_ties_are_common_decides_by_the_same_call():
    lprobs = torch.randn(400, 60).bfloat16().float()
    totals = torch.rand(400) * -200
    expected = torch.topk(lprobs + totals[:, None], 2).indices[:, 0]
    assert choose(lprobs, totals).tolist() == expected.tolist()


def test_a_gpu_makes_the_call_for_every_row(monkeypatch):
    monkeypatch.setattr(device, "reads_freely", lambda tensor: False)
    lprobs, totals = torch.randint(-4, 0, (3, 5, 40)).float(), torch.zeros(3, 5)
    assert choose(lprobs, totals).tolist() == torch.topk(lprobs, 2).indices[..., 0].tolist()


def test_impossible_tokens_tie_with_nothing():
    assert choose(torch.full((1, 9), -math.inf), torch.zeros(1)).tolist() == [0]


def test_totals_are_added_one_by_one_in_float32():
    generator = torch.Generator().manual_seed(1)
    scores = -torch.rand(4, 41, 7, generator=generator)
    tokens = torch.randint(0, 7, (4, 40), generator=generator)
    found = totals_before(torch.full((4,), -100.0), tokens, scores)
    total = torch.full((4,), -100.0)
    for k in range(40):
        assert found[:, k].tolist() == total.tolist()
        total = torch.stack([scores[b, k, tokens[b, k]] + total[b] for b in range(4)])


def test_the_best_of_a_sentences_beams_are_ranked_by_one_call():
    totals = torch.randint(-3, 0, (2, 3 * 50)).float()
    assert best_of_equals(totals, 6).tolist() == torch.topk(totals, 6).indices.tolist()
    assert best_of_equals(totals[:, :4], 6).shape == (2, 3)  # fairseq asks for one less than there are
