import math

import pytest
import torch

from fairseq_specdec.blocks import DraftBlock
from fairseq_specdec.search import acceptance
from fairseq_specdec.search.acceptance import accept_rule, accept_top_beta


def scores(*rows):
    """Log-probability-like scores [1, K + 1, V]."""
    return torch.tensor([rows], dtype=torch.float32)


def draft(*tokens, length=None):
    return DraftBlock(
        torch.tensor([tokens], dtype=torch.int64), torch.tensor([len(tokens) if length is None else length])
    )


def accept_exact(block, lprobs, total=0.0):
    return acceptance.accept_exact(block, lprobs, torch.full((lprobs.size(0),), total))


BEST_2_0_1 = ([-3.0, -2.0, -1.0], [-1.0, -2.0, -3.0], [-2.0, -1.0, -3.0])


@pytest.mark.parametrize(
    ("tokens", "accepted", "following"),
    [((2, 0), 2, 1), ((2, 1), 1, 0), ((0, 0), 0, 2), ((1, 1), 0, 2)],
)
def test_exact_acceptance_stops_at_the_first_token_that_is_not_the_best(tokens, accepted, following):
    verdict = accept_exact(draft(*tokens), scores(*BEST_2_0_1))
    assert (verdict.n_accepted.item(), verdict.next_token.item()) == (accepted, following)


def test_tokens_past_the_drafts_length_do_not_count_though_they_are_right():
    verdict = accept_exact(draft(2, 0, length=1), scores(*BEST_2_0_1))
    assert (verdict.n_accepted.item(), verdict.next_token.item()) == (1, 0)


def test_an_empty_draft_gives_the_next_token():
    verdict = accept_exact(draft(), scores(BEST_2_0_1[0]))
    assert (verdict.n_accepted.item(), verdict.next_token.item()) == (0, 2)


def test_a_tie_is_decided_alike_for_the_draft_and_for_the_correction():
    tie = scores([-1.0, -1.0, -5.0], [-1.0, -9.0, -9.0])
    best = torch.topk(tie[0, 0], 2).indices[0].item()
    assert accept_exact(draft(best), tie).n_accepted.item() == 1
    assert accept_exact(draft(1 - best), tie).next_token.item() == best


@pytest.mark.parametrize(
    ("beta", "tau", "accepted"),
    [(1, 0.0, 0), (2, 0.5, 0), (2, 1.0, 1), (3, 1.9, 1), (3, 2.0, 2), (2, 2.0, 1)],
)
def test_relaxed_acceptance_bounds_rank_and_gap_inclusively(beta, tau, accepted):
    # first draft token: rank 1, gap 1.0; second: rank 2, gap 2.0
    verdict = accept_top_beta(
        draft(1, 2), scores([-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0], [-5.0, -1.0, -3.0]), beta=beta, tau=tau
    )
    assert verdict.n_accepted.item() == accepted
    assert verdict.next_token.item() == (1 if accepted == 2 else 0)


def test_a_token_that_cannot_be_chosen_is_never_accepted():
    forced = scores([-math.inf, -1.0, -math.inf], [-1.0, -2.0, -3.0])
    assert accept_top_beta(draft(0), forced, beta=3, tau=1e30).n_accepted.item() == 0


def test_the_rule_for_beta_1_is_the_exact_one():
    assert accept_rule(1, 0.0) is acceptance.accept_exact
    relaxed = accept_rule(3, 1.0)(draft(1), scores([-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0]), torch.zeros(1))
    assert relaxed.n_accepted.item() == 1


def test_rows_are_judged_on_their_own():
    block = DraftBlock(torch.tensor([[2, 0], [0, 0]]), torch.tensor([2, 2]))
    verdict = accept_exact(block, scores(*BEST_2_0_1).expand(2, 3, 3))
    assert verdict.n_accepted.tolist() == [2, 0]
    assert verdict.next_token.tolist() == [1, 2]


def test_the_score_of_a_row_grows_by_what_stands_and_by_the_token_after_it():
    verdict = accept_exact(draft(2, 1), scores(*BEST_2_0_1), total=-7.0)
    assert verdict.n_accepted.item() == 1
    assert verdict.totals.tolist() == [-9.0]


def test_scores_that_the_total_makes_equal_are_a_tie():
    near = scores([-1.0, -1.0 + 1e-6, -5.0])
    assert accept_exact(draft(), near).next_token.item() == 1
    taken = torch.topk(near[0, 0] - 133.0, 2).indices[0].item()
    assert accept_exact(draft(), near, total=-133.0).next_token.item() == taken
