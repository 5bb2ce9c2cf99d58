"""Drafts from the source: exact whatever the source, and refused where nothing could be copied."""

import pytest
import torch

from fairseq_specdec.blocks import Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DrafterSetting, shared_symbols
from fairseq_specdec.drafters.input import InputDrafter
from tests import oracle, tiny
from tests.oracle import EOS, FIRST_WORD, HARD_SOURCES, PAD, UNK, batches, compare, fresh_state, sample_of, simulate


@pytest.fixture(scope="module")
def joined(joined_data_bin, joined_verifier):
    return oracle.load(joined_verifier, joined_data_bin, "train")


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory):
    """Two dictionaries that share half of their words, at other ids."""
    folder = tiny.make_data_bin(tmp_path_factory.mktemp("overlap") / "bin")
    dictionary = tiny.Dictionary()
    for i in range(0, tiny.WORDS, 2):
        dictionary.add_symbol(tiny.word("t", i))
        dictionary.add_symbol(tiny.word("s", i))
    dictionary.save(str(folder / f"dict.{tiny.TARGET}.txt"))
    return oracle.load(tiny.save_verifier(folder.parent / "v.pt", folder), folder)


def build(setting, block_size=None, **options):
    task = setting[1]
    symbols = shared_symbols(task.source_dictionary, task.target_dictionary)
    return InputDrafter.build(DrafterSetting(block_size, PAD, UNK, symbols=symbols, **options))


@pytest.mark.parametrize("size", [1, 8, 64])
@pytest.mark.parametrize("block_size", [1, 4, 32])
def test_the_output_is_fairseqs(joined, block_size, size):
    stats = compare(joined, build(joined, block_size), batches(joined[1], size, max(size, 8), "train"), max_len_b=25)
    assert stats.drafted > 0


def test_the_output_is_fairseqs_by_the_published_rule(joined):
    compare(joined, build(joined, edit_aware=False), batches(joined[1], 8), max_len_b=25)


@pytest.mark.parametrize("size", [1, 24])
def test_the_output_is_fairseqs_with_two_dictionaries_that_share_words(overlapping, size):
    drafter = build(overlapping)
    assert int(drafter.symbols.ge(0).sum()) == FIRST_WORD + tiny.WORDS // 2
    stats = compare(overlapping, drafter, batches(overlapping[1], size), max_len_b=25)
    assert stats.drafted > 0


@pytest.mark.parametrize("edit_aware", [True, False])
@pytest.mark.parametrize("sources", HARD_SOURCES.values(), ids=HARD_SOURCES.keys())
def test_no_source_makes_the_output_another(joined, sources, edit_aware):
    compare(joined, build(joined, edit_aware=edit_aware), [sample_of(sources)], max_len_b=20)


@pytest.mark.parametrize("left_pad", [True, False])
def test_the_side_of_the_padding_does_not_matter(joined, left_pad):
    sample = sample_of([[7, 8, 9, EOS], [EOS], [5, 6, 7, 8, 9, 10, 11, EOS]], left_pad=left_pad)
    compare(joined, build(joined), [sample], max_len_b=20)
    pairs = [("a b c", "a X c"), ("", "d"), ("e f g h i j", "e f h i j")]
    assert simulate(InputDrafter(), *pairs, left_pad=left_pad).rounds == 2 + 2 + 2


def test_a_source_that_is_forced_on_the_output_costs_no_rounds_and_is_no_accepted_draft(joined):
    sources = [[*range(5, 25), EOS], [*range(30, 50), EOS], [6, 7, 8, EOS]]
    targets = [[*range(5, 15), 20, *range(16, 25), EOS], [*range(30, 50), EOS], [6, 8, EOS]]
    sample = sample_of(sources, prefix=targets)
    stats = compare(joined, build(joined), [sample], prefix_size=20, max_len_b=22)
    assert stats.accepted <= 3  # those behind the forced ones
    assert stats.acceptance_length > 3


def test_a_length_limit_below_the_source_length_holds(joined):
    stats = compare(joined, build(joined), batches(joined[1], 8), max_len_b=3)
    assert stats.drafted <= 3 * stats.rounds


def test_a_block_ends_where_the_length_limit_does():
    drafts = simulate(InputDrafter(), ("a b c d e", "a b c d e"), max_len=5)
    assert drafts.rounds == 1
    assert simulate(InputDrafter(), ("a b c d e", "a b X d e"), max_len=5).rounds == 2


def test_source_ids_become_target_ids_and_what_the_target_lacks_is_passed_over():
    symbols = torch.tensor([0, 1, 2, 3, 9, -1, 8])
    drafter = InputDrafter(symbols, 4)
    drafter.start(Source(torch.tensor([[PAD, 4, 5, 6, EOS]]), torch.tensor([4]), PAD), None)
    draft = drafter.propose(fresh_state())
    assert draft.lengths.tolist() == [4]
    assert [draft.tokens[0, i].item() for i in (0, 2, 3)] == [9, 8, EOS]
    assert draft.tokens.min() >= 0


def dictionary(*symbols):
    made = tiny.Dictionary()
    for symbol in symbols:
        made.add_symbol(symbol)
    made.finalize(padding_factor=8)
    return made


def test_symbols_are_shared_by_their_text():
    symbols = shared_symbols(dictionary("a", "b", "c"), dictionary("0", "a", "c"))
    assert symbols.tolist() == [0, 1, 2, 3, 5, -1, 6, -1]  # the last one only fills the dictionary up
    assert shared_symbols(dictionary("a"), dictionary("a")) is None


@pytest.mark.parametrize("size", [1, 4], ids=["filled up", "full"])
def test_dictionaries_that_share_nothing_are_refused(size):
    symbols = shared_symbols(dictionary(*(f"s{i}" for i in range(size))), dictionary(*(f"t{i}" for i in range(size))))
    with pytest.raises(OptionError) as error:
        InputDrafter.build(DrafterSetting(None, PAD, UNK, symbols=symbols))
    assert error.value.reasons == [
        "--drafter input needs symbols that are in both dictionaries, got none of 8: use it for data whose target "
        "resembles the source, prepared with --joined-dictionary, or --drafter ngram."
    ]


def test_the_block_is_32_tokens_unless_another_is_asked_for():
    assert InputDrafter.build(DrafterSetting(None, PAD, UNK)).block_size == 32
    assert InputDrafter.build(DrafterSetting(5, PAD, UNK)).block_size == 5
