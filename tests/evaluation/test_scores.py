import pytest
import sacrebleu
import sentencepiece
from sacrebleu.tokenizers import tokenizer_spm

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation import scores
from fairseq_specdec.evaluation.rouge import rouge
from fairseq_specdec.evaluation.scores import bleu, chrf, compound_split_bleu, split_compounds, ter

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


@pytest.mark.parametrize("name", ["intl", "char", "zh", "none"])
def test_tokenizers_of_bleu_are_those_of_sacrebleu(name):
    metric = sacrebleu.BLEU(tokenize=name)
    expected = metric.corpus_score(HYPS, [REFS])
    assert bleu(HYPS, [REFS], tokenize=name) == {"bleu": expected.score, "signature": str(metric.get_signature())}
    assert f"tok:{name}|" in bleu(HYPS, [REFS], tokenize=name)["signature"]


def test_chinese_that_differs_in_a_word_has_a_bleu_of_its_characters():
    hyps, refs = ["我们今天很喜欢狗。"], [["我们今天很喜欢猫。"]]
    assert bleu(hyps, refs)["bleu"] == 0.0
    assert bleu(hyps, refs, tokenize="zh")["bleu"] > 50


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """A folder of sacrebleu's with a small sentencepiece model as its flores200 tokenizer."""
    (tmp_path / "models").mkdir()
    (tmp_path / "text").write_text("\n".join([*HYPS, *REFS, *OTHER_REFS] * 5), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "m"), vocab_size=45, minloglevel=2, num_threads=1
    )
    (tmp_path / "m.model").rename(tmp_path / "models" / "flores200sacrebleuspm")
    monkeypatch.setattr(scores, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))


@pytest.mark.usefixtures("pieces")
def test_spbleu_is_bleu_over_the_pieces_of_sacrebleus_file():
    expected = sacrebleu.BLEU(tokenize="flores200").corpus_score(HYPS, [REFS, OTHER_REFS]).score
    assert bleu(HYPS, [REFS, OTHER_REFS], tokenize="flores200")["bleu"] == expected
    assert expected != bleu(HYPS, [REFS, OTHER_REFS])["bleu"]


def test_spbleu_without_its_file_is_refused_and_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "download_file", lambda *_: pytest.fail("asked the network"))
    path = tmp_path / "models" / "flores200sacrebleuspm"
    with pytest.raises(OptionError, match=f"--tokenize flores200 needs sacrebleu's file {path}, got none: download"):
        bleu(HYPS, [REFS], tokenize="flores200")


def test_tokenizer_whose_package_is_missing_is_refused_with_the_command(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(OptionError, match=r"--tokenize ja-mecab needs packages .*: pip install 'sacrebleu\[ja\]'"):
        bleu(HYPS, [REFS], tokenize="ja-mecab")


@pytest.mark.parametrize("refs", [[REFS], [REFS, OTHER_REFS]])
def test_chrf_and_ter_are_those_of_sacrebleu(refs):
    for ours, metric in ((chrf(HYPS, refs), sacrebleu.CHRF()), (ter(HYPS, refs), sacrebleu.TER())):
        score, signature = metric.corpus_score(HYPS, refs).score, str(metric.get_signature())
        assert sorted(map(str, ours.values())) == sorted([str(score), signature])
    assert chrf(HYPS, refs, word_order=2)["chrf"] == sacrebleu.CHRF(word_order=2).corpus_score(HYPS, refs).score


@pytest.mark.parametrize("metric", [bleu, chrf, ter, rouge, compound_split_bleu])
def test_references_of_another_length_are_refused(metric):
    with pytest.raises(ValueError, match=r"as many as hypotheses \(2\), got \[2, 1\]"):
        metric(["a", "b"], [["a", "b"], ["a"]])


@pytest.mark.parametrize("metric", [bleu, chrf, ter, rouge, compound_split_bleu])
def test_nothing_to_score_is_refused(metric):
    with pytest.raises(ValueError, match="needs sentences and references"):
        metric([], [[]])
    with pytest.raises(ValueError, match="needs sentences and references"):
        metric(["a"], [])


def test_empty_hypothesis_scores_zero():
    assert bleu([""], [["a b c d"]])["bleu"] == 0.0
    assert rouge([""], [["a b c d"]])["rouge1"]["f"] == 0.0
