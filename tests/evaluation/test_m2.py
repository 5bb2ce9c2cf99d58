import gzip
import random
import time
from pathlib import Path

import pytest

from fairseq_specdec.evaluation.edit_counts import EditCounts
from fairseq_specdec.evaluation.m2 import m2, match_sentence
from fairseq_specdec.evaluation.m2_file import Edit, M2Sentence, read_m2

DATA = Path(__file__).parents[3] / "shared" / "data"
CONLL14 = DATA / "conll14" / "official-2014.combined.m2.gz"
CWEB = DATA / "cweb" / "CWEB-S.dev.m2.gz"


def sentence(source, *annotators):
    return M2Sentence(tuple(source.split()), dict(enumerate(annotators)))


def edit(start, end, *corrections):
    return Edit(start, end, corrections)


def counts(hyp, source, *edits):
    (result,) = match_sentence(hyp, sentence(source, edits))
    return result


def unzip(path, tmp_path):
    target = tmp_path / "gold.m2"
    target.write_bytes(gzip.decompress(path.read_bytes()))
    return read_m2(target)


@pytest.mark.parametrize(
    ("hyp", "source", "edits", "expected"),
    [
        # the paper's example, its second edit missing
        (
            "Our baseline system feeds a word into PB-SMT pipeline .",
            "Our baseline system feeds word into PB-SMT pipeline .",
            [edit(4, 5, "a word", "words"), edit(6, 6, "the")],
            (1, 1, 2),
        ),
        ("a x c", "a b c", [edit(1, 2, "x")], (1, 1, 1)),
        ("a x c", "a b c", [edit(1, 2, "y")], (0, 1, 1)),
        ("a x c", "a b c", [edit(1, 2, "y", "x")], (1, 1, 1)),
        ("a c", "a b c", [edit(1, 2, "")], (1, 1, 1)),
        ("a x b c", "a b c", [edit(1, 1, "x")], (1, 1, 1)),
        ("a x b c", "a b c", [edit(1, 2, "x b")], (1, 1, 1)),
        ("a x b c", "a b c", [edit(0, 2, "a x b")], (1, 1, 1)),
        ("a b c", "a b c", [edit(1, 2, "x")], (0, 0, 1)),
        ("a b c .", "a b c", [edit(3, 3, ".")], (1, 1, 1)),
        ("", "a b", [edit(0, 2, "")], (1, 1, 1)),
        ("", "a b", [edit(0, 1, "x")], (0, 1, 1)),
        ("a", "", [edit(0, 0, "a")], (1, 1, 1)),
    ],
)
def test_edits_of_a_sentence_are_those_counted_by_hand(hyp, source, edits, expected):
    assert counts(hyp, source, *edits) == EditCounts(*expected)


def test_change_that_the_gold_does_not_have_is_as_few_edits_as_two_unchanged_words_allow():
    assert counts("x b c x", "a b c d") == EditCounts(0, 1, 0)
    assert counts("x b c d x", "a b c d e") == EditCounts(0, 2, 0)


def test_neighbouring_changes_are_cut_where_the_gold_cuts_them():
    assert counts("x y c", "a b c", edit(0, 1, "x")) == EditCounts(1, 2, 1)
    assert counts("x y c", "a b c", edit(0, 1, "x"), edit(1, 2, "y")) == EditCounts(2, 2, 2)
    assert counts("x y c", "a b c", edit(0, 2, "x y")) == EditCounts(1, 1, 1)


def test_gold_edit_over_more_than_two_unchanged_words_is_not_found():
    source, hyp = "a b c d e", "x b c d y"
    assert counts(hyp, source, edit(0, 5, hyp)) == EditCounts(0, 2, 1)
    assert counts("x b c y", "a b c d", edit(0, 4, "x b c y")) == EditCounts(1, 1, 1)


def test_insertions_at_one_place_are_taken_once_each_and_in_order():
    assert counts("a x y b", "a b", edit(1, 1, "x"), edit(1, 1, "y")) == EditCounts(2, 2, 2)
    assert counts("a x x b", "a b", edit(1, 1, "x")) == EditCounts(1, 2, 1)
    assert counts("a x x b", "a b", edit(1, 1, "x"), edit(1, 1, "x")) == EditCounts(2, 2, 2)
    assert counts("a y x b", "a b", edit(1, 1, "x"), edit(1, 1, "y")) == EditCounts(1, 2, 2)


