import pytest

from fairseq_specdec.cli.main import main

HEAD = """\
2024-01-01 10:00:00 | INFO | fairseq_cli.generate | {'_name': None, 'common': {'seed': 1}}
2024-01-01 10:00:00 | INFO | fairseq.tasks.translation | [en] dictionary: 8 types
2024-01-01 10:00:00 | INFO | fairseq.tasks.translation | [de] dictionary: 8 types
"""
TAIL = "2024-01-01 10:00:09 | INFO | fairseq_cli.generate | Translated 3 sentences (7 tokens)\n"
SOURCES = ["\u2581two \u2581dog s", "\u2581a \u2581<unk>", "\u2581red"]
OUTPUTS = ["\u2581zwei \u2581Hunde", "\u2581ein \u2581<unk>", "\u2581rot es \u2581Ding"]


def block(index, source=None, hypothesis=None, detokenized=None, tokens=None):
    """The lines that fairseq prints for one sentence decoded without --remove-bpe."""
    source = SOURCES[index] if source is None else source
    hypothesis = OUTPUTS[index] if hypothesis is None else hypothesis
    detokenized = hypothesis if detokenized is None else detokenized
    scores = " ".join(["-0.5"] * (1 + (len(hypothesis.split()) if tokens is None else tokens)))
    return (
        f"S-{index}\t{source}\nT-{index}\tsome reference\nH-{index}\t-0.5\t{hypothesis}\n"
        f"D-{index}\t-0.5\t{detokenized}\nP-{index}\t{scores}\n"
    )


@pytest.fixture
def distill(tmp_path):
    """Run the command on logs; returns the status and the text of the two files (None where there is none)."""

    def run(*texts, options=("--source-lang", "en", "--target-lang", "de")):
        logs = []
        for number, text in enumerate(texts):
            logs.append(str(tmp_path / f"{number}.log"))
            (tmp_path / f"{number}.log").write_text(text, encoding="utf-8")
        prefix = tmp_path / "out" / "train.distilled"
        status = main(["distill", "--gen", *logs, "--out-prefix", str(prefix), *options])
        files = [prefix.with_name(f"train.distilled.{lang}") for lang in ("en", "de")]
        return status, [path.read_text(encoding="utf-8") if path.exists() else None for path in files]

    return run


def lines(texts):
    return "".join(text + "\n" for text in texts)


def test_sources_and_hypotheses_are_written_in_the_order_of_the_data(distill, capsys):
    status, files = distill(block(2) + block(0) + block(1))
    assert status == 0
    assert files == [lines(SOURCES), lines(OUTPUTS)]
    assert capsys.readouterr().out.endswith("train.distilled.de: 3 sentences\n")


def test_languages_are_those_of_the_log(distill):
    status, files = distill(HEAD + block(2) + block(0) + block(1) + TAIL, options=())
    assert status == 0
    assert files == [lines(SOURCES), lines(OUTPUTS)]


def test_sentences_that_the_run_skipped_are_named_and_sources_stay_with_their_outputs(distill, capsys):
    status, files = distill(HEAD + block(2) + block(0) + TAIL.replace("3 sentences", "2 sentences"))
    assert status == 0
    assert files == [lines(SOURCES[::2]), lines(OUTPUTS[::2])]
    printed = capsys.readouterr()
    assert printed.out.endswith("train.distilled.de: 2 sentences\n")
    assert printed.err.startswith("specdec distill: 1 of 3 sentences are not in the log (1, counted from 0), because")


def test_shards_are_put_together(distill):
    status, files = distill(block(2), block(1) + block(0))
    assert status == 0
    assert files == [lines(SOURCES), lines(OUTPUTS)]


def test_empty_hypothesis_keeps_its_line_and_is_counted(distill, capsys):
    status, files = distill(block(0) + block(1, hypothesis=""))
    assert status == 0
    assert files == [lines(SOURCES[:2]), OUTPUTS[0] + "\n\n"]
    assert "2 sentences, 1 of them with an empty hypothesis" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(block(0) + block(0), "is the second S-0", id="twice"),
        pytest.param(HEAD + block(0), "ends before 'Translated ... sentences'", id="cut"),
        pytest.param("H-0\t-0.5\tx\n", "--gen must hold S lines", id="no_sources"),
        pytest.param("S-0\tx\n", "--gen must hold H lines", id="no_hypotheses"),
        pytest.param(block(0, hypothesis="zwei Hunde", tokens=4), "decode again without --remove-bpe", id="joined"),
        pytest.param(block(0, detokenized="zwei Hunde"), "decode again without --bpe and --tokenizer", id="words"),
    ],
)
def test_log_that_cannot_be_used_is_refused_and_nothing_is_written(distill, capsys, text, message):
    status, files = distill(text)
    assert status == 2
    assert files == [None, None]
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unknown_languages_are_refused(distill, capsys):
    status, _ = distill(block(0), options=("--target-lang", "de"))
    assert status == 2
    assert "--source-lang must be given when the log does not name the languages" in capsys.readouterr().err


def test_equal_suffixes_are_refused(distill, capsys):
    status, _ = distill(block(0), options=("--source-lang", "en", "--target-lang", "en"))
    assert status == 2
    assert "--source-lang and --target-lang must differ, got en twice" in capsys.readouterr().err


def test_place_that_cannot_be_written_is_refused(tmp_path, capsys):
    log = tmp_path / "gen.log"
    log.write_text(block(0), encoding="utf-8")
    prefix = str(log / "train")
    arguments = ["distill", "--gen", str(log), "--out-prefix", prefix, "--source-lang", "en", "--target-lang", "de"]
    assert main(arguments) == 2
    assert f"--out-prefix must be writable, got {prefix}.en" in capsys.readouterr().err
