"""A step of beam search on a CPU by compiled code: `search.beam_state` says what it means, and does it with torch."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from fairseq_specdec.engine.native.library import address, library
from fairseq_specdec.engine.native.rules import c_rules
from fairseq_specdec.rules.limits import Limits


class _CBeams(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("sentences", "width", "beam", "step", "capacity")),
        *((name, ctypes.c_void_p) for name in ("tokens", "totals", "slots")),
    ]


class CCandidates(ctypes.Structure):
    """Candidates as the library takes them."""

    _fields_ = [("n", ctypes.c_int64), *((name, ctypes.c_void_p) for name in ("scores", "tokens", "beams", "tied"))]


class _CFollowing(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tokens", "totals", "slots", "last")),
        ("used", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("ended_tokens", "ended_scores", "ended_totals", "ended_lengths")),
        *((name, ctypes.c_void_p) for name in ("n_ended", "finished")),
    ]


Beams = tuple[Tensor, Tensor, Tensor]  # tokens [S, b, T] int64, totals [S, b, T] float32, slots [S, b, T] int32
Candidates = tuple[Tensor, Tensor, Tensor]  # scores [S, 2b] float32, tokens [S, 2b] int64, beams [S, 2b] int64


def rank(limits: Limits, beams: Beams, step: int, lprobs: Tensor) -> tuple[Candidates, Tensor | None]:
    """Edit scores by the options and find the best candidates of each sentence.

    Args:
        limits: the options of the batch.
        beams: contiguous.
        step: index of the token that is chosen.
        lprobs: [S, N, V] float32, contiguous; edited in place.

    Returns:
        the candidates, best first, and which sentences have equal scores among them ([S] bool; None: no one has).
    """
    n_sentences, beam, _ = beams[0].shape
    _check_prefix(limits, step, lprobs.size(2))
    scores = lprobs.new_empty(n_sentences, 2 * beam)
    tokens, parents = scores.new_empty(2, n_sentences, 2 * beam, dtype=torch.int64)
    tied = scores.new_empty(n_sentences, dtype=torch.bool)
    rules = c_rules(limits)
    out = CCandidates(2 * beam, *map(address, (scores, tokens, parents, tied)))
    n_tied = library().specdec_rank(
        ctypes.byref(rules),
        ctypes.byref(_beams(beams, step, lprobs.size(1))),
        lprobs.data_ptr(),
        lprobs.size(2),
        ctypes.byref(out),
        torch.get_num_threads(),
    )
    return (scores, tokens, parents), tied if n_tied else None


def advance(
    limits: Limits, beams: Beams, step: int, candidates: Candidates, following: Beams, last: Tensor, ended: list[Tensor]
) -> int:
    """End hypotheses and go on with the best others.

    Args:
        limits: the options of the batch.
        beams: as they were before the step.
        step: index of the token that was chosen.
        candidates: as of `rank`.
        following: filled with the beams after the step.
        last: [S, b] int64, filled with their newest tokens.
        ended: the parts of an `NBest` with one place more than b, and which sentences are finished [S] bool.

    Returns:
        how many sentences are finished.
    """
    beam = last.size(1)
    rules, used = c_rules(limits), 1 + step * beam
    return library().specdec_advance(
        ctypes.byref(rules),
        ctypes.byref(_beams(beams, step, 1 if step == 0 else beam)),
        ctypes.byref(CCandidates(2 * beam, *map(address, candidates), None)),
        ctypes.byref(_CFollowing(*map(address, following), address(last), used, *map(address, ended))),
    )


def _check_prefix(limits: Limits, step: int, symbols: int) -> None:
    if limits.prefix is None or step >= limits.prefix.size(1):
        return
    lowest, highest = (int(end) for end in limits.prefix[:, step].aminmax())
    if lowest < 0 or highest >= symbols:
        raise IndexError(f"ids of a prefix must be in 0..{symbols - 1}, got {lowest}..{highest}: check its dictionary.")


def _beams(beams: Beams, step: int, width: int) -> _CBeams:
    n_sentences, beam, capacity = beams[0].shape
    return _CBeams(n_sentences, width, beam, step, capacity, *map(address, beams))
