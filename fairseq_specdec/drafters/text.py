"""Text files for drafters: guesses, and a corpus to look things up in."""

from __future__ import annotations

import logging
import sys
from array import array
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from fairseq_specdec.evaluation.text import read_lines

logger = logging.getLogger(__name__)
MANY_UNKNOWN = 0.2  # more than this share of unknown symbols is worth a warning


def read_token_lines(dictionary: Any, option: str, path: str) -> list[Tensor]:
    """Read text whose lines are symbols of a dictionary with spaces between, as fairseq's data is.

    Args:
        dictionary: fairseq's.
        option: the option that named the file, for messages.
        path: the file.

    Returns:
        ids [n] int64 of each line, eos at the end; an empty line is an eos.

    Raises:
        OptionError: the file cannot be read as UTF-8 text.
    """
    return [torch.tensor(ids) for ids in _read(dictionary, option, path)]


def read_tokens(dictionary: Any, option: str, path: str) -> Tensor:
    """Read such text as one row of ids [n] int32, an eos behind each line; see `read_token_lines`."""
    found = array("i")
    for ids in _read(dictionary, option, path):
        found.extend(ids)
    return torch.tensor(found, dtype=torch.int32, device="cpu")


def _read(dictionary: Any, option: str, path: str) -> Iterator[list[int]]:
    """Yield the ids of each line; at the end warn where many are unknown."""
    lines = read_lines(option, path)
    index, unk, eos = dictionary.indices, dictionary.unk(), dictionary.eos()
    n_unknown = n_tokens = 0
    for line in tqdm(lines, desc=option, disable=len(lines) < 10_000 or not sys.stderr.isatty()):
        ids = [index.get(symbol, unk) for symbol in line.split()]
        n_unknown, n_tokens = n_unknown + ids.count(unk), n_tokens + len(ids) + 1
        yield [*ids, eos]
    if n_unknown > MANY_UNKNOWN * n_tokens:
        logger.warning(
            "%s %s: %d symbols are not in the dictionary; its lines must be split into subwords as the data is",
            option,
            path,
            n_unknown,
        )
