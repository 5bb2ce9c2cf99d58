"""How far drafts of a kind go follows what became of them."""

import pytest
import torch

from fairseq_specdec.drafters.outcomes import MOST, Outcomes


def learned(*rounds, n_kinds=3, block_size=8):
    """Return outcomes of rounds of one row: its kind, its tokens, tokens kept."""
    outcomes = Outcomes(n_kinds, block_size)
    for round_ in rounds:
        outcomes.learn(*(torch.tensor([number]) for number in round_))
    return outcomes


def test_before_anything_is_known_a_whole_block_is_worth_its_time():
    assert learned().worth(8).tolist() == [8, 8, 8]
    assert learned().worth(3).tolist() == [3, 3, 3]


def test_a_kind_whose_first_token_is_never_right_is_left_out_and_the_others_are_not():
    assert learned(*[(1, 4, 1)] * 8).worth(8).tolist() == [8, 0, 8]


def test_a_kind_whose_second_token_is_never_right_has_one_token():
    assert learned(*[(1, 4, 2)] * 40).worth(8).tolist() == [8, 1, 8]


def test_a_kind_that_is_always_right_goes_as_far_as_it_may():
    assert learned(*[(1, 8, 9)] * 40).worth(64).tolist()[1] == 64


def test_drafts_go_the_farther_the_longer_they_were_right():
    lengths = [learned(*[(1, 8, kept)] * 40).worth(8)[1].item() for kept in range(1, 9)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert 2 <= lengths[4] < lengths[7] == 8


@pytest.mark.parametrize("round_", [(1, 0, 1), (1, 4, 0)])
def test_rows_without_a_draft_and_rows_that_have_ended_do_not_count(round_):
    assert learned(round_).parts.eq(0).all()


def test_further_tokens_are_counted_up_to_the_first_that_is_wrong():
    parts = learned((2, 5, 4)).parts  # three right, the fourth wrong
    assert parts[:, 2].tolist() == [1, 1, 3, 2]
    assert learned((2, 3, 4)).parts[:, 2].tolist() == [1, 1, 2, 2]
    assert learned((2, 5, 1)).parts[:, 2].tolist() == [1, 0, 0, 0]


def test_no_more_than_the_latest_are_remembered():
    outcomes = learned(*[(1, 8, 9)] * 300)
    assert outcomes.parts.max() <= MOST
    for _ in range(100):
        outcomes.learn(*(torch.tensor([n]) for n in (1, 8, 1)))
    assert outcomes.worth(8).tolist()[1] == 0


def test_what_failed_is_tried_again_when_it_has_faded():
    outcomes = learned(*[(1, 4, 1)] * 8)
    for _ in range(400):
        outcomes.learn(*(torch.tensor([n]) for n in (2, 1, 2)))
    assert outcomes.worth(8).tolist()[1] > 0


def test_forgetting_leaves_nothing():
    outcomes = learned((1, 4, 1))
    outcomes.forget()
    assert outcomes.parts.eq(0).all()
