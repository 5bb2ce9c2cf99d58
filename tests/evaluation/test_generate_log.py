import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.generate_log import GeneratedSentence, GenerateLogError, read_generate_log

HEAD = """\
2024-01-01 10:00:00 | INFO | fairseq_cli.generate | {'_name': None, 'common': {'seed': 1}}
2024-01-01 10:00:00 | INFO | fairseq.tasks.translation | [en] dictionary: 8 types
2024-01-01 10:00:00 | INFO | fairseq.tasks.translation | [de] dictionary: 8 types
"""
TAIL = """\
2024-01-01 10:00:09 | INFO | fairseq_cli.generate | Translated 3 sentences (7 tokens) in 1.0s (3.0 sentences/s)
Generate test with beam=1: BLEU4 = 20.00, 1/2/3/4 (BP=1.000, ratio=1.0, syslen=1, reflen=1)
"""


def block(index, source="a b", target="x y", hypothesis="x z", detokenized=None, score="-0.5"):
    """The five lines that fairseq prints for one sentence."""
    return (
        f"S-{index}\t{source}\nT-{index}\t{target}\nH-{index}\t{score}\t{hypothesis}\n"
        f"D-{index}\t{score}\t{detokenized or hypothesis}\nP-{index}\t-0.25 -0.5 -0.75\n"
    )


