"""What is guessed: the newest list behind the longest known suffix, the guide's token before it."""

import math

import torch

from fairseq_specdec.search.guesses import ELSE, TRUST, Guesses, Lists, Suffixes


def table(*entries):
    """Return a table that has learned (last tokens in reading order, tokens that follow), one after the other."""
    suffixes = Suffixes(3)
    for last, following in entries:
        scores, tokens = torch.tensor([[[-0.5, -1.0, -3.0]]]), torch.tensor([[following]])
        suffixes.put(recent(last), Lists(scores, tokens), torch.tensor([[True]]))
    return suffixes


def recent(*rows):
    """Return the last three tokens of some prefixes of a sentence, the last one first; -2 where there is none."""
    return torch.tensor([[[*reversed(row), -2, -2][:3] for row in rows]])


def test_the_longest_suffix_decides_and_the_newest_list_behind_it():
    suffixes = table(([4, 5, 6], [7, 8, 9]), ([9, 5, 6], [8, 7, 9]), ([4, 5, 6], [9, 8, 7]), ([3, 3, 6], [1, 2, 3]))
    found = suffixes.find(recent([4, 5, 6], [9, 5, 6], [8, 5, 6], [8, 8, 6], [8, 8, 8]))
    assert found.tokens[0, :4].tolist() == [[9, 8, 7], [8, 7, 9], [9, 8, 7], [1, 2, 3]]
    assert found.scores[0, 0].tolist() == [-0.5, -1.0, -3.0]
    assert (found.scores[0, 4] == -math.inf).all()


def test_what_fills_up_teaches_nothing():
    suffixes = Suffixes(3)
    suffixes.put(recent([4, 5, 6]), Lists(torch.zeros(1, 1, 3), torch.ones(1, 1, 3).long()), torch.tensor([[False]]))
    assert (suffixes.find(recent([4, 5, 6])).scores == -math.inf).all()


def test_the_guides_token_comes_first_and_once():
    guesses = Guesses(table(([4, 5, 6], [7, 8, 9])), torch.tensor([[4, 8, -1, 5, -1]]), torch.tensor([4]))
    scores, tokens = guesses.lists(recent([4, 5, 6]).expand(-1, 4, -1), torch.tensor([[1, 2, 4, 3]]))
    assert tokens[0, 0, [0, 1, 3]].tolist() == [8, 7, 9]
    torch.testing.assert_close(scores[0, 0], torch.tensor([TRUST, ELSE, -math.inf, -3.0]))
    for place in (1, 2):  # no token of the target, and the end
        assert scores[0, place].tolist() == [-math.inf, -0.5, -1.0, -3.0]
    assert tokens[0, 3].tolist() == [5, 7, 8, 9]


def test_the_guide_goes_on_behind_its_token_or_where_it_ends_like_the_prefix():
    guesses = Guesses(Suffixes(3), torch.tensor([[4, 5, 6, 5, 7, -1]]), torch.tensor([5]))
    places = guesses.follow(torch.tensor([[0, 1, 0, 2, 5]]), recent([4], [4, 5], [6, 5], [8], [9]))
    assert places.tolist() == [[1, 2, 4, 3, 5]]
