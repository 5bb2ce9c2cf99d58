"""A sorted corpus in a file: mapped as it was written, or refused with the reason and the remedy."""

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.corpus import DEPTH
from fairseq_specdec.drafters.corpus_file import HEADER, read_corpus, write_corpus
from tests import tiny
from tests.oracle import EOS

TEXT = "t0 t1 t2\n\nt1 t2 t3@@ t0\n"


@pytest.fixture
def dictionary():
    return tiny.make_dictionary("t")


@pytest.fixture
def index(tmp_path, dictionary):
    (tmp_path / "text").write_text(TEXT, "utf-8")
    write_corpus(read_corpus(dictionary, str(tmp_path / "text")), dictionary, str(tmp_path / "text.ngram"))
    return tmp_path / "text.ngram"


def refused(dictionary, path):
    with pytest.raises(OptionError) as caught:
        read_corpus(dictionary, str(path))
    (reason,) = caught.value.reasons
    assert reason.startswith("--ngram-corpus must be ")
    assert str(path) in reason
    return reason


def test_what_was_written_is_read_as_it_was(tmp_path, dictionary, index):
    written, read = read_corpus(dictionary, str(tmp_path / "text")), read_corpus(dictionary, str(index))
    assert read.text.equal(written.text)
    assert read.order.equal(written.order)
    assert read.begins.equal(written.begins)
    assert (read.eos, read.n_symbols) == (EOS, len(dictionary))
    assert index.stat().st_size == HEADER + 8 * read.n_places + 4


def test_it_is_mapped_and_what_is_done_to_it_does_not_reach_the_file(dictionary, index):
    before = index.read_bytes()
    read_corpus(dictionary, str(index)).text.fill_(0)
    assert index.read_bytes() == before


def test_symbols_that_a_task_adds_at_the_end_change_nothing(dictionary, index):
    dictionary.add_symbol("__en__")
    assert read_corpus(dictionary, str(index)).n_symbols == len(dictionary)


@pytest.mark.parametrize("other", ["another order", "fewer symbols"])
def test_another_dictionary_is_refused_with_the_command_that_helps(dictionary, index, other):
    changed = Dictionary()
    for symbol in dictionary.symbols[4:-1] if other == "fewer symbols" else reversed(dictionary.symbols[4:]):
        changed.add_symbol(symbol)
    reason = refused(changed, index)
    assert f"made with another of {len(dictionary)} symbols where this one has {len(changed)}" in reason
    assert reason.endswith("make one with specdec index TEXT --dict DATA_BIN/dict.LANG.txt.")


@pytest.mark.parametrize("left", [HEADER // 2, HEADER, -4])
def test_a_file_that_was_cut_short_is_refused(dictionary, index, left):
    index.write_bytes(index.read_bytes()[:left])
    assert "must be a whole index" in refused(dictionary, index)


def test_a_file_with_something_behind_its_end_is_refused(dictionary, index):
    index.write_bytes(index.read_bytes() + b"\0")
    assert "must be a whole index" in refused(dictionary, index)


@pytest.mark.parametrize("place", [HEADER + 1, -1])
def test_a_damaged_file_is_refused_before_anything_follows_its_numbers(dictionary, index, place):
    content = bytearray(index.read_bytes())
    content[place] ^= 0x40
    index.write_bytes(content)
    assert "whose content is damaged" in refused(dictionary, index)


def test_an_index_of_another_depth_is_refused(dictionary, index):
    index.write_bytes(index.read_bytes().replace(f'"depth": {DEPTH}'.encode(), b'"depth": 4', 1))
    assert f"be an index of this version (depth {DEPTH})" in refused(dictionary, index)


def test_a_file_that_is_neither_text_nor_an_index_is_refused(dictionary, tmp_path):
    torch.save({}, tmp_path / "model.pt")
    assert "must be UTF-8 text" in refused(dictionary, tmp_path / "model.pt")
    assert "must be a readable file" in refused(dictionary, tmp_path)
