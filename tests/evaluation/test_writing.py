import pytest

from fairseq_specdec.evaluation.writing import advise, main_script


@pytest.mark.parametrize(
    ("texts", "script"),
    [
        (["Ein Hund läuft.", "Да"], "LATIN"),
        (["Собака бежит, BBC"], "CYRILLIC"),
        (["我们喜欢狗 BERT。"], "CJK"),
        (["日本語の文を BERT で"], "CJK"),  # Kana and Kanji together outweigh Latin
        (["ひらがなとカタカナ"], "HIRAGANA"),
        (["ที่นี่"], "THAI"),
        (["한국어 문장"], "HANGUL"),
        (["123 ... !", ""], None),
    ],
)
def test_script_of_most_letters_is_found(texts, script):
    assert main_script(texts) == script


@pytest.mark.parametrize(
    ("metric", "text", "remedy"),
    [
        ("bleu", "我喜欢狗", "pass --tokenize zh (Chinese), ja-mecab"),
        ("bleu", "Собака", "pass --tokenize intl or flores200"),
        ("rouge", "我喜欢狗", "pass --tokenizer unicode"),
        ("rouge", "Собака", "pass --tokenizer unicode"),
        ("sari", "ที่นี่", "separate the words by spaces first"),
        ("gleu", "ที่นี่", "separate the words by spaces first"),
        ("ter", "ที่นี่", "separate the words by spaces first"),
    ],
)
def test_words_that_do_not_fit_the_script_are_told_with_the_remedy(metric, text, remedy):
    assert remedy in advise(metric, [text])


@pytest.mark.parametrize(
    ("metric", "text"),
    [("bleu", "A dog"), ("rouge", "Hündchen"), ("gleu", "Собака"), ("chrf", "我喜欢狗"), ("bleu", "")],
)
def test_nothing_is_told_where_they_fit(metric, text):
    assert advise(metric, [text]) is None
