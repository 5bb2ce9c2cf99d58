"""What drafters have in common: sources that wait for the first draft."""

import pytest
import torch

from fairseq_specdec.blocks import EncoderOutput, Source
from fairseq_specdec.drafters.base import Waiting
from tests import oracle
from tests.kinds import STACK, drafter_for


def test_rows_that_are_dropped_while_a_source_waits_are_numbers_until_it_is_taken(monkeypatch):
    encoded = (EncoderOutput(torch.arange(20.0).view(5, 2, 2), None),)
    source = Source(torch.arange(10).view(5, 2), torch.tensor([2, 1, 2, 1, 2]), 1, torch.arange(5), encoded)
    waiting, expected = Waiting(source), source.select_rows(torch.tensor([4, 1]))
    copied = []
    monkeypatch.setattr(Source, "select_rows", lambda self, rows: copied.append(rows.tolist()) or expected)
    waiting.select_rows(torch.tensor([0, 1, 4]))
    waiting.select_rows(torch.tensor([2, 1]))
    assert copied == []
    assert waiting.take() is expected and copied == [[4, 1]]


def test_a_source_of_which_no_row_was_dropped_is_taken_as_it_is():
    source = Source(torch.zeros(1, 2, dtype=torch.int64), torch.tensor([2]), 1)
    assert Waiting(source).take() is source


@pytest.mark.parametrize("kind", ["self", "ar", "nat", "input", "ngram", STACK])
def test_batches_for_which_nothing_is_drafted_copy_nothing_of_their_sources(data_bin, verifier, monkeypatch, kind):
    setting = oracle.load(verifier, data_bin)
    generator = oracle.ours(setting, drafter_for(data_bin, kind, setting[0][0]), adaptive=True)
    (sample,) = oracle.batches(setting[1], 16, 16)
    generator.generate(setting[0], sample)
    monkeypatch.setattr(generator._decoder._chosen, "limit", lambda *_: 0)
    monkeypatch.setattr(Source, "select_rows", lambda *_: pytest.fail("a source was copied"))
    oracle.assert_same(*oracle.stock(setting, [sample]), generator.generate(setting[0], sample))
