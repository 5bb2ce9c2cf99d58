"""The quickstart on the models and the text that the repository ships, a few sentences of them."""

import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_specdec.compat import load_checkpoint
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "train")]

import halve  # noqa: E402
import quickstart  # noqa: E402

SHIPPED = ROOT / "checkpoints" / "quickstart"


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What a run over four sentences printed, and its folder."""
    folder = tmp_path_factory.mktemp("quickstart")
    said = io.StringIO()
    with redirect_stdout(said):
        quickstart.main(["--sentences", "4", "--warmup", "0", "--out", str(folder)])
    return said.getvalue(), folder


@pytest.mark.parametrize("job", quickstart.JOBS, ids=lambda job: job.name)
def test_every_exact_system_says_what_fairseq_says_and_drafts_are_taken(printed, job):
    text, folder = printed
    rows = {row["system"]: row for row in json.loads((folder / f"{job.name}.json").read_text())["rows"]}
    assert set(rows) == set(quickstart.labels(job))
    for system in job.systems:
        row = rows[system]
        assert row["sentences"] == 4 and row["metric"][job.metric] > 20
        assert quickstart.compared(row)[1] == 1.0
    assert rows["none"]["acceptance_length"] == 1.0
    assert rows[list(job.systems)[-1]]["acceptance_length"] > 1.5
    assert all(label in text for label in quickstart.labels(job).values())


def test_the_data_of_the_quickstart_serves_fairseq_generate(printed, tmp_path):
    _, folder = printed
    stock = ("--task", "translation", "--cpu", "--no-progress-bar", "--remove-bpe", "sentencepiece")
    log = tiny.fairseq_generate(folder / "translation", SHIPPED / "verifier.pt", tmp_path, *stock).read_text()
    assert log.count("\nH-") == 4


def test_numbers_below_one_are_refused():
    with pytest.raises(SystemExit):
        quickstart.main(["--sentences", "0"])


def test_what_is_shipped_is_small_and_names_no_machine():
    assert sum(path.stat().st_size for path in SHIPPED.glob("*.pt")) <= 16e6  # the agreed size
    for path in SHIPPED.glob("*.pt"):
        state = load_checkpoint(str(path))
        assert all(tensor.dtype == torch.float16 for tensor in state["model"].values() if tensor.is_floating_point())
        assert "last_optimizer_state" not in state
        assert not any(b in path.read_bytes() for b in (b"/work", b"/home", b"/tmp", b"runs/"))


def test_a_halved_checkpoint_decodes_in_float32_and_holds_tied_weights_once(joined_data_bin, tmp_path):
    model, cfg = tiny.build_model(joined_data_bin, share_all_embeddings=True)
    whole = tiny.save_checkpoint(tmp_path / "whole.pt", model, cfg)
    torch.save(halve.halve(load_checkpoint(str(whole))), tmp_path / "half.pt")
    assert (tmp_path / "half.pt").stat().st_size < 0.6 * whole.stat().st_size
    overrides = {"data": str(joined_data_bin)}
    (loaded,), saved, _ = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "half.pt")], overrides)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            assert loaded.state_dict()[name].dtype == torch.float32
            assert torch.equal(loaded.state_dict()[name], tensor.half().float()), name


def test_paths_are_emptied_at_any_depth():
    given = {"data": "/a/b", "inner": [{"save_dir": "runs/x"}], "lr": [0.1], "arch": "transformer"}
    cleaned = {"data": "", "inner": [{"save_dir": ""}], "lr": [0.1], "arch": "transformer"}
    assert halve.without_paths(given) == cleaned
