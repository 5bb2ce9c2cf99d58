import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.scoring import BootstrapAggregator
from rouge_score.tokenize import tokenize

from fairseq_specdec.evaluation.rouge import ROUGE_TYPES, SEED, UnicodeTokenizer, rouge

HYPS = ["Police have arrested three men.\nThey were running.", "The cats sat on the mats", "no-one's at 10_000 homes"]
REFS = ["Three men were arrested by police.\nThey ran.", "A cat sat on a mat", "Nobody is at 10 000 home's"]
OTHER_REFS = ["Police arrest men.", "The cats were sitting on mats", "no one is home"]

PARTS = ("fmeasure", "precision", "recall")


def test_rouge_of_stemmed_words_is_the_hand_counted_f1():
    # 5 of 5 and 5 of 6 words, 3 of 4 and 3 of 5 bigrams, a common subsequence of 5
    scores = rouge(["the cats sat on mats"], [["the cat sat on the mat"]])
    assert scores["rouge1"]["f"] == pytest.approx(100 * 10 / 11)
    assert scores["rouge2"]["f"] == pytest.approx(100 * 2 / 3)
    assert scores["rougeL"]["f"] == pytest.approx(100 * 10 / 11)
    assert scores["rougeLsum"]["f"] == pytest.approx(100 * 10 / 11)


def test_rouge_is_the_mean_over_sentences_of_what_the_library_says():
    for stem in (True, False):
        scorer = RougeScorer(list(ROUGE_TYPES), use_stemmer=stem)
        singles = [scorer.score_multi(refs, hyp) for hyp, *refs in zip(HYPS, REFS, OTHER_REFS, strict=True)]
        for name, found in rouge(HYPS, [REFS, OTHER_REFS], stem=stem).items():
            f, p, r = (100 * np.mean([getattr(s[name], part) for s in singles]) for part in PARTS)
            assert found == {"f": pytest.approx(f, rel=1e-14), "p": pytest.approx(p), "r": pytest.approx(r)}


def test_rouge_takes_the_best_reference_of_each_sentence():
    scores = rouge(["a b c", "d e f"], [["a b c", "x"], ["x", "d e f"]])
    assert all(score["f"] == pytest.approx(100) for score in scores.values())


def test_newline_separates_the_sentences_of_rouge_lsum():
    scores = rouge(["b c\na d"], [["a d\nb c"]])
    assert scores["rougeLsum"]["f"] == pytest.approx(100)
    assert scores["rougeL"]["f"] == pytest.approx(50)


def test_stems_make_a_difference_that_can_be_left_out():
    assert rouge(["running cats"], [["run cat"]])["rouge1"]["f"] == 100
    assert rouge(["running cats"], [["run cat"]], stem=False)["rouge1"]["f"] == 0


def test_interval_is_that_of_rouge_scores_aggregator():
    scorer, aggregator = RougeScorer(list(ROUGE_TYPES), use_stemmer=True), BootstrapAggregator(n_samples=50)
    for hyp, ref in zip(HYPS, REFS, strict=True):
        aggregator.add_scores(scorer.score(ref, hyp))
    np.random.seed(SEED)
    expected = aggregator.aggregate()
    np.random.seed(1)
    found = rouge(HYPS, [REFS], bootstrap=50)
    for name in ROUGE_TYPES:
        assert [found[name][bound] for bound in ("low", "mid", "high")] == [
            100 * score.fmeasure for score in expected[name]
        ]
        assert found[name]["f"] == rouge(HYPS, [REFS])[name]["f"]
    assert np.random.random() == np.random.RandomState(1).random_sample()  # numpy's shared numbers are as they were


def test_a_mark_may_stand_for_the_newline():
    marked = rouge(["b c<n>a d"], [["a d<n>b c"]], sentence_mark="<n>")
    assert marked == rouge(["b c\na d"], [["a d\nb c"]])


@pytest.mark.parametrize("stem", [True, False])
def test_ascii_text_has_the_same_words_by_either_tokenizer(stem):
    from nltk.stem.porter import PorterStemmer

    for text in [*HYPS, *REFS, *OTHER_REFS, "", "  ", "3.5% of $1,000; e-mails: a@b.c\tflies 'n' \x07 _x_ RUNNING"]:
        assert UnicodeTokenizer(stem).tokenize(text) == tokenize(text, PorterStemmer() if stem else None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ми любимо собак, а п'ять — ні!", ["ми", "любимо", "собак", "а", "п", "ять", "ні"]),
        ("我喜欢 BERT模型。", ["我", "喜", "欢", "bert", "模", "型"]),
        ("メールを送る", ["メ", "ー", "ル", "を", "送", "る"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("Straße läuft cafe\u0301", ["straße", "läuft", "café"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)
def test_words_of_other_scripts_are_kept_whole_and_those_without_spaces_are_letters(text, words):
    assert UnicodeTokenizer().tokenize(text) == words


@pytest.mark.parametrize("text", ["Сьогодні гарна погода", "今天天气很好", "วันนี้อากาศดี"])
def test_equal_texts_of_any_script_have_full_marks(text):
    assert rouge([text], [[text]])["rouge1"]["f"] == 0
    assert all(score["f"] == 100 for score in rouge([text], [[text]], tokenizer="unicode").values())
