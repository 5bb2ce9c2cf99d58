import gzip
import math
import time
from pathlib import Path

import pytest

from fairseq_specdec.evaluation.gleu import gleu, sentence_stats

JFLEG = Path(__file__).parents[3] / "shared" / "data" / "jfleg"
with_jfleg = pytest.mark.skipif(not JFLEG.is_dir(), reason=f"no JFLEG at {JFLEG}")


def read_jfleg(name):
    return gzip.decompress((JFLEG / f"dev.{name}.gz").read_bytes()).decode().split("\n")[:-1]


def test_counts_of_a_sentence_are_those_made_by_hand():
    # "a b c d" of source "a b x d": hypothesis keeps the error x, so 3 - 1, then 1 - 2 is 0, and so on
    stats = sentence_stats("a b x d".split(), "a b c d".split(), "a b x d".split())
    assert stats == [4, 4, 2, 4, 0, 3, 0, 2, 0, 1]


def test_word_of_the_source_that_the_reference_has_is_no_kept_error_however_often():
    # "a" is in the reference once, in source and hypothesis twice: one match, nothing taken off
    assert sentence_stats(["a", "a"], ["a"], ["a", "a"])[2] == 1


def test_wrong_word_costs_twice_when_it_is_the_source_s():
    hyp, ref = ["a b c d e f x"], [["a b c d e f g"]]
    new = 100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25
    kept = 100 * (5 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert gleu(hyp, ref, ["a b c d e f y"])["gleu"] == pytest.approx(new)
    assert gleu(hyp, ref, ["a b c d e f x"])["gleu"] == pytest.approx(kept)


def test_short_hypothesis_pays_the_brevity_penalty():
    assert gleu(["a b c d"], [["a b c d e"]], ["a b c d"])["gleu"] == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_correct_sentence_has_100_and_one_without_four_grams_0():
    assert gleu(["a b c d e"], [["a b c d e"]], ["a x c d e"])["gleu"] == pytest.approx(100)
    assert gleu(["a b c"], [["a b c"]], ["a b c"])["gleu"] == 0


def test_empty_hypothesis_counts_as_no_words():
    assert gleu([""], [["a b c d"]], ["a b c"])["gleu"] == 0
    both = gleu(["a b c d", ""], [["a b c d", "e"]], ["a b c d", "e"])["gleu"]
    assert both == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_each_reference_is_drawn_about_equally_often():
    # one sentence: the score is 100 with the first reference, 0 with the second
    score = gleu(["a b c d"], [["a b c d"], ["x"]], ["a b c d"])["gleu"]
    assert 40 < score < 60
    assert score == gleu(["a b c d"], [["a b c d"], ["x"]], ["a b c d"])["gleu"]


def test_files_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"sources must be as many as hypotheses \(2\), got 1"):
        gleu(["a", "b"], [["a", "b"]], ["a"])
    with pytest.raises(ValueError, match=r"references must be as many as hypotheses \(2\), got \[1\]"):
        gleu(["a", "b"], [["a"]], ["a", "b"])
    with pytest.raises(ValueError, match="needs sentences and references"):
        gleu(["a"], [], ["a"])


@with_jfleg
def test_uncorrected_jfleg_has_the_published_score_in_a_short_time():
    source, refs = read_jfleg("src"), [read_jfleg(f"ref{i}") for i in range(4)]
    start = time.perf_counter()
    assert gleu(source, refs, source)["gleu"] == pytest.approx(38.21, abs=0.05)
    assert time.perf_counter() - start < 10  # about 0.3 s; the machine may be busy


@with_jfleg
def test_jfleg_references_against_the_other_three_have_the_published_mean():
    source, refs = read_jfleg("src"), [read_jfleg(f"ref{i}") for i in range(4)]
    scores = [gleu(ref, refs[:i] + refs[i + 1 :], source)["gleu"] for i, ref in enumerate(refs)]
    assert sum(scores) / 4 == pytest.approx(55.26, abs=0.05)
