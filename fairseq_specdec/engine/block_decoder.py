"""Runs a Spec-Drafter's decoder: a prefix and a block of masks in, logits of the block out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fairseq_specdec.blocks import EncoderOutput
from fairseq_specdec.engine.kv_cache import CrossCache
from fairseq_specdec.engine.layers import attend, decoder_layer, split_heads
from fairseq_specdec.engine.linear import LinearMap, convert_all, read_linear
from fairseq_specdec.engine.native_layer import Keys, native_layers
from fairseq_specdec.engine.reduced import converter
from fairseq_specdec.engine.weights import DecoderWeights, read_decoder

COPY_AHEAD = 32  # positions


@dataclass(frozen=True)
class BlockDecoderWeights:
    """The decoder's weights.

    Args:
        base: everything that it shares with an autoregressive decoder.
        copy_query: projects target positions to queries over the source; None without --src-embedding-copy.
        mask: the mask symbol (unk).
    """

    base: DecoderWeights
    copy_query: LinearMap | None
    mask: int


def read_block_decoder(decoder: Any, engine_dtype: str | None = None) -> BlockDecoderWeights:
    """Read the decoder module of a Spec-Drafter; engine_dtype: see `converter`."""
    convert, copy_query = converter(engine_dtype), read_linear(decoder.copy_attn)
    base = convert_all(read_decoder(decoder), convert)
    return BlockDecoderWeights(base, copy_query and convert("copy_query", copy_query), decoder.mask_idx)


class BlockDecoder:
    """A bidirectional decoder over ragged prefixes, each followed by K masks.

    Args:
        weights: as read from the module.
    """

    def __init__(self, weights: BlockDecoderWeights) -> None:
        self.weights = weights
        self._native = native_layers(weights.base.layers)
        self._source: CrossCache
        self._embedding: Tensor  # [B, S, C], source token embeddings
        self._copy_keys: Tensor  # [B, C, S]
        self._copied: Tensor  # [B, n, C], what a mask at each of the first positions copies from the source

    @property
    def max_positions(self) -> int | None:
        """Target positions that it was trained for, or None without position embeddings."""
        table = self.weights.base.positions
        return None if table is None else table.size(0) - self.weights.base.pad - 1

    def start(self, source: EncoderOutput) -> None:
        """Begin a batch. source: with the token embeddings, on the scale of the decoder's own."""
        layers = self.weights.base.layers
        projected = [layer.cross_kv(source.memory) for layer in layers]
        self._source = CrossCache(projected, layers[0].heads, source.padding)
        self._embedding = source.embedding
        keys = source.embedding if source.positions is None else source.embedding + source.positions
        self._copy_keys = keys.transpose(1, 2)
        self._copied = source.embedding[:, :0]

    def forward(self, prefix: Tensor, lengths: Tensor, block_size: int) -> Tensor:
        """Predict a block behind each row's prefix.

        Args:
            prefix: [B, P] int64, committed tokens without the initial eos; stale past a row's length.
            lengths: [B] int64, prefix tokens of each row.
            block_size: K.

        Returns:
            [B, K, V] logits.
        """
        w = self.weights.base
        index = torch.arange(prefix.size(1) + block_size, device=prefix.device)  # [W]
        tokens = torch.nn.functional.pad(prefix, (0, block_size), value=self.weights.mask)
        tokens = tokens.masked_fill(index >= lengths[:, None], self.weights.mask)  # [B, W]
        positions = w.position_of(index)  # [W, C]
        x = self._embed(tokens, positions)
        own = Keys(tokens.size(1), lengths=lengths, ahead=block_size)
        x = self._run_native(x, positions, own) if self._native else self._run(x, positions, own)
        block = lengths[:, None] + torch.arange(block_size, device=lengths.device)  # [B, K]
        return w.project(x.gather(1, block[..., None].expand(-1, -1, x.size(-1))))

    def _run(self, x: Tensor, positions: Tensor, own: Keys) -> Tensor:
        """Go through the layers.

        Args:
            x: [B, W, C], embedded with their positions.
            positions: [W, C], which every layer after the first adds anew.
            own: what self-attention looks at.
        """
        end = own.lengths[:, None] + own.ahead  # [B, 1]
        mask = torch.zeros(x.shape[:2], dtype=x.dtype, device=x.device)
        mask.masked_fill_(torch.arange(own.extent, device=x.device) >= end, -math.inf)
        for i, layer in enumerate(self.weights.base.layers):

            def self_attend(qkv: Tensor, heads: int = layer.heads) -> Tensor:
                query, key, value = (split_heads(part, heads) for part in qkv.chunk(3, dim=-1))
                return attend(query, key, value, mask[:, None, None])

            x = x + positions if i else x
            x = decoder_layer(x, layer, self_attend, self._source.read(i), self._source.mask)
        return x

    def _run_native(self, x: Tensor, positions: Tensor, own: Keys) -> Tensor:
        """Do the same by compiled code."""
        for i, layer in enumerate(self._native):
            x = layer(x.add_(positions) if i else x, own, self._source.keys(i))
        return x

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Embed [B, W] tokens; every mask symbol, a real unk of the prefix included, copies from the source."""
        w = self.weights
        x = w.base.embed(tokens)
        if w.copy_query is not None:
            x = torch.where(tokens.eq(w.mask)[..., None], self._copy(tokens.size(1)), x)
        x = x + positions
        return w.base.embedding_norm(x) if w.base.embedding_norm else x

    def _copy(self, n: int) -> Tensor:
        """Return the soft copy of the source for the first n positions, [B, n, C].

        It depends on the position and the source alone, so each is computed once a batch, some ahead.
        """
        have = self._copied.size(1)
        if have < n:
            index = torch.arange(have, max(n, have + COPY_AHEAD), device=self._copied.device)
            score = self.weights.copy_query(self.weights.base.position_of(index)) @ self._copy_keys  # [B, n - have, S]
            if self._source.mask is not None:
                score = score + self._source.mask[:, 0]
            copied = score.softmax(-1, dtype=torch.float32).to(self._embedding) @ self._embedding
            self._copied = torch.cat([self._copied, copied], dim=1)
        return self._copied[:, :n]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._source.select_rows(rows)
        self._embedding = self._embedding.index_select(0, rows)
        self._copy_keys = self._copy_keys.index_select(0, rows)
        self._copied = self._copied.index_select(0, rows)
