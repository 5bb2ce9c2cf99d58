import json
import re
import shutil
from argparse import Namespace

import pytest
from fairseq import checkpoint_utils, tasks

from fairseq_specdec.cli.main import main
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask
from tests import tiny


@pytest.fixture(scope="module")
def log(data_bin, verifier, tmp_path_factory):
    """Log of a plain greedy run of stock fairseq-generate."""
    return tiny.fairseq_generate(data_bin, verifier, tmp_path_factory.mktemp("log"))


@pytest.fixture
def certify(data_bin, verifier, capsys):
    """Run the command with --json; returns the status and the object, or the status and the errors."""

    def run(log, *arguments, path=verifier, data=data_bin):
        capsys.readouterr()
        status = main(["certify", str(data), "--path", str(path), "--gen", str(log), "--json", *arguments])
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if status < 2 else printed.err

    return run


def edited(log, folder, edit):
    """Write a copy of a log with its lines changed."""
    path = folder / "edited.log"
    path.write_text("".join(f"{edit(line)}\n" for line in log.read_text("utf-8").splitlines()), "utf-8")
    return path


def test_greedy_log_is_certified_token_by_token(certify, log):
    status, found = certify(log)
    scores = [line.split("\t")[1].split() for line in log.read_text("utf-8").splitlines() if line.startswith("P-")]
    assert status == 0
    assert found["tokens"] == sum(map(len, scores)) == found["exact"] + found["near_tie"]
    assert found["wrong"] == 0
    assert found["largest_gap"] < 1e-4
    assert (found["sentences"], found["device"], found["dtype"]) == (len(scores), found["device"], "float32")


def test_counts_are_those_of_the_generators_own_certificate(certify, log, data_bin, verifier):
    cfg = TranslationSpecDecConfig(data=str(data_bin), certify=True, dataset_impl=None, required_seq_len_multiple=1)
    task = TranslationSpecDecTask.setup_task(cfg)
    task.load_dataset("test")
    models, _ = checkpoint_utils.load_model_ensemble([str(verifier)], task=task)
    generator = task.build_spec_generator(models, Namespace(beam=1))
    tiny.read_hypotheses(generator, models, task, batch_size=40)
    found = certify(log)[1]
    for count in ("tokens", "exact", "near_tie", "wrong"):
        assert generator.stats.certificate[count] == found[count]


@pytest.mark.parametrize(
    ("arguments", "matters"),
    [
        pytest.param(["--max-len-b", "5"], True, id="max_len_b"),
        pytest.param(["--max-len-a", "0.5", "--max-len-b", "1", "--batch-size", "3"], True, id="max_len_a"),
        pytest.param(["--min-len", "9"], True, id="min_len"),
        pytest.param(["--prefix-size", "2"], True, id="prefix"),
        pytest.param(["--match-source-len"], True, id="match_source_len"),
        pytest.param(["--unkpen", "-3"], True, id="unkpen"),
        pytest.param(["--temperature", "0.7"], False, id="temperature"),
    ],
)
def test_options_of_the_run_are_needed_for_its_certificate(certify, data_bin, verifier, tmp_path, arguments, matters):
    log = tiny.fairseq_generate(data_bin, verifier, tmp_path, *arguments)
    assert certify(log, *arguments)[0] == 0
    assert certify(log)[0] == int(matters)


def test_ensemble_is_certified(certify, data_bin, verifier, tmp_path):
    path = f"{verifier}:{tiny.save_verifier(tmp_path / 'other.pt', data_bin, seed=2)}"
    log = tiny.fairseq_generate(data_bin, path, tmp_path / "log", "--batch-size", "8")
    assert certify(log, "--batch-size", "8", path=path)[0] == 0
    assert certify(log, "--batch-size", "8")[0] == 1


def test_one_wrong_token_is_found(data_bin, verifier, log, tmp_path, capsys):
    def swap(line):
        if not line.startswith("H-7\t"):
            return line
        head, _, tokens = line.rpartition("\t")
        first, *rest = tokens.split(" ")
        return head + "\t" + " ".join(["t9" if first == "t8" else "t8", *rest])

    status = main(["certify", str(data_bin), "--path", str(verifier), "--gen", str(edited(log, tmp_path, swap))])
    printed = capsys.readouterr()
    assert status == 1
    assert printed.out.startswith("certificate of 40 sentences: ")
    assert " 0 wrong" not in printed.out
    assert "wrong tokens are expected when" in printed.err


