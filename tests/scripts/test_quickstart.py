"""The quickstart from end to end in its smallest size, its table and its progress lines."""

import io
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "quickstart"))

import errors  # noqa: E402
import progress  # noqa: E402
import report  # noqa: E402

from fairseq_specdec.evaluation.generate_log import GeneratedSentence  # noqa: E402

EXACT = ["fairseq-greedy", "none", "nat"]


def run_quickstart(*options: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(ROOT / "scripts" / "quickstart.sh"), *options]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quickstart") / "run"
    for name in ("text", "pieces", "data"):  # what an interrupted run leaves behind
        (out / f"{name}.part").mkdir(parents=True)
        (out / f"{name}.part" / "train.en").write_text("half a fi")
    result = run_quickstart("--tiny", "--out", str(out))
    assert result.returncode == 0, result.stderr
    (out / "stdout").write_text(result.stdout)
    return out


def test_the_quickstart_ends_with_a_table_of_translation_and_one_of_correction(folder: Path) -> None:
    rows = json.loads((folder / "report.json").read_text())["rows"]
    corrected = json.loads((folder / "correction.json").read_text())["rows"]
    assert [row["system"] for row in rows] == ["fairseq-beam5", *EXACT, "nat-beta3-tau1"]
    assert [row["system"] for row in corrected] == ["fairseq-greedy", "none", "input"]
    assert all(row["identical"] == 1.0 for row in rows if row["system"] in EXACT)
    assert all(row["identical"] == 1.0 for row in corrected)
    assert [row["acceptance_length"] for row in rows[:3]] == [None, 1.0, 1.0]
    assert "gleu" in corrected[0]["metric"] and "signature" in rows[0]["metric"]
    assert all(label in (folder / "stdout").read_text() for label, _ in report.SYSTEMS.values())
    assert not list(folder.rglob("*.part"))
    assert len((folder / "text" / "train.en").read_text().splitlines()) == 300


def test_a_second_run_reuses_what_is_there(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*")}
    (folder / "report.json").unlink()
    result = run_quickstart("--tiny", "--out", str(folder))
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("done before") == 16
    assert (folder / "report.json").exists()
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*")} == before


def test_a_failing_step_shows_its_log_and_leaves_no_result(tmp_path: Path) -> None:
    for name in ("text", "pieces"):
        (tmp_path / name).mkdir()
    result = run_quickstart("--tiny", "--out", str(tmp_path))
    assert result.returncode != 0
    assert 'step "fairseq-preprocess" failed; the end of' in result.stderr
    assert "No such file or directory" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "reason"), [(["--fast"], "unknown option '--fast'"), (["--out"], "needs a folder")]
)
def test_bad_options_are_refused(options: list[str], reason: str) -> None:
    result = run_quickstart(*options)
    assert result.returncode == 2 and reason in result.stderr


def sentence(index: int, hypothesis: str) -> GeneratedSentence:
    return GeneratedSentence(index, "▁a", "▁er ▁ge ht ▁nach ▁Hause .", hypothesis)


def test_rows_are_measured_against_fairseq_greedy() -> None:
    right, wrong = "▁er ▁ge ht ▁nach ▁Hause .", "▁er ▁ge ht ▁nach ▁Berlin ."
    runs = {
        "fairseq-greedy": report.Run([sentence(0, right), sentence(1, wrong)], 6.0, 1.0),
        "nat": report.Run([sentence(0, right), sentence(1, right)], 2.0, 3.5),
    }
    greedy, nat = report.compare(runs)
    assert (greedy.speedup, greedy.identical) == (1.0, 1.0)
    assert (nat.speedup, nat.identical, nat.acceptance_length) == (3.0, 0.5, 3.5)
    assert nat.metric["bleu"] == pytest.approx(100.0) and greedy.metric["bleu"] < nat.metric["bleu"]
    line = report.table([greedy, nat]).splitlines()[-1]
    assert re.fullmatch(r"this package, nat +100.0 +3.50 +2.0 +3.00x +50.0%", line)


def test_a_run_that_took_no_time_has_no_speed_up() -> None:
    runs = {name: report.Run([sentence(0, "▁er")], 0.0, 1.0) for name in ("fairseq-greedy", "nat")}
    rows = report.compare(runs)
    assert [row.speedup for row in rows] == [None, None]
    assert report.table(rows).splitlines()[-1].split()[-2:] == ["-", "100.0%"]


def test_pieces_join_to_text() -> None:
    assert report.join_pieces("▁er ▁ge ht ▁nach ▁Hau se .") == "er geht nach Hause."


def test_the_relaxed_system_is_labelled_as_another_one() -> None:
    row = report.Row("nat-beta3-tau1", {"bleu": 50.0}, 4.0, 1.0, 3.0, 0.9, False)
    assert report.NOTE in report.table([row]) and " *" in report.table([row])


def test_an_unfinished_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fairseq-greedy.log").write_text("S-0\ta\nT-0\tb\nH-0\t-0.1\tb\nD-0\t-0.1\tb\nP-0\t-0.1 -0.1\n")
    with pytest.raises(report.OptionError, match="Translated"):
        report.read_run(tmp_path, "fairseq-greedy")


def test_progress_lines_say_what_matters() -> None:
    training = "x | INFO | train_inner | epoch 002:     50 / 216 loss=3.81, nll_loss=2.36, num_updates=266, lr=0.1"
    generation = "x | INFO | fairseq.logging.progress_bar | :     25 / 400 wps=120"
    plain = (
        "INFO:fairseq.logging.progress_bar::     30 / 400 wps=120"  # what fairseq's log looks like after basicConfig
    )
    validation = "x | INFO | valid | epoch 001 | valid on 'valid' subset | loss 4.2 | acceptance_length 2.5 | wps 1"
    assert progress.describe(training) == "update 266, loss 3.81"
    assert progress.describe(generation) == "batch 25 of 400"
    assert progress.describe(plain) == "batch 30 of 400"
    assert progress.describe(validation) == "validation loss 4.2, acceptance length 2.5"
    assert progress.describe("H-3\t-0.1\t▁er | 1 / 2 Uhr") is None


def test_the_log_keeps_every_line() -> None:
    log, screen = io.StringIO(), io.StringIO()
    progress.follow(io.StringIO("a\nloss=1.0, num_updates=5\n"), log, screen, every=0.0)
    assert log.getvalue() == "a\nloss=1.0, num_updates=5\n"
    assert screen.getvalue().startswith("      update 5, loss 1.0, ")


def test_errors_are_those_of_learners_and_the_same_for_a_seed() -> None:
    clean = "Die Ärzte haben gestern den Hund gesehen, weil sie nach Berlin reisten."
    wrong = [errors.with_errors(random.Random(seed), clean) for seed in range(200)]
    assert wrong == [errors.with_errors(random.Random(seed), clean) for seed in range(200)]
    assert 0.1 < wrong.count(clean) / 200 < 0.3
    assert len(set(wrong)) > 100
    for rule, _ in errors.RULES:
        words = clean.split()
        assert any(rule(random.Random(seed), words) for seed in range(5)) and words != clean.split(), rule
