"""A whole draft of an autoregressive decoder on a CPU, by compiled code in one call.

`engine.draft_decoder` says what it is, and does it with torch.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.engine.kv_cache import CrossCache, KVCache
from fairseq_specdec.engine.native.decoder import NativeDecoder
from fairseq_specdec.engine.native.library import library


class _CDrafts(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "block")),
        *((name, ctypes.c_void_p) for name in ("tokens", "lengths")),
        ("capacity", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("known", "before", "draft", "margins", "drafted", "tried", "right")),
        *((name, ctypes.c_int64) for name in ("made", "pad", "eos")),
    ]


class Drafts(NamedTuple):
    """The last draft of every row, and what its decoder's cache holds.

    Args:
        known: [B] int64, positions of which the cache has keys and values.
        before: [B] int64, the rows' lengths when the draft was made.
        tokens: [B, K] int64.
        margins: [B, K] int64, the class of how far each token was ahead of the second best.
        lengths: [B] int64, how many of the tokens count.
    """

    known: Tensor
    before: Tensor
    tokens: Tensor
    margins: Tensor
    lengths: Tensor


def draft(
    decoder: NativeDecoder,
    caches: tuple[KVCache, CrossCache],
    rows: tuple[Tensor, Tensor],
    last: tuple[Drafts, int],
    trust: Tensor,
    special: tuple[int, int],
    ask: tuple[int, float],
) -> int:
    """Learn from the last draft, and make the next one in its place.

    Args:
        decoder: of any kind that compiled code runs.
        caches: of the decoder itself, planned for the draft, and of the source.
        rows: tokens [B, T] and lengths [B] int64: what stands.
        last: the last draft, and how many tokens a row it had.
        trust: [2, classes] float64, tokens of each class of margins that were tried, and those that were right.
        special: ids of pad and eos.
        ask: most tokens a row; and rows in which a further token has to be expected to be right.

    Returns:
        how many tokens a row the draft has.

    Raises:
        IndexError: a token is none of the embedding's.
    """
    (own, source), (tokens, lengths), (drafts, made) = caches, rows, last
    assert all(part.is_contiguous() for part in (tokens, lengths, *drafts, trust))
    struct = _CDrafts(
        *drafts.tokens.shape,
        tokens.data_ptr(),
        lengths.data_ptr(),
        tokens.size(1),
        *(part.data_ptr() for part in (*drafts, *trust)),
        made,
        *special,
    )
    keys, stores, extent = own.native()
    n = library().specdec_draft(
        decoder.address,
        ctypes.byref(struct),
        *ask,
        stores,
        keys,
        source.native(),
        extent,
        torch.get_num_threads(),
    )
    if n < 0:
        raise decoder.unknown_token(tokens)
    return n