def test_log_without_subwords_is_refused_with_the_remedy(certify, data_bin, verifier, tmp_path):
    status, error = certify(tiny.fairseq_generate(data_bin, verifier, tmp_path, "--post-process", "@@ "))
    assert status == 2
    assert "symbols of the target dictionary in its H lines" in error
    assert "--gen must hold a score in P for each token of H and for eos" in error
    assert error.count("run fairseq-generate without --post-process (--remove-bpe)") == 2


def test_unk_in_the_log_is_a_symbol(certify, log, tmp_path):
    def put_unk(line):
        head, _, tokens = line.rpartition("\t")
        return head + "\t" + " ".join(["<unk>", *tokens.split(" ")[1:]]) if line.startswith("H-7\t") else line

    assert certify(edited(log, tmp_path, put_unk))[0] == 1


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("STHD", "--gen must hold H and P lines"),
        ("STP", "--gen must hold H and P lines"),
    ],
)
def test_log_that_lacks_lines_is_refused(certify, log, tmp_path, keep, message):
    path = tmp_path / "part.log"
    lines = [line for line in log.read_text("utf-8").splitlines() if line[0] in keep]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    status, error = certify(path)
    assert (status, message in error) == (2, True)


def test_log_of_another_split_is_refused(certify, log, data_bin, verifier, tmp_path):
    status, error = certify(log, "--gen-subset", "valid")
    assert status == 2
    assert (
        "must be the log of split valid with its 12 sentences, got 40 up to sentence 39, counted from 0: pass" in error
    )
    other = tiny.make_data_bin(tmp_path / "other", seed=5)
    status, error = certify(log, data=other)
    assert status == 2
    assert "but S-0 is " in error


def test_missing_split_is_refused(certify, log):
    status, error = certify(log, "--gen-subset", "test9")
    assert status == 2
    assert "--gen-subset must be a split of DATA_BIN, got test9" in error


def test_missing_data_is_refused(certify, log, tmp_path):
    status, error = certify(log, data=tmp_path / "none")
    assert status == 2
    assert "DATA_BIN must be the folder" in error
    (tmp_path / "empty").mkdir()
    status, error = certify(log, data=tmp_path / "empty")
    assert status == 2
    assert "--source-lang and --target-lang must be given" in error


def test_checkpoint_that_cannot_be_used_is_refused(certify, log, data_bin, tmp_path):
    status, error = certify(log, path=tmp_path / "none.pt")
    assert status == 2
    assert "none.pt" in error
    lstm = tiny.save_random(tmp_path / "lstm.pt", data_bin, arch="lstm_wiseman_iwslt_de_en")
    status, error = certify(log, path=lstm)
    assert status == 2
    assert "its decoder must be fairseq's TransformerDecoder, but is LSTMDecoder" in error


def test_output_longer_than_the_models_positions_is_refused(certify, log, data_bin, tmp_path):
    short = tiny.save_random(tmp_path / "short.pt", data_bin, max_target_positions=9, decoder_learned_pos=True)
    status, error = certify(log, path=short)
    assert status == 2
    assert "--gen must hold outputs of at most 9 tokens, eos counted" in error


def test_statistics_of_the_run_are_completed(certify, log, tmp_path):
    path = tmp_path / "stats.json"
    path.write_text(json.dumps({"drafter": "nat", "certificate": None}), "utf-8")
    found = certify(log, "--spec-stats", str(path))[1]
    stats = json.loads(path.read_text("utf-8"))
    assert stats["drafter"] == "nat"
    assert stats["certificate"] == {name: found[name] for name in stats["certificate"]}
    assert stats["certificate"]["wrong"] == 0
    path.unlink()
    certify(log, "--spec-stats", str(path))
    assert json.loads(path.read_text("utf-8"))["certificate"] == stats["certificate"]


def test_file_that_is_no_statistics_is_refused_and_kept(certify, log, tmp_path):
    path = tmp_path / "stats.json"
    for text in ("certificate", "[]"):
        path.write_text(text, "utf-8")
        status, error = certify(log, "--spec-stats", str(path))
        assert (status, "--spec-stats must " in error) == (2, True)
        assert path.read_text("utf-8") == text
    status, error = certify(log, "--spec-stats", str(tmp_path / "none" / "stats.json"))
    assert (status, "--spec-stats must be in an existing folder" in error) == (2, True)


