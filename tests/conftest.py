"""Fixtures that many tests share; what they make is read only."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import fairseq_specdec  # noqa: F401 (repairs and registrations come first)
from fairseq_specdec import device
from fairseq_specdec.engine.native import library as native
from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny matrices are slower on several threads, here and in processes that tests start."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def messages_pass() -> None:
    """Log as under fairseq's commands, whose import of fairseq lets all messages through."""
    logging.getLogger().setLevel(logging.INFO)


@pytest.fixture(params=["native", "torch"])
def layers_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the layers by compiled code, then by torch."""
    if request.param == "torch":
        monkeypatch.setenv(native.DISABLE, "1")
    native.library.cache_clear()
    assert (native.library() is None) == (request.param == "torch"), "the compiled layers are missing: make install"
    yield request.param
    native.library.cache_clear()


@pytest.fixture
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Treat the CPU as a GPU is; see `tests.tape`."""
    monkeypatch.setattr(device, "reads_freely", lambda tensor: False)
    monkeypatch.setenv(native.DISABLE, "1")  # compiled code is not seen by a tape
    native.library.cache_clear()
    yield
    native.library.cache_clear()


@pytest.fixture(scope="session")
def data_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny data-bin folder de-en with two dictionaries; splits train, valid, test."""
    return tiny.make_data_bin(tmp_path_factory.mktemp("data") / "data-bin")


@pytest.fixture(scope="session")
def joined_data_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one dictionary for both languages."""
    return tiny.make_data_bin(tmp_path_factory.mktemp("data") / "joined", joined=True)


@pytest.fixture(scope="session")
def verifier(data_bin: Path) -> Path:
    """Checkpoint of a lively random Transformer for ``data_bin``."""
    return tiny.save_verifier(data_bin.parent / "verifier.pt", data_bin)


@pytest.fixture(scope="session")
def joined_verifier(joined_data_bin: Path) -> Path:
    """Checkpoint of a lively random Transformer with one embedding table, for ``joined_data_bin``."""
    return tiny.save_verifier(joined_data_bin.parent / "verifier.pt", joined_data_bin, share_all_embeddings=True)
