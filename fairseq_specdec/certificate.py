"""The certificate of losslessness: every output token is re-scored by stock modules, by teacher forcing.

Verifying K + 1 positions in one pass and decoding one position at a time multiply matrices of different shapes, so the
last bits differ and near-ties can flip. The certificate counts how often that happened, and that nothing else did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_specdec.rules.constrain import constrain, drop_nan
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.ties import choose, totals_before

NEAR_TIE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 2e-2}
LARGEST = torch.finfo(torch.float32).max  # stands for infinity, which JSON does not have
_MAX_SCORES = 2**26  # scores held at a time: bounds memory, not the result


@dataclass
class Certificate:
    """Counts of tokens.

    Args:
        tokens: checked, eos counted.
        exact: the token is the arg-max of its position, of equal ones that which fairseq takes.
        near_tie: its gap to the arg-max is under the bound for the precision.
        wrong: all others.
        largest_gap: greatest gap seen, in log-probability; LARGEST when a token could not have been chosen at all.
    """

    tokens: int = 0
    exact: int = 0
    near_tie: int = 0
    wrong: int = 0
    largest_gap: float = 0.0

    def add(self, other: Certificate) -> None:
        """Count what another batch gave."""
        self.tokens += other.tokens
        self.exact += other.exact
        self.near_tie += other.near_tie
        self.wrong += other.wrong
        self.largest_gap = max(self.largest_gap, other.largest_gap)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for the statistics JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Say the counts in one line."""
        return self.told("tokens")

    def told(self, what: str) -> str:
        """Say the counts in one line, and what they count."""
        return (
            f"{self.tokens} {what}, {self.exact} exact, {self.near_tie} near ties, {self.wrong} wrong, "
            f"largest gap {self.largest_gap:.2e}"
        )


@torch.no_grad()
def certify(
    models: list[nn.Module],
    encoded: list[Any],
    tokens: Tensor,
    lengths: Tensor,
    limits: Limits,
    temperature: float = 1.0,
) -> Certificate:
    """Check every token of a batch.

    Args:
        models: the verifier (an ensemble averages probabilities), in evaluation mode.
        encoded: each model's encoder output as fairseq gives it.
        tokens: [B, T] int64, the first token, then the output; anything past a row's length.
        lengths: [B] int64, the first token counted.
        limits: the options the batch was decoded with, for all its rows.
        temperature: divides logits.

    Returns:
        the counts.
    """
    longest = int(lengths.max())
    columns = torch.arange(longest, device=tokens.device)
    tokens = tokens[:, :longest].masked_fill(columns >= lengths[:, None], limits.pad)
    total = Certificate()
    for rows in chunks(tokens, models[0]):
        score = rescore(models, encoded, tokens, rows, limits, temperature)  # [B', n, V]
        target = tokens[rows, 1:]  # [B', n]
        gap = score.amax(-1) - score.gather(-1, target[..., None]).squeeze(-1)
        real = columns[1:] < lengths[rows, None]
        before = totals_before(score.new_zeros(rows.numel()), target[:, :-1], score)
        exact = choose(score, before).eq(target) & real
        bound = NEAR_TIE[models[0].decoder.embed_tokens.weight.dtype]
        near = ~exact & real & (gap < bound)
        largest = gap.masked_fill(~real, 0.0).nan_to_num(nan=LARGEST, posinf=LARGEST).amax()
        counts = [int(mask.sum()) for mask in (real, exact, near)]
        total.add(Certificate(*counts, wrong=counts[0] - counts[1] - counts[2], largest_gap=float(largest)))
    return total


def rescore(
    models: list[nn.Module], encoded: list[Any], tokens: Tensor, rows: Tensor, limits: Limits, temperature: float
) -> Tensor:
    """Return the constrained log-probabilities [B', n, V] float32 of the chosen rows [B'], by the stock decoders.

    Arguments as of `certify`; limits are those of all B rows, n is T - 1.
    """
    previous = tokens[rows, :-1]
    each = []
    for model, out in zip(models, encoded, strict=True):
        chosen = model.encoder.reorder_encoder_out(out, rows)
        logits, *more = model.decoder(previous, encoder_out=chosen)
        out = (logits / temperature, *more)
        each.append(model.get_normalized_probs(out, log_probs=True, sample=None).float())
    score = each[0] if len(each) == 1 else torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))
    drop_nan(score)
    steps = torch.arange(previous.size(1), device=tokens.device).expand_as(previous)
    history = previous[:, None].expand(-1, previous.size(1), -1)
    return constrain(score, steps, limits.select_rows(rows), history=lambda: history)


def rescore_one(
    models: list[nn.Module], encoded: list[Any], limits: Limits, temperature: float, row: int, ids: Tensor
) -> Tensor:
    """Return `rescore` of an output of one row, [n, V] float32; ids [n + 1] int64, the first token counted."""
    own = torch.tensor([row], device=ids.device)
    chosen = [model.encoder.reorder_encoder_out(out, own) for model, out in zip(models, encoded, strict=True)]
    return rescore(models, chosen, ids[None], torch.zeros_like(own), limits.select_rows(own), temperature)[0]


def chunks(tokens: Tensor, model: nn.Module) -> Iterator[Tensor]:
    """Split the rows [B] of tokens [B, T] so that the scores of a chunk stay within memory."""
    vocabulary = model.decoder.output_projection.weight.size(0)
    size = max(1, _MAX_SCORES // (tokens.size(1) * vocabulary))
    yield from torch.arange(tokens.size(0), device=tokens.device).split(size)
