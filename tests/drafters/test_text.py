"""Text for drafters: read as fairseq reads its data, or refused with the option and the path."""

import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.text import read_token_lines
from tests import tiny
from tests.oracle import EOS, UNK

DICTIONARY = tiny.make_dictionary("t")


def read(path, content):
    path.write_bytes(content)
    return [ids.tolist() for ids in read_token_lines(DICTIONARY, "--draft-file", str(path))]


def test_lines_become_ids_with_eos_and_an_empty_line_is_eos(tmp_path):
    ids = [DICTIONARY.index(symbol) for symbol in ("t0", "t3@@", "t8")]
    assert read(tmp_path / "a", b"t0 t3@@ t8\n\nt8\n") == [[*ids, EOS], [EOS], [ids[2], EOS]]


def test_the_last_line_may_lack_its_newline_and_an_empty_file_has_no_lines(tmp_path):
    assert len(read(tmp_path / "a", b"t0\nt1")) == 2
    assert read(tmp_path / "b", b"") == []
    assert read(tmp_path / "c", b"\n") == [[EOS]]


def test_line_ends_of_windows_and_other_separators_of_unicode_end_no_line_of_their_own(tmp_path):
    assert len(read(tmp_path / "a", "t0\r\nt1\u2028t2\x85t4\r\n".encode())) == 2
    assert UNK not in read(tmp_path / "b", b"t0\r\nt1\r\n")[0]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"--draft-file must be a readable file, got .*no\.txt"):
        read_token_lines(DICTIONARY, "--draft-file", str(tmp_path / "no.txt"))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(OptionError, match="--ngram-corpus must be a readable file"):
        read_token_lines(DICTIONARY, "--ngram-corpus", str(tmp_path))


def test_what_is_not_utf_8_is_refused_with_the_line(tmp_path):
    with pytest.raises(OptionError, match="--draft-file must be UTF-8 text, got .* with byte 0xe9 in line 2"):
        read(tmp_path / "a", b"t0\nt1 caf\xe9\n")


def test_many_unknown_symbols_give_a_warning_and_few_do_not(tmp_path, caplog):
    assert read(tmp_path / "a", b"t0 t1 what\n")[0][2] == UNK
    assert "1 symbols are not in the dictionary" in caplog.text
    assert "--draft-file" in caplog.text
    caplog.clear()
    read(tmp_path / "b", b"t0 t1 t2 t0 t1 t2 what\n")
    assert not caplog.text
