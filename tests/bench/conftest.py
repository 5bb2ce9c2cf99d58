from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_specdec.bench.data import BenchData
from fairseq_specdec.bench.load import load as load_shared
from fairseq_specdec.cli import bench


@pytest.fixture(scope="session")
def load(data_bin: Path, verifier: Path) -> Callable[..., tuple[Any, BenchData]]:
    """Return what systems share, and the data, for some options of fairseq-generate."""

    def load(*options: str, path: Path = verifier, data: Path = data_bin) -> tuple[Any, BenchData]:
        parser = argparse.ArgumentParser()
        bench.add_arguments(parser)
        args = bench.parse(parser, [str(data), "--path", str(path), "--cpu", *options])
        loaded = load_shared(args.fairseq)
        return loaded, BenchData(loaded.cfg, loaded.task, loaded.models, args.limit)

    return load
