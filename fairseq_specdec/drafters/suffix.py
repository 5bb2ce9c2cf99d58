"""Where in a text the output so far could go on: places that end like it."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec.blocks import Rows
from fairseq_specdec.config import MAX_BLOCK_SIZE

MAX_SUFFIX = 3  # longest suffix of the output that is looked up in a text, as published


def last_tokens(state: Rows, n: int, first: int) -> Tensor:
    """Return the last tokens of each row.

    Args:
        state: the batch.
        n: how many.
        first: index of the first token that counts: 1 for the output alone, 0 for the token before it, too.

    Returns:
        [B, n] int64, the last one first; -2, which no text holds, where a row has no more.
    """
    index = state.lengths[:, None] - 1 - torch.arange(n, device=state.lengths.device)
    return state.tokens.gather(1, index.clamp(min=0)).masked_fill(index < first, -2)


def suffix_lengths(text: Tensor, last: Tensor) -> Tensor:
    """Compare every place of a text with the end of the output.

    Args:
        text: [B, W] int64, -1 where there is no token.
        last: [B, N] int64, as ``last_tokens`` returns them.

    Returns:
        [B, W] int64 in 0..N, how many tokens before and at each place are also the last ones of the output.
    """
    width = text.size(1)
    n_common = torch.zeros_like(text)
    matches = torch.ones_like(text, dtype=torch.bool)
    for n in range(min(last.size(1), width)):
        shifted = torch.nn.functional.pad(text[:, : width - n], (n, 0), value=-1)
        matches = matches & shifted.eq(last[:, n : n + 1])
        n_common = n_common + matches
    return n_common


def edit_aware_place(guide: Tensor, lengths: Tensor, stands_for: Tensor, last: Tensor) -> Tensor:
    """Say where a text goes on behind the longest common suffix, of several the nearest; see `GuidedDrafter`.

    Args:
        guide: [B, G] int64, -1 behind each row's end.
        lengths: [B] int64, of the rows.
        stands_for: [B] int64, the text's token in whose place the last output token stands; -1 where there is none.
        last: [B, N] int64, as ``last_tokens`` returns them.

    Returns:
        [B] int64, 0 to the length.
    """
    n_common = suffix_lengths(guide, last)  # [B, G]
    offset = torch.arange(guide.size(1), device=guide.device) - stands_for[:, None]
    distance = 2 * offset.abs() + offset.gt(0)  # no ties, which devices break differently
    farthest = 4 * guide.size(1) + 2 * MAX_BLOCK_SIZE  # more than any distance: length of the suffix decides first
    best = (n_common * farthest - distance).masked_fill(n_common.eq(0), -farthest).max(1)
    place = torch.where(best.values > 0, best.indices, stands_for)
    return torch.minimum(place + 1, lengths)
