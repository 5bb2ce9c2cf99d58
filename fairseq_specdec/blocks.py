"""The data that passes between the roles.

Shape legend, used in every docstring: B rows now in the batch, S padded source length, T capacity of a row,
N positions fed to the verifier now, K block size (draft tokens a round), V vocabulary, L layers, H heads,
D channels a head, C = H * D channels. Token ids and lengths are int64, masks bool, scores float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class EncoderOutput(NamedTuple):
    """What an encoder says of a batch.

    Args:
        memory: [B, S, C].
        padding: [B, S] bool, True at padding, or None where there is none.
        embedding: [B, S, C], scaled token embeddings; a Spec-Drafter copies from them.
        positions: [B, S, C], position embeddings, or None without.
        projected: [B, S, L * 2C], keys and values of its own decoder's layers, or None before they are made.
    """

    memory: Tensor
    padding: Tensor | None
    embedding: Tensor | None = None
    positions: Tensor | None = None
    projected: Tensor | None = None

    def select_rows(self, rows: Tensor) -> EncoderOutput:
        """Return these rows. rows: [B'] int64."""
        return EncoderOutput(*(None if part is None else part.index_select(0, rows) for part in self))

    def unscaled(self, scale: float) -> EncoderOutput:
        """Return it with embeddings and positions divided by the scale of the embeddings."""
        parts = (None if part is None else part / scale for part in (self.embedding, self.positions))
        return EncoderOutput(self.memory, self.padding, *parts)


class Paths(NamedTuple):
    """Where positions that do not follow one another come from: each has a path of its own through the cache.

    A slot is a place of a row's cache. A block's positions take the next free slots in their order; a path ends with
    the position's own slot. Paths may share their beginning: reordering beams copies numbers of slots, never keys or
    values.

    Args:
        slots: [B, N, P] int32, each position's path; anything that is a slot behind its end.
        depths: [B, N] int64, positions of the path before the own one; where in the output the position stands.
    """

    slots: Tensor
    depths: Tensor


class RowBuffers(NamedTuple):
    """What is known of the rows of a batch while they are decoded greedily.

    Args:
        tokens: [B, T] int64, the first token, then what was decoded; what lies past a row's length is stale.
        scores: [B, T] float32, log-probability of each token.
        lengths: [B] int64, valid tokens, the first one counted.
        finished: [B] bool.
        totals: [B] float32, score of an unfinished row's tokens, added in their order.
    """

    tokens: Tensor
    scores: Tensor
    lengths: Tensor
    finished: Tensor
    totals: Tensor


@dataclass(frozen=True)
class Source:
    """The source side of a batch.

    Args:
        tokens: [B, S] int64, padded on the left or on the right, each row ending in eos.
        lengths: [B] int64, without padding.
        pad: the id of padding.
        ids: [B] int64, the place of each sentence in the data, or None where it is not known.
        encoded: what the encoder of each of the verifier's models made of it; empty before they have run.
    """

    tokens: Tensor
    lengths: Tensor
    pad: int
    ids: Tensor | None = None
    encoded: tuple[EncoderOutput, ...] = ()

    def select_rows(self, rows: Tensor) -> Source:
        """Return these rows. rows: [B'] int64."""
        ids = None if self.ids is None else self.ids.index_select(0, rows)
        encoded = tuple(output.select_rows(rows) for output in self.encoded)
        return Source(self.tokens.index_select(0, rows), self.lengths.index_select(0, rows), self.pad, ids, encoded)

    def aligned(self, symbols: Tensor | None = None) -> Tensor:
        """Return the tokens [B, S] int64 aligned on the left, -1 behind each row's end.

        Args:
            symbols: [V_source] int64, the target id of each source id; None leaves the ids as they are.
        """
        columns = torch.arange(self.tokens.size(1), device=self.tokens.device)
        skipped = self.tokens.eq(self.pad).cumprod(1).sum(1, keepdim=True)  # [B, 1], padding on the left
        tokens = self.tokens.gather(1, (columns + skipped).clamp(max=columns.numel() - 1))
        tokens = tokens if symbols is None else symbols[tokens]
        return tokens.masked_fill(columns >= self.lengths[:, None], -1)


class Rows(Protocol):
    """What a drafter may look at of a batch that is being decoded. Read only.

    Attributes:
        tokens: [B, T] int64, the first token, then what was decoded; what lies past a row's length is stale.
        lengths: [B] int64, valid tokens, the first one counted.
        capacity: T.
        finished: [B] bool.
        max_length: host int, at least the longest unfinished row.
    """

    tokens: Tensor
    lengths: Tensor
    finished: Tensor
    max_length: int

    @property
    def capacity(self) -> int:
        """T."""


class Ask(NamedTuple):
    """How much of a draft is wanted; a drafter to which a shorter draft is not cheaper need not listen.

    Args:
        most: tokens a row.
        least: in how many rows a further token has to be expected to be right to be worth its time.
    """

    most: int
    least: float = 0.0


@dataclass(frozen=True)
class DraftBlock:
    """What a drafter guesses for every row.

    Args:
        tokens: [B, K] int64; anything past a row's length. A block may be narrower than the drafter's block size.
        lengths: [B] int64 in 0..K, how many of them count.
        logits: [B, K, V], the drafter's, of which the tokens are the best; None where it has none or nobody would look.
        is_free: whether a drafter whose drafts take time was spared it this time.
    """

    tokens: Tensor
    lengths: Tensor
    logits: Tensor | None = None
    is_free: bool = False

    @classmethod
    def empty(cls, rows: Rows) -> DraftBlock:
        """Return tokens [B, 0]."""
        return cls(rows.tokens[:, :0], torch.zeros_like(rows.lengths))

    def chances(self) -> Tensor:
        """Return [B, K] float32: how likely, by the logits, the tokens up to each are all right; 0 past the lengths."""
        best = self.logits.amax(-1).float() - self.logits.logsumexp(-1).float()
        return best.cumsum(1).exp().masked_fill(~self.mask, 0.0)

    @property
    def mask(self) -> Tensor:
        """[B, K] bool, True at the tokens that count."""
        return torch.arange(self.tokens.size(1), device=self.tokens.device) < self.lengths[:, None]


class Verdict(NamedTuple):
    """What the verifier made of a draft.

    Args:
        n_accepted: [B] int64 in 0..K, leading draft tokens that stand.
        next_token: [B] int64, the token after them: the correction at the bifurcation, or the bonus after K.
        totals: [B] float32, the score of each row with these tokens; None where nobody needs it.
    """

    n_accepted: Tensor
    next_token: Tensor
    totals: Tensor | None = None
