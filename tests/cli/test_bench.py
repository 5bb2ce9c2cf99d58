import json

import pytest

from fairseq_specdec.bench.systems import FairseqSystem, SpecSystem
from fairseq_specdec.cli.main import main
from tests import tiny

FIELDS = [
    *("system", "batch_size", "sentences", "tokens", "seconds", "spread", "tokens_per_second", "p50_ms", "p95_ms"),
    *(
        "speedup_vs_fairseq",
        "speedup_vs_none",
        "speedup_vs_same_beam",
        "acceptance_length",
        "metric",
        "identical",
        "identical_same_beam",
        "peak_memory_mb",
    ),
    *("device", "dtype", "note"),
]


@pytest.fixture
def bench(data_bin, verifier, capsys):
    """Run the command; returns the status, what it printed and what it said on stderr."""

    def run(*arguments, path=verifier):
        capsys.readouterr()
        given = [str(data_bin), "--path", str(path), "--cpu", "--repeats", "1", "--limit", "6", *arguments]
        status = main(["bench", *given])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_rows_are_those_of_the_contract(bench, data_bin, tmp_path):
    pytest.importorskip("matplotlib")
    nat = tiny.save_random(tmp_path / "nat.pt", data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=5)
    path, chart = tmp_path / "out.json", tmp_path / "out.png"
    names = ["fairseq", "fairseq-beam2", "none", "none:beam=2", "nat", "nat:beta=3:tau=1"]
    status, printed, _ = bench(
        *("--drafter-path", str(nat), "--systems", ",".join(names), "--batch-sizes", "1,4", "--repeats", "2"),
        *("--remove-bpe", "--threads", "1", "--json", str(path), "--plot", str(chart)),
    )
    found = json.loads(path.read_text("utf-8"))
    assert status == 0
    assert (found["device"], found["dtype"], found["threads"]) == ("cpu", "float32", 1)
    assert {"python", "torch", "fairseq", "fairseq-specdec", "layers"} <= set(found["versions"])
    assert (found["missing"], found["metric"]) == ([], "bleu")
    rows = {(row["system"], row["batch_size"]): row for row in found["rows"]}
    assert list(rows) == [(name, size) for size in (1, 4) for name in names]
    for (name, size), row in rows.items():
        assert list(row) == FIELDS
        assert row["sentences"] == 6
        assert row["spread"][0] <= row["seconds"] <= row["spread"][1]
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / row["seconds"])
        assert (row["p95_ms"] is not None) == (size == 1)
        assert 0 <= row["metric"]["bleu"] <= 100
        assert (row["acceptance_length"] is None) == name.startswith("fairseq")
    for size in (1, 4):
        assert [rows[name, size]["identical"] for name in ("fairseq", "none", "nat")] == [1.0, 1.0, 1.0]
        assert rows["fairseq", size]["speedup_vs_fairseq"] == rows["none", size]["speedup_vs_none"] == 1.0
        assert rows["none", size]["acceptance_length"] == 1.0
        assert rows["none:beam=2", size]["identical_same_beam"] == 1.0
        assert rows["none:beam=2", size]["speedup_vs_same_beam"] > 0
        assert (rows["none", size]["beam"], rows["none", size]["identical_same_beam"]) == (1, None)
    assert printed.splitlines()[0] == "6 sentences of test; cpu, float32, 1 threads; median of 2 passes in turn"
    assert printed.count("nat:beta=3:tau=1 *") == 2
    assert "* fairseq-beam2: beam 2; " in printed
    assert chart.stat().st_size > 1000


def test_what_speed_ups_refer_to_is_added_and_said(bench):
    status, printed, said = bench("--systems", "none", "--batch-sizes", "8")
    assert status == 0
    assert "specdec bench: also running fairseq: speed-ups refer to them" in said
    assert [line.split()[0] for line in printed.splitlines()[4:]] == ["fairseq", "none"]


def test_drafters_that_are_not_named_are_chosen_by_what_the_checkpoint_is(bench, data_bin, verifier, tmp_path):
    nat = tiny.save_random(tmp_path / "nat.pt", data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=5)
    for path, chosen in ((nat, "nat"), (verifier, "ar")):
        status, printed, _ = bench("--drafter-path", str(path), "--batch-sizes", "8")
        assert status == 0
        assert [line.split()[0] for line in printed.splitlines()[4:8]] == ["fairseq", "none", "ngram", chosen]
    status, _, said = bench("--drafter-path", str(tmp_path / "none.pt"))
    assert (status, "--drafter-path: Cannot open the checkpoint" in said) == (2, True)