def test_insertion_and_replacement_at_one_place_are_both_found():
    assert counts("a x y c", "a b c", edit(1, 1, "x"), edit(1, 2, "y")) == EditCounts(2, 2, 2)


def test_replacement_may_be_read_as_a_deletion_and_an_insertion():
    assert counts("a b x", "a b c", edit(2, 3, "")) == EditCounts(1, 2, 1)


def test_words_moved_together_are_a_deletion_and_an_insertion():
    assert counts("b c a", "a b c", edit(0, 1, ""), edit(3, 3, "a")) == EditCounts(2, 2, 2)


def test_mark_without_correction_is_never_found():
    assert counts("a b", "a b", edit(0, 1, "a")) == EditCounts(0, 0, 1)
    assert counts("a x", "a b", edit(0, 1, "a"), edit(1, 2, "x")) == EditCounts(1, 1, 2)


def test_scores_of_a_corpus_are_those_made_by_hand():
    gold = [sentence("a b c", [edit(1, 2, "x")]), sentence("a b c", [edit(0, 1, "y"), edit(2, 3, "z")])]
    # 2 of 3 proposed and of 3 gold edits
    assert m2(["a x c", "y b d"], gold) == pytest.approx({"p": 200 / 3, "r": 200 / 3, "f0.5": 200 / 3})


def test_annotator_that_agrees_best_counts():
    gold = [sentence("a b c", [edit(0, 1, "x")], [edit(1, 2, "y")], [])]
    assert m2(["a y c"], gold) == {"p": 100.0, "r": 100.0, "f0.5": 100.0}
    assert m2(["a b c"], gold) == {"p": 100.0, "r": 100.0, "f0.5": 100.0}


def test_sentence_without_annotators_has_nothing_to_correct():
    assert m2(["a x"], [sentence("a b")]) == {"p": 0.0, "r": 100.0, "f0.5": 0.0}
    assert m2(["a b"], [sentence("a b")]) == {"p": 100.0, "r": 100.0, "f0.5": 100.0}


def test_other_numbers_of_hypotheses_are_refused():
    with pytest.raises(ValueError, match="as many hypotheses as gold sentences, got 1 and 0"):
        m2(["a"], [])
    with pytest.raises(ValueError, match="got 0 and 0"):
        m2([], [])


def test_long_hypothesis_without_a_common_word_does_not_take_long():
    gold = [sentence(" ".join(f"s{i}" for i in range(60)), [edit(3, 4, "h3")])]
    start = time.perf_counter()
    assert match_sentence(" ".join(f"h{i}" for i in range(60)), gold[0])[0].correct == 1
    assert time.perf_counter() - start < 5  # about 0.02 s


@pytest.mark.skipif(not CWEB.exists(), reason=f"no CWEB at {CWEB}")
def test_annotators_of_cweb_agree_with_themselves(tmp_path):
    gold = unzip(CWEB, tmp_path)
    for annotator in (0, 1):
        own = [M2Sentence(one.source, {annotator: one.edits.get(annotator, ())}) for one in gold]
        assert m2([" ".join(one.corrected(annotator)) for one in gold], own) == {"p": 100, "r": 100, "f0.5": 100}


@pytest.mark.skipif(not CONLL14.exists(), reason=f"no CoNLL-2014 at {CONLL14}")
def test_uncorrected_conll14_has_recall_0_and_an_annotator_nearly_100(tmp_path):
    gold = unzip(CONLL14, tmp_path)
    assert m2([" ".join(one.source) for one in gold], gold) == {"p": 100.0, "r": 0.0, "f0.5": 0.0}
    # rewritten clauses with three unchanged words or more in one edit are out of the metric's reach
    assert 98.5 < m2([" ".join(one.corrected(0)) for one in gold], gold)["f0.5"] < 100


@pytest.mark.skipif(not CONLL14.exists(), reason=f"no CoNLL-2014 at {CONLL14}")
def test_more_corrections_are_found_than_noise_can_add(tmp_path):
    gold = unzip(CONLL14, tmp_path)[:200]
    rng = random.Random(0)
    noisy = [" ".join(word for word in one.corrected(0) if rng.random() > 0.05) for one in gold]
    scores = m2(noisy, gold)
    assert scores["p"] < scores["r"] and 30 < scores["f0.5"] < 90