def write(tmp_path, text, name="gen.log"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def ids(log):
    return [sentence.id for sentence in log.sentences]


def test_sentences_come_out_in_the_order_of_the_data(tmp_path):
    text = block(2) + block(0, "s", "t", "u v", "uv", "-1e-3") + block(1)
    log = read_generate_log([write(tmp_path, text)])
    assert ids(log) == [0, 1, 2]
    assert log.sentences[0] == GeneratedSentence(0, "s", "t", "u v", "uv", -0.001, (-0.25, -0.5, -0.75))
    assert log.languages == []


def test_lines_may_come_in_any_order(tmp_path):
    lines = (block(1) + block(0) + block(2)).splitlines(keepends=True)
    mixed = read_generate_log([write(tmp_path, "".join(sorted(lines)))])
    assert mixed == read_generate_log([write(tmp_path, block(0) + block(1) + block(2))])


def test_results_path_file_tells_the_languages(tmp_path):
    log = read_generate_log([write(tmp_path, HEAD + block(1) + block(2) + block(0) + TAIL)])
    assert ids(log) == [0, 1, 2]
    assert log.languages == ["en", "de"]


def test_info_lines_in_the_format_of_plain_logging_are_understood(tmp_path):
    head = (
        "INFO:fairseq.tasks.translation:[en] dictionary: 8 types\nINFO:fairseq.tasks.translation:[de] dictionary: 8\n"
    )
    tail = "INFO:fairseq_cli.generate:Translated 2 sentences (7 tokens)\n"
    assert read_generate_log([write(tmp_path, head + block(0) + tail + block(1))]).languages == ["en", "de"]
    with pytest.raises(GenerateLogError, match="says that 2 sentences were translated, but holds 1"):
        read_generate_log([write(tmp_path, head + block(0) + tail)])


def test_other_lines_are_passed_over(tmp_path):
    noise = "W-0\t0.1\tseconds\nA-0\t0-0 1-1\nI-0\t3\nE-0_1\tx\nwarning: S-1 is not a line of text\n\n"
    assert ids(read_generate_log([write(tmp_path, noise + block(0))])) == [0]


def test_kinds_that_the_log_lacks_are_none(tmp_path):
    sentence = read_generate_log([write(tmp_path, "H-0\t-0.5\tx\nH-1\t-inf\t\n")]).sentences[1]
    assert sentence == GeneratedSentence(1, hypothesis="", score=float("-inf"))
    assert read_generate_log([write(tmp_path, "D-0\t-0.5\tx\n")]).sentences[0].score == -0.5


def test_text_may_be_empty_or_hold_tabs_and_unicode_line_separators(tmp_path):
    log = read_generate_log([write(tmp_path, block(0, source="", target="a\tb", hypothesis="c\u2028d\te"))])
    assert (log.sentences[0].source, log.sentences[0].target) == ("", "a\tb")
    assert log.sentences[0].hypothesis == "c\u2028d\te"


def test_shards_are_put_together(tmp_path):
    paths = [write(tmp_path, block(2) + block(0), "a.log"), write(tmp_path, block(1), "b.log")]
    assert ids(read_generate_log(paths)) == [0, 1, 2]


def test_missing_sentences_are_named_with_the_way_to_get_them(tmp_path):
    message = r"all sentences 0 to 4, but 2 of 5 sentences are not in the log \(1, 3, counted from 0\).* all shards"
    with pytest.raises(GenerateLogError, match=message):
        read_generate_log([write(tmp_path, block(0) + block(4) + block(2))])


def test_a_log_with_gaps_is_taken_where_that_is_asked_for_and_knows_them(tmp_path):
    log = read_generate_log([write(tmp_path, block(0) + block(4) + block(2))], gaps=True)
    assert (log.ids, log.missing(), log.missing(6)) == ([0, 2, 4], [1, 3], [1, 3, 5])
    log = read_generate_log([write(tmp_path, block(0) + block(1))], gaps=True)
    assert (log.missing(), log.missing(3)) == ([], [2])


def test_many_missing_sentences_are_cut_to_ten(tmp_path):
    with pytest.raises(GenerateLogError, match=r"50 of 51 sentences .* \(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.,"):
        read_generate_log([write(tmp_path, block(50))])


def test_sentence_in_two_shards_is_refused(tmp_path):
    paths = [write(tmp_path, block(0), "a.log"), write(tmp_path, block(0), "b.log")]
    with pytest.raises(GenerateLogError, match="sentence 0 in .*a.log and in .*b.log"):
        read_generate_log(paths)


def test_sentence_twice_in_one_log_is_refused(tmp_path):
    with pytest.raises(GenerateLogError, match=r"line 6 is the second S-0, .*--nbest 1"):
        read_generate_log([write(tmp_path, block(0) + block(0))])


def test_nbest_lists_are_refused(tmp_path):
    with pytest.raises(GenerateLogError, match=r"line 6 is the second H-0, .*--nbest 1"):
        read_generate_log([write(tmp_path, block(0) + "H-0\t-0.9\tsecond best\n")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(block(0) + "S-1\ta\nT-1\tb\n", "has no D-1 line though", id="between_lines"),
        pytest.param(block(0) + "S-1\ta\nT-1\tb\nH-1\t-0.5", r"line 8 is cut short \('H-1.t-0.5'\)", id="before_text"),
        pytest.param(block(0) + "S-1", r"line 6 is cut short \('S-1'\)", id="before_tab"),
        pytest.param(block(0)[:-4], "whose last line is cut short", id="in_the_last_line"),
        pytest.param(HEAD + block(0), "ends before 'Translated ... sentences', after 1", id="before_the_end"),
        pytest.param(HEAD + block(0) + TAIL, "says that 3 sentences were translated, but holds 1", id="in_the_middle"),
    ],
)
def test_log_that_was_cut_is_refused(tmp_path, text, message):
    with pytest.raises(GenerateLogError, match=message):
        read_generate_log([write(tmp_path, text)])


def test_shards_must_hold_the_same_kinds_of_lines(tmp_path):
    paths = [write(tmp_path, block(0), "a.log"), write(tmp_path, "H-1\t-0.5\tx\n", "b.log")]
    with pytest.raises(GenerateLogError, match="b.log has no D-1 line"):
        read_generate_log(paths)


@pytest.mark.parametrize("line", ["H-0\tscore\ttext\n", "P-0\t-0.5 x\n"])
def test_words_in_the_place_of_scores_are_refused(tmp_path, line):
    with pytest.raises(GenerateLogError, match="must hold numbers .* sentence 0 .could not convert"):
        read_generate_log([write(tmp_path, line)])


@pytest.mark.parametrize("text", ["", "plain text\n"])
def test_file_without_sentences_is_refused(tmp_path, text):
    with pytest.raises(GenerateLogError, match="must be the output of fairseq-generate"):
        read_generate_log([write(tmp_path, text)])


def test_missing_file_is_refused_under_the_name_of_the_option(tmp_path):
    with pytest.raises(OptionError, match="^--log must be a readable file"):
        read_generate_log([tmp_path / "no.log"], option="--log")


def test_further_hypotheses_are_read_where_they_are_expected(tmp_path):
    more = "H-0\t-0.75\tx\nD-0\t-0.75\tX\nP-0\t-0.5 -1.0\n"
    path = write(tmp_path, block(0) + more + block(1))
    first, second = read_generate_log([path], n_best=True).sentences
    assert first.further == (GeneratedSentence(0, None, None, "x", "X", -0.75, (-0.5, -1.0)),)
    assert second.further == ()
    with pytest.raises(GenerateLogError, match=r"line 6 is the second H-0, .*--nbest 1"):
        read_generate_log([path])


def test_a_line_that_further_hypotheses_lack_is_named(tmp_path):
    path = write(tmp_path, block(0) + "H-0\t-0.75\tx\nD-0\t-0.75\tX\n" + block(1))
    with pytest.raises(GenerateLogError, match="has no P-0 line though other sentences"):
        read_generate_log([path], n_best=True)
    with pytest.raises(GenerateLogError, match=r"line 6 is the second S-0, each .*: give the log of one run\."):
        read_generate_log([write(tmp_path, block(0) + block(0))], n_best=True)


def test_results_path_file_tells_the_generation_options(tmp_path):
    head = "2024-01-01 10:00:00 | INFO | fairseq_cli.generate | {'common': {'seed': 1}, 'generation': "
    head += "{'_name': None, 'beam': 5, 'nbest': 1, 'lenpen': 1.0, 'replace_unk': None}, 'task': {'beam': 2}}\n"
    log = read_generate_log([write(tmp_path, head + block(0) + TAIL.replace("3 sent", "1 sent", 1))])
    assert {name: log.options[name] for name in ("beam", "nbest", "lenpen")} == {
        "beam": "5",
        "nbest": "1",
        "lenpen": "1.0",
    }
    assert read_generate_log([write(tmp_path, block(0))]).options == {}
