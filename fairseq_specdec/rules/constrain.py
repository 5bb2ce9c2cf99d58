"""What fairseq's generation options do to the verifier's scores, at every position of a block.

The order of the edits is that of fairseq's ``SequenceGenerator`` (and of its length-constrained search for
``--match-source-len``), so that the arg-max here is the token that fairseq's greedy decoding picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.rules.limits import ANYWHERE, Limits, Reach
from fairseq_specdec.rules.ngram import ban_repeats


def constrain(
    lprobs: Tensor,
    steps: Tensor | Callable[[], Tensor],
    limits: Limits,
    reach: Reach = ANYWHERE,
    history: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Edit log-probabilities in place as fairseq does before it picks a token.

    Args:
        lprobs: [B, N, V] float32, log-softmax of the verifier's logits without NaN. Changed in place.
        steps: [B, N] int64, index of the token that each position predicts (0 = first after the initial eos), or what
            makes them: few rounds look.
        limits: the options of this batch.
        reach: what the steps that matter come to, where that is known. Rows that come to more (finished ones) keep
            scores that fairseq would have edited.
        history: makes the tokens [B, N, T] int64 that each position follows, see `ban_repeats`; needed with
            --no-repeat-ngram-size.

    Returns:
        lprobs, edited.

    Source: the body of the step loop of fairseq's SequenceGenerator._generate.
    """
    lprobs[..., limits.pad].fill_(-math.inf)
    if limits.unk_penalty:
        lprobs[..., limits.unk].sub_(limits.unk_penalty)
    if not (reach.begin or reach.end or limits.source_lengths is not None or limits.no_repeat_ngram):
        return lprobs
    steps = steps() if callable(steps) else steps
    if reach.end:
        last = limits.last_step
        last = last if isinstance(last, int) else last[:, None]
        _only(lprobs, torch.full_like(steps, limits.eos), steps >= last)
    if reach.begin:
        may_end = steps >= limits.min_len
        if limits.prefix is not None:
            may_end |= _force_prefix(lprobs, steps, limits)
        lprobs[..., limits.eos].masked_fill_(~may_end, -math.inf)
    if limits.no_repeat_ngram:
        ban_repeats(lprobs, history(), steps, limits.no_repeat_ngram, limits.pad)
    if limits.source_lengths is not None:
        lengths = limits.source_lengths[:, None]  # [B, 1]
        lprobs[..., limits.eos].masked_fill_(steps < lengths, -math.inf).masked_fill_(steps >= lengths, 0.0)
    return lprobs


def join_beams_at_end_of_prefix(limits: Limits, step: int, parts: list[Tensor]) -> None:
    """Give all beams of sentences whose prefix ends here what the first has, as fairseq does.

    Args:
        limits: the options of the batch.
        step: index of the token that comes next.
        parts: each [S, b, ...], changed in place.
    """
    if limits.prefix is None or step >= min(limits.prefix.size(1), limits.max_len):
        return
    ends = limits.prefix[:, step].eq(limits.eos)[:, None, None]  # [S, 1, 1]
    for part in parts:
        part.copy_(torch.where(ends, part[:, :1], part))


def drop_nan(lprobs: Tensor) -> None:
    """Replace NaN by -inf in place, as fairseq does first.

    A NaN among logits makes the whole log-softmax NaN, so where that costs nothing one column is looked at.

    Args:
        lprobs: [..., V].
    """
    if not device.reads_freely(lprobs) or lprobs[..., 0].isnan().any():
        lprobs.nan_to_num_(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def _force_prefix(lprobs: Tensor, steps: Tensor, limits: Limits) -> Tensor:
    """Leave only the forced token where there is one; return where the prefix rules, [B, N] bool.

    Where the prefix rules fairseq does not apply the minimum length, also in rows whose prefix has ended (pad).
    """
    width = limits.prefix.size(1)
    inside = steps < min(width, limits.max_len)
    forced = limits.prefix.gather(1, steps.clamp(max=width - 1))  # [B, N]
    _only(lprobs, forced, inside & forced.ne(limits.pad))
    return inside


def _only(lprobs: Tensor, token: Tensor, where: Tensor) -> None:
    """Where ``where`` [B, N] holds, leave only ``token`` [B, N] with its own score."""
    own = lprobs.gather(-1, token[..., None])  # [B, N, 1]
    lprobs.masked_fill_(where[..., None], -math.inf)
    kept = torch.where(where[..., None], own, lprobs.gather(-1, token[..., None]))
    lprobs.scatter_(-1, token[..., None], kept)
