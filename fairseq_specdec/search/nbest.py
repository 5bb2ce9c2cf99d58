"""What a search gives: the hypotheses of every sentence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class NBest(NamedTuple):
    """Hypotheses of S sentences, in the order in which they ended.

    While a beam search goes on there is one place more than b, for what is not kept.

    Args:
        tokens: [S, b, T] int64, without the first token, eos last; anything past a hypothesis's length.
        scores: [S, b, T] float32, log-probability of each token.
        totals: [S, b] float32, their sum as fairseq adds it up.
        lengths: [S, b] int64, eos counted.
        n: [S] int64, how many there are.
    """

    tokens: Tensor
    scores: Tensor
    totals: Tensor
    lengths: Tensor
    n: Tensor

    @classmethod
    def of_rows(cls, tokens: Tensor, scores: Tensor, lengths: Tensor) -> NBest:
        """Return one hypothesis a row.

        Args:
            tokens: [B, T] int64, the first token, then the output.
            scores: [B, T] float32, log-probability of each token.
            lengths: [B] int64, the first token counted.
        """
        tokens, scores, lengths = tokens[:, None, 1:], scores[:, None, 1:], lengths[:, None] - 1
        inside = torch.arange(tokens.size(2), device=tokens.device) < lengths[..., None]
        totals = scores.masked_fill(~inside, 0.0).sum(2)
        return cls(tokens, scores, totals, lengths, torch.ones_like(lengths[:, 0]))
