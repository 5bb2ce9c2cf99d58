"""Drafts from a file of guesses: exact whatever the guesses, and refused where they cannot be had."""

import pytest
import torch

from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DrafterSetting
from fairseq_specdec.drafters.file import FileDrafter
from fairseq_specdec.drafters.text import read_token_lines
from tests import oracle
from tests.oracle import EOS, PAD, UNK, Words, batches, compare, ours, sample_of, simulate, stock, tokens_of


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin, "train")


@pytest.fixture(scope="module")
def outputs(setting):
    """What fairseq makes of the first sentences of the train split, in the order of the data."""
    samples = list(batches(setting[1], 64, 64, "train"))
    found = tokens_of(stock(setting, samples, max_len_b=25))
    return [found[row] for row in samples[0]["id"].argsort()]  # fairseq sorts the rows of a batch by length


def edited(output):
    """Spoil an output: a word replaced, one deleted, one doubled."""
    *words, end = output
    if len(words) > 3:
        words[1] = 4 + words[1] % 20
    if len(words) > 8:
        del words[5]
    if len(words) > 12:
        words.insert(9, words[9])
    return [*words, end]


def by_id(setting, size, count=64):
    """Batches of the train split whose rows are not in the order of the data."""
    data = setting[1].dataset("train")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1)).tolist()
    return [data.collater([data[i] for i in order[begin : begin + size]]) for begin in range(0, count, size)]


def file_drafter(guesses, block_size=32, edit_aware=True):
    return FileDrafter([torch.tensor(guess) for guess in guesses], "guesses.txt", block_size, edit_aware)


GUESSES = {
    "right": lambda output: output,
    "edited": edited,
    "cut": lambda output: [*output[: len(output) // 2], EOS],
    "too long": lambda output: [*output[:-1], *output],
    "unknown": lambda output: [UNK] * len(output) + [EOS],
    "empty": lambda output: [EOS],
}


@pytest.mark.parametrize("size", [1, 8, 64])
@pytest.mark.parametrize("kind", GUESSES)
def test_the_output_is_fairseqs(setting, outputs, kind, size):
    drafter = file_drafter([GUESSES[kind](output) for output in outputs])
    stats = compare(setting, drafter, by_id(setting, size, max(size, 8)), max_len_b=25)
    if kind == "right":
        assert stats.rounds == stats.sentences
    elif kind == "edited":
        assert stats.acceptance_length > 3
    elif kind in ("unknown", "empty"):
        assert stats.accepted <= stats.sentences  # an eos by luck


@pytest.mark.parametrize("edit_aware", [True, False])
@pytest.mark.parametrize("block_size", [1, 4, 32])
def test_the_output_is_fairseqs_for_every_block_size_and_rule(setting, outputs, block_size, edit_aware):
    drafter = file_drafter([edited(output) for output in outputs], block_size, edit_aware)
    stats = compare(setting, drafter, by_id(setting, 8, 16), max_len_b=25)
    assert stats.accepted > 0


def test_each_sentence_gets_its_own_line():
    words = Words()
    guesses = file_drafter([words.encode(line) for line in ("a b c", "", "d e")])
    pairs = [("1 2", "a b c"), ("3", ""), ("4 5 6", "d e")]
    assert simulate(guesses, *pairs, words=words).rounds == 3
    assert simulate(guesses, *pairs[:2], words=words).rounds == 2


def test_an_empty_line_is_no_guess():
    words = Words()
    assert simulate(file_drafter([words.encode("")]), ("", "a b"), words=words).drafts == ["[.]", "", ""]


def setting_of(dictionary, path, block_size=None):
    def read(option, where):
        return read_token_lines(dictionary, option, where)

    return DrafterSetting(block_size, PAD, UNK, read_lines=read, draft_file=str(path))


def test_lines_are_read_in_the_target_dictionary(setting, outputs, tmp_path):
    dictionary = setting[1].target_dictionary
    path = tmp_path / "guesses.txt"
    path.write_text("".join(dictionary.string(output) + "\n" for output in outputs), "utf-8")
    drafter = FileDrafter.build(setting_of(dictionary, path, 5))
    assert drafter.block_size == 5
    stats = compare(setting, drafter, by_id(setting, 8, 16), max_len_b=25)
    assert stats.acceptance_length > 3
    assert FileDrafter.build(setting_of(dictionary, path)).block_size == 32


def test_too_few_lines_are_refused_with_both_numbers(setting, outputs):
    drafter = file_drafter(outputs[:5])
    generator = ours(setting, drafter, max_len_b=25)
    (sample,) = batches(setting[1], 8, 8, "train")
    with pytest.raises(OptionError) as error:
        generator.generate(setting[0], sample)
    assert error.value.reasons == [
        "--draft-file must have one line for each sentence of the data, got 5 lines in guesses.txt but sentence 8: "
        "check that it belongs to this data, with an empty line where there is no guess."
    ]


def test_an_empty_file_is_refused(setting, tmp_path):
    (tmp_path / "empty.txt").touch()
    drafter = FileDrafter.build(setting_of(setting[1].target_dictionary, tmp_path / "empty.txt"))
    with pytest.raises(OptionError, match="got 0 lines in .*empty.txt but sentence 1"):
        ours(setting, drafter).generate(setting[0], sample_of([[7, EOS]]))


def test_lines_that_no_sentence_asks_for_do_no_harm(setting, outputs):
    compare(setting, file_drafter([*outputs, [4, 5, EOS]]), by_id(setting, 8, 8), max_len_b=25)


def test_a_batch_that_does_not_say_which_sentences_it_holds_is_refused():
    with pytest.raises(OptionError, match="needs each sentence's place in the data, got a batch that does not tell"):
        simulate(file_drafter([[4, EOS]]), ("a", "a"), with_ids=False)
