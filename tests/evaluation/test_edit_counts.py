import pytest

from fairseq_specdec.evaluation.edit_counts import EditCounts, sum_best


def test_scores_are_those_made_by_hand():
    # P 2/4, R 2/5: 1.25 * 0.5 * 0.4 / (0.25 * 0.5 + 0.4) = 0.25 / 0.525
    assert EditCounts(2, 4, 5).scores() == pytest.approx({"p": 50.0, "r": 40.0, "f0.5": 100 * 0.25 / 0.525})


def test_nothing_proposed_is_precise_and_nothing_to_find_is_found():
    assert EditCounts(0, 0, 3).scores() == {"p": 100.0, "r": 0.0, "f0.5": 0.0}
    assert EditCounts(0, 3, 0).scores() == {"p": 0.0, "r": 100.0, "f0.5": 0.0}
    assert EditCounts().scores() == {"p": 100.0, "r": 100.0, "f0.5": 100.0}


def test_annotator_is_chosen_by_the_sum_so_far():
    # alone the second would be as good as the first (F 1); after a miss the one with a correct edit wins
    assert sum_best([[EditCounts(0, 1, 1)], [EditCounts(0, 0, 0), EditCounts(1, 1, 1)]]) == EditCounts(1, 2, 2)


def test_annotator_with_fewer_edits_is_chosen_where_no_edit_is_right():
    assert sum_best([[EditCounts(0, 2, 3), EditCounts(0, 2, 1)]]) == EditCounts(0, 2, 1)
