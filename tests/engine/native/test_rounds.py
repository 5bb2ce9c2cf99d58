"""What compiled code makes of a round, against the definitions in torch."""

import math

import pytest
import torch

from fairseq_specdec.blocks import DraftBlock, Source, Verdict
from fairseq_specdec.drafters.guided import GuidedDrafter
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.acceptance import accept_exact
from fairseq_specdec.search.state import DecodeState

PAD, EOS, UNK = 1, 2, 3


def round_of(n_rows, width, symbols, generator):
    """Return a draft of which some is right, and scores with ties and impossible tokens."""
    lprobs = torch.randint(-9, 0, (n_rows, width + 1, symbols), generator=generator).float()
    lprobs += 1e-6 * torch.randint(0, 9, lprobs.shape, generator=generator)  # equal or not, by what they are added to
    lprobs.masked_fill_(torch.rand(lprobs.shape, generator=generator) < 0.2, -math.inf)
    best = lprobs.argmax(-1)[:, :width]
    wrong = torch.rand(best.shape, generator=generator) < 0.3
    tokens = torch.where(wrong, torch.randint(0, symbols, best.shape, generator=generator), best)
    return DraftBlock(tokens, torch.randint(0, width + 1, (n_rows,), generator=generator)), lprobs


@pytest.mark.parametrize("symbols", [5, 16, 64, 65, 200, 1000])
@pytest.mark.parametrize("width", [0, 1, 6])
def test_the_same_draft_tokens_are_accepted(library, monkeypatch, width, symbols):
    generator = torch.Generator().manual_seed(symbols)
    for _ in range(20):
        draft, lprobs = round_of(7, width, symbols, generator)
        totals = torch.rand(7, generator=generator) * -200
        found = accept_exact(draft, lprobs, totals)
        with monkeypatch.context() as patch:
            patch.setattr(rounds, "library", lambda: None)
            expected = accept_exact(draft, lprobs, totals)
        assert found.n_accepted.tolist() == expected.n_accepted.tolist()
        assert found.next_token.tolist() == expected.next_token.tolist()
        assert found.totals.tolist() == expected.totals.tolist()


def test_of_scores_that_are_all_impossible_the_first_is_taken(library):
    draft = DraftBlock(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert accept_exact(draft, torch.full((1, 1, 40), -math.inf), torch.zeros(1)).next_token.tolist() == [0]


@pytest.mark.parametrize("max_len", [3, 9, 30])
@pytest.mark.parametrize("width", [0, 1, 6])
def test_rows_become_the_same(library, monkeypatch, width, max_len):
    generator = torch.Generator().manual_seed(width)
    limits = Limits(PAD, UNK, EOS, max_len)
    states = [DecodeState(limits, torch.full((6,), EOS), 8) for _ in range(2)]
    wide = torch.randint(0, 9, (6, 8), generator=generator)
    for _ in range(12):
        draft, lprobs = round_of(6, width, 9, generator)
        draft = DraftBlock(wide.copy_(torch.nn.functional.pad(draft.tokens, (0, 8 - width)))[:, :width], draft.lengths)
        room = (max_len + 1 - states[0].lengths).clamp(min=0)
        n_accepted = torch.randint(0, 9, (6,), generator=generator).minimum(draft.lengths).minimum(room)
        verdict = Verdict(n_accepted, torch.randint(0, 9, (6,), generator=generator))
        kept = states[0].commit(draft, verdict, lprobs)
        with monkeypatch.context() as patch:
            patch.setattr(rounds, "library", lambda: None)
            expected = states[1].commit(draft, verdict, lprobs)
        assert kept.tolist() == expected.tolist()
        assert states[0].status.tolist() == states[1].status.tolist()
        assert states[0].finished.tolist() == states[1].finished.tolist()
        for row, n in enumerate(states[0].lengths.tolist()):
            assert states[0].tokens[row, :n].tolist() == states[1].tokens[row, :n].tolist()
            assert states[0].scores[row, :n].tolist() == states[1].scores[row, :n].tolist()
    assert states[0].finished.any()


@pytest.mark.parametrize("limit", [0, 3, 8])
def test_drafts_are_cut_to_the_same_length(library, monkeypatch, limit):
    generator = torch.Generator().manual_seed(limit)
    state = DecodeState(Limits(PAD, UNK, EOS, 9), torch.full((8,), EOS), 8)
    state.lengths.copy_(torch.randint(1, 13, (8,), generator=generator))
    state.finished.copy_(torch.rand(8, generator=generator) < 0.3)
    for _ in range(20):
        lengths = torch.randint(0, 9, (8,), generator=generator)
        draft = DraftBlock(torch.randint(0, 9, (8, 8), generator=generator), lengths)
        found = state.trim(draft, limit)
        with monkeypatch.context() as patch:
            patch.setattr(rounds, "library", lambda: None)
            expected = state.trim(draft, limit)
        assert found.lengths.tolist() == expected.lengths.tolist()
        assert found.tokens.tolist() == expected.tokens.tolist()


def test_the_same_is_copied_from_a_guide(library, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        width = int(torch.randint(1, 14, (1,), generator=generator))
        lengths = torch.randint(0, width + 1, (5,), generator=generator)
        guide = torch.randint(0, 5, (5, width), generator=generator)  # few words: many places look alike
        guide.masked_fill_(torch.arange(width) >= lengths[:, None], -1)
        state = DecodeState(Limits(PAD, UNK, EOS, 40), torch.full((5,), EOS), 4)
        state.tokens[:, 1:].random_(0, 5, generator=generator)
        ours, torchs = GuidedCopy(4), GuidedCopy(4)
        for drafter in (ours, torchs):
            drafter.start(Source(guide, lengths, PAD), state)
        for _ in range(6):
            found = ours.propose(state)
            with monkeypatch.context() as patch:
                patch.setattr(rounds, "library", lambda: None)
                expected = torchs.propose(state)
            assert found.lengths.tolist() == expected.lengths.tolist()
            assert found.tokens.tolist() == expected.tokens.tolist()
            kept = torch.randint(0, 5, (5,), generator=generator)
            state.lengths += kept
            for drafter in (ours, torchs):
                drafter.advance(kept)


class GuidedCopy(GuidedDrafter):
    """Its guide is the source as it stands."""

    build = None

    def guide(self, source):
        return source.tokens, source.lengths
