"""Acceptance rules: which draft tokens stand, and which token follows them. Pure functions of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor

from fairseq_specdec.blocks import DraftBlock, Verdict
from fairseq_specdec.engine.native import rounds

AcceptRule = Callable[[DraftBlock, Tensor], Verdict]


def accept_exact(draft: DraftBlock, lprobs: Tensor) -> Verdict:
    """Accept draft tokens as long as each is the verifier's own choice.

    Args:
        draft: tokens [B, K] int64, lengths [B] int64.
        lprobs: [B, K + 1, V] float32, the verifier's constrained scores.

    Returns:
        Verdict whose tokens are those of greedy decoding, whatever the draft.
    """
    if rounds.can_run(lprobs):
        return Verdict(*rounds.accept_exact(draft.tokens, draft.lengths, lprobs))
    best = lprobs.argmax(-1)  # [B, K + 1]; a tie goes to the same token here and when it is added later
    if best.size(1) == 1:  # nothing was drafted
        return Verdict(draft.lengths, best.squeeze(1))
    return _verdict(draft.tokens.eq(best[:, :-1]) & draft.mask, best)


def accept_top_beta(draft: DraftBlock, lprobs: Tensor, beta: int, tau: float) -> Verdict:
    """Accept a draft token ranked in the verifier's top ``beta`` and at most ``tau`` below its best.

    Args:
        draft: tokens [B, K] int64, lengths [B] int64.
        lprobs: [B, K + 1, V] float32, the verifier's constrained scores.
        beta: rank bound, at least 1.
        tau: bound on the gap to the best score, inclusive.

    Returns:
        Verdict; the token after the accepted ones is the verifier's best. This is another system than greedy.

    Source: the relaxed verification of SpecDec (Xia et al., 2023).
    """
    head = lprobs[:, :-1]  # [B, K, V]
    score = head.gather(-1, draft.tokens[..., None])  # [B, K, 1]
    rank = (head > score).sum(dim=-1)  # [B, K], 0 = the verifier's own choice
    gap = head.amax(dim=-1) - score.squeeze(-1)  # [B, K], the same on logits and log-probabilities
    possible = score.squeeze(-1) > -math.inf
    return _verdict((rank < beta) & (gap <= tau) & possible & draft.mask, lprobs.argmax(-1))


def accept_rule(beta: int, tau: float) -> AcceptRule:
    """Return the rule for these settings: exact for beta 1, else top-beta within tau."""
    return accept_exact if beta == 1 else partial(accept_top_beta, beta=beta, tau=tau)


def _verdict(ok: Tensor, best: Tensor) -> Verdict:
    """Cut at the first draft token that is not ok. ok: [B, K] bool; best: [B, K + 1] int64."""
    bifurcation = ok.cumprod(dim=1).sum(dim=1)  # [B], first rejected position, K if none
    return Verdict(bifurcation, best.gather(1, bifurcation[:, None]).squeeze(1))
