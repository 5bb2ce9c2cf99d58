"""Widths are chosen as long as that works, and nothing ends where it does not."""

import pytest
import torch

from fairseq_specdec.blocks import DraftBlock
from fairseq_specdec.search import budget
from fairseq_specdec.search.width import STEPS, BlockWidth

DRAFT = DraftBlock(torch.zeros(2, 6, dtype=torch.int64), torch.tensor([6, 6]))
NOBODY = torch.tensor([False, False])
COUNTS = torch.tensor([[7, 3], [6, 6], [6, 2]])


def rounds(width, n=5):
    """Return the widths of some rounds of a batch of two rows."""
    width.begin()
    found = []
    for _ in range(n):
        limit = width.limit(2, lambda n: None)
        found.append((limit, width.cut(DRAFT, limit, NOBODY)))
        width.least(limit, 2)
        width.drafted(0.0, limit)
        width.judged(COUNTS)
    return found


def test_without_choosing_each_round_drafts_the_whole_block():
    assert rounds(BlockWidth(6, adaptive=False)) == [(6, 6)] * 5
    assert rounds(BlockWidth(0, adaptive=True)) == [(0, 0)] * 5


def test_passes_are_timed_when_their_number_of_rows_is_new():
    width, made = BlockWidth(6, adaptive=True), []
    for rows in (40, 20, 40, 3, 2, 1):
        width.limit(rows, lambda n, rows=rows: made.append((rows, n)))
    assert {rows for rows, _ in made} == {40, 3}
    assert {n for _, n in made} <= set(range(1, 8))


@pytest.mark.parametrize("method", ["knows", "measure", "begin", "limit", "least", "cut", "drafted", "judged"])
def test_where_choosing_fails_the_run_goes_on_with_the_whole_block_and_says_so_once(monkeypatch, caplog, method):
    def fail(*_):
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(budget.BlockBudget, method, fail)
    width = BlockWidth(6, adaptive=True)
    assert rounds(width)[1:] == rounds(width)[1:] == [(6, 6)] * 4
    assert caplog.text.count("choosing how many tokens to draft failed (ZeroDivisionError: float division") == 1
    assert "each round drafts up to 6 from now on, which changes no output" in caplog.text


@pytest.mark.parametrize(("said", "expected"), [(-3, 0), (99, 6), (2.7, 2)])
def test_a_width_outside_the_block_is_never_passed_on(monkeypatch, said, expected):
    monkeypatch.setattr(budget.BlockBudget, "limit", lambda *_: said)
    monkeypatch.setattr(budget.BlockBudget, "cut", lambda *_: said)
    assert rounds(BlockWidth(6, adaptive=True), 1) == [(expected, expected)]


def test_rounds_that_may_go_by_are_bounded_whatever_the_budget_says(monkeypatch, caplog):
    width = BlockWidth(6, adaptive=True)
    for said, expected in ((-3, 1), (999, STEPS), (5, 5)):
        monkeypatch.setattr(budget.BlockBudget, "rest", lambda _, said=said: said)
        assert width.rest() == expected
    assert BlockWidth(0, adaptive=True).rest() == BlockWidth(6, adaptive=False).rest() == STEPS
    width.rested(0.0, 4, 1)  # passes were never timed
    assert width.rest() == STEPS and "choosing how many tokens to draft failed" in caplog.text


def test_memory_that_runs_out_is_for_the_one_who_decodes_smaller_batches_unless_there_are_none(caplog):
    def scarce(n):
        raise RuntimeError("out of memory")

    width = BlockWidth(6, adaptive=True)
    with pytest.raises(RuntimeError, match="out of memory"):
        width.limit(2, scarce)
    assert not caplog.text
    assert width.limit(1, scarce) == 6
    assert "out of memory" in caplog.text


def test_an_interrupt_is_no_failure_to_choose():
    def interrupt(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BlockWidth(6, adaptive=True).limit(2, interrupt)
