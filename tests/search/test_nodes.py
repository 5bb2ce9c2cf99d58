"""How far a search looks ahead follows what brings most steps a second, and never costs much."""

import random

import pytest

from fairseq_specdec import clock
from fairseq_specdec.search.nodes import CHOICES, NodeBudget
from tests.clocks import HOSTILE


def run(budget, seconds, sentences):
    """Let sentences go by that take so long for a step; return what was chosen."""
    chosen = []
    for _ in range(sentences):
        chosen.append(budget.choose())
        budget.took(chosen[-1], seconds[chosen[-1]])
    return chosen


@pytest.mark.parametrize("best", CHOICES)
def test_the_best_is_found_and_kept(best):
    seconds = {n: 1.0 + 0.1 * abs(CHOICES.index(n) - CHOICES.index(best)) for n in CHOICES}
    chosen = run(NodeBudget(64), seconds, 400)
    assert chosen.count(best) > 320


def test_where_looking_ahead_does_not_pay_little_is_lost():
    seconds = {0: 1.0, 3: 1.1, 7: 1.3, 13: 1.6}
    chosen = run(NodeBudget(64), seconds, 100)
    assert set(chosen) == {0, 3}  # nothing longer is tried where the shortest is slower
    assert sum(seconds[n] for n in chosen) <= 100 * 1.025


def test_sentences_that_differ_much_do_not_mislead():
    rng, budget = random.Random(3), NodeBudget(64)
    mean = {0: 1.0, 3: 0.8, 7: 0.7, 13: 0.85}
    for _ in range(300):
        n = budget.choose()
        budget.took(n, mean[n] * rng.uniform(0.7, 1.3))
    chosen = [budget.choose() for _ in range(200)]
    assert chosen.count(7) >= 180


def test_what_has_become_better_is_found():
    budget = NodeBudget(64)
    run(budget, {0: 1.0, 3: 1.1, 7: 1.2, 13: 1.3}, 50)
    assert run(budget, {0: 1.0, 3: 0.8, 7: 0.6, 13: 0.7}, 4000)[-1] == 7


def test_nothing_above_the_block_size_is_chosen():
    assert NodeBudget(8).choices == [0, 3, 7]
    assert set(run(NodeBudget(3), dict.fromkeys(CHOICES, 1.0), 50)) <= {0, 3}
    assert set(run(NodeBudget(1), dict.fromkeys(CHOICES, 1.0), 50)) == {0}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_the_clock_says_a_choice_is_said(monkeypatch, name):
    monkeypatch.setattr(clock, "now", HOSTILE[name]())
    budget = NodeBudget(64)
    for _ in range(3000):
        began, n = clock.now(), budget.choose()
        assert n in CHOICES
        budget.took(n, clock.since(began))
