"""Text files for drafters: guesses, and a corpus to look things up in."""

from __future__ import annotations

import logging
import sys
from typing import Any

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
    lines = read_lines(option, path)
    shown = tqdm(lines, desc=option, disable=len(lines) < 10_000 or not sys.stderr.isatty())
    read = [dictionary.encode_line(line, add_if_not_exist=False).long() for line in shown]
    unknown = sum(int(ids.eq(dictionary.unk()).sum()) for ids in read)
    if unknown > MANY_UNKNOWN * sum(ids.numel() for ids in read):
        logger.warning(
            "%s %s: %d symbols are not in the dictionary; its lines must be split into subwords as the data is",
            option,
            path,
            unknown,
        )
    return read
