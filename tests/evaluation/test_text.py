import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.text import check_same_length, read_lines


def test_only_newlines_end_lines(tmp_path):
    path = tmp_path / "t.de"
    path.write_bytes("\ufeffeins\u2028zwei\r\n\ndrei\x85 vier\n".encode())
    assert read_lines("--hyp", path) == ["eins\u2028zwei", "", "drei\x85 vier"]


def test_missing_last_newline_loses_nothing(tmp_path):
    path = tmp_path / "t.de"
    path.write_text("eins\nzwei")
    assert read_lines("--hyp", path) == ["eins", "zwei"]


def test_missing_file_and_folder_are_refused_by_name(tmp_path):
    with pytest.raises(
        OptionError, match=r"^--hyp must be a readable file, got .*no.de \(no such file .*check the path"
    ):
        read_lines("--hyp", tmp_path / "no.de")
    with pytest.raises(OptionError, match="must be a readable file"):
        read_lines("--hyp", tmp_path)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path):
    path = tmp_path / "t.de"
    path.write_bytes(b"gut\nStra\xdfe\n")
    with pytest.raises(OptionError, match=r"--ref must be UTF-8 text, got .* byte 0xdf in line 2: convert it"):
        read_lines("--ref", path)


def test_all_files_of_another_length_are_named():
    with pytest.raises(OptionError) as error:
        check_same_length({"--hyp h": ["a", "b"], "--ref r": ["a"], "--ref s": ["a", "b"], "--src t": []})
    assert [reason.split(" must")[0] for reason in error.value.reasons] == ["--ref r", "--src t"]
    assert "2 lines of --hyp h, got 1:" in error.value.reasons[0]


def test_empty_first_file_is_refused():
    with pytest.raises(OptionError, match="--hyp h must hold at least one sentence"):
        check_same_length({"--hyp h": [], "--ref r": []})