def test_logs_of_all_shards_make_one_certificate(data_bin, verifier, log, tmp_path, capsys):
    lines = log.read_text("utf-8").splitlines(keepends=True)
    for shard in (0, 1):
        kept = [line for line in lines if line[1] == "-" and int(line[2:].split("\t")[0]) % 2 == shard]
        (tmp_path / f"{shard}.log").write_text("".join(kept), "utf-8")
    shards = [str(tmp_path / "0.log"), str(tmp_path / "1.log")]
    assert main(["certify", str(data_bin), "--path", str(verifier), "--gen", *shards]) == 0


def test_sentences_that_the_log_lacks_are_named_and_the_others_certified(certify, log, tmp_path, data_bin, verifier):
    lines = [line for line in log.read_text("utf-8").splitlines() if not re.match(r"[STHDP]-(3|17|39)\t", line)]
    path = tmp_path / "gaps.log"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    status, found = certify(path)
    assert (status, found["sentences"], found["missing"], found["wrong"]) == (0, 37, 3, 0)
    assert "missing" not in certify(log)[1]


def test_skipped_sentences_leave_the_batches_of_the_others_alone(data_bin, tmp_path, capsys):
    short = tiny.save_random(tmp_path / "short.pt", data_bin, max_source_positions=12)
    skip = ["--skip-invalid-size-inputs-valid-test", "--batch-size", "8", "--max-len-a", "0.5", "--max-len-b", "1"]
    log = tiny.fairseq_generate(data_bin, short, tmp_path / "log", *skip, "--max-source-positions", "12")
    ids = {int(line[2:].split("\t")[0]) for line in log.read_text("utf-8").splitlines() if line.startswith("H-")}
    assert 0 < len(ids) < 40
    arguments = ["certify", str(data_bin), "--path", str(short), "--gen", str(log), *skip[1:]]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"certificate of {len(ids)} sentences: ")
    skipped = sorted(set(range(40)) - ids)
    named = ", ".join(map(str, skipped[:10]))
    assert f"{len(skipped)} of 40 sentences are not in the log ({named}" in printed.err
    assert main([*arguments, "--max-source-positions", "6"]) == 2
    assert "pass the run's --max-source-positions" in capsys.readouterr().err


def test_symbols_that_the_dictionary_has_twice_are_told_apart_by_the_verifier(certify, data_bin, tmp_path):
    twins = tiny.with_twins(data_bin, tmp_path / "twins")
    path = tiny.save_verifier(tmp_path / "v.pt", twins)
    log = tiny.fairseq_generate(twins, path, tmp_path / "log")
    models, cfg = checkpoint_utils.load_model_ensemble([str(path)])
    task = tasks.setup_task(cfg.task)
    task.load_dataset("test")
    generator = task.build_generator(models, Namespace(beam=1))
    found = tiny.read_hypotheses(generator, models, task, batch_size=40)
    ids = [i for _, hypothesis in found for i in hypothesis["tokens"].tolist()]
    symbols = task.target_dictionary
    assert sum(symbols.index(symbols[i]) != i for i in ids) > 9  # the log alone says another id
    status, certificate = certify(log, path=path, data=twins)
    assert (status, certificate["tokens"], certificate["wrong"]) == (0, len(ids), 0)


def test_overrides_of_the_run_reach_the_checkpoint(certify, log, data_bin, tmp_path):
    path = tiny.save_verifier(tmp_path / "short.pt", data_bin, max_target_positions=9)
    assert "at most 9 tokens" in certify(log, path=path)[1]
    overrides = ["--model-overrides", "{'max_target_positions': 64}"]
    longer = tiny.fairseq_generate(data_bin, path, tmp_path / "log", *overrides)
    assert certify(longer, *overrides, path=path)[0] == 0
    for wrong in ("max_target_positions=64", "[64]"):
        status, error = certify(log, "--model-overrides", wrong)
        assert (status, "--model-overrides must be a dictionary of Python, got" in error) == (2, True)


def test_data_paths_joined_by_colons_are_those_of_the_run(certify, log, data_bin, tmp_path):
    shutil.copytree(data_bin, tmp_path / "shard2")
    assert certify(log, data=f"{data_bin}:{tmp_path / 'shard2'}")[0] == 0
    status, error = certify(log, data=f"{data_bin}:{tmp_path / 'shard3'}")
    assert (status, f"got {tmp_path / 'shard3'}: check the path" in error) == (2, True)


def test_certificate_needs_no_target_text(certify, log, data_bin, tmp_path):
    sources = tmp_path / "sources"
    shutil.copytree(data_bin, sources)
    for path in sources.glob("test.de-en.en.*"):
        path.unlink()
    assert certify(log, data=sources)[0] == 0
