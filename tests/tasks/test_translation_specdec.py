"""The task as users meet it: fairseq's own commands with the options of design.md."""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import interactive

from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.search.decode import SpecDecoder
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask
from tests import tiny

ROOT = Path(__file__).parents[2]
SPEC = ("--task", "translation_specdec", "--beam", "1")
STOCK = ("--task", "translation", "--beam", "1")


def arguments(data, path, *extra):
    return [str(data), "--user-dir", str(ROOT / "fairseq_specdec"), "--path", str(path), "--cpu", *map(str, extra)]


def generate(folder, data, path, *extra):
    """Run fairseq-generate in this process; return the S, T, H, D and P lines by their label."""
    log = tiny.fairseq_generate(data, path, folder, "--cpu", "--no-progress-bar", *map(str, extra))
    lines = log.read_text("utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if re.match(r"[STHDP]-\d+\t", line))


def parse(argv):
    return options.parse_args_and_arch(options.get_interactive_generation_parser(), argv)


def command(name, *argv, text=None):
    """Run a fairseq command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-c", f"from fairseq_cli.{name} import cli_main; cli_main()", *map(str, argv)]
    return subprocess.run(call, input=text, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300)


def assert_same_lines(stock, ours):
    assert stock.keys() == ours.keys()
    for label, line in stock.items():
        if label[0] == "P" or (label[0] == "A" and "," in line):  # of soft alignments probabilities are printed
            pairs = zip(*(re.split("[, ]", text) for text in (line, ours[label])), strict=True)
            assert all(abs(float(a) - float(b)) <= 2e-4 for a, b in pairs)
        elif label[0] in "HD":
            assert line.split("\t")[1] == ours[label].split("\t")[1]
            assert abs(float(line.split("\t")[0]) - float(ours[label].split("\t")[0])) <= 2e-4
        else:
            assert line == ours[label]


@pytest.fixture(scope="module")
def drafter(data_bin):
    """Checkpoint of an untrained drafter with a block of 6."""
    model, cfg = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=6)
    return tiny.save_checkpoint(data_bin.parent / "drafter.pt", model, cfg)


@pytest.fixture(scope="module")
def stock(data_bin, verifier, tmp_path_factory):
    return generate(tmp_path_factory.mktemp("stock"), data_bin, verifier, *STOCK, "--batch-size", 8)


@pytest.mark.parametrize("size", [1, 8, 64])
def test_the_lines_of_fairseq_generate_come_out_the_same(stock, data_bin, verifier, drafter, tmp_path, size):
    ours = generate(tmp_path / "none", data_bin, verifier, *SPEC, "--batch-size", size)
    assert_same_lines(stock, ours)
    nat = ("--drafter", "nat", "--drafter-path", drafter, "--block-size", 4)
    assert_same_lines(stock, generate(tmp_path / "nat", data_bin, verifier, *SPEC, *nat, "--batch-size", size))


@pytest.mark.parametrize("options", [(), ("--draft-dtype", "bf16"), ("--block-size", 3)], ids=str)
def test_the_verifiers_own_weights_draft_without_changing_a_line(stock, data_bin, verifier, tmp_path, options):
    stats = tmp_path / "stats.json"
    own = ("--drafter", "self", *options, "--batch-size", 8, "--certify", "--spec-stats", stats)
    assert_same_lines(stock, generate(tmp_path / "self", data_bin, verifier, *SPEC, *own))
    found = json.loads(stats.read_text("utf-8"))
    assert found["certificate"]["wrong"] == 0
    assert found["drafter"] == "self" and found["block_size"] == (3 if "--block-size" in options else 16)


def test_drafters_that_are_asked_in_turn_change_no_line(stock, data_bin, verifier, tmp_path):
    stats = tmp_path / "stats.json"
    asked = ("--drafter", "ngram,self", "--ngram-corpus", data_bin / "train.en", "--batch-size", 8, "--certify")
    found = generate(tmp_path / "stack", data_bin, verifier, *SPEC, *asked, "--spec-stats", stats)
    assert_same_lines(stock, found)
    told = json.loads(stats.read_text("utf-8"))
    assert told["drafter"] == "ngram,self" and told["certificate"]["wrong"] == 0 < told["accepted"]


def test_another_fairseq_model_drafts_without_changing_a_line(stock, data_bin, verifier, tmp_path, caplog):
    student = tiny.save_verifier(tmp_path / "student.pt", data_bin, seed=2, encoder_layers=1, decoder_layers=1)
    small = ("--drafter", "ar", "--drafter-path", student, "--batch-size", 8)
    assert_same_lines(stock, generate(tmp_path / "ar", data_bin, verifier, *SPEC, *small))
    assert "only its size was compared" not in caplog.text
    models = f"{verifier}:{student}"
    both = generate(tmp_path / "stock", data_bin, models, *STOCK, "--batch-size", 8)
    assert_same_lines(both, generate(tmp_path / "two", data_bin, models, *SPEC, *small, "--block-size", 4))


def test_a_drafter_on_the_verifiers_encoder_changes_no_line_alone_or_for_the_first_of_an_ensemble(
    stock, data_bin, verifier, tmp_path
):
    path = tiny.save_sharing(tmp_path / "drafter.pt", data_bin, verifier, block_size=6)
    nat = ("--drafter", "nat", "--drafter-path", path, "--block-size", 4)
    assert_same_lines(stock, generate(tmp_path / "one", data_bin, verifier, *SPEC, *nat, "--batch-size", 8))
    other = tiny.save_verifier(tmp_path / "other.pt", data_bin, seed=2)
    models = f"{verifier}:{other}"
    both = generate(tmp_path / "stock", data_bin, models, *STOCK, "--batch-size", 8)
    assert_same_lines(both, generate(tmp_path / "two", data_bin, models, *SPEC, *nat, "--batch-size", 8))
    with pytest.raises(OptionError, match="--share-encoder"):
        generate(tmp_path / "wrong", data_bin, f"{other}:{verifier}", *SPEC, *nat)


@pytest.fixture(scope="module")
def joined_stock(joined_data_bin, joined_verifier, tmp_path_factory):
    return generate(tmp_path_factory.mktemp("joined"), joined_data_bin, joined_verifier, *STOCK, "--batch-size", 8)


@pytest.fixture(scope="module")
def guesses(joined_stock, tmp_path_factory):
    """A file with the stock outputs, in the order of the data."""
    path = tmp_path_factory.mktemp("guesses") / "guesses.txt"
    lines = [joined_stock[f"H-{i}"].split("\t")[1] for i in range(tiny.SPLITS["test"])]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, size) for name in ("input", "ngram", "file") for size in (1, 64)]
    + [("input, published", 8), ("file, published", 8), ("ngram, corpus", 8)],
)
def test_drafters_without_weights_leave_the_lines_as_they_are(
    joined_stock, joined_data_bin, joined_verifier, guesses, tmp_path, name, size
):
    drafter, _, what = name.partition(", ")
    extra = ["--drafter", drafter, "--batch-size", size, "--spec-stats", tmp_path / "stats.json"]
    extra += ["--draft-file", guesses] if drafter == "file" else []
    extra += ["--draft-rule", what] if what == "published" else []
    extra += ["--ngram-corpus", joined_data_bin / "train.en"] if what == "corpus" else []
    extra += [] if what else ["--block-size", 8]  # without, the width follows what pays
    assert_same_lines(joined_stock, generate(tmp_path, joined_data_bin, joined_verifier, *SPEC, *extra))
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["drafter"] == drafter
    if not what:
        assert stats["drafted"] > 0
        assert stats["accepted"] > (3 * stats["sentences"] if drafter == "file" else -1)


def test_guesses_go_to_their_sentences_in_shards_too(joined_stock, joined_data_bin, joined_verifier, guesses, tmp_path):
    lines = {}
    for shard in range(2):
        file = ("--drafter", "file", "--draft-file", guesses, "--block-size", 64, "--spec-stats", tmp_path / "s.json")
        part = ("--num-shards", 2, "--shard-id", shard, "--batch-size", 4)
        lines |= generate(tmp_path / str(shard), joined_data_bin, joined_verifier, *SPEC, *file, *part)
        stats = json.loads((tmp_path / "s.json").read_text())
        assert stats["acceptance_length"] > 4
    assert_same_lines(joined_stock, lines)


def test_statistics_are_written_and_add_up(stock, data_bin, verifier, drafter, tmp_path):
    out = tmp_path / "stats.json"
    nat = ("--drafter", "nat", "--drafter-path", drafter, "--block-size", 6, "--spec-stats", out, "--certify")
    generate(tmp_path, data_bin, verifier, *SPEC, *nat)
    stats = json.loads(out.read_text())
    tokens = sum(len(line.split("\t")[1].split()) + 1 for label, line in stock.items() if label.startswith("H"))
    assert (stats["drafter"], stats["block_size"], stats["beta"], stats["tau"]) == ("nat", 6, 1, 0.0)
    assert (stats["device"], stats["dtype"], stats["torch"]) == ("cpu", "float32", torch.__version__)
    assert (stats["sentences"], stats["tokens"]) == (tiny.SPLITS["test"], tokens)
    assert stats["rounds"] == sum(stats["acceptance_histogram"])
    assert tokens == sum(n * count for n, count in enumerate(stats["acceptance_histogram"], 1))
    assert stats["acceptance_length"] == pytest.approx(tokens / stats["rounds"])
    assert stats["drafted"] == 6 * stats["rounds"]
    assert stats["rounds"] * 7 >= stats["tokens"] >= stats["accepted"]
    parts = stats["seconds"]
    assert parts["total"] == pytest.approx(
        sum(parts[name] for name in ("encode", "draft", "verify", "other")), abs=1e-4
    )
    assert stats["certificate"]["tokens"] == tokens
    assert stats["certificate"]["wrong"] == 0


def test_statistics_that_could_not_be_written_are_refused_before_anything_is_decoded(data_bin, verifier, tmp_path):
    with pytest.raises(OptionError, match="--spec-stats must be a file that can be written, got .*is a folder"):
        generate(tmp_path, data_bin, verifier, *SPEC, "--spec-stats", tmp_path)


@pytest.mark.parametrize("fails", ["in the middle of a batch", "between batches"])
def test_statistics_of_a_run_that_did_not_come_to_its_end_say_so(data_bin, verifier, tmp_path, monkeypatch, fails):
    out, step = tmp_path / "stats.json", TranslationSpecDecTask.inference_step
    calls = []

    def interrupted(self, generator, *args, **options):
        calls.append(generator)
        if len(calls) == 3 and fails == "between batches":
            raise KeyboardInterrupt
        return step(self, generator, *args, **options)

    def corrupt(self, batch):
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode(self, batch)

    decode = SpecDecoder.decode
    monkeypatch.setattr(TranslationSpecDecTask, "inference_step", interrupted)
    if fails != "between batches":
        monkeypatch.setattr(SpecDecoder, "decode", corrupt)
    options = (*SPEC, "--batch-size", 8, "--spec-stats", out)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "cut", data_bin, verifier, *options)
    calls.clear()
    gc.collect()  # the statistics are written when the generator goes
    found = json.loads(out.read_text())
    assert (found["partial"], found["sentences"]) == (True, 16)
    monkeypatch.undo()
    generate(tmp_path / "whole", data_bin, verifier, *options)
    found = json.loads(out.read_text())
    assert (found["partial"], found["sentences"]) == (False, tiny.SPLITS["test"])


FULL = """
import sys, fairseq_specdec
from fairseq_specdec.stats import SpecStats
def full(self, path):
    raise OSError(28, "No space left on device")
SpecStats.write = full
from fairseq_cli.generate import cli_main
cli_main()
"""


def test_statistics_that_are_lost_make_the_run_fail_with_the_reason_last(data_bin, verifier, tmp_path):
    argv = arguments(data_bin, verifier, *SPEC, "--spec-stats", tmp_path / "stats.json")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", FULL, *argv], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("stats.json was not written: [Errno 28] No space left on device")
    assert "Traceback" not in done.stderr
    assert "Generate test with beam=1" in done.stdout  # all output is there


def test_a_drafter_on_the_verifiers_encoder_waits_for_its_weights_with_eval_bleu(data_bin, verifier, tmp_path, caplog):
    """fairseq builds that generator with the model, before the checkpoint's weights are in it."""
    path = tiny.save_sharing(tmp_path / "drafter.pt", data_bin, verifier, block_size=6)
    right = torch.load(verifier, weights_only=False)
    for is_right in (True, False):
        caplog.clear()
        cfg = TranslationSpecDecConfig(
            data=str(data_bin), dataset_impl=None, required_seq_len_multiple=1, drafter="nat", drafter_path=str(path),
            eval_bleu=True, eval_bleu_args='{"beam": 1}',
        )  # fmt: skip
        task = TranslationSpecDecTask.setup_task(cfg)
        model = task.build_model(right["cfg"]["model"])
        if is_right:
            model.load_state_dict(right["model"])
        task.load_dataset("test")
        sample = task.dataset("test").collater([task.dataset("test")[i] for i in range(4)])
        task.inference_step(task.sequence_generator, [model], sample)
        task.inference_step(task.sequence_generator, [model], sample)
        assert all(weight.requires_grad for weight in model.encoder.parameters()), "training goes on"
        assert caplog.text.count("decoding goes on with drafts that may fit less well") == (not is_right)


def test_relaxed_decoding_is_another_system_and_says_so(data_bin, verifier, drafter, tmp_path, caplog):
    with caplog.at_level("INFO"):
        nat = ("--drafter", "nat", "--drafter-path", drafter, "--beta", 28, "--tau", 50)
        relaxed = generate(tmp_path, data_bin, verifier, *SPEC, *nat)
    assert "relaxed (beta 28, tau 50: not the output of greedy decoding)" in caplog.text
    assert len([label for label in relaxed if label.startswith("H")]) == tiny.SPLITS["test"]


@pytest.mark.parametrize("task", [STOCK, SPEC], ids=["stock", "ours"])
def test_shards_together_give_what_one_process_gives(stock, data_bin, verifier, tmp_path, task):
    shards = []
    for shard in range(3):
        part = ("--num-shards", 3, "--shard-id", shard, "--batch-size", 4)
        shards.append(generate(tmp_path / str(shard), data_bin, verifier, *task, *part))
    assert sum(map(len, shards)) == len(stock)
    assert all(shards)
    assert_same_lines(stock, shards[0] | shards[1] | shards[2])


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_reduced_precision_decodes_and_says_so(stock, data_bin, verifier, drafter, tmp_path, caplog, precision):
    nat = ("--drafter", "nat", "--drafter-path", drafter, "--engine-dtype", precision)
    lines = generate(tmp_path, data_bin, verifier, *SPEC, *nat, "--spec-stats", tmp_path / "stats.json")
    assert lines.keys() == stock.keys()
    hypotheses = [[line for label, line in found.items() if label[0] == "H"] for found in (lines, stock)]
    ours, theirs = (sum(float(line.split("\t")[0]) for line in found) for found in hypotheses)
    assert ours == pytest.approx(theirs, rel=0.05)
    assert json.loads((tmp_path / "stats.json").read_text())["dtype"] == precision
    assert f"engine in {precision}: not the checkpoint's arithmetic" in caplog.text


def test_reduced_precision_of_half_precision_is_refused(data_bin, verifier, tmp_path):
    message = "--engine-dtype int8 needs a float32 model on a CPU, got torch.float16 on cpu: leave it out"
    with pytest.raises(OptionError, match=message):
        generate(tmp_path, data_bin, verifier, *SPEC, "--engine-dtype", "int8", "--fp16")


def test_scoring_references_goes_to_fairseqs_scorer(data_bin, verifier, tmp_path):
    expected = generate(tmp_path / "stock", data_bin, verifier, *STOCK, "--score-reference")
    assert expected == generate(tmp_path / "ours", data_bin, verifier, *SPEC, "--score-reference")


@pytest.mark.parametrize("count", [1, 5, 461, 1000])
def test_as_many_sentences_come_out_as_went_in(data_bin, verifier, tmp_path, count):
    many = tiny.make_data_bin(tmp_path / "bin", splits={"test": count}, longest=3)
    for name, task in (("stock", STOCK), ("ours", SPEC)):
        lines = generate(tmp_path / name, many, verifier, *task, "--max-len-b", 3)
        assert sum(label.startswith("H") for label in lines) == count


def test_half_precision_decodes_with_certificate(data_bin, verifier, tmp_path):
    out = tmp_path / "stats.json"
    generate(tmp_path, data_bin, verifier, *SPEC, "--fp16", "--certify", "--spec-stats", out)
    stats = json.loads(out.read_text())
    assert stats["dtype"] == "float16"
    assert stats["certificate"]["wrong"] == 0


def bad_option_cases(tmp_path, drafter):
    nat = ("--drafter", "nat", "--drafter-path", drafter)
    return {
        "beam 5 is fairseq's default": ((*SPEC, *nat, "--beam", 5), "--beam must be 1 .* pass --beam 1"),
        "unknown drafter": ((*SPEC, "--drafter", "nta"), "Unknown drafter 'nta'. Did you mean 'nat'"),
        "a precision of no drafter": ((*SPEC, "--draft-dtype", "int8"), "--draft-dtype is refused by --drafter none"),
        "an unknown precision": (
            (*SPEC, "--drafter", "self", "--draft-dtype", "int4"),
            "--draft-dtype must be one of bf16, int8, got int4",
        ),
        "self with a path": (
            (*SPEC, "--drafter", "self", "--drafter-path", drafter),
            "--drafter-path is refused by --drafter self",
        ),
        "self with a beam": (
            ("--task", "translation_specdec", "--beam", "4", "--drafter", "self"),
            "--beam must be 1 with --drafter self",
        ),
        "a stack with a beam": (
            ("--task", "translation_specdec", "--beam", "4", "--drafter", "input,self"),
            "--beam must be 1 with --drafter input,self",
        ),
        "a stack in another order": ((*SPEC, "--drafter", "self,input"), "self must come last, since it always drafts"),
        "a stack whose drafter needs a file": (
            (*SPEC, "--drafter", "file,ar"),
            "--drafter-path is required by --drafter file,ar",
        ),
        "no drafter path": ((*SPEC, "--drafter", "nat"), "--drafter-path is required by --drafter nat"),
        "missing drafter": ((*SPEC, *nat[:3], tmp_path / "no.pt"), "--drafter-path must be an existing file"),
        "path for none": ((*SPEC, "--drafter-path", drafter), "--drafter-path is refused by --drafter none"),
        "block above the range": ((*SPEC, *nat, "--block-size", 65), r"--block-size must be in 1..64, got 65"),
        "block above the trained": ((*SPEC, *nat, "--block-size", 7), r"trained for \(6\), got 7"),
        "no draft file": ((*SPEC, "--drafter", "file"), "--draft-file is required by --drafter file"),
        "missing draft file": (
            (*SPEC, "--drafter", "file", "--draft-file", tmp_path / "no.txt"),
            "--draft-file must be an existing file, got .*no.txt",
        ),
        "draft file for input": (
            (*SPEC, "--drafter", "input", "--draft-file", drafter),
            "--draft-file is refused by --drafter input",
        ),
        "corpus for none": ((*SPEC, "--ngram-corpus", drafter), "--ngram-corpus is refused by --drafter none"),
        "missing corpus": (
            (*SPEC, "--drafter", "ngram", "--ngram-corpus", tmp_path / "no.txt"),
            "--ngram-corpus must be an existing file",
        ),
        "corpus that is no text": (
            (*SPEC, "--drafter", "ngram", "--ngram-corpus", drafter),
            "--ngram-corpus must be UTF-8 text, got .* with byte 0x",
        ),
        "weights for ngram": (
            (*SPEC, "--drafter", "ngram", "--drafter-path", drafter),
            "--drafter-path is refused by --drafter ngram",
        ),
        "rule for ngram": (
            (*SPEC, "--drafter", "ngram", "--draft-rule", "published"),
            "--draft-rule is refused by --drafter ngram",
        ),
        "unknown rule": (
            (*SPEC, "--drafter", "input", "--draft-rule", "best"),
            "--draft-rule must be one of edit-aware, published, got best",
        ),
        "input without shared words": (
            (*SPEC, "--drafter", "input"),
            "--drafter input needs symbols that are in both dictionaries, got none of 32",
        ),
        "block above the range for input": (
            (*SPEC, "--drafter", "input", "--block-size", 0),
            r"--block-size must be in 1..64, got 0",
        ),
        "min-len above max-len": (
            (*SPEC, "--min-len", 9, "--max-len-b", 5),
            r"--min-len must not exceed .* \(5\), got 9",
        ),
    }


@pytest.mark.parametrize("case", list(bad_option_cases(Path(), Path())))
def test_options_that_cannot_be_honoured_are_refused(data_bin, verifier, drafter, tmp_path, case):
    extra, message = bad_option_cases(tmp_path, drafter)[case]
    with pytest.raises(ValueError, match=message) as error:
        generate(tmp_path, data_bin, verifier, *extra)
    assert isinstance(error.value, OptionError) or case == "unknown drafter"


def test_a_drafter_of_another_dictionary_is_refused(joined_data_bin, joined_verifier, drafter, tmp_path):
    nat = ("--drafter", "nat", "--drafter-path", drafter)
    with pytest.raises(OptionError, match="--drafter-path needs the verifier's source dictionary, got 32 and 64 types"):
        generate(tmp_path, joined_data_bin, joined_verifier, *SPEC, *nat)


def test_a_model_of_another_dictionary_or_kind_does_not_draft(
    joined_data_bin, joined_verifier, data_bin, verifier, drafter, tmp_path
):
    other = ("--drafter", "ar", "--drafter-path", joined_verifier)
    with pytest.raises(OptionError, match="--drafter-path needs the verifier's target dictionary, got 64 and 32 types"):
        generate(tmp_path, data_bin, verifier, *SPEC, *other)
    shuffled = tiny.make_data_bin(tmp_path / "shuffled")
    lines = (shuffled / "dict.en.txt").read_text("utf-8").splitlines()
    (shuffled / "dict.en.txt").write_text("\n".join(lines[1:] + lines[:1]) + "\n", "utf-8")
    other = tiny.save_verifier(tmp_path / "other.pt", shuffled)
    with pytest.raises(OptionError, match="target dictionary, got 32 types each, but other words"):
        generate(tmp_path, data_bin, verifier, *SPEC, "--drafter", "ar", "--drafter-path", other)
    with pytest.raises(OptionError, match="one token at a time with --drafter ar, got .* a Spec-Drafter: pass .* nat"):
        generate(tmp_path, data_bin, verifier, *SPEC, "--drafter", "ar", "--drafter-path", drafter)
    lstm = tiny.save_random(tmp_path / "lstm.pt", data_bin, arch="lstm")
    with pytest.raises(OptionError, match="must be a model that the engine can run with --drafter ar, got .*LSTM"):
        generate(tmp_path, data_bin, verifier, *SPEC, "--drafter", "ar", "--drafter-path", lstm)


def test_a_drafter_whose_dictionary_is_not_found_is_told_of(data_bin, verifier, tmp_path, caplog):
    student = tiny.save_verifier(tmp_path / "student.pt", data_bin, seed=2)
    state = torch.load(student, weights_only=False)
    state["cfg"]["task"]["data"] = "gone"
    torch.save(state, student)
    generate(tmp_path / "ar", data_bin, verifier, *SPEC, "--drafter", "ar", "--drafter-path", student)
    assert "only its size was compared" in caplog.text


def test_a_verifier_is_no_drafter(data_bin, verifier, tmp_path):
    with pytest.raises(OptionError, match="--drafter-path must be a Spec-Drafter, got .* with arch 'transformer'"):
        generate(tmp_path, data_bin, verifier, *SPEC, "--drafter", "nat", "--drafter-path", verifier)


class Evil:
    """Runs a command when it is unpickled freely."""

    def __reduce__(self):
        return os.system, ("touch unpickled",)


@pytest.mark.parametrize("damage", ["missing", "truncated", "unsafe"])
def test_a_checkpoint_that_cannot_be_read_safely_is_refused(data_bin, verifier, tmp_path, damage, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pt"
    if damage == "truncated":
        path.write_bytes(verifier.read_bytes()[:2000])
    elif damage == "unsafe":
        torch.save({"model": {}, "args": Evil()}, path)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        generate(tmp_path / "out", data_bin, path, *SPEC)
    assert not (tmp_path / "unpickled").exists()


def test_a_source_longer_than_the_models_positions_is_refused_or_skipped(data_bin, tmp_path):
    short = tiny.save_verifier(tmp_path / "short.pt", data_bin, max_source_positions=8)
    with pytest.raises(Exception, match="exceeds max allowed size|--skip-invalid-size-inputs-valid-test"):
        generate(tmp_path / "a", data_bin, short, *SPEC, "--max-source-positions", 8)
    skip = ("--max-source-positions", 8, "--skip-invalid-size-inputs-valid-test")
    lines = generate(tmp_path / "b", data_bin, short, *SPEC, *skip)
    kept = sum(label.startswith("H") for label in lines)
    assert 0 < kept < tiny.SPLITS["test"]


def test_errors_leave_the_process_with_status_1_and_the_message_last(data_bin, verifier):
    done = command("generate", *arguments(data_bin, verifier, *SPEC[:2], "--drafter", "ngram"))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("pass --beam 1 or leave --drafter ngram out.")


WRONG = """
import sys, fairseq_specdec
from fairseq_specdec.search.decode import SpecDecoder
decode = SpecDecoder.decode
def corrupt(self, batch):
    decoded = decode(self, batch)
    decoded.tokens[:, 1] = (decoded.tokens[:, 1] + 1) % 20 + 4
    return decoded
SpecDecoder.decode = corrupt
from fairseq_cli.generate import cli_main
cli_main()
"""


def test_a_wrong_token_makes_the_certificate_fail_the_run(data_bin, verifier, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = tmp_path / "stats.json"
    argv = arguments(data_bin, verifier, *SPEC, "--certify", "--spec-stats", out)
    done = subprocess.run(
        [sys.executable, "-c", WRONG, *argv], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.returncode == 1
    assert json.loads(out.read_text())["certificate"]["wrong"] > 0
    assert "Generate test with beam=1" in done.stdout  # all output is there


@pytest.mark.parametrize("drafter", ["input", "ngram", "file"])
def test_fairseq_interactive_drafts_without_weights(
    joined_data_bin, joined_verifier, joined_stock, guesses, drafter, tmp_path, capsys
):
    lines = (joined_data_bin / "test.de").read_text("utf-8").splitlines()
    (tmp_path / "text").write_text("\n".join([*lines[:4], "", lines[4]]) + "\n", "utf-8")
    argv = arguments(joined_data_bin, joined_verifier, *SPEC, "--drafter", drafter, "--input", tmp_path / "text")
    if drafter == "file":
        known = guesses.read_text("utf-8").splitlines()
        (tmp_path / "guesses").write_text("\n".join([*known[:4], "", known[4]]) + "\n", "utf-8")
        argv += ["--draft-file", str(tmp_path / "guesses"), "--block-size", "64"]
        argv += ["--spec-stats", str(tmp_path / "stats.json")]
    argv += ["--source-lang", tiny.SOURCE, "--target-lang", tiny.TARGET, "--buffer-size", "3", "--batch-size", "3"]
    interactive.main(convert_namespace_to_omegaconf(parse(argv)))
    found = [line.split("\t")[2] for line in capsys.readouterr().out.splitlines() if line.startswith("H-")]
    assert len(found) == 6
    assert [*found[:4], found[5]] == [joined_stock[f"H-{i}"].split("\t")[1] for i in range(5)]
    if drafter == "file":
        gc.collect()  # the statistics are written when the generator goes
        stats = json.loads((tmp_path / "stats.json").read_text())
        assert stats["accepted"] > 4 * 5  # of the five sentences with a guess


def test_padding_typed_in_a_source_is_decoded_as_fairseq_does(joined_data_bin, joined_verifier, tmp_path, capsys):
    words = (joined_data_bin / "test.de").read_text("utf-8").split()
    typed = [f"{words[0]} <pad> {words[1]}", f"<pad> {words[0]} {words[2]}", words[3], "<pad>"]
    (tmp_path / "text").write_text("\n".join(typed) + "\n", "utf-8")
    (tmp_path / "guesses").write_text("t1\n" * len(typed), "utf-8")
    where = ("--source-lang", tiny.SOURCE, "--target-lang", tiny.TARGET, "--buffer-size", "3", "--batch-size", "3")
    outputs = []
    for extra in (STOCK, (*SPEC, "--drafter", "file", "--draft-file", tmp_path / "guesses")):
        argv = arguments(joined_data_bin, joined_verifier, *extra, *where, "--input", tmp_path / "text")
        interactive.main(convert_namespace_to_omegaconf(parse(argv)))
        outputs.append([line.split("\t")[2] for line in capsys.readouterr().out.splitlines() if line.startswith("H-")])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == len(typed)


def test_a_draft_file_of_another_length_is_refused_before_anything_is_decoded(
    joined_data_bin, joined_verifier, guesses, tmp_path
):
    lines = guesses.read_text("utf-8").splitlines()
    for wrong in (lines[:-1], [*lines, ""]):
        (tmp_path / "wrong").write_text("".join(f"{line}\n" for line in wrong), "utf-8")
        message = f"for each sentence of the data, got {len(wrong)} lines in .*wrong but {len(lines)} sentences: "
        with pytest.raises(OptionError, match=message):
            generate(
                tmp_path,
                joined_data_bin,
                joined_verifier,
                *SPEC,
                "--drafter",
                "file",
                "--draft-file",
                tmp_path / "wrong",
            )


def test_fairseq_interactive_takes_the_same_options_buffered_and_with_an_empty_line(data_bin, verifier, drafter):
    text = (data_bin / "test.de").read_text("utf-8").splitlines()[:5]
    lines = "\n".join([*text[:2], "", *text[2:]]) + "\n"
    nat = ("--drafter", "nat", "--drafter-path", drafter)
    outputs = []
    for extra in (STOCK, (*SPEC, *nat, "--buffer-size", 3, "--batch-size", 3)):
        where = ("--source-lang", tiny.SOURCE, "--target-lang", tiny.TARGET)
        done = command("interactive", *arguments(data_bin, verifier, *extra, *where), text=lines)
        assert done.returncode == 0, done.stderr
        outputs.append([line.split("\t")[2] for line in done.stdout.splitlines() if line.startswith("H-")])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 6


def test_eval_bleu_in_fairseq_train_decodes_speculatively(data_bin, tmp_path):
    sizes = ("embed-dim=16", "ffn-embed-dim=16", "layers=1", "attention-heads=2")
    argv = [data_bin, "--user-dir", ROOT / "fairseq_specdec", "--cpu", "--arch", "transformer"]
    argv += [f"--{side}-{size}" for side in ("encoder", "decoder") for size in sizes]
    argv += ["--optimizer", "adam", "--lr", "0.01", "--max-tokens", 500, "--max-epoch", 2, "--num-workers", 0]
    argv += ["--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 20}', "--best-checkpoint-metric", "bleu"]
    argv += ["--maximize-best-checkpoint-metric", "--log-format", "simple"]
    scores = []
    for task in ("translation", "translation_specdec"):
        done = command("train", *argv, "--task", task, "--save-dir", tmp_path / task)
        assert done.returncode == 0, done.stderr
        scores.append(re.findall(r" bleu ([\d.]+)", done.stdout + done.stderr))
    assert scores[0] == scores[1]
    assert len(scores[0]) >= 2
