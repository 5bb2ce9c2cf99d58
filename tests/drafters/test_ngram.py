"""Drafts by look-up: exact whatever is found, and fewer rounds where text comes back."""

import random
from functools import partial

import pytest
import torch

from fairseq_specdec.blocks import DraftBlock, Source
from fairseq_specdec.drafters import ngram, outcomes
from fairseq_specdec.drafters.base import DrafterSetting, shared_symbols
from fairseq_specdec.drafters.corpus import Corpus
from fairseq_specdec.drafters.corpus_file import read_corpus
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.drafters.text import read_token_lines
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState
from tests import oracle, tiny
from tests.oracle import EOS, HARD_SOURCES, PAD, UNK, Words, batches, compare, ours, sample_of, simulate

N_SYMBOLS = 200
CORPUS = ["the cat sat on the mat", "", "a dog ran"]


@pytest.fixture(scope="module")
def joined(joined_data_bin, joined_verifier):
    return oracle.load(joined_verifier, joined_data_bin, "train")


def corpus_of(words, lines):
    ids = [i for line in lines for i in words.encode(line)]
    return Corpus.of(torch.tensor(ids, dtype=torch.int32), N_SYMBOLS, EOS)


def drafts(source, output, block_size=8, corpus=(), words=None):
    words = words or Words()
    drafter = NgramDrafter(block_size, EOS, corpus=corpus_of(words, corpus))
    return simulate(drafter, (source, output), words=words).drafts


def decode(setting, drafter, samples):
    """Decode without a comparison; return the histogram of tokens kept."""
    generator = ours(setting, drafter, max_len_b=25)
    for sample in samples:
        generator.generate(setting[0], sample)
    return generator.stats.histogram


@pytest.mark.parametrize("size", [1, 8, 64])
@pytest.mark.parametrize("block_size", [1, 4, 32])
def test_the_output_is_fairseqs(joined, block_size, size):
    samples = list(batches(joined[1], size, max(size, 16), "train"))
    stats = compare(
        joined, NgramDrafter(block_size, EOS), samples * 2, max_len_b=25
    )  # twice: with a table that is full
    assert stats.accepted > 0


@pytest.mark.parametrize("sources", HARD_SOURCES.values(), ids=HARD_SOURCES.keys())
def test_no_source_makes_the_output_another(joined, sources):
    compare(joined, NgramDrafter(8, EOS), [sample_of(sources)] * 2, max_len_b=20)


@pytest.mark.parametrize("left_pad", [True, False])
def test_the_side_of_the_padding_does_not_matter(joined, left_pad):
    sample = sample_of([[7, 8, 9, EOS], [EOS], [5, 6, 7, 8, 9, 10, 11, EOS]], left_pad=left_pad)
    compare(joined, NgramDrafter(8, EOS), [sample] * 2, max_len_b=20)
    pairs = [("a b c", "a b c"), ("", ""), ("e f g h", "e f g h")]
    assert simulate(NgramDrafter(8, EOS), *pairs, left_pad=left_pad).rounds == 3


@pytest.mark.parametrize("size", [1, 24])
def test_the_output_is_fairseqs_with_two_dictionaries(data_bin, verifier, size):
    setting = oracle.load(verifier, data_bin)
    symbols = shared_symbols(setting[1].source_dictionary, setting[1].target_dictionary)
    drafter = NgramDrafter.build(DrafterSetting(None, PAD, UNK, EOS, symbols=symbols))
    assert drafter.block_size == 8
    compare(setting, drafter, batches(setting[1], size), max_len_b=25)


def test_a_source_that_comes_out_again_is_copied():
    assert drafts("a b c d", "a b c d") == ["a b c d [.]"]
    assert drafts("a b c d e f", "X c d e f")[-1] == "d e f [.]"


def test_output_that_repeats_itself_is_copied_from_behind_the_latest_match():
    assert drafts("s", "p q r p q r p q r", block_size=3)[4] == "q r p"
    assert drafts("a b a c", "X a c")[2] == "c [.]"


def test_the_longer_match_wins_over_the_later_one():
    assert drafts("a b c d a z b e", "X a b c")[2:] == ["z b e [.]", "c d a z b e [.]"]


def test_where_nothing_was_seen_nothing_is_drafted():
    assert drafts("a b", "X Y Z")[1:] == ["", "", ""]


def test_a_corpus_is_followed_where_the_row_itself_has_no_longer_match():
    assert drafts("s", "dog ran", corpus=CORPUS)[1] == "ran [.]"
    assert drafts("s", "Z cat sat on the mat", corpus=CORPUS)[2] == "sat on the mat [.]"
    assert drafts("dog slept", "Z dog ran", corpus=CORPUS)[2] == "slept [.]"
    assert drafts("dog slept", "a dog ran", corpus=CORPUS)[1] == "dog ran [.]"


def test_what_was_decoded_is_known_in_the_next_batch():
    words, drafter = Words(), NgramDrafter(8, EOS)
    first = simulate(drafter, ("s", "p q r t"), words=words)
    again = simulate(drafter, ("z", "p q r t"), words=words)
    assert first.rounds == 5
    assert again.drafts[1:] == ["q r t [.]"]


@pytest.mark.parametrize("size", [1, 8])
def test_a_second_pass_over_the_same_sentences_takes_fewer_rounds(joined, size):
    samples, drafter = list(batches(joined[1], size, 32, "train")), NgramDrafter(8, EOS)
    first, second = (sum(decode(joined, drafter, samples)) for _ in range(2))
    assert second < 0.8 * first


