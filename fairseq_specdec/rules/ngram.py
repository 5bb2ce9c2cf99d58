"""No n-gram twice in an output (``--no-repeat-ngram-size``)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ban_repeats(lprobs: Tensor, tokens: Tensor, steps: Tensor, n: int, pad: int) -> Tensor:
    """Forbid tokens that would complete an n-gram which a hypothesis has already.

    Args:
        lprobs: [B, N, V] float32, changed in place; those of pad are -inf already.
        tokens: [B, N, T] int64, the tokens that each position follows, the first one (eos) counted; may be an expanded
            view. Anything behind ``steps``.
        steps: [B, N] int64, index of the token that each position predicts; it follows steps + 1 tokens.
        n: length of the n-grams, at least 1.
        pad: the id of padding.

    Returns:
        lprobs, edited.

    Source: fairseq's NGramRepeatBlock, as its CUDA extension works; its Python form is repaired in `compat`.
    """
    length = tokens.size(2)
    if length < n:
        return lprobs
    windows = tokens.unfold(2, n, 1)  # [B, N, T - n + 1, n]
    begin = (steps + 2 - n).clamp(min=0)[..., None] + torch.arange(n - 1, device=tokens.device)  # [B, N, n - 1]
    newest = tokens.gather(2, begin.clamp(max=length - 1))
    is_same = windows[..., :-1].eq(newest[:, :, None]).all(-1)  # [B, N, T - n + 1]
    is_there = torch.arange(length - n + 1, device=tokens.device) < (steps + 2 - n)[..., None]
    banned = torch.where(is_same & is_there, windows[..., -1], pad)
    return lprobs.scatter_(2, banned, -math.inf)
