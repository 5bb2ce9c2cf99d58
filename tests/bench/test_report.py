import builtins
import json

import pytest

from fairseq_specdec.bench.report import check_file, check_plot, is_marked, notes, plot, table, write_json
from fairseq_specdec.config import OptionError


def make_row(system="none", batch_size=1, **changes):
    row = {
        "system": system,
        "beam": 1,
        "batch_size": batch_size,
        "sentences": 40,
        "tokens": 500,
        "seconds": 2.0,
        "spread": [1.5, 2.5],
        "tokens_per_second": 250.0,
        "p50_ms": 40.0 if batch_size == 1 else None,
        "p95_ms": 90.0 if batch_size == 1 else None,
        "speedup_vs_fairseq": 1.5,
        "speedup_vs_none": 1.0,
        "speedup_vs_same_beam": None,
        "acceptance_length": 1.0,
        "metric": {"bleu": 34.123, "signature": "x"},
        "identical": 1.0,
        "identical_same_beam": None,
        "peak_memory_mb": 99.6,
        "device": "cpu",
        "dtype": "float32",
        "note": None,
    }
    return row | changes


FAILED = dict.fromkeys(make_row()) | {"system": "nat", "beam": 1, "batch_size": 8, "dtype": "float32"}
FAILED |= {"error": "out of memory"}


def test_table_has_a_line_for_each_row():
    head, rule, line = table([make_row()], "bleu").splitlines()
    assert head.split()[:4] == ["system", "batch", "tokens", "seconds"]
    assert set(rule) == {"-"}
    assert line.split() == (
        "none 1 500 2.000 (1.500 to 2.500) 250 40.0 90.0 1.50 1.00 1.00 34.12 1.000 100 float32".split()
    )


def test_numbers_of_a_metric_stand_together():
    rouge = {"rouge1": {"f": 40.0}, "rouge2": {"f": 18.5}}
    assert " 40.00/18.50 " in table([make_row(metric=rouge)], "rouge")
    assert " - " in table([make_row(metric=None)], "bleu")


@pytest.mark.parametrize(
    ("changes", "marked"),
    [({}, False), ({"identical": None}, False), ({"identical": 0.975}, True), ({"note": "beam 5"}, True)],
)
def test_row_of_another_output_is_marked(changes, marked):
    row = make_row(**changes)
    assert is_marked(row) is marked
    assert (" *" in table([row], "bleu")) is marked


def test_notes_say_why_and_how_many_outputs_differ():
    relaxed = {"system": "nat:beta=3", "note": "relaxed acceptance"}
    found = notes([
        make_row(),
        make_row(**relaxed, identical=0.9),
        make_row(**relaxed, batch_size=8, identical=0.5),
        make_row("nat", identical=0.975),
        make_row("fairseq-beam5", note="beam 5"),
        make_row("none:beam=5", note="beam 5", beam=5, identical=0.5, identical_same_beam=0.975),
        FAILED,
    ])  # fmt: skip
    assert found == [
        "* nat:beta=3: relaxed acceptance; outputs that differ from fairseq greedy: 4 of 40 (batch size 1), 20 of 40 "
        "(batch size 8).",
        "* nat: near-ties that flip, or a fault; outputs that differ from fairseq greedy: 1 of 40 (batch size 1).",
        "* fairseq-beam5: beam 5; no output differs.",
        "* none:beam=5: beam 5; outputs that differ from fairseq greedy: 20 of 40 (batch size 1), from fairseq's "
        "beam 5 1.",
        "failed: nat at batch size 8: out of memory",
    ]


def test_table_has_a_line_for_a_failure():
    assert table([make_row(), FAILED], "bleu").splitlines()[3].split()[:4] == ["nat", "8", "-", "failed"]


def test_json_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "out.json"
    write_json(str(path), {"rows": [1]})
    with pytest.raises(TypeError):
        write_json(str(path), {"rows": [object()]})
    assert json.loads(path.read_text()) == {"rows": [1]}


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(
        OptionError, match="--json must be a file that can be written, got .* must be in an existing folder"
    ):
        check_file("--json", str(tmp_path / "none" / "out.json"))
    with pytest.raises(OptionError, match="--json"):
        check_file("--json", str(tmp_path))
    check_file("--json", None)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_chart_is_drawn(tmp_path, kind):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"plot.{kind}"
    check_plot(str(path))
    sizes = (1, 8)
    plot(str(path), [make_row(name, size) for size in sizes for name in ("fairseq", "none")] + [FAILED])
    assert path.stat().st_size > 1000
    plot(str(path), [make_row(batch_size=8)])  # no latencies, one chart
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_kind_of_chart_that_nobody_draws_is_refused(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(OptionError, match="--plot must end in one of .*png.*, got .*plot.bmp"):
        check_plot(str(tmp_path / "plot.bmp"))


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(OptionError, match=r'--plot needs .*pip install "fairseq-specdec\[bench\]"'):
        check_plot(str(tmp_path / "plot.png"))
