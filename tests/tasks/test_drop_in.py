"""Every command that works with fairseq's translation task works with ours, with the same lines."""

import logging
import re

import pytest

from fairseq_specdec.config import OptionError
from tests import tiny
from tests.tasks.test_translation_specdec import assert_same_lines, generate

OURS, STOCK = ("--task", "translation_specdec"), ("--task", "translation")
SHORT = ("--beam", 5, "--batch-size", 16, "--max-len-b", 20)  # beam 5: as if nothing was said of it
BY_THE_ENGINE = {
    "the default beam": (),
    "three best of four": ("--beam", 4, "--nbest", 3, "--lenpen", 2, "--min-len", 5),
    "more best than beams": ("--beam", 2, "--nbest", 4, "--unnormalized"),
    "no bigram twice": ("--beam", 5, "--no-repeat-ngram-size", 2),
    "no bigram twice, greedy": ("--beam", 1, "--no-repeat-ngram-size", 2),
    "hard alignment": ("--beam", 3, "--nbest", 2, "--print-alignment", "hard"),
    "soft alignment, greedy": ("--beam", 1, "--print-alignment", "soft"),
    "a prefix": ("--beam", 5, "--prefix-size", 2, "--nbest", 2),
    "the source's length": ("--beam", 3, "--match-source-len"),
    "sacrebleu": ("--beam", 2, "--sacrebleu", "--post-process", "subword_nmt"),
    "scores of the reference": ("--score-reference",),
}
BY_FAIRSEQ = {
    "sampling": ("--sampling", "--beam", 2, "--nbest", 2, "--sampling-topk", 5),
    "diverse siblings": ("--beam", 3, "--diversity-rate", 0.5),
    "dropout": ("--beam", 2, "--retain-dropout"),
    "a wide beam": ("--beam", 20),
}


def lines_of(folder, data, path, *extra):
    """Return what a command prints: by label, the n-best of a sentence apart, and the score of the run."""
    log = tiny.fairseq_generate(data, path, folder, "--cpu", "--no-progress-bar", *map(str, (*SHORT, *extra)))
    lines, n = {}, {}
    for line in log.read_text("utf-8").splitlines():
        label, _, text = line.partition("\t")
        if re.match(r"[STHDPA]-\d+$", label):
            n[label] = n.get(label, 0) + 1
            lines[f"{label} {n[label]}"] = text
        elif line.startswith("Generate"):
            lines["score"] = line
    return lines


@pytest.mark.parametrize("name", BY_THE_ENGINE)
def test_what_the_engine_decodes_comes_out_as_by_fairseq(data_bin, verifier, tmp_path, caplog, name):
    extra = BY_THE_ENGINE[name]
    stock = lines_of(tmp_path / "stock", data_bin, verifier, *STOCK, *extra)
    ours = lines_of(tmp_path / "ours", data_bin, verifier, *OURS, *extra)
    assert_same_lines(stock, ours)
    assert any(label[0] in "HA" for label in stock)
    assert "fairseq's own generator" not in caplog.text


@pytest.mark.parametrize("name", BY_FAIRSEQ)
def test_what_the_engine_cannot_do_is_decoded_by_fairseq_with_one_warning(data_bin, verifier, tmp_path, caplog, name):
    extra = BY_FAIRSEQ[name]
    stock = lines_of(tmp_path / "stock", data_bin, verifier, *STOCK, *extra)
    caplog.set_level(logging.WARNING)
    assert lines_of(tmp_path / "ours", data_bin, verifier, *OURS, *extra) == stock
    warnings = [record.message for record in caplog.records if "fairseq's own generator" in record.message]
    assert len(warnings) == 1


@pytest.mark.parametrize("arch", ["lstm", "fconv_iwslt_de_en"])
def test_models_that_the_engine_cannot_run_are_decoded_by_fairseq(data_bin, tmp_path, caplog, arch):
    path = tiny.save_checkpoint(tmp_path / "other.pt", *tiny.build_model(data_bin, arch=arch))
    stock = lines_of(tmp_path / "stock", data_bin, path, *STOCK, "--beam", 2)
    assert lines_of(tmp_path / "ours", data_bin, path, *OURS, "--beam", 2) == stock
    assert "its decoder must be fairseq's TransformerDecoder" in caplog.text


@pytest.mark.parametrize(
    ("asked", "extra", "message"),
    [
        (("--drafter", "ngram"), ("--sampling", "--nbest", 5), r"--drafter ngram needs .*: --sampling .*, got True"),
        (("--certify",), ("--diverse-beam-groups", 2), r"--certify needs .*: --diverse-beam-groups, got 2"),
        (("--engine-dtype", "int8"), ("--retain-dropout",), r"--engine-dtype int8 needs .*: --retain-dropout"),
        (("--beta", 3, "--tau", 1), ("--sampling", "--nbest", 5), r"--beta 3 needs .*: --sampling"),
        (("--drafter", "ngram"), (), r"--beam must be 1 with --drafter ngram, got 5 \(fairseq's default\)"),
        (("--beta", 2), (), r"--beam must be 1 with --beta 2, got 5"),
    ],
)
def test_options_of_the_engine_are_refused_where_it_cannot_decode(data_bin, verifier, tmp_path, asked, extra, message):
    with pytest.raises(OptionError, match=message):
        generate(tmp_path, data_bin, verifier, *OURS, "--beam", 5, *asked, *extra)


def test_a_drafter_for_a_model_that_the_engine_cannot_run_is_refused_with_the_reason(data_bin, tmp_path):
    lstm = tiny.save_checkpoint(tmp_path / "lstm.pt", *tiny.build_model(data_bin, arch="lstm"))
    with pytest.raises(ValueError, match="must be fairseq's TransformerDecoder, but architecture lstm is LSTMModel"):
        generate(tmp_path, data_bin, lstm, *OURS, "--beam", 1, "--drafter", "ngram")
