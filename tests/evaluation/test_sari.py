import pytest

from fairseq_specdec.evaluation.sari import sari, sentence_sari

SOURCE = ["About 95 species are currently accepted ."]
REFS = [
    ["About 95 species are currently known ."],
    ["About 95 species are now accepted ."],
    ["95 species are now accepted ."],
]


@pytest.mark.parametrize(
    ("hyp", "score"),
    [
        ("About 95 you now get in .", 26.827824),
        ("About 95 species are now agreed .", 58.899954),
        ("About 95 species are currently agreed .", 50.716089),
    ],
)
def test_example_of_the_authors_script_has_its_scores(hyp, score):
    assert sari([hyp], REFS, SOURCE)["sari"] == pytest.approx(score, abs=1e-5)


def test_operations_of_single_words_are_those_made_by_hand():
    # n = 1 only: keep a (P 1, R 1), delete b (P 1), add c (P 1, R 1); bigram "a c": add 1; the rest has no n-grams,
    # but the bigram "a b" is deleted rightly
    assert sentence_sari(["a", "b"], ["a", "c"], [["a", "c"]]) == pytest.approx((3 + 2) / 12)


def test_kept_word_is_right_as_far_as_the_references_keep_it():
    # unigrams: kept a with P 1/2 (one of two references), R 1/1; F1 2/3. Nothing is deleted or added, x is wanted
    assert sentence_sari(["a"], ["a"], [["a"], ["x"]]) == pytest.approx(2 / 3 / 12)


def test_score_is_the_mean_over_sentences():
    hyps = ["About 95 you now get in .", "About 95 species are now agreed ."]
    score = sari(hyps, [ref * 2 for ref in REFS], SOURCE * 2)["sari"]
    assert score == pytest.approx((26.827824 + 58.899954) / 2, abs=1e-5)


def test_case_does_not_count_and_punctuation_is_a_token():
    refs = [[ref[0].upper().replace(" .", ".")] for ref in REFS]
    score = sari(["about 95 species are now agreed."], refs, SOURCE)["sari"]
    assert score == pytest.approx(58.899954, abs=1e-5)


def test_empty_hypothesis_deletes_everything():
    # wrong where the reference keeps all, right where it keeps nothing: deletion is a third of the score
    assert sari([""], [["a b c d"]], ["a b c d"])["sari"] == 0
    assert sari([""], [["x"]], ["a b c d"])["sari"] == pytest.approx(100 / 3)


def test_files_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"sources must be as many as hypotheses \(1\), got 2"):
        sari(["a"], [["a"]], ["a", "b"])
