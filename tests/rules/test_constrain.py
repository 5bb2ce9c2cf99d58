import math

import pytest
import torch

from fairseq_specdec.rules.constrain import constrain, drop_nan
from fairseq_specdec.rules.limits import Limits

PAD, EOS, UNK = 1, 2, 3


def run(steps, **limits):
    """Constrain uniform scores [1, N, 6] at these steps; return them."""
    options = {"pad": PAD, "unk": UNK, "eos": EOS, "max_len": 10, "min_len": 0, **limits}
    lprobs = torch.full((1, len(steps), 6), -1.5)
    return constrain(lprobs, torch.tensor([steps]), Limits(**options))[0]


def possible(row):
    return [i for i, score in enumerate(row.tolist()) if score > -math.inf]


def test_pad_is_never_chosen_and_the_unk_penalty_is_subtracted():
    (row,) = run([0], unk_penalty=2.0)
    assert possible(row) == [0, 2, 3, 4, 5]
    assert row[UNK].item() == -3.5


def test_nan_becomes_impossible():
    lprobs = torch.tensor([[[math.nan, math.inf, -1.0, -math.inf]]])
    drop_nan(lprobs)
    assert lprobs[0, 0].tolist() == [-math.inf, math.inf, -1.0, -math.inf]


def test_eos_is_forbidden_before_the_minimum_and_forced_at_the_maximum_length():
    early, late, forced, past = run([1, 2, 10, 11], min_len=2)
    assert EOS not in possible(early)
    assert EOS in possible(late)
    assert possible(forced) == possible(past) == [EOS]
    assert forced[EOS].item() == -1.5


def test_prefix_tokens_are_forced_with_their_own_score_up_to_the_first_pad():
    first, second, third = run([0, 1, 2], prefix=torch.tensor([[5, PAD]]))
    assert possible(first) == [5]
    assert first[5].item() == -1.5
    assert possible(second) == possible(third) == [0, 2, 3, 4, 5]


def test_the_minimum_length_does_not_hold_inside_the_prefix():
    inside, after = run([1, 2], prefix=torch.tensor([[5, PAD]]), min_len=9)
    assert EOS in possible(inside)
    assert EOS not in possible(after)


def test_the_maximum_length_wins_over_the_prefix():
    (row,) = run([1], prefix=torch.tensor([[5, 5]]), max_len=1)
    assert possible(row) == [EOS]


def test_matching_the_source_length_moves_eos_to_its_end():
    before, at = run([2, 3], source_lengths=torch.tensor([3]))
    assert EOS not in possible(before)
    assert at[EOS].item() == 0.0


def test_rows_keep_their_own_prefix_and_source_length_when_others_are_dropped():
    limits = Limits(PAD, UNK, EOS, 9, prefix=torch.tensor([[4], [5]]), source_lengths=torch.tensor([3, 7]))
    kept = limits.select_rows(torch.tensor([1]))
    assert kept.prefix.tolist() == [[5]]
    assert kept.source_lengths.tolist() == [7]
    assert Limits(PAD, UNK, EOS, 9).select_rows(torch.tensor([0])).prefix is None


@pytest.mark.parametrize("prefix", [None, torch.tensor([[5, PAD]])], ids=["", "prefix"])
@pytest.mark.parametrize("max_len", [3, 5, 30])
def test_knowing_what_the_steps_come_to_changes_no_score(max_len, prefix):
    limits = Limits(PAD, UNK, EOS, max_len, min_len=2, unk_penalty=0.5, prefix=prefix)
    for lowest in range(5):
        steps = torch.arange(lowest, lowest + 3)[None]
        scores = torch.randn(1, 3, 6).log_softmax(-1)
        expected = constrain(scores.clone(), steps, limits)
        assert constrain(scores.clone(), steps, limits, limits.reach(lowest, lowest + 2)).equal(expected)
