"""Look-up of n-grams on a CPU by compiled code: `drafters.ngram` and `drafters.ngram_table` say what it means."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from fairseq_specdec.engine.native.library import library


class _CTable(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("max_n", "size")),
        *((name, ctypes.c_void_p) for name in ("key", "next", "hits", "total", "vote")),
    ]


class _CRows(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "block", "width", "capacity", "eos")),
        *((name, ctypes.c_void_p) for name in ("source", "tokens", "lengths", "tried", "right", "asked")),
        *((name, ctypes.c_void_p) for name in ("draft", "drafted")),
    ]


Table = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # key, next, hits, total, vote: each [N * size] int64


def draft(
    table: Table,
    source: Tensor,
    rows: tuple[Tensor, Tensor],
    trust: tuple[Tensor, Tensor],
    asked: Tensor,
    shape: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Draft from the longer of two matches, in the row's own text and in the table.

    Args:
        table: of n-grams.
        source: [B, W] int64, -1 behind each row's end.
        rows: tokens [B, T] and lengths [B] int64.
        trust: copies tried and right, by the length of the match, each [N + 1] float32.
        asked: [B] int64; filled with the length of the match that was copied from, else 0.
        shape: K, and the id of eos.

    Returns:
        tokens [B, K] and how many of them count [B], int64.
    """
    (tokens, lengths), (block_size, eos) = rows, shape
    assert all(part.is_contiguous() for part in (*table, source, tokens, lengths, *trust, asked))
    n_rows, width = source.shape
    found, drafted = tokens.new_empty(n_rows, block_size), torch.empty_like(lengths)
    struct = _CRows(
        n_rows,
        block_size,
        width,
        tokens.size(1),
        eos,
        *(part.data_ptr() for part in (source, tokens, lengths, *trust, asked, found, drafted)),
    )
    library().specdec_ngram_draft(ctypes.byref(_table(table, trust[0].numel() - 1)), ctypes.byref(struct))
    return found, drafted


def judge(asked: Tensor, kept: Tensor, trust: tuple[Tensor, Tensor]) -> None:
    """Count how often copies were right at their first token.

    Args:
        asked: [B] int64, length of the match that each row's draft was copied from, else 0.
        kept: [B] int64, tokens that each row was given.
        trust: copies tried and right, see `draft`; changed in place.
    """
    kept, (tried, right) = kept.contiguous(), trust
    arguments = (asked.numel(), asked.data_ptr(), kept.data_ptr(), tried.numel(), tried.data_ptr(), right.data_ptr())
    library().specdec_ngram_judge(*arguments)


def add(table: Table, max_n: int, eos: int, tokens: Tensor, lengths: Tensor) -> None:
    """Count what follows every n-gram of some sentences, in the table.

    Args:
        table: changed in place.
        max_n: N.
        eos: id that stands before a sentence's first token.
        tokens: [B, T] int64, anything behind a row's length.
        lengths: [B] int64.
    """
    tokens, lengths = tokens.contiguous(), lengths.contiguous()
    sentences = (*tokens.shape, tokens.data_ptr(), lengths.data_ptr())
    library().specdec_ngram_add(ctypes.byref(_table(table, max_n)), eos, *sentences)


def _table(table: Table, max_n: int) -> _CTable:
    return _CTable(max_n, table[0].numel() // max_n, *(part.data_ptr() for part in table))
