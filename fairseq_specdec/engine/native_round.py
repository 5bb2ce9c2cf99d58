"""What follows a pass on a CPU by compiled code: one call where torch takes a dozen for a handful of numbers.

The functions do what `acceptance.accept_exact` and `DecodeState.commit` do, and these say what that is.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from fairseq_specdec.engine.native import library


class _CRound(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "block", "symbols")),
        *((name, ctypes.c_void_p) for name in ("draft", "drafted")),
        ("draft_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("lprobs", "accepted", "next_token")),
    ]


class _CState(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tokens", "scores", "lengths", "finished")),
        *((name, ctypes.c_int64) for name in ("capacity", "eos", "max_len")),
    ]


def can_run(lprobs: Tensor) -> bool:
    """Say whether compiled code can look at these scores."""
    return lprobs.device.type == "cpu" and lprobs.is_contiguous() and library() is not None


def accept_exact(draft: Tensor, drafted: Tensor, lprobs: Tensor) -> tuple[Tensor, Tensor]:
    """Accept draft tokens as long as each is the best.

    Args:
        draft: [B, K] int64.
        drafted: [B] int64, how many of them count.
        lprobs: [B, K + 1, V] float32.

    Returns:
        how many stand and the token after them, each [B] int64.
    """
    accepted, following = torch.empty_like(drafted), torch.empty_like(drafted)
    round_ = _round(draft, drafted, lprobs, accepted, following)
    library().specdec_accept_exact(ctypes.byref(round_))
    return accepted, following


def commit(
    rows: tuple[Tensor, Tensor, Tensor, Tensor],
    ends: tuple[int, int],
    draft: tuple[Tensor, Tensor],
    verdict: tuple[Tensor, Tensor],
    lprobs: Tensor,
) -> Tensor:
    """Append what stands and the token after it to the rows, in place.

    Args:
        rows: tokens [B, T] int64, scores [B, T] float32, lengths [B] int64, finished [B] bool.
        ends: the id of eos, and the step at which it is forced.
        draft: tokens [B, K] and lengths [B] int64.
        verdict: how many stand and the token after them, each [B] int64.
        lprobs: [B, K + 1, V] float32.

    Returns:
        [5, B] int64: lengths, finished, tokens kept, drafted, accepted.
    """
    tokens, scores, lengths, finished = rows
    state = _CState(
        tokens.data_ptr(), scores.data_ptr(), lengths.data_ptr(), finished.data_ptr(), tokens.size(1), *ends
    )
    status = lengths.new_empty(5, lengths.size(0))
    round_ = _round(*draft, lprobs, *verdict)
    library().specdec_commit(ctypes.byref(round_), ctypes.byref(state), status.data_ptr())
    return status


def _round(draft: Tensor, drafted: Tensor, lprobs: Tensor, accepted: Tensor, following: Tensor) -> _CRound:
    n_rows, width, symbols = lprobs.shape
    assert draft.stride(1) == 1 or width == 1
    return _CRound(
        n_rows,
        width - 1,
        symbols,
        draft.data_ptr(),
        drafted.data_ptr(),
        draft.stride(0),
        lprobs.data_ptr(),
        accepted.data_ptr(),
        following.data_ptr(),
    )
