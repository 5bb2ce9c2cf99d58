"""Block masking and glancing: which target tokens a drafter sees, and which it must predict.

Letters: B rows, T target length with eos, W width of the decoder input, K block size. The mask symbol is the
dictionary's ``<unk>``, so that a real ``<unk>`` of the prefix counts as masked too, as in the published method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Glance:
    """What a glancing pass needs to know.

    Attributes:
        target: [B, W] int64, padded.
        order: [B, W] float, random numbers; of the masked columns those with the smallest are revealed.
        ratio: share of (masked - correct) tokens to reveal, in 0..1.
    """

    target: Tensor
    order: Tensor
    ratio: float


def cut_points(target: Tensor, uniform: Tensor, pad: int) -> Tensor:
    """Return how many target tokens each row keeps, [B] int64 in 0..length - 1.

    Args:
        target: [B, T] int64, padded on the right.
        uniform: [B] float in [0, 1), one number a row.
        pad: the padding symbol.
    """
    lengths = target.ne(pad).sum(dim=1)
    return lengths - 1 - (lengths * uniform).long()


def mask_block(target: Tensor, kept: Tensor, block_size: int, width: int, pad: int, mask: int) -> tuple[Tensor, Tensor]:
    """Hide the block after each row's kept tokens.

    Args:
        target: [B, T] int64, padded on the right.
        kept: [B] int64, tokens shown in front of the block.
        block_size: K; K masks are put even past the end of the target, where width allows.
        width: W, columns to return; max(kept) + K holds everything that can be predicted.
        pad: the padding symbol.
        mask: the mask symbol.

    Returns:
        The decoder input (kept tokens, masks, padding) and the target cut or padded to it, both [B, W] int64.
    """
    cut = target[:, :width]
    target = torch.nn.functional.pad(cut, (0, width - cut.size(1)), value=pad)
    column = torch.arange(width, device=target.device)  # [W]
    tokens = target.masked_fill(column >= kept[:, None], mask)  # [B, W]
    return tokens.masked_fill(column >= kept[:, None] + block_size, pad), target


def loss_positions(tokens: Tensor, target: Tensor, pad: int, mask: int) -> Tensor:
    """Return [B, W] bool: masked positions that have a target. Both arguments are [B, W] int64."""
    return tokens.eq(mask) & target.ne(pad)


def reveal(tokens: Tensor, masked: Tensor, correct: Tensor, glance: Glance) -> tuple[Tensor, Tensor]:
    """Show floor((masked - correct) * ratio) randomly chosen masked tokens of each row.

    Args:
        tokens: [B, W] int64, decoder input.
        masked: [B, W] bool, positions of the loss.
        correct: [B, W] bool, masked positions that the first pass predicted.
        glance: target, random order and ratio.

    Returns:
        The decoder input with the tokens put in, [B, W] int64, and the positions still to predict, [B, W] bool.
    """
    wrong = masked.sum(dim=1) - correct.sum(dim=1)  # [B]
    count = (wrong * glance.ratio).long()  # [B]
    order = glance.order.masked_fill(~masked, torch.inf)
    rank = order.argsort(dim=1).argsort(dim=1)  # [B, W], 0 = first to be revealed
    shown = masked & (rank < count[:, None])
    return torch.where(shown, glance.target, tokens), masked & ~shown


def validation_uniform(ids: Tensor) -> Tensor:
    """Return one number in [0, 1) for each sentence id, [B] float32: the same at every validation and batch size.

    Fibonacci hashing spreads consecutive ids evenly, so that the cuts cover all positions.
    """
    return ((ids * 2654435769) % 2**32 >> 8).float() / 2**24


def mask_sample(
    sample: dict[str, Any], uniform: Tensor, block_size: int, max_positions: int, pad: int, mask: int
) -> dict[str, Any]:
    """Return a copy of a fairseq translation batch whose decoder input is a masked block.

    Args:
        sample: with ``target`` [B, T] int64 padded on the right and ``net_input``; left as it is.
        uniform: [B] float in [0, 1), see `cut_points`.
        block_size: K.
        max_positions: columns beyond are cut; they lie past the end of every target.
        pad: the padding symbol.
        mask: the mask symbol.
    """
    kept = cut_points(sample["target"], uniform, pad)
    widest = int(kept.max())  # host sync: one a batch; narrow batches save more than it costs
    width = min(widest + block_size, max_positions)
    tokens, target = mask_block(sample["target"], kept, block_size, width, pad, mask)
    net_input = {**sample["net_input"], "prev_output_tokens": tokens, "prefix_lengths": kept}
    return {**sample, "net_input": net_input, "target": target}


def glance_ratio(start: float, end: float, update: int, updates: int) -> float:
    """Return the glancing ratio at an update: linear from start to end over so many updates, then end."""
    progress = min(1.0, update / updates) if updates > 0 else 0.0
    return start + (end - start) * progress