def test_failure_of_one_system_keeps_the_other_rows(bench, monkeypatch, tmp_path):
    def fail(self, batch):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(SpecSystem, "decode", fail)
    path = tmp_path / "out.json"
    status, printed, said = bench("--systems", "fairseq,none", "--batch-sizes", "4,8", "--json", str(path))
    rows = json.loads(path.read_text("utf-8"))["rows"]
    assert status == 1
    assert [row.get("error") for row in rows] == [None, "out of memory"] * 2
    assert "failed: none at batch size 8: out of memory" in printed
    assert "specdec bench: failed: none at batch size 4: out of memory" in said


def test_interrupt_keeps_the_batch_sizes_that_were_measured(bench, monkeypatch, tmp_path):
    decode = FairseqSystem.decode

    def interrupted(self, batch):
        if len(batch.ids) > 1:
            raise KeyboardInterrupt
        return decode(self, batch)

    monkeypatch.setattr(FairseqSystem, "decode", interrupted)
    path = tmp_path / "out.json"
    status, printed, said = bench("--systems", "fairseq,none", "--batch-sizes", "1,4,8", "--json", str(path))
    found = json.loads(path.read_text("utf-8"))
    assert status == 130
    assert ({row["batch_size"] for row in found["rows"]}, found["missing"]) == ({1}, [4, 8])
    assert f"batch sizes 4, 8 are missing; what is there: {path}" in said
    assert len(printed.splitlines()) == 6


def test_every_wrong_option_is_listed(bench, tmp_path):
    status, printed, said = bench(
        *("--batch-sizes", "1,x", "--repeats", "0", "--batch-size", "4", "--beam", "4", "--beta", "3", "--certify"),
        *("--num-shards", "2", "--threads", "0"),
    )
    assert (status, printed) == (2, "")
    for reason in (
        "--batch-sizes must be numbers from 1 with commas between, got '1,x'",
        "--repeats must be at least 1, got 0",
        "--threads must be at least 1, got 0",
        "--batch-size has no place in a benchmark, got 4: pass --batch-sizes.",
        "--beam is set by each system, got 4: pass --systems fairseq-beam4.",
        "--beta has no place in a benchmark, got 3: write it behind a system.",
        "--certify has no place in a benchmark, got True: run specdec certify.",
        "--num-shards has no place in a benchmark, got 2: pass --limit for fewer sentences.",
    ):
        assert f"specdec bench: error: {reason}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "nta"], "--systems: unknown system 'nta'. Did you mean 'nat'?"),
        (
            ["--json", "/nowhere/out.json"],
            "--json must be a file that can be written, got /nowhere/out.json, which must be in an existing folder",
        ),
        (["--fp16", "--bf16"], "--fp16 and --bf16 exclude each other, got both: leave one out."),
        (["--gen-subset", "tset"], "--gen-subset must be a split of DATA_BIN, got tset"),
        (["--path", "/nowhere.pt"], "Cannot open the checkpoint /nowhere.pt"),
    ],
)
def test_wrong_value_is_refused_with_the_remedy(bench, arguments, message):
    status, _, said = bench("--systems", "fairseq,none", *arguments)
    assert status == 2
    assert f"specdec bench: error: {message}" in said


def test_verifier_must_be_named(data_bin, capsys):
    assert main(["bench", str(data_bin)]) == 2
    assert "--path must name the checkpoint of the verifier, got nothing" in capsys.readouterr().err


def test_data_folder_must_exist(verifier, capsys):
    assert main(["bench", "/nowhere", "--path", str(verifier)]) == 2
    assert "DATA_BIN must be a folder that fairseq-preprocess wrote, got /nowhere" in capsys.readouterr().err


def test_unknown_option_ends_the_command(data_bin, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", str(data_bin), "--path", "x", "--batchsizes", "1"])
    assert "specdec bench: error: unrecognized arguments: --batchsizes 1" in capsys.readouterr().err
