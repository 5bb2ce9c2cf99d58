"""Look-up of n-grams on a CPU by compiled code: `drafters.ngram` and what it is made of say what it means."""

from __future__ import annotations

import ctypes
from typing import Protocol

import torch
from torch import Tensor

from fairseq_specdec.engine.native.library import library


class _CTable(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("max_n", "size")),
        *((name, ctypes.c_void_p) for name in ("key", "next", "hits", "total", "vote")),
    ]


class _CCorpus(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("places", "depth", "eos", "symbols")),
        *((name, ctypes.c_void_p) for name in ("text", "order", "begins")),
    ]


class _CRows(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "block", "width", "capacity", "eos", "depth")),
        *((name, ctypes.c_void_p) for name in ("source", "tokens", "lengths", "outcomes", "kind", "counted")),
        *((name, ctypes.c_void_p) for name in ("draft", "drafted")),
    ]


Table = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # key, next, hits, total, vote: each [N * size] int64


class SortedText(Protocol):
    """A corpus, see `drafters.corpus.Corpus`."""

    text: Tensor
    order: Tensor
    begins: Tensor
    n_symbols: int
    eos: int


class Lookups:
    """Drafts from the longest of three matches: in the row's own text, in the table, in a corpus.

    Args:
        table: of n-grams; its tensors are kept.
        max_n: N, longest match in the row and in the table.
        corpus: or None; likewise.
        depth: longest match in the corpus.
        outcomes: of drafts by their kind, see `drafters.outcomes`: [4, 3 * (depth + 1)] float32.
    """

    def __init__(self, table: Table, max_n: int, corpus: SortedText | None, depth: int, outcomes: Tensor) -> None:
        self.looked_at = 0  # places of the corpus, for the last draft
        self._kept = table, corpus, outcomes
        self._depth, self._outcomes, self._n_kinds = depth, outcomes.data_ptr(), outcomes.size(1)
        self._table = ctypes.byref(_c_table(table, max_n))
        self._corpus = None
        if corpus is not None:
            parts = (corpus.text, corpus.order, corpus.begins)
            assert all(part.is_contiguous() for part in parts)
            sizes = (corpus.order.numel(), depth, corpus.eos, corpus.n_symbols)
            self._corpus = ctypes.byref(_CCorpus(*sizes, *(part.data_ptr() for part in parts)))

    def draft(
        self, source: Tensor, rows: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor], shape: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Draft.

        Args:
            source: [B, W] int64, -1 behind each row's end.
            rows: tokens [B, T] and lengths [B] int64.
            asked: [B] int64 each, filled with the kind of the draft, and with its tokens that count.
            shape: K, and the id of eos.

        Returns:
            tokens [B, K] and how many of them count [B], int64.
        """
        (tokens, lengths), (block_size, eos) = rows, shape
        assert all(part.is_contiguous() for part in (source, tokens, lengths, *asked))
        n_rows, width = source.shape
        found, drafted = tokens.new_empty(n_rows, block_size), torch.empty_like(lengths)
        struct = _CRows(
            n_rows,
            block_size,
            width,
            tokens.size(1),
            eos,
            self._depth,
            source.data_ptr(),
            tokens.data_ptr(),
            lengths.data_ptr(),
            self._outcomes,
            asked[0].data_ptr(),
            asked[1].data_ptr(),
            found.data_ptr(),
            drafted.data_ptr(),
        )
        self.looked_at = library().specdec_ngram_draft(self._table, self._corpus, ctypes.byref(struct))
        return found, drafted

    def judge(self, asked: tuple[Tensor, Tensor], kept: Tensor) -> None:
        """Count what a round made of its drafts.

        Args:
            asked: see `draft`.
            kept: [B] int64, tokens that each row was given.
        """
        kept, (kind, counted) = kept.contiguous(), asked
        pointers = kind.data_ptr(), counted.data_ptr(), kept.data_ptr()
        library().specdec_ngram_judge(kind.numel(), *pointers, self._n_kinds, self._outcomes)


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
    library().specdec_ngram_add(ctypes.byref(_c_table(table, max_n)), eos, *sentences)


def _c_table(table: Table, max_n: int) -> _CTable:
    assert all(part.is_contiguous() for part in table)
    return _CTable(max_n, table[0].numel() // max_n, *(part.data_ptr() for part in table))
