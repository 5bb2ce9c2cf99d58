"""What surrounds a pass on a CPU by compiled code: one call where torch takes a dozen for a handful of numbers.

The functions do what `acceptance.accept_exact`, `DecodeState.trim`, `DecodeState.commit` and `GuidedDrafter.propose`
do, and these say what that is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from fairseq_specdec.engine.native.library import library


class _CRound(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "block", "symbols")),
        *((name, ctypes.c_void_p) for name in ("draft", "drafted")),
        ("draft_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("lprobs", "accepted", "next_token", "before", "totals")),
    ]


class _CGuide(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "width", "block")),
        *((name, ctypes.c_void_p) for name in ("guide", "lengths", "tokens")),
        ("capacity", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("n_tokens", "place", "draft", "drafted")),
    ]


class CState(ctypes.Structure):
    """The rows of a batch; see State in csrc/round.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tokens", "scores", "lengths", "finished")),
        *((name, ctypes.c_int64) for name in ("capacity", "eos", "max_len")),
    ]


def can_run(tensor: Tensor) -> bool:
    """Say whether compiled code can look at this tensor."""
    return tensor.device.type == "cpu" and tensor.is_contiguous() and library() is not None


def trim(drafted: Tensor, lengths: Tensor, finished: Tensor, max_len: int, limit: int) -> tuple[Tensor, int]:
    """Cut drafts to ``limit`` tokens and to what rows have room for.

    Args:
        drafted: [B] int64, draft tokens of each row.
        lengths: [B] int64, tokens of each row.
        finished: [B] bool.
        max_len: step at which eos is forced.
        limit: most draft tokens.

    Returns:
        how many are left [B] int64, and the greatest of that.
    """
    trimmed = torch.empty_like(lengths)
    longest = library().specdec_trim(
        lengths.numel(),
        drafted.data_ptr(),
        lengths.data_ptr(),
        finished.data_ptr(),
        max_len,
        limit,
        trimmed.data_ptr(),
    )
    return trimmed, longest


def copy_guide(
    guide: tuple[Tensor, Tensor], place: Tensor, rows: tuple[Tensor, Tensor], block_size: int, is_placed: bool
) -> tuple[Tensor, Tensor]:
    """Copy from where the output has got to, by the edit-aware rule.

    Args:
        guide: [B, G] int64, -1 behind each row's end, and its lengths [B].
        place: [B] int64, the guide's token that the last output token stands for; becomes the place to go on.
        rows: tokens [B, T] and lengths [B] int64.
        block_size: K.
        is_placed: place is where to go on already.

    Returns:
        tokens [B, K] and how many of them count [B], int64.
    """
    n_rows, width = guide[0].shape
    tokens, drafted = place.new_empty(n_rows, block_size), torch.empty_like(place)
    struct = _CGuide(
        n_rows,
        width,
        block_size,
        guide[0].data_ptr(),
        guide[1].data_ptr(),
        rows[0].data_ptr(),
        rows[0].size(1),
        rows[1].data_ptr(),
        place.data_ptr(),
        tokens.data_ptr(),
        drafted.data_ptr(),
    )
    library().specdec_copy_guide(ctypes.byref(struct), is_placed)
    return tokens, drafted


def accept_exact(
    draft: tuple[Tensor, Tensor], lprobs: Tensor, before: Tensor, settle: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Accept draft tokens as long as each is the best.

    Args:
        draft: tokens [B, K] and how many of them count [B], int64.
        lprobs: [B, K + 1, V] float32.
        before: [B] float32, the score of each row.
        settle: says which of equal scores is taken: [n, V] float32, the row's score added -> [n] int64.

    Returns:
        how many stand and the token after them, each [B] int64, and the score of each row with them [B] float32.
    """
    accepted, following, totals = torch.empty_like(draft[1]), torch.empty_like(draft[1]), torch.empty_like(before)
    round_ = ctypes.byref(_round(*draft, lprobs, accepted, following, before.data_ptr(), totals.data_ptr()))
    begin, accept = True, library().specdec_accept_exact
    while accept(round_, begin):
        begin, rows = False, accepted.lt(0).nonzero().squeeze(1)  # stopped by equal scores
        following[rows] = settle(lprobs[rows, -1 - accepted[rows]] + totals[rows, None])
    return accepted, following, totals


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
    state = CState(tokens.data_ptr(), scores.data_ptr(), lengths.data_ptr(), finished.data_ptr(), tokens.size(1), *ends)
    status = lengths.new_empty(5, lengths.size(0))
    round_ = _round(*draft, lprobs, *verdict)
    library().specdec_commit(ctypes.byref(round_), ctypes.byref(state), status.data_ptr())
    return status


def _round(
    draft: Tensor, drafted: Tensor, lprobs: Tensor, accepted: Tensor, following: Tensor, *totals: int
) -> _CRound:
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
        *totals,
    )
