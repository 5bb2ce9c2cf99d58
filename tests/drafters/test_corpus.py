"""Look-ups in a sorted text: what a search of the whole text finds, by halves."""

import random
from collections import Counter

import pytest
import torch

from fairseq_specdec.drafters.corpus import DEPTH, SAMPLES, Corpus
from tests.oracle import EOS, Words

N_SYMBOLS = 60


class Texts:
    """A corpus of words."""

    def __init__(self, *lines):
        self.words = Words()
        ids = [i for line in lines for i in self.words.encode(line)]
        self.corpus = Corpus.of(torch.tensor(ids, dtype=torch.int32), N_SYMBOLS, EOS)

    def roll_out(self, *outputs, n_tokens=4):
        """Return the words offered behind each output, and how many of its last tokens were found."""
        last = torch.full((len(outputs), DEPTH), -2)
        for row, output in enumerate(outputs):
            ids = [EOS, *self.words.encode(output)[:-1]][-DEPTH:]
            last[row, : len(ids)] = torch.tensor(ids[::-1])
        tokens, n_offered, found = self.corpus.roll_out(last, n_tokens)
        assert tokens.shape == (len(outputs), n_tokens)
        texts = [self.words.decode(row[:n].tolist()) for row, n in zip(tokens, n_offered, strict=True)]
        return list(zip(texts, found.tolist(), strict=True))


def test_a_sentence_is_followed_to_its_end():
    texts = Texts("a b c d", "e f")
    assert texts.roll_out("a", n_tokens=8) == [("b c d [.]", 2)]
    assert texts.roll_out("x b c", n_tokens=8) == [("d [.]", 2)]
    assert texts.roll_out("e f", n_tokens=1) == [("[.]", 3)]


def test_what_is_nowhere_is_offered_nothing():
    assert Texts("a b", "c").roll_out("x", "a x", "c b x") == [("", 0)] * 3


def test_the_most_tokens_that_are_found_decide():
    texts = Texts("p a b", "q a c", "r a b")
    assert texts.roll_out("q a", "x a", "p a", n_tokens=1) == [("c", 3), ("b", 1), ("b", 3)]


def test_a_draft_ends_where_too_few_places_go_on_alike():
    texts = Texts("a b c d", "a b c e", "a b f g", "a h", "i")
    assert texts.roll_out("a", n_tokens=4) == [("b c", 2)]  # 3 of 4, 2 of 4, then 1 of 4


def test_the_first_of_equally_many_wins():
    texts = Texts("x a b", "y a c")
    assert texts.roll_out("z a", n_tokens=1) == [("b", 1)]


def test_a_separator_ends_what_stands_before():
    texts = Texts("a b", "c d")
    assert texts.roll_out("b c", n_tokens=2) == [("d [.]", 1)]
    assert texts.roll_out("c", n_tokens=2) == [("d [.]", 2)]


def test_a_corpus_of_empty_lines_says_that_sentences_are_empty():
    assert Texts("", "", "").roll_out("", n_tokens=3) == [("[.]", 1)]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_is_what_reading_the_whole_text_finds(seed):
    rng = random.Random(seed)
    lines = [" ".join(rng.choices("abcd", k=rng.randint(0, 12))) for _ in range(60)]
    texts = Texts(*lines)
    places = [[EOS, *texts.words.encode(line)] for line in lines]
    before = [(row[:i][::-1], row[i:]) for row in places for i in range(1, len(row))]
    outputs = [" ".join(rng.choices("abcd", k=rng.randint(0, 10))) for _ in range(200)]
    for output, (text, found) in zip(outputs, texts.roll_out(*outputs, n_tokens=3), strict=True):
        last = [EOS, *texts.words.encode(output)[:-1]][-DEPTH:][::-1]
        common = [sum(1 for n in range(1, len(last) + 1) if context[:n] == last[:n]) for context, _ in before]
        assert found == max(common)
        following = [rest for (_, rest), n in zip(before, common, strict=True) if n == found]
        if len(following) > SAMPLES:
            continue
        assert_follows(text.split(), following, texts.words)


def assert_follows(drafted, following, words):
    """A draft is the most frequent continuation, as far as 40% go on like it."""
    total = len(following)
    for token in [words.encode(word)[0] if word != "[.]" else EOS for word in drafted]:
        counts = Counter(rest[0] for rest in following if rest)
        assert counts[token] == max(counts.values()) >= 0.4 * total
        following = [rest[1:] for rest in following if rest and rest[0] == token]
    if len(drafted) < 3 and drafted[-1:] != ["[.]"]:
        assert max(Counter(rest[0] for rest in following if rest).values()) < 0.4 * total


def test_many_places_are_represented_by_some_that_are_spread_over_all():
    texts = Texts(*["a b"] * 30, *["a c"] * 70)
    assert texts.roll_out("a", n_tokens=1) == [("c", 2)]
