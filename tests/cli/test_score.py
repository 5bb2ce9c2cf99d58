import json
import sys

import pytest

from fairseq_specdec.cli.main import main
from fairseq_specdec.evaluation.gleu import gleu
from fairseq_specdec.evaluation.m2 import m2
from fairseq_specdec.evaluation.m2_file import read_m2
from fairseq_specdec.evaluation.metrics import METRICS
from fairseq_specdec.evaluation.rouge import rouge
from fairseq_specdec.evaluation.sari import sari
from fairseq_specdec.evaluation.scores import bleu, chrf, compound_split_bleu

HYPS = ["Ein gut-gelaunter Hund läuft schnell.", "Zwei Männer stehen draußen."]
REFS = ["Ein gut-gelaunter Hund rennt schnell.", "Zwei junge Männer stehen draußen."]
OTHER = ["Ein Hund läuft schnell.", "Zwei Männer sind draußen."]
SOURCES = ["A dog in good humour runs fast.", "Two men stand outside."]
DRAFTS = ["Ein gut-gelaunter Hund läuft schnelle.", "Zwei Mann stehen draußen."]
GOLD = ["S Ein Hund lauft schnell .", "A 2 3|||R|||läuft|||REQUIRED|||-NONE-|||0", "", "S Ja .", ""]


