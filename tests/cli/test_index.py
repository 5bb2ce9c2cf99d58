"""``specdec index``: a sorted corpus that a run takes, made once."""

import pytest

from fairseq_specdec.cli.main import main
from fairseq_specdec.drafters.corpus_file import read_corpus
from tests import tiny

DICTIONARY = tiny.make_dictionary("t")


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.en").write_text("t0 t1\nt2\n", "utf-8")
    DICTIONARY.save(str(tmp_path / "dict.en.txt"))
    return tmp_path / "text.en"


def run(text, *options):
    return main(["index", str(text), "--dict", str(text.with_name("dict.en.txt")), *map(str, options)])


def test_the_index_lies_beside_the_text(text, capsys):
    assert run(text) == 0
    assert capsys.readouterr().out.startswith(f"{text}.ngram: 5 tokens, ")
    assert read_corpus(DICTIONARY, f"{text}.ngram").text.equal(read_corpus(DICTIONARY, str(text)).text)


def test_the_index_lies_where_it_is_asked_for(text, tmp_path):
    assert run(text, "--out", tmp_path / "here") == 0
    assert read_corpus(DICTIONARY, str(tmp_path / "here")).n_places == 5


@pytest.mark.parametrize(
    ("spoil", "options", "expected"),
    [
        (lambda text: text.write_text(""), (), "TEXT must hold at least one line"),
        (lambda text: text.unlink(), (), "TEXT must be a readable file"),
        (lambda text: text.with_name("dict.en.txt").write_text("t0 what\n"), (), "--dict must be a dictionary that"),
        (lambda text: None, ("--out", "/nowhere/x"), "--out must be a file that can be written"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_remedy(text, capsys, spoil, options, expected):
    spoil(text)
    assert run(text, *options) == 2
    assert expected in capsys.readouterr().err
    assert not text.with_name("text.en.ngram").exists()
