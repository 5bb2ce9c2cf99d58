import pytest
import torch

from fairseq_specdec.drafters import ngram_table
from fairseq_specdec.drafters.ngram_table import NgramTable
from tests.oracle import EOS, Words

N = 3


class Table:
    """A table of words."""

    def __init__(self):
        self.words = Words()
        self.table = NgramTable(N, EOS)

    def ids(self, line):
        return torch.tensor(self.words.encode(line))

    def add(self, *lines):
        rows = [self.ids(line) for line in lines]
        lengths = torch.tensor([row.numel() for row in rows])
        self.table.add(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=77), lengths)
        return self

    def roll_out(self, *contexts, n_tokens=4):
        """Return the words offered behind each context, and the length of the n-gram that offered the first one."""
        last = torch.full((len(contexts), N), -1)
        for row, context in enumerate(contexts):
            ids = [EOS, *self.words.encode(context)[:-1]][-N:]
            last[row, : len(ids)] = torch.tensor(ids[::-1])
        tokens, n_offered, first_n = self.table.roll_out(last, n_tokens)
        assert tokens.shape == (len(contexts), n_tokens)
        found = [self.words.decode(row[:n].tolist()) for row, n in zip(tokens, n_offered, strict=True)]
        return list(zip(found, first_n.tolist(), strict=True))


def test_an_empty_table_offers_nothing():
    assert Table().roll_out("", "a", "a b") == [("", 0)] * 3


def test_a_sentence_is_followed_to_its_end_and_an_eos_ends_the_roll_out():
    table = Table().add("a b c d")
    assert table.roll_out("", n_tokens=8) == [("a b c d [.]", 1)]
    assert table.roll_out("a b c d") == [("[.]", 3)]


def test_the_block_bounds_the_roll_out():
    table = Table().add("a b c d e")
    assert table.roll_out("a", n_tokens=2) == [("b c", 2)]


def test_each_row_is_followed_on_its_own():
    table = Table().add("a b c", "d e f g")
    assert table.roll_out("a", "x", "d e", "") == [("b c [.]", 2), ("", 0), ("f g [.]", 3), ("a b c [.]", 1)]


def test_a_row_that_has_no_last_token_is_offered_nothing():
    table = Table().add("a b").table
    _, n_offered, first_n = table.roll_out(torch.tensor([[-1] * N]), 4)
    assert n_offered.tolist() == first_n.tolist() == [0]


def test_the_most_frequent_next_token_is_offered():
    table = Table().add("x b", "x b", "x c", "x b")
    assert table.roll_out("x", n_tokens=1)[0][0] == "b"


@pytest.mark.parametrize("at_once", [True, False])
def test_what_comes_later_wins_once_it_is_the_majority(at_once):
    table = Table().add("x b", "x b")
    later = ["x c"] * 5
    for lines in [later] if at_once else [[line] for line in later]:
        table.add(*lines)
    assert table.roll_out("x", n_tokens=1)[0][0] == "c"


def test_longer_n_grams_are_asked_first():
    table = Table().add("p a b", "q a b", "r a b", "s a c")
    assert table.roll_out("s a", n_tokens=1) == [("c", 3)]
    assert table.roll_out("t a", n_tokens=1) == [("b", 1)]
    assert table.roll_out("1 2 3 s a", n_tokens=1) == [("c", 2)]


def test_an_n_gram_that_goes_on_in_many_ways_offers_nothing():
    table = Table().add("a b", "a c", "a d", "a e", "a f")
    assert table.roll_out("x a") == [("", 0)]


def test_the_beginning_of_a_sentence_is_no_middle_of_another():
    table = Table().add("a b", "c d")
    assert table.roll_out("b") == [("[.]", 2 - 1)]
    assert table.roll_out("a c") == [("d [.]", 1)]


def test_nothing_to_add_changes_nothing():
    table = Table().add("a b")
    table.table.add(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    table.table.add(torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert table.roll_out("a") == [("b [.]", 2)]


def test_n_grams_that_share_a_slot_displace_each_other_and_are_not_mistaken(monkeypatch):
    monkeypatch.setattr(ngram_table, "SLOTS", 1)
    table = Table().add("a b")
    assert table.table.size == 1
    table.add("c d", "c d")
    found = table.roll_out("c", "a", "x", n_tokens=1)
    assert found[1:] == [("", 0)] * 2
    assert found[0] in [("d", 2), ("", 0)]
    for _ in range(3):
        table.add("a b")
    assert table.roll_out("c", "x", n_tokens=1) == [("", 0)] * 2


def test_its_memory_does_not_grow_with_what_is_added():
    table = NgramTable(N, EOS)
    for _ in range(2):
        table.add(torch.randint(4, 30000, (40, 1000)), torch.full((40,), 1000))
        assert sum(part.numel() for part in table.parts()) == 5 * N * ngram_table.SLOTS


def test_the_same_sentences_give_the_same_table():
    generator = torch.Generator().manual_seed(1)
    tokens, lengths = torch.randint(2, 30, (40, 20), generator=generator), torch.randint(0, 21, (40,))
    first, second = NgramTable(N, EOS), NgramTable(N, EOS)
    for table in (first, second):
        table.add(tokens, lengths)
        table.add(tokens.flip(0), lengths.flip(0))
    last = torch.randint(0, 30, (200, N), generator=generator)
    for a, b in zip(first.roll_out(last, 5), second.roll_out(last, 5), strict=True):
        assert a.equal(b)


def test_what_is_offered_is_what_counting_says():
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(4, 10, (60, 12), generator=generator)
    table = NgramTable(1, EOS)
    table.add(tokens, torch.full((60,), 12))
    for token in range(4, 10):
        following = tokens[:, 1:][tokens[:, :-1].eq(token)]
        counts = following.bincount()
        (offered,), (n,), _ = (part[..., 0] if part.dim() > 1 else part for part in table.roll_out(
            torch.tensor([[token]]), 1
        ))  # fmt: skip
        assert n == int(counts.max() >= ngram_table.MIN_SHARE * counts.sum())
        assert n == 0 or offered == counts.argmax()