@pytest.fixture
def files(tmp_path):
    """Write texts; returns the paths as strings."""

    def put(**texts):
        for name, lines in texts.items():
            (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return [str(tmp_path / name) for name in texts]

    return put


@pytest.fixture
def log(tmp_path):
    """Write a log of fairseq-generate, longest sentence last as fairseq does not."""

    def put(hyps=HYPS, refs=REFS, pieces=lambda text: text.lower()):
        blocks = [
            f"S-{i}\t{SOURCES[i]}\nT-{i}\t{refs[i]}\nH-{i}\t-0.5\t{pieces(hyp)}\nD-{i}\t-0.5\t{hyp}\n"
            for i, hyp in enumerate(hyps)
        ]
        path = tmp_path / "gen.log"
        path.write_text("".join(reversed(blocks)), encoding="utf-8")
        return str(path)

    return put


def test_bleu_of_files_is_one_line_with_the_signature(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS)
    assert main(["score", "bleu", "--hyp", hyp, "--ref", ref]) == 0
    expected = bleu(HYPS, [REFS])
    assert capsys.readouterr().out == f"bleu {expected['bleu']:.2f} ({expected['signature']})\n"


def test_json_holds_the_score_and_the_signature(files, capsys):
    hyp, ref, other = files(hyp=HYPS, ref=REFS, other=OTHER)
    assert main(["score", "bleu", "--hyp", hyp, "--ref", ref, other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == bleu(HYPS, [REFS, OTHER])


def test_the_same_reference_file_may_be_given_twice(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS)
    assert main(["score", "bleu", "--hyp", hyp, "--ref", ref, ref, "--json"]) == 0
    assert "nrefs:2" in json.loads(capsys.readouterr().out)["signature"]


def test_rouge_prints_all_types(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS)
    assert main(["score", "rouge", "--hyp", hyp, "--ref", ref]) == 0
    expected = rouge(HYPS, [REFS])
    assert capsys.readouterr().out == " ".join(f"{name} {score['f']:.2f}" for name, score in expected.items()) + "\n"
    assert main(["score", "rouge", "--hyp", hyp, "--ref", ref, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected


def test_options_of_a_metric_reach_it(files, capsys):
    hyp, ref, other = files(hyp=HYPS, ref=REFS, other=OTHER)
    given = ["--hyp", hyp, "--ref", ref, other, "--json"]
    for arguments, expected in (
        (["bleu", "--tokenize", "char"], bleu(HYPS, [REFS, OTHER], tokenize="char")),
        (["chrf", "--word-order", "2"], chrf(HYPS, [REFS, OTHER], word_order=2)),
        (["rouge", "--tokenizer", "unicode"], rouge(HYPS, [REFS, OTHER], tokenizer="unicode")),
        (["rouge", "--no-stemmer", "--bootstrap", "9"], rouge(HYPS, [REFS, OTHER], stem=False, bootstrap=9)),
        (["rouge", "--sentence-mark", "Hund"], rouge(HYPS, [REFS, OTHER], sentence_mark="Hund")),
    ):
        assert main(["score", *arguments, *given]) == 0
        assert json.loads(capsys.readouterr().out) == expected


def test_interval_of_rouge_stands_behind_its_score(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS)
    assert main(["score", "rouge", "--bootstrap", "20", "--hyp", hyp, "--ref", ref]) == 0
    score = rouge(HYPS, [REFS], bootstrap=20)["rouge1"]
    expected = f"rouge1 {score['f']:.2f} [{score['low']:.2f}, {score['high']:.2f}] rouge2 "
    assert capsys.readouterr().out.startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [(["bleu"], "--tokenize zh"), (["rouge"], "--tokenizer unicode"), (["bleu", "--tokenize", "13a"], None)],
)
def test_text_of_another_script_gets_a_hint_unless_the_words_were_chosen(arguments, remedy, files, capsys):
    hyp, ref = files(hyp=["我喜欢狗。"], ref=["我喜欢猫。"])
    assert main(["score", *arguments, "--hyp", hyp, "--ref", ref]) == 0
    error = capsys.readouterr().err
    assert (
        (error.startswith("specdec score: hint: most of the text is in Chinese") and remedy in error)
        if remedy
        else not error
    )


def test_compound_split_options_reach_the_metric(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS)
    assert main(["score", "bleu", "--compound-split", "--lang", "en", "--hyp", hyp, "--ref", ref, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == compound_split_bleu(HYPS, [REFS], lang="en")
    assert main(["score", "bleu", "--compound-split", "--tokenized", "--hyp", hyp, "--ref", ref, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == compound_split_bleu(HYPS, [REFS], tokenized=True)


def test_log_gives_detokenised_hypotheses_and_references_in_the_order_of_the_data(log, capsys):
    assert main(["score", "bleu", "--gen", log(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == bleu(HYPS, [REFS])


THREE = [["a b c d e", "f g h i j", "k l m n o"], ["a b c d x", "x x x x x", "k l m n x"]]


@pytest.fixture
def gaps(tmp_path):
    """Write a log in which the second of three sentences was skipped."""
    hyps, refs = THREE
    path = tmp_path / "gaps.log"
    path.write_text("".join(f"T-{i}\t{refs[i]}\nH-{i}\t-0.5\t{hyps[i]}\nD-{i}\t-0.5\t{hyps[i]}\n" for i in (2, 0)))
    return str(path)


def test_log_with_gaps_is_scored_without_them_and_says_which(gaps, capsys):
    hyps, refs = ([texts[0], texts[2]] for texts in THREE)
    assert main(["score", "bleu", "--gen", gaps, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {**bleu(hyps, [refs]), "missing": 1}
    assert printed.err.startswith("specdec score: 1 of 3 sentences are not in the log (1, counted from 0), because")
    assert main(["score", "bleu", "--gen", gaps]) == 0
    assert capsys.readouterr().out == f"bleu {bleu(hyps, [refs])['bleu']:.2f} ({bleu(hyps, [refs])['signature']})\n"


def test_files_keep_to_the_sentences_of_a_log_with_gaps(gaps, files, capsys):
    ref, src, longer, gold = files(
        ref=THREE[1],
        src=["a b c d e", "s s s s s", "k l m o n"],
        longer=[*THREE[1], "the end was skipped"],
        gold=["S a b c d e", "", "S s s", "", "S k l m n o", "A 0 1|||R|||K|||REQUIRED|||-NONE-|||0", ""],
    )
    hyps, refs = ([texts[0], texts[2]] for texts in THREE)
    assert main(["score", "gleu", "--gen", gaps, "--ref", ref, "--src", src, "--json"]) == 0
    expected = gleu(hyps, [refs], ["a b c d e", "k l m o n"])
    assert json.loads(capsys.readouterr().out) == {**expected, "words": METRICS["gleu"].words, "missing": 1}
    assert main(["score", "m2", "--gen", gaps, "--ref", gold, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        **m2(hyps, read_m2(gold)[::2]),
        "words": METRICS["m2"].words,
        "missing": 1,
    }
    assert main(["score", "bleu", "--gen", gaps, "--ref", longer, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {**bleu(hyps, [refs]), "missing": 2}
    assert "2 of 4 sentences are not in the log (1, 3, counted from 0)" in printed.err


def test_files_that_end_before_the_log_or_differ_are_refused(gaps, files, capsys):
    ref, short = files(ref=THREE[1], short=THREE[1][:2])
    assert main(["score", "bleu", "--gen", gaps, "--ref", short]) == 2
    message = f"--ref {short} must have a line for each sentence of the data, those that the log lacks too, and the log"
    assert message in capsys.readouterr().err
    assert main(["score", "bleu", "--gen", gaps, "--ref", ref, short]) == 2
    assert f"--ref {short} must have one line for each of the 3 lines of --ref {ref}" in capsys.readouterr().err


def test_references_from_files_replace_those_of_the_log(log, files, capsys):
    (other,) = files(other=OTHER)
    assert main(["score", "bleu", "--gen", log(), "--ref", other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == bleu(HYPS, [OTHER])


def test_source_text_is_checked_for_its_length(files, capsys):
    hyp, ref, src, short = files(hyp=HYPS, ref=REFS, src=SOURCES, short=SOURCES[:1])
    assert main(["score", "bleu", "--hyp", hyp, "--ref", ref, "--src", src, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == bleu(HYPS, [REFS])
    assert main(["score", "bleu", "--hyp", hyp, "--ref", ref, "--src", short]) == 2
    assert f"--src {short} must have one line for each of the 2 lines" in capsys.readouterr().err


@pytest.mark.parametrize("metric", [gleu, sari])
def test_metrics_that_look_at_the_source_are_given_it(metric, log, files, capsys):
    hyp, ref, other, src = files(hyp=HYPS, ref=REFS, other=OTHER, src=DRAFTS)
    name = metric.__name__
    assert main(["score", name, "--hyp", hyp, "--ref", ref, other, "--src", src, "--json"]) == 0
    words = {"words": METRICS[name].words}
    assert json.loads(capsys.readouterr().out) == {**metric(HYPS, [REFS, OTHER], DRAFTS), **words}
    assert main(["score", name, "--gen", log(), "--src", src]) == 0
    assert capsys.readouterr().out == f"{name} {metric(HYPS, [REFS], DRAFTS)[name]:.2f} (words: {words['words']})\n"
    assert main(["score", name, "--gen", log(), "--ref", other, "--src", src, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**metric(HYPS, [OTHER], DRAFTS), **words}


def test_m2_takes_its_gold_as_the_reference(log, files, capsys):
    hyps = ["Ein Hund läuft schnell .", ""]
    hyp, gold = files(hyp=hyps, gold=GOLD)
    expected = m2(hyps, read_m2(gold))
    assert main(["score", "m2", "--hyp", hyp, "--ref", gold, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**expected, "words": "what stands between spaces"}
    assert main(["score", "m2", "--gen", log(hyps=hyps), "--ref", gold]) == 0
    assert capsys.readouterr().out == "p 50.00 r 100.00 f0.5 55.56 (words: what stands between spaces)\n"


def test_gold_of_another_length_is_refused(files, capsys):
    hyp, gold = files(hyp=HYPS[:1], gold=GOLD)
    assert main(["score", "m2", "--hyp", hyp, "--ref", gold]) == 2
    message = f"--ref {gold} (S lines) must have one line for each of the 1 lines of --hyp {hyp}, got 2:"
    assert message in capsys.readouterr().err


def test_text_in_place_of_an_m2_file_is_refused(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS)
    assert main(["score", "m2", "--hyp", hyp, "--ref", ref]) == 2
    assert f"--ref {ref} line 1 must be the S line of a sentence" in capsys.readouterr().err


def test_errant_that_is_not_installed_is_refused_with_the_remedy(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "errant", None)
    hyp, ref, src = files(hyp=HYPS, ref=REFS, src=DRAFTS)
    assert main(["score", "errant", "--hyp", hyp, "--ref", ref, "--src", src]) == 2
    assert "metric errant must have the package errant, got none: pip install errant" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            ([name, "--hyp", "h", "--ref", "r"], f"--src must name the source text for metric {name}, got nothing")
            for name in ("gleu", "sari", "errant")
        ),
        (["gleu", "--gen", "g"], "--src must name the source text for metric gleu, got nothing: pass --src FILE."),
        (["m2", "--hyp", "h", "--ref", "a", "b"], "--ref must be one M2 file for metric m2, got a b: pass"),
        (["m2", "--gen", "g"], "--ref must be one M2 file for metric m2, got nothing: pass --ref GOLD.m2."),
        (["m2", "--hyp", "h"], "--ref must be given with --hyp"),
        (["bleu"], "--hyp must name the decoded text, got nothing"),
        (["bleu", "--hyp", "h"], "--ref must be given with --hyp"),
        (["bleu", "--hyp", "h", "--gen", "g"], "--hyp must not be given with --gen, got h"),
        (
            ["rouge", "--compound-split", "--hyp", "h", "--ref", "r"],
            "--compound-split is a kind of BLEU, got metric rouge",
        ),
        (
            ["rouge", "--tokenize", "zh", "--hyp", "h", "--ref", "r"],
            "--tokenize is an option of bleu, got metric rouge",
        ),
        (
            ["bleu", "--tokenizer", "unicode", "--hyp", "h", "--ref", "r"],
            "--tokenizer is an option of rouge, got metric",
        ),
        (["gleu", "--no-stemmer", "--hyp", "h", "--ref", "r", "--src", "s"], "--no-stemmer is an option of rouge, got"),
        (
            ["bleu", "--compound-split", "--tokenize", "zh", "--hyp", "h", "--ref", "r"],
            "--tokenize must not be given with --compound-split",
        ),
        (["rouge", "--bootstrap", "0", "--hyp", "h", "--ref", "r"], "--bootstrap must be at least 1, got 0"),
        (["chrf", "--word-order", "-1", "--hyp", "h", "--ref", "r"], "--word-order must be at least 0, got -1"),
        (["bleu", "--lang", "de", "--hyp", "h", "--ref", "r"], "--lang is for --compound-split only"),
        (["bleu", "--tokenized", "--hyp", "h", "--ref", "r"], "--tokenized is for --compound-split only"),
        (["bleu", "--hyp", "no.txt", "--ref", "r"], "--hyp must be a readable file, got no.txt"),
        (["bleu", "--gen", "no.log"], "--gen must be a readable file, got no.log"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused_in_one_line(arguments, message, capsys):
    assert main(["score", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"specdec score: error: {message}")
    assert error.count("\n") == 1


def test_references_of_another_length_are_refused(files, capsys):
    hyp, ref = files(hyp=HYPS, ref=REFS[:1])
    assert main(["score", "bleu", "--hyp", hyp, "--ref", ref]) == 2
    assert f"--ref {ref} must have one line for each of the 2 lines of --hyp {hyp}, got 1:" in capsys.readouterr().err


def test_file_that_is_not_utf8_is_refused(files, tmp_path, capsys):
    (ref,) = files(ref=REFS)
    hyp = tmp_path / "hyp"
    hyp.write_bytes(b"Stra\xdfe\nzwei\n")
    assert main(["score", "bleu", "--hyp", str(hyp), "--ref", ref]) == 2
    assert f"--hyp must be UTF-8 text, got {hyp} with byte 0xdf in line 1" in capsys.readouterr().err


def test_log_without_references_is_refused(tmp_path, capsys):
    path = tmp_path / "gen.log"
    path.write_text("H-0\t-0.5\tx\nD-0\t-0.5\tx\n")
    assert main(["score", "bleu", "--gen", str(path)]) == 2
    assert "--gen must hold T lines to be scored" in capsys.readouterr().err


@pytest.mark.parametrize(
    "pieces", [["\u2581Ein \u2581Hund", "\u2581Zwei \u2581Män ner"], ["Ein Hun@@ d", "Zwei Män@@ ner"]]
)
def test_log_with_subword_pieces_is_refused(log, pieces, capsys):
    assert main(["score", "bleu", "--gen", log(hyps=pieces)]) == 2
    assert "--gen must hold words in its D lines, got subword pieces" in capsys.readouterr().err


def test_unknown_metric_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as error:
        main(["score", "blue", "--hyp", "h", "--ref", "r"])
    assert error.value.code == 2
    message = capsys.readouterr().err
    assert "bleu" in message and "rouge" in message
