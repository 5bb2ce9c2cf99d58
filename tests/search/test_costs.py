"""What was timed, as the budget asks for it."""

from fairseq_specdec.search.costs import Cost, CostByRows


def test_the_first_time_does_not_count_and_slow_exceptions_are_cut():
    cost = Cost()
    cost.add(9.0)
    assert not cost.is_known and cost.seconds == 0.0
    for _ in range(5):
        cost.add(1.0)
    assert cost.is_known and cost.seconds == 1.0
    cost.add(1000.0)
    assert cost.seconds < 1.2


def test_about_as_many_rows_share_a_cost_and_the_nearest_stands_in_for_others():
    costs = CostByRows()
    assert costs.seconds(4) == 0.0
    for rows, seconds in ((1, 1.0), (8, 3.0)):
        for _ in range(3):
            costs.add(rows, seconds)
    assert [rows for rows in range(1, 20) if costs.knows(rows)] == [1, 5, 6, 7, 8]
    assert costs.seconds(1) == costs.seconds(2) == 1.0
    assert costs.seconds(7) == costs.seconds(4) == costs.seconds(64) == 3.0
