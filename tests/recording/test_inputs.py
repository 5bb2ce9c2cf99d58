"""The shapes that batches are filled up to; sessions themselves are tested by what is decoded in them."""

import pytest

from fairseq_specdec.recording.inputs import Shape, step_up


def test_steps_leave_at_most_a_third_empty():
    steps = [step_up(n) for n in range(1, 200)]
    assert steps[:13] == [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16]
    assert all(n <= step < 1.5 * n for n, step in enumerate(steps, 1) if n > 1)
    assert sorted(steps) == steps


@pytest.mark.parametrize(
    ("own", "n_open", "other", "expected"),
    [
        ((8, 16, 64), 7, (8, 16, 64), (8, 16, 64)),
        ((8, 16, 64), 7, (3, 12, 48), (8, 16, 64)),  # it has room
        ((8, 16, 64), 7, (8, 24, 64), (8, 24, 64)),  # a wider one
        ((8, 16, 64), 5, (6, 12, 96), (6, 16, 96)),  # a longer one; rows that have ended are left behind
        ((8, 16, 64), 6, (32, 12, 64), (32, 16, 64)),  # more rows
        ((64, 8, 64), 50, (4, 128, 64), None),  # 64 rows of 128 positions
        ((4, 128, 64), 3, (64, 8, 64), None),
        ((64, 8, 64), 3, (4, 128, 64), (4, 128, 64)),  # when few are left
    ],
)
def test_a_batch_and_the_rows_that_are_left_share_a_shape_unless_it_is_mostly_empty(own, n_open, other, expected):
    joined = Shape(*own).joined(Shape(*other), n_open)
    assert joined == (None if expected is None else Shape(*expected))
