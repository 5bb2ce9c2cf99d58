"""Look-up of n-grams by compiled code: the same drafts, counts and tables as by torch."""

import pytest
import torch

from fairseq_specdec import clock
from fairseq_specdec.blocks import Source
from fairseq_specdec.drafters import ngram_table
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.drafters.ngram_table import NgramTable
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState
from tests.oracle import EOS, PAD, UNK

WORDS = 5  # few, so that n-grams come back


def sentences(generator, rows, width=12):
    """Return tokens [B, T] that end in eos somewhere, and lengths [B]."""
    tokens = torch.randint(4, 4 + WORDS, (rows, width), generator=generator)
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    return tokens.scatter(1, lengths[:, None] - 1, EOS), lengths


@pytest.mark.parametrize("size", [ngram_table.SMALLEST, 16])
def test_tables_become_the_same_whatever_shares_a_slot(library, monkeypatch, size):
    monkeypatch.setattr(ngram_table, "SMALLEST", size)
    monkeypatch.setattr(ngram_table, "LARGEST", size)
    generator = torch.Generator().manual_seed(size)
    ours, torchs = NgramTable(4, EOS, []), NgramTable(4, EOS, [])
    for i in range(30):
        tokens, lengths = sentences(generator, 1 + i % 7)
        ours.add(tokens, lengths)
        with monkeypatch.context() as patch:
            patch.setattr(rounds, "library", lambda: None)
            torchs.add(tokens, lengths)
        for mine, theirs in zip(ours.parts(), torchs.parts(), strict=True):
            assert mine.equal(theirs)
    assert ours._total.sum() > 100


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("block_size", [1, 8])
def test_drafts_and_what_is_learned_of_them_are_the_same(library, monkeypatch, rows, block_size):
    generator = torch.Generator().manual_seed(rows)
    corpus = [row[:n] for row, n in zip(*sentences(generator, 20), strict=True)]
    ours, torchs = (NgramDrafter(block_size, EOS, corpus=corpus) for _ in range(2))
    kinds = set()
    for _ in range(12):  # batches
        tokens, lengths = sentences(generator, rows)
        source = Source(tokens.masked_fill(torch.arange(12) >= lengths[:, None], PAD), lengths, PAD)
        state = DecodeState(Limits(PAD, UNK, EOS, 40), torch.full((rows,), EOS), block_size)
        state.tokens[:, 1:].random_(4, 4 + WORDS, generator=generator)
        for drafter in (ours, torchs):
            drafter.start(source, state)
        for _ in range(10):
            found = ours.propose(state)
            with monkeypatch.context() as patch:
                patch.setattr(rounds, "library", lambda: None)
                expected = torchs.propose(state)
            assert found.lengths.tolist() == expected.lengths.tolist()
            for row, n in enumerate(found.lengths.tolist()):
                assert found.tokens[row, :n].tolist() == expected.tokens[row, :n].tolist()
            assert (found.tokens >= 0).all()
            assert ours._asked.tolist() == torchs._asked.tolist()
            kinds |= set(ours._asked.tolist())
            kept = torch.randint(0, 4, (rows,), generator=generator)
            ours.advance(kept)
            with monkeypatch.context() as patch:
                patch.setattr(rounds, "library", lambda: None)
                torchs.advance(kept)
            assert ours._tried.tolist() == pytest.approx(torchs._tried.tolist(), rel=1e-6)
            assert ours._right.tolist() == pytest.approx(torchs._right.tolist(), rel=1e-6)
            state.lengths += kept
            state.max_length = int(state.lengths.max())
        for drafter in (ours, torchs):
            drafter.finish(state.tokens, state.lengths)
    assert kinds >= {0, 1, 2}


def test_a_draft_for_one_row_takes_less_than_a_tenth_of_a_millisecond(library):
    generator = torch.Generator().manual_seed(1)
    corpus = [row[:n] for row, n in zip(*sentences(generator, 50), strict=True)]
    drafter = NgramDrafter(8, EOS, corpus=corpus)
    tokens, lengths = sentences(generator, 1, 60)
    state = DecodeState(Limits(PAD, UNK, EOS, 200), torch.full((1,), EOS), 8)
    state.tokens[:, 1:].random_(4, 4 + WORDS, generator=generator)
    state.lengths.fill_(60)
    state.max_length = 60
    drafter.start(Source(tokens, lengths, PAD), state)
    best = 1.0
    for _ in range(50):
        began = clock.now()
        drafter.propose(state)
        drafter.advance(lengths)
        best = min(best, clock.since(began))
    assert best < 1e-4
