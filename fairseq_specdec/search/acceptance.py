"""Acceptance rules: which draft tokens stand, and which token follows them. Pure functions of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor

from fairseq_specdec.blocks import DraftBlock, Verdict
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.search.ties import best_of_equals, choose, totals_before

AcceptRule = Callable[[DraftBlock, Tensor, Tensor], Verdict]


def accept_exact(draft: DraftBlock, lprobs: Tensor, totals: Tensor) -> Verdict:
    """Accept draft tokens as long as each is the verifier's own choice, equal scores decided as by fairseq.

    Args:
        draft: tokens [B, K] int64, lengths [B] int64.
        lprobs: [B, K + 1, V] float32, the verifier's constrained scores.
        totals: [B] float32, the score of each row before the block.

    Returns:
        Verdict whose tokens are those of greedy decoding, whatever the draft.
    """
    if rounds.can_run(lprobs):
        return Verdict(*rounds.accept_exact((draft.tokens, draft.lengths), lprobs, totals, _settle))
    before = totals_before(totals, draft.tokens, lprobs)  # [B, K + 1]
    best = choose(lprobs, before)  # [B, K + 1]
    if best.size(1) == 1:  # nothing was drafted
        verdict = Verdict(draft.lengths, best.squeeze(1))
    else:
        verdict = _verdict(draft.tokens.eq(best[:, :-1]) & draft.mask, best)
    where = verdict.n_accepted[:, None]
    own = lprobs.gather(-1, best[..., None]).squeeze(-1) + before  # [B, K + 1]
    return Verdict(*verdict[:2], own.gather(1, where).squeeze(1))


def accept_top_beta(
    draft: DraftBlock, lprobs: Tensor, totals: Tensor | None = None, *, beta: int, tau: float
) -> Verdict:
    """Accept a draft token ranked in the verifier's top ``beta`` and at most ``tau`` below its best.

    Args:
        draft: tokens [B, K] int64, lengths [B] int64.
        lprobs: [B, K + 1, V] float32, the verifier's constrained scores.
        totals: not looked at: this need not be any system's greedy output, so ties go to any.
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


def _settle(totals: Tensor) -> Tensor:
    """Return which of equal totals is taken. totals: [n, V] float32 -> [n] int64."""
    return best_of_equals(totals)[:, 0]


def _verdict(ok: Tensor, best: Tensor) -> Verdict:
    """Cut at the first draft token that is not ok. ok: [B, K] bool; best: [B, K + 1] int64."""
    bifurcation = ok.cumprod(dim=1).sum(dim=1)  # [B], first rejected position, K if none
    return Verdict(bifurcation, best.gather(1, bifurcation[:, None]).squeeze(1))
