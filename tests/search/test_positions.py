"""Prefixes that were verified are found by what they continue and their last token."""

import torch

from fairseq_specdec.search.guesses import Lists
from fairseq_specdec.search.positions import Positions, Verified


def verified(n=6):
    """Return what is known of the slots of a sentence: the root, two tokens behind it, one behind these, a filler."""
    known = Verified((1, n, 2), torch.zeros(0, dtype=torch.int64))
    parents, tokens = torch.tensor([[-1, 0, 0, 1, 0]]), torch.tensor([[2, 7, 8, 9, 9]])
    recent = torch.stack([tokens, tokens, tokens], dim=2)
    is_there = torch.tensor([[True, True, True, True, False]])
    zeros = torch.zeros_like(parents)
    known.put(torch.arange(5)[None], Positions(recent, zeros + 3, parents, is_there, zeros, zeros[..., None]))
    return known


def test_a_prefix_is_found_by_what_it_continues_and_its_token():
    known = verified()
    known.look_back(torch.tensor([5]), 5)
    parents, tokens = torch.tensor([[0, 0, 1, 1, -1, 0]]), torch.tensor([[7, 8, 9, 7, 2, 9]])
    assert known.find(parents, tokens).tolist() == [[1, 2, 3, -1, -1, -1]]
    assert known.places(torch.tensor([[3]])).tolist() == [[3]]


def test_slots_before_the_window_are_not_found_and_a_window_may_begin_before_the_first():
    known = verified()
    for n, found in ((2, -1), (4, 1), (40, 1)):
        known.look_back(torch.tensor([5]), n)
        assert known.find(torch.tensor([[0]]), torch.tensor([[7]])).tolist() == [[found]]


def test_lists_lie_where_their_prefixes_do_and_go_with_the_sentences():
    known = Verified((2, 4, 2), torch.zeros(0, dtype=torch.int64))
    scores, tokens = torch.tensor([[[-1.0, -2.0]], [[-3.0, -4.0]]]), torch.tensor([[[5, 6]], [[7, 8]]])
    known.learn(torch.tensor([[2], [1]]), Lists(scores, tokens))
    known.select_rows(torch.tensor([1]))
    found = known.lists(torch.tensor([[1, -1]]))
    assert found.scores[0, 0].tolist() == [-3.0, -4.0]
    assert found.tokens[0, 0].tolist() == [7, 8]
    assert all(tensor.size(0) == 1 for tensor in known.tensors())
