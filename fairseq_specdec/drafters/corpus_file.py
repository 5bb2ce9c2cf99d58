"""Corpora for look-ups: read from text, or from a file that holds one sorted, which is mapped into memory."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.corpus import DEPTH, Corpus
from fairseq_specdec.drafters.text import read_tokens
from fairseq_specdec.files import write_whole

OPTION = "--ngram-corpus"
SUFFIX = ".ngram"
MAGIC = b"specdec ngram index\n"
HEADER = 512  # bytes: the magic, then JSON, then spaces; the arrays follow, text and order
_AGAIN = "make it again with specdec index"


def read_corpus(dictionary: Any, path: str) -> Corpus:
    """Read a corpus: text is sorted, which takes some seconds a million lines; what `write_corpus` wrote is mapped.

    Args:
        dictionary: fairseq's, of the target side.
        path: of the file.

    Raises:
        OptionError: it cannot be read, is cut short or damaged, or was made with another dictionary.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEADER)
    except OSError as error:
        value = f"{path} ({(error.strerror or str(error)).lower()})"
        raise _refused("be a readable file", value, "check the path") from error
    if head.startswith(MAGIC):
        return _load(dictionary, path, head)
    return Corpus.of(read_tokens(dictionary, OPTION, path), len(dictionary), dictionary.eos())


def write_corpus(corpus: Corpus, dictionary: Any, path: str) -> None:
    """Write a sorted corpus, 8 bytes a token; a later run of a model with the same dictionary maps it.

    Raises:
        OSError: it cannot be written.
    """
    arrays = [_bytes(corpus.text), _bytes(corpus.order)]
    told = {
        "depth": DEPTH,
        "symbols": len(dictionary),
        "dictionary": _digest(dictionary.symbols),
        "eos": corpus.eos,
        "tokens": corpus.n_places,
        "checksum": _checksum(arrays),
    }
    head = (MAGIC + json.dumps(told).encode()).ljust(HEADER - 1) + b"\n"

    def write(file: Path) -> None:
        with open(file, "wb") as out:
            for part in (head, *arrays):
                out.write(part)

    write_whole(path, write)


def _load(dictionary: Any, path: str, head: bytes) -> Corpus:
    try:
        told = json.loads(head.removeprefix(MAGIC))
        depth, n_symbols, digest, eos, n, checksum = (told[name] for name in (
            "depth", "symbols", "dictionary", "eos", "tokens", "checksum"
        ))  # fmt: skip
        size, expected = Path(path).stat().st_size, HEADER + 4 * (2 * n + 1)
    except (ValueError, KeyError, TypeError) as error:
        raise _refused("be a whole index", f"{path}, whose first {HEADER} bytes are damaged", _AGAIN) from error
    if depth != DEPTH:
        raise _refused(f"be an index of this version (depth {DEPTH})", f"{path} with depth {depth}", _AGAIN)
    if size != expected:
        raise _refused("be a whole index", f"{path} with {size} of {expected} bytes", _AGAIN)
    # tasks of many languages add symbols at the end of the dictionary's, which change no id
    if len(dictionary) < n_symbols or _digest(dictionary.symbols[:n_symbols]) != digest or eos != dictionary.eos():
        raise _refused(
            "be an index made with the model's target dictionary",
            f"{path}, made with another of {n_symbols} symbols where this one has {len(dictionary)}",
            "make one with specdec index TEXT --dict DATA_BIN/dict.LANG.txt",
        )
    # private: pages of the file, shared by all who read it, and none of them can be written to
    whole = torch.from_file(path, shared=False, size=size, dtype=torch.uint8)[HEADER:].view(torch.int32)
    text, order = whole[: n + 1], whole[n + 1 :]
    if _checksum([_bytes(text), _bytes(order)]) != checksum:
        raise _refused("be a whole index", f"{path}, whose content is damaged", _AGAIN)
    return Corpus(text, order, len(dictionary), eos)


def _refused(rule: str, value: str, remedy: str) -> OptionError:
    return OptionError([f"{OPTION} must {rule}, got {value}: {remedy}."])


def _digest(symbols: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(symbols).encode()).hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.numpy()).cast("B")


def _checksum(arrays: list[memoryview]) -> int:
    found = 0
    for array in arrays:
        found = zlib.crc32(array, found)
    return found
