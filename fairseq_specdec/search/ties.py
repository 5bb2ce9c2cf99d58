"""Which of equal scores comes first: the one that fairseq takes.

fairseq adds the score of what is there already (float32) to a token's, and takes the best two of each beam by `topk`.
Scores that differ can be equal then: next to -133 all within 1.5e-5 are. Which of them `topk` gives first has no rule
that one could follow (on a CPU it is not always the first), so the same call is made for the same numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fairseq_specdec import device


def best_of_equals(totals: Tensor, k: int = 2) -> Tensor:
    """Return where the best k are, as fairseq's search ranks them; 2b of a sentence with b beams.

    Args:
        totals: [..., n] float32, what fairseq ranks: constrained scores with the beam's total added.
        k: how many fairseq asks for, at most.

    Returns:
        [..., k] int64, best first.
    """
    return torch.topk(totals, min(k, totals.size(-1) - 1)).indices  # fairseq leaves one out, so that it is never pad


def choose(scores: Tensor, totals: Tensor) -> Tensor:
    """Return the token that fairseq's greedy search takes.

    Args:
        scores: [..., V] float32, constrained log-probabilities without NaN.
        totals: [...] float32, the score of the output before each.

    Returns:
        [...] int64.
    """
    if not device.reads_freely(scores):
        return best_of_equals(scores + totals[..., None])[..., 0]
    highest, best = scores.max(-1)
    top = highest + totals
    tied = ((scores + totals[..., None]).eq(top[..., None]).sum(-1) > 1) & (top > -math.inf)
    if tied.any():
        best[tied] = best_of_equals(scores[tied] + totals[tied][:, None])[:, 0]
    return best


def totals_before(totals: Tensor, tokens: Tensor, scores: Tensor) -> Tensor:
    """Return the score of the output before each position of a block, if the tokens before it stand.

    Args:
        totals: [B] float32, before the block.
        tokens: [B, K] int64.
        scores: [B, K + 1, V] float32.

    Returns:
        [B, K + 1] float32, added one by one in float32 as fairseq does; `cumsum` adds in another precision or order.
    """
    each = scores[:, : tokens.size(1)].gather(-1, tokens[..., None]).squeeze(-1)  # [B, K]
    found = [totals]
    for column in each.unbind(1):
        found.append(found[-1] + column)
    return torch.stack(found, dim=1)
