"""Numbers of sentences that come without."""

import torch

from fairseq_specdec.tasks.places import InputPlaces

PAD = 1


def tokens(*rows):
    return [torch.tensor(row) for row in rows]


def found(places, *rows):
    batch = torch.nn.utils.rnn.pad_sequence(tokens(*rows), batch_first=True, padding_value=PAD)
    numbers = places.find(batch.flip(1), PAD)  # fairseq pads sources on the left
    return None if numbers is None else numbers.tolist()


def test_sentences_are_numbered_over_all_buffers_whatever_the_order_of_batches():
    places = InputPlaces()
    places.read(tokens([5, 6, 2], [7, 2], [5, 2]), PAD)
    assert found(places, [2, 5], [2, 7]) == [2, 1]
    assert found(places, [2, 6, 5]) == [0]
    places.read(tokens([7, 2], [8, 2]), PAD)
    assert found(places, [2, 8], [2, 7]) == [4, 3]


def test_equal_sentences_keep_their_order():
    places = InputPlaces()
    places.read(tokens([5, 2], [6, 2], [5, 2]), PAD)
    assert found(places, [2, 5], [2, 6]) == [0, 1]
    assert found(places, [2, 5]) == [2]


def test_sentences_that_were_not_read_have_no_number():
    places = InputPlaces()
    assert found(places, [2, 5]) is None
    places.read(tokens([5, 2]), PAD)
    assert found(places, [2, 6], [2, 5]) is None
    assert found(places, [2, 5]) == [0]
    assert found(places, [2, 5]) is None  # it came out before
    places.read(tokens([6, 2]), PAD)
    assert found(places, [2, 5]) is None  # of the buffer before


def test_padding_that_was_typed_does_not_hide_a_sentence():
    places = InputPlaces()
    places.read(tokens([5, PAD, 6, 2], [PAD, 7, 2], [5, 6, 2], [PAD, PAD, 2]), PAD)
    assert found(places, [2, 6, PAD, 5]) == [0]
    assert found(places, [2, 7, PAD], [2, 6, 5], [2, PAD, PAD]) == [1, 2, 3]


def test_sentences_that_differ_in_typed_padding_at_an_edge_keep_their_order():
    places = InputPlaces()
    places.read(tokens([PAD, 5, 2], [5, 2]), PAD)
    assert found(places, [2, 5], [2, 5, PAD]) == [0, 1]
