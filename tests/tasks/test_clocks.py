"""A run gives one output and comes to its end whatever a clock says, for every drafter."""

import time

import pytest

from tests import tiny
from tests.clocks import OF_A_RUN
from tests.tasks.test_translation_specdec import SPEC, generate

DRAFTERS = ["none", "ngram", "input", "nat"]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A corpus with a verifier, a drafter, and what stock fairseq makes of it."""
    folder = tmp_path_factory.mktemp("clocks")
    data = tiny.make_data_bin(folder / "data-bin", joined=True, splits={"train": 4, "test": 30})
    verifier = tiny.save_verifier(folder / "verifier.pt", data, share_all_embeddings=True)
    model, cfg = tiny.build_model(data, arch="spec_drafter_tiny", task="spec_drafter", block_size=6)
    drafter = tiny.save_checkpoint(folder / "drafter.pt", model, cfg)
    stock = generate(folder / "stock", data, verifier, "--task", "translation", "--beam", "1")
    return data, verifier, drafter, tokens_of(stock)


def tokens_of(lines):
    """Return source, target and output of every sentence; scores may differ in their last digits."""
    return {label: line.split("\t")[-1] for label, line in lines.items() if label[0] in "STHD"}


@pytest.mark.parametrize("clock", OF_A_RUN)
@pytest.mark.parametrize("drafter", DRAFTERS)
def test_a_run_gives_the_one_output_under_every_clock(setting, tmp_path, monkeypatch, caplog, drafter, clock):
    data, verifier, trained, expected = setting
    options = ["--drafter", drafter, "--spec-stats", tmp_path / "stats.json"]
    options += ["--drafter-path", trained] if drafter == "nat" else []
    for size in ([], ["--batch-size", 7]):  # all sentences in one batch, as by default, and in some
        with monkeypatch.context() as patch:
            patch.setattr(time, "perf_counter", OF_A_RUN[clock]())  # fairseq's meters read it, too
            found = generate(tmp_path / f"{len(size)}", data, verifier, *SPEC, *options, *size)
        assert tokens_of(found) == expected
    assert "choosing how many tokens to draft failed" not in caplog.text
