"""Look-up of n-grams by compiled code: the same drafts, counts and tables as by torch."""

import pytest
import torch

from fairseq_specdec.blocks import Source
from fairseq_specdec.drafters import ngram_table
from fairseq_specdec.drafters.corpus import DEPTH, Corpus
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.drafters.ngram_table import NgramTable
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState
from tests.oracle import EOS, PAD, UNK

N_SYMBOLS = 20
WORDS = 5  # few, so that n-grams come back


def sentences(generator, rows, width=12):
    """Return tokens [B, T] that end in eos somewhere, and lengths [B]."""
    tokens = torch.randint(4, 4 + WORDS, (rows, width), generator=generator)
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    return tokens.scatter(1, lengths[:, None] - 1, EOS), lengths


@pytest.mark.parametrize("size", [ngram_table.SLOTS, 16])
def test_tables_become_the_same_whatever_shares_a_slot(library, monkeypatch, size):
    monkeypatch.setattr(ngram_table, "SLOTS", size)
    generator = torch.Generator().manual_seed(size)
    ours, torchs = NgramTable(4, EOS), NgramTable(4, EOS)
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
@pytest.mark.parametrize("has_corpus", [True, False])
def test_drafts_and_what_is_learned_of_them_are_the_same(library, monkeypatch, rows, block_size, has_corpus):
    generator = torch.Generator().manual_seed(rows)
    rows_of = [row[:n] for row, n in zip(*sentences(generator, 20), strict=True)]
    corpus = Corpus.of(torch.cat(rows_of).int(), N_SYMBOLS, EOS) if has_corpus else None
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
            assert ours._kind.tolist() == torchs._kind.tolist()
            assert ours._counted.tolist() == torchs._counted.tolist()
            kinds |= set(ours._kind.tolist())
            kept = torch.randint(0, 4, (rows,), generator=generator)
            ours.advance(kept)
            with monkeypatch.context() as patch:
                patch.setattr(rounds, "library", lambda: None)
                torchs.advance(kept)
            torch.testing.assert_close(ours.outcomes.parts, torchs.outcomes.parts, rtol=1e-6, atol=0)
            state.lengths += kept
            state.max_length = int(state.lengths.max())
        for drafter in (ours, torchs):
            drafter.finish(state.tokens, state.lengths)
    places = {kind // (DEPTH + 1) for kind in kinds if kind}
    assert places == ({0, 1, 2} if has_corpus else {0, 1})
    assert len(kinds) > 4


@pytest.mark.parametrize("n_tokens", [2_000, 64_000])
def test_a_look_up_reads_few_places_of_a_large_corpus(library, n_tokens):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 3 + WORDS, (n_tokens,), generator=generator, dtype=torch.int32)
    tokens[::50] = EOS
    drafter = NgramDrafter(8, EOS, corpus=Corpus.of(tokens, N_SYMBOLS, EOS))
    state = DecodeState(Limits(PAD, UNK, EOS, 200), torch.full((1,), EOS), 8)
    state.tokens[:, 1:].random_(4, 3 + WORDS, generator=generator)
    drafter.start(Source(torch.tensor([[9, EOS]]), torch.tensor([2]), PAD), state)
    for length in range(1, 60):
        state.lengths.fill_(length)
        drafter.propose(state)
        # both ends of each further token by halves, and the places that are followed
        assert drafter.compiled().looked_at <= 2 * 7 * n_tokens.bit_length() + 16
