import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from fairseq_specdec.evaluation.scores import bleu, compound_split_bleu, rouge, split_compounds

HYPS = ["Ein Mann läuft über die Straße.", "Zwei Hunde spielen im hohen Gras .", "Das ist gut-gemeint!"]
REFS = ["Ein Mann geht über die Straße.", "Zwei Hunde spielen im Gras.", "Das war gut-gemeint!"]
OTHER_REFS = ["Ein Mann läuft auf der Straße.", "Im hohen Gras spielen zwei Hunde.", "Gut gemeint ist das!"]


def test_bleu_of_one_wrong_word_is_the_mean_of_hand_counted_precisions():
    # matches of n-grams: 5/6, 4/5, 3/4, 2/3; their product is 1/3
    score = bleu(["a b c d e f"], [["a b c d e g"]])["bleu"]
    assert score == pytest.approx(100 * (1 / 3) ** 0.25)


@pytest.mark.parametrize("refs", [[REFS], [REFS, OTHER_REFS]])
def test_bleu_and_signature_are_those_of_sacrebleu(refs):
    metric = sacrebleu.BLEU()
    expected = metric.corpus_score(HYPS, refs)
    assert bleu(HYPS, refs) == {"bleu": expected.score, "signature": str(metric.get_signature())}
    assert f"nrefs:{len(refs)}|" in bleu(HYPS, refs)["signature"]


def test_hyphen_inside_a_word_becomes_a_token():
    assert split_compounds("ein gut-gelaunter Hund - ja") == "ein gut ##AT##-##AT## gelaunter Hund - ja"


def test_a_letter_between_two_hyphens_is_used_once_as_in_the_script_of_the_papers():
    assert split_compounds("a-b-c") == "a ##AT##-##AT## b-c"
    assert split_compounds("T-Shirt-Stand") == "T ##AT##-##AT## Shirt ##AT##-##AT## Stand"


def test_compound_split_bleu_counts_the_parts_of_a_compound():
    # 7 tokens, one wrong: 6/7, 4/6, 3/5, 2/4; unsplit there would be no common 4-gram
    hyps, refs = ["ein gut-gelaunter Hund läuft schnell"], [["ein gut-gelaunter Hund rennt schnell"]]
    result = compound_split_bleu(hyps, refs)
    assert result["bleu"] == pytest.approx(100 * (6 * 4 * 3 * 2 / (7 * 6 * 5 * 4)) ** 0.25)
    assert "tok:moses-de+compound-split|smooth:none" in result["signature"]


def test_compound_split_bleu_separates_punctuation_as_moses_does():
    # "schnell." is two tokens; the one wrong word leaves 7/8, 5/7, 3/6, 2/5
    hyps, refs = ["Ein gut-gelaunter Hund läuft schnell."], [["Ein gut-gelaunter Hund rennt schnell."]]
    expected = 100 * (7 / 8 * 5 / 7 * 3 / 6 * 2 / 5) ** 0.25
    assert compound_split_bleu(hyps, refs)["bleu"] == pytest.approx(expected)
    tokens = [[line.replace(".", " .") for line in refs[0]]]
    tokenized = compound_split_bleu([hyps[0].replace(".", " .")], tokens, tokenized=True)
    assert tokenized["bleu"] == pytest.approx(expected)
    assert "tok:as-given+compound-split" in tokenized["signature"]


def test_compound_split_bleu_reads_unicode_quotes_as_ascii_quotes():
    assert compound_split_bleu(['Er sagte "ja" und ging .'], [["Er sagte “ja” und ging ."]])["bleu"] == pytest.approx(
        100
    )


def test_compound_split_bleu_is_not_smoothed():
    assert compound_split_bleu(["a b c"], [["a b c"]])["bleu"] == 0.0


def test_rouge_of_stemmed_words_is_the_hand_counted_f1():
    # 5 of 5 and 5 of 6 words, 3 of 4 and 3 of 5 bigrams, a common subsequence of 5
    scores = rouge(["the cats sat on mats"], [["the cat sat on the mat"]])
    assert scores["rouge1"]["f"] == pytest.approx(100 * 10 / 11)
    assert scores["rouge2"]["f"] == pytest.approx(100 * 2 / 3)
    assert scores["rougeL"]["f"] == pytest.approx(100 * 10 / 11)
    assert scores["rougeLsum"]["f"] == pytest.approx(100 * 10 / 11)


def test_rouge_is_the_mean_over_sentences_of_what_the_library_says():
    scorer = RougeScorer(["rougeLsum"], use_stemmer=True)
    singles = [scorer.score(ref, hyp)["rougeLsum"].fmeasure for hyp, ref in zip(HYPS, REFS, strict=True)]
    assert rouge(HYPS, [REFS])["rougeLsum"]["f"] == pytest.approx(100 * sum(singles) / 3)


def test_rouge_takes_the_best_reference_of_each_sentence():
    scores = rouge(["a b c", "d e f"], [["a b c", "x"], ["x", "d e f"]])
    assert all(score["f"] == pytest.approx(100) for score in scores.values())


def test_newline_separates_the_sentences_of_rouge_lsum():
    scores = rouge(["b c\na d"], [["a d\nb c"]])
    assert scores["rougeLsum"]["f"] == pytest.approx(100)
    assert scores["rougeL"]["f"] == pytest.approx(50)


@pytest.mark.parametrize("metric", [bleu, rouge, compound_split_bleu])
def test_references_of_another_length_are_refused(metric):
    with pytest.raises(ValueError, match=r"as many as hypotheses \(2\), got \[2, 1\]"):
        metric(["a", "b"], [["a", "b"], ["a"]])


@pytest.mark.parametrize("metric", [bleu, rouge, compound_split_bleu])
def test_nothing_to_score_is_refused(metric):
    with pytest.raises(ValueError, match="needs sentences and references"):
        metric([], [[]])
    with pytest.raises(ValueError, match="needs sentences and references"):
        metric(["a"], [])


def test_empty_hypothesis_scores_zero():
    assert bleu([""], [["a b c d"]])["bleu"] == 0.0
    assert rouge([""], [["a b c d"]])["rouge1"]["f"] == 0.0