def test_it_is_deterministic(joined):
    samples = list(batches(joined[1], 8, 32, "train"))
    assert decode(joined, NgramDrafter(8, EOS), samples) == decode(joined, NgramDrafter(8, EOS), samples)


def test_moving_to_the_verifiers_device_keeps_what_was_learned():
    words, drafter = Words(), NgramDrafter(8, EOS)
    simulate(drafter, ("s", "p q r t"), words=words)
    drafter.to(torch.device("cpu"), torch.float32)
    assert simulate(drafter, ("z", "p q r t"), words=words).rounds == 2


def test_a_corpus_file_is_read_in_the_target_dictionary(joined, joined_data_bin):
    read = partial(read_corpus, joined[1].target_dictionary)
    path = str(joined_data_bin / "train.en")
    drafter = NgramDrafter.build(DrafterSetting(4, PAD, UNK, EOS, read_corpus=read, ngram_corpus=path))
    assert drafter.block_size == 4
    lines = read_token_lines(joined[1].target_dictionary, "--ngram-corpus", path)
    assert drafter.corpus.text.tolist() == [EOS, *torch.cat(lines).tolist()]
    compare(joined, drafter, batches(joined[1], 8), max_len_b=25)


def test_text_of_the_corpus_takes_few_rounds():
    lines = [tiny.make_pair(random.Random(i))[1] for i in range(20)]
    words = Words()
    pairs = [("s", line) for line in lines]
    corpus = corpus_of(words, lines)
    with_corpus = simulate(NgramDrafter(8, EOS, corpus=corpus), *pairs, words=words).rounds
    assert with_corpus < 0.7 * simulate(NgramDrafter(8, EOS), *pairs, words=words).rounds


def test_an_empty_corpus_is_none():
    assert drafts("a b c d", "a b c d", corpus=[]) == ["a b c d [.]"]


def test_outputs_that_end_in_another_token_than_the_corpus_are_drafted_to_their_end():
    words = Words()
    drafter = NgramDrafter(8, 7, corpus=corpus_of(words, ["<20> <21> <22>"]))  # 7: the token of a language
    state = DecodeState(Limits(PAD, UNK, 7, 40), torch.tensor([7]), 8)
    state.tokens[0, 1], state.lengths[0], state.max_length = 20, 2, 2
    drafter.start(Source(torch.tensor([[30, 7]]), torch.tensor([2]), PAD), state)
    for is_compiled in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not is_compiled:
                patch.setattr(rounds, "library", lambda: None)
            draft = drafter.propose(state)
        assert draft.tokens[0, : draft.lengths[0]].tolist() == [21, 22, 7]


def test_copies_of_a_kind_that_is_never_right_are_given_up():
    drafter, words = NgramDrafter(8, EOS), Words()
    pairs = [(f"a b{i}", f"x{i} a c{i}") for i in range(40)]  # behind a stands another word than in the source
    drafted = ["".join(simulate(drafter, pair, words=words).drafts) for pair in pairs]
    assert "" not in drafted[:4]
    assert drafted[6:].count("") > 24


def test_copies_that_were_given_up_are_tried_again():
    drafter, words = NgramDrafter(8, EOS), Words()
    for i in range(20):
        simulate(drafter, (f"a b{i}", f"x{i} a c{i}"), words=words)
    drafted = [simulate(drafter, (f"a b c{i}", f"y{i} a b c{i}"), words=words).drafts[2] for i in range(200)]
    assert "" in drafted
    assert "" not in drafted[-50:]


def test_a_batch_that_failed_as_a_whole_is_not_held_against_its_kind_for_ever():
    drafter = NgramDrafter(8, EOS)
    simulate(drafter, *[(f"a b{i}", f"x{i} a c{i}") for i in range(200)])
    assert drafter.outcomes.parts.max() <= outcomes.MOST


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_decoded_without_a_draft_is_learned_as_well(joined, asked):
    samples, drafter = list(batches(joined[1], 8, 32, "train")), NgramDrafter(8, EOS)
    if not asked:
        drafter.propose = lambda state, ask: DraftBlock.empty(state)
    first = sum(decode(joined, drafter, samples))
    vars(drafter).pop("propose", None)
    assert sum(decode(joined, drafter, samples)) < 0.8 * first


def test_of_what_was_decoded_without_drafts_the_latest_is_learned():
    drafter, words = NgramDrafter(8, EOS), Words()
    for i in range(ngram.MOST_UNREAD + 1):
        drafter.finish(torch.tensor([[EOS, *words.encode(f"p{i} q{i}")]]), torch.tensor([4]))
    assert len(drafter._unread) == ngram.MOST_UNREAD
    assert simulate(drafter, ("z", f"p{ngram.MOST_UNREAD} q{ngram.MOST_UNREAD}"), words=words).drafts[1] != ""
    assert simulate(drafter, ("z", "p0 q0"), words=words).drafts[1] == ""


def test_a_round_without_a_draft_counts_for_no_kind():
    drafter = NgramDrafter(8, EOS)
    simulate(drafter, ("a b", "a b"))
    before = drafter.outcomes.parts.clone()
    drafter.advance(torch.ones_like(drafter._kind))
    assert drafter.outcomes.parts.equal(before)
