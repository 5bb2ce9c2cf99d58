"""Print the folder of the installed package, which fairseq finds from anywhere: --user-dir "$(specdec user-dir)"."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``specdec user-dir`` has no options."""


def run(args: argparse.Namespace) -> int:
    """Print the folder; returns 0."""
    print(Path(__file__).absolute().parents[1])
    return 0
