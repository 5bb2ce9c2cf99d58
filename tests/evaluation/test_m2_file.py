import gzip
from pathlib import Path

import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.m2_file import Edit, M2Sentence, apply_edits, read_m2, write_m2

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = ("conll14/official-2014.combined.m2", "cweb/CWEB-G.dev.m2", "nlpcc18_gec/nlpcc2018_official.ref.m2.char")
with_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}")

GOLD = """\
S He go to school yesterday .
A 1 2|||R:VERB|||went||has gone|||REQUIRED|||-NONE-|||0
A 3 3|||M:DET|||the|||REQUIRED|||-NONE-|||0
A 4 5|||U:ADV||||||REQUIRED|||-NONE-|||1

S Fine .
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0

S Nobody looked .

"""


@pytest.fixture
def m2(tmp_path):
    """Write an M2 file; returns its path."""

    def put(text):
        path = tmp_path / "gold.m2"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def test_file_is_read_as_sentences_with_edits_by_annotator(m2):
    first, second, third = read_m2(m2(GOLD))
    assert first.source == ("He", "go", "to", "school", "yesterday", ".")
    assert first.edits == {
        0: (Edit(1, 2, ("went", "has gone"), "R:VERB"), Edit(3, 3, ("the",), "M:DET")),
        1: (Edit(4, 5, ("",), "U:ADV"),),
    }
    assert second == M2Sentence(("Fine", "."), {0: ()})
    assert third == M2Sentence(("Nobody", "looked", "."), {})


def test_sentence_is_corrected_as_an_annotator_says(m2):
    first, second, third = read_m2(m2(GOLD))
    assert first.corrected() == "He went to the school yesterday .".split()
    assert first.corrected(1) == "He go to school .".split()
    assert first.corrected(2) == list(first.source)
    assert second.corrected() == ["Fine", "."]
    assert third.corrected() == ["Nobody", "looked", "."]


def test_written_file_is_the_one_that_was_read(m2, tmp_path):
    write_m2(tmp_path / "copy.m2", read_m2(m2(GOLD)))
    assert (tmp_path / "copy.m2").read_text(encoding="utf-8") == GOLD


def test_last_sentence_needs_no_empty_line_and_a_sentence_may_be_empty(m2):
    assert read_m2(m2("S a\n\nS")) == [M2Sentence(("a",)), M2Sentence(())]


def test_edits_are_applied_in_the_order_of_the_sentence_and_insertions_come_first():
    edits = [Edit(2, 3, ("z",)), Edit(1, 2, ("",)), Edit(2, 2, ("x",)), Edit(2, 2, ("y y",))]
    assert apply_edits(["a", "b", "c"], edits) == ["a", "x", "y", "y", "z"]
    assert apply_edits(["a"], [Edit(1, 1, (".",))]) == ["a", "."]
    assert apply_edits(["a"], []) == ["a"]


@pytest.mark.parametrize("edits", [[Edit(0, 2, ("x",)), Edit(1, 2, ("y",))], [Edit(1, 4, ("x",))]])
def test_edits_that_overlap_or_reach_past_the_sentence_are_refused(edits):
    with pytest.raises(ValueError, match="must not overlap and must lie within the 3 tokens"):
        apply_edits(["a", "b", "c"], edits)


def test_second_way_to_cut_the_same_correction_into_edits_is_left_out(m2):
    text = (
        "S a b\nT0-A0 b a\nA 0 2|||W|||b a|||REQUIRED|||-NONE-|||0\nT0-A1 b a\nA 0 1|||S|||b|||REQUIRED|||-NONE-|||0\n"
    )
    other = "T1-A0 a\nA 1 2|||R|||-NONE-|||REQUIRED|||-NONE-|||1\n"
    (sentence,) = read_m2(m2(text + other))
    assert sentence.edits == {0: (Edit(0, 2, ("b a",), "W"),), 1: (Edit(1, 2, ("",), "R"),)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A 0 1|||R|||b|||REQUIRED|||-NONE-|||0\n", "line 1 must be the S line of a sentence, got 'A 0 1"),
        ("S a\nS b\n", "line 2 must have an empty line before each S line"),
        ("S a\nB\n", "line 2 must begin with S or A and a space, got 'B'"),
        ("S a\nA 0 1|||R|||b|||0\n", "line 2 must have 6 fields between |||, got 4"),
        ("S a\nA x 1|||R|||b|||REQUIRED|||-NONE-|||0\n", "line 2 must begin with two token offsets, got 'x 1'"),
        ("S a\nA -1 -1|||R|||b|||REQUIRED|||-NONE-|||0\n", "got '-1 -1': write -1 -1 for noop lines only"),
        ("S a\nA 0 2|||R|||b|||REQUIRED|||-NONE-|||0\n", "line 2 must lie within the sentence, got tokens 0 to 2 of 1"),
        ("S a\nA 0 1|||R|||b|||REQUIRED|||-NONE-|||me\n", "line 2 must end with the number of the annotator, got 'me'"),
        ("\n", "--ref must hold at least one sentence"),
    ],
)
def test_line_that_is_not_m2_is_refused_with_its_number(m2, text, message):
    with pytest.raises(OptionError) as error:
        read_m2(m2(text))
    (reason,) = error.value.reasons
    assert reason.startswith("--ref ") and message in reason


def test_option_that_named_the_file_is_in_the_message(tmp_path):
    with pytest.raises(OptionError, match="--gold must be a readable file"):
        read_m2(tmp_path / "no.m2", option="--gold")


@with_data
@pytest.mark.parametrize("name", FILES)
def test_real_files_are_read_and_survive_writing(name, tmp_path):
    path = tmp_path / "gold.m2"
    path.write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    sentences = read_m2(path)
    write_m2(tmp_path / "copy.m2", sentences)
    assert read_m2(tmp_path / "copy.m2") == sentences
    for sentence in sentences[:500]:
        for annotator in sentence.edits:
            sentence.corrected(annotator)
