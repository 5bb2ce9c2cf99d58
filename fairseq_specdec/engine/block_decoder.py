"""Runs a Spec-Drafter's decoder: a prefix and a block of masks in, logits of the block out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import EncoderOutput
from fairseq_specdec.engine.kv_cache import CrossCache, KVCache
from fairseq_specdec.engine.layers import attend, decoder_layer, split_heads
from fairseq_specdec.engine.linear import LinearMap, convert_all, read_linear
from fairseq_specdec.engine.native.layer import Keys, native_layers, run_layers
from fairseq_specdec.engine.reduced import converter
from fairseq_specdec.engine.weights import DecoderWeights, read_decoder

PREPARE_AHEAD = 32  # positions


@dataclass(frozen=True)
class BlockDecoderWeights:
    """The decoder's weights.

    Args:
        base: everything that it shares with an autoregressive decoder.
        copy_query: projects target positions to queries over the source; None without --src-embedding-copy.
        mask: the mask symbol (unk).
        causal_prefix: whether a prefix token sees those before it alone.
    """

    base: DecoderWeights
    copy_query: LinearMap | None
    mask: int
    causal_prefix: bool


def read_block_decoder(decoder: Any, engine_dtype: str | None = None) -> BlockDecoderWeights:
    """Read the decoder module of a Spec-Drafter; engine_dtype: see `converter`."""
    convert, copy_query = converter(engine_dtype), read_linear(decoder.copy_attn)
    base = convert_all(read_decoder(decoder), convert)
    return BlockDecoderWeights(
        base, copy_query and convert("copy_query", copy_query), decoder.mask_idx, decoder.causal_prefix
    )


class BlockDecoder:
    """A bidirectional decoder over ragged prefixes, each followed by K masks.

    Only the block's logits are asked for, so the last layer runs at the block alone and needs no more of the prefix
    than its keys and values. In a decoder of one layer these depend on token and place and nothing else: they are
    computed once, and a draft costs what is new of the prefix and the block. So it is with any number of layers where
    prefix tokens do not see the block (--causal-prefix).

    Args:
        weights: as read from the module.
    """

    def __init__(self, weights: BlockDecoderWeights) -> None:
        self.weights = weights
        self._native = native_layers(weights.base.layers)
        self._source: CrossCache
        # the first layer that has a cache
        self._first = 0 if weights.causal_prefix else len(weights.base.layers) - 1
        self._cache: KVCache  # of that layer and the following ones
        self._embedding: Tensor  # [B, S, C], source token embeddings
        self._copy_keys: Tensor  # [B, C, S]
        self._masks: Tensor  # [B, n, C], a mask at each of the first positions, embedded

    @property
    def max_positions(self) -> int | None:
        """Target positions that it was trained for, or None without position embeddings."""
        table = self.weights.base.positions
        return None if table is None else table.size(0) - self.weights.base.pad - 1

    def start(self, source: EncoderOutput, capacity: int) -> None:
        """Begin a batch.

        Args:
            source: with the token embeddings, on the scale of the decoder's own.
            capacity: T, positions to make room for, the longest prefix and a block behind it.
        """
        w = self.weights.base
        heads = w.layers[-1].heads
        self._source = CrossCache(w.cross_kv(source.memory), len(w.layers), heads, source.padding)
        self._embedding = source.embedding
        keys = source.embedding if source.positions is None else source.embedding + source.positions
        self._copy_keys = keys.transpose(1, 2)
        self._masks = w.embedding.new_empty(source.memory.size(0), 0, w.channels)
        shape = (source.memory.size(0), capacity, heads, w.channels // heads)
        self._cache = KVCache(len(w.layers) - self._first, shape, like=w.embedding)
        if not device.reads_freely(source.memory):
            self._prepare_masks(capacity)  # a round that is recorded must not depend on what earlier ones prepared

    def forward(self, prefix: Tensor, lengths: Tensor, block_size: int) -> Tensor:
        """Predict a block behind each row's prefix.

        Args:
            prefix: [B, P] int64, committed tokens without the initial eos; stale past a row's length.
            lengths: [B] int64, prefix tokens of each row; they begin with those of the call before.
            block_size: K.

        Returns:
            [B, K, V] logits.
        """
        block = lengths[:, None] + torch.arange(block_size, device=lengths.device)  # [B, K]
        if self._first == 0:
            self._remember_new(prefix, lengths, block_size)
            x = self._masks_at(block, prefix.size(1) + block_size)
        else:
            x = self._run_below(prefix, lengths, block_size)  # [B, P + K, C]
            self._cache.lengths.zero_()
            self._remember(x[:, : prefix.size(1)], None, 0)
            x = x.gather(1, block[..., None].expand(-1, -1, x.size(-1)))
        self._cache.lengths.copy_(lengths)
        positions = self.weights.base.position_of(block) if self._first < len(self.weights.base.layers) - 1 else None
        for i in range(self._first, len(self.weights.base.layers)):
            x = self._run_cached(i, x if i == self._first else x + positions, prefix.size(1), together=True)
        return self.weights.base.project(x)

    def _remember_new(self, prefix: Tensor, lengths: Tensor, block_size: int) -> None:
        """Put the keys and values of prefix tokens into the cache that are not there yet."""
        known, n = self._cache.lengths, block_size + 1  # what a round commits at most
        if device.reads_freely(lengths):  # where rounds may go by without a draft
            n = int((lengths - known).max())
        if n > 0 and prefix.size(1) > 0:
            where = known[:, None] + torch.arange(n, device=known.device)  # [B, N]
            tokens = prefix.gather(1, where.clamp(max=prefix.size(1) - 1))
            self._remember(self._embed(tokens, where, prefix.size(1) + n), where, prefix.size(1))

    def _remember(self, x: Tensor, where: Tensor | None, longest: int) -> None:
        """Put keys and values of prefix positions into the cache, behind its lengths.

        Args:
            x: [B, N, C], input of the first layer that has a cache.
            where: [B, N] int64, their places, or None where that layer is the last.
            longest: host int, at least the greatest length.
        """
        last = len(self.weights.base.layers) - 1
        for i in range(self._first, last):
            x = self._run_cached(i, x, longest, together=False) + self.weights.base.position_of(where)
        layer = self.weights.base.layers[last]
        if x.size(1) > 0:
            self._cache.place(self._plan(x.size(1), longest))
            self._cache.write(
                last - self._first, layer.self_qkv(layer.self_norm(x) if layer.pre_norm else x)[..., x.size(-1) :]
            )

    def _plan(self, n: int, longest: int) -> Tensor:
        """Return [B, N] int64, where n positions go in the cache; what would lie past its end is of rows that ended."""
        self._cache.plan(n, longest)
        return self._cache.positions(n).clamp(max=self._cache.capacity - 1)

    def _run_cached(self, i: int, x: Tensor, longest: int, together: bool) -> Tensor:
        """Run layer i at x [B, N, C] behind the cache's lengths: each sees those before it or, together, all of x."""
        where, slot = self._plan(x.size(1), longest), i - self._first
        if self._native:
            own, store = self._cache.keys(slot, ahead=x.size(1) if together else 0)
            return run_layers([self._native[i]], x, own, self._source.keys(i), store)
        mask, layer = self._cache.open(where, together), self.weights.base.layers[i]

        def self_attend(qkv: Tensor) -> Tensor:
            width = qkv.size(-1) // 3
            keys, values = self._cache.write(slot, qkv[..., width:])
            return attend(split_heads(qkv[..., :width], layer.heads), keys, values, mask)

        return decoder_layer(x, layer, self_attend, self._source.read(i), self._source.mask)

    def _run_below(self, prefix: Tensor, lengths: Tensor, block_size: int) -> Tensor:
        """Go through all layers but the last over prefix and block; return the input of the last, [B, P + K, C]."""
        index = torch.arange(prefix.size(1) + block_size, device=prefix.device)  # [W]
        tokens = torch.nn.functional.pad(prefix, (0, block_size), value=self.weights.mask)
        tokens = tokens.masked_fill(index >= lengths[:, None], self.weights.mask)  # [B, W]
        x = self._embed(tokens, index.expand_as(tokens), index.numel())
        positions = self.weights.base.position_of(index)  # [W, C], which every layer after the first adds anew
        own = Keys(index.numel(), lengths=lengths, ahead=block_size)
        return self._run_below_native(x, positions, own) if self._native else self._run_below_torch(x, positions, own)

    def _run_below_torch(self, x: Tensor, positions: Tensor, own: Keys) -> Tensor:
        """Go through the layers.

        Args:
            x: [B, W, C], embedded with their positions.
            positions: [W, C].
            own: what self-attention looks at.
        """
        end = own.lengths[:, None] + own.ahead  # [B, 1]
        mask = torch.zeros(x.shape[:2], dtype=x.dtype, device=x.device)
        mask.masked_fill_(torch.arange(own.extent, device=x.device) >= end, -math.inf)
        for i, layer in enumerate(self.weights.base.layers[:-1]):

            def self_attend(qkv: Tensor, heads: int = layer.heads) -> Tensor:
                query, key, value = (split_heads(part, heads) for part in qkv.chunk(3, dim=-1))
                return attend(query, key, value, mask[:, None, None])

            x = decoder_layer(x, layer, self_attend, self._source.read(i), self._source.mask) + positions
        return x

    def _run_below_native(self, x: Tensor, positions: Tensor, own: Keys) -> Tensor:
        """Do the same by compiled code."""
        for i, layer in enumerate(self._native[:-1]):
            x = run_layers([layer], x, own, self._source.keys(i)).add_(positions)
        return x

    def _embed(self, tokens: Tensor, where: Tensor, n: int) -> Tensor:
        """Embed tokens at their places; every mask symbol, a real unk of the prefix included, copies from the source.

        Args:
            tokens: [B, N] int64.
            where: [B, N] int64.
            n: host int, above the greatest place of a row that has not ended.

        Returns:
            [B, N, C], positions included.
        """
        base = self.weights.base
        x = base.embed(tokens) + base.position_of(where)
        x = base.embedding_norm(x) if base.embedding_norm else x
        return torch.where(tokens.eq(self.weights.mask)[..., None], self._masks_at(where, n), x)

    def _masks_at(self, where: Tensor, n: int) -> Tensor:
        """Return what stands for masks at some places, [B, N, C]; arguments as of `_embed`."""
        self._prepare_masks(n)
        where = where.clamp(max=self._masks.size(1) - 1)
        return self._masks.gather(1, where[..., None].expand(-1, -1, self._masks.size(-1)))

    def _prepare_masks(self, n: int) -> None:
        """Embed a mask at each of the first n positions.

        What it copies depends on the position and the source alone, so each is computed once a batch, some ahead.
        """
        have, w, n = self._masks.size(1), self.weights, min(n, self._cache.capacity)
        if have >= n:
            return
        index = torch.arange(have, max(n, have + PREPARE_AHEAD), device=self._masks.device)
        positions = w.base.position_of(index)  # [n - have, C]
        if w.copy_query is None:
            x = w.base.embed(torch.full_like(index, w.mask)).expand(self._masks.size(0), -1, -1)
        else:
            score = w.copy_query(positions) @ self._copy_keys  # [B, n - have, S]
            if self._source.mask is not None:
                score = score + self._source.mask[:, 0]
            x = score.softmax(-1, dtype=torch.float32).to(self._embedding) @ self._embedding
        x = x + positions
        x = w.base.embedding_norm(x) if w.base.embedding_norm else x
        self._masks = torch.cat([self._masks, x], dim=1)

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [*self._source.tensors(), *self._cache.tensors(), self._embedding, self._copy_keys, self._masks]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._source.select_rows(rows)
        self._cache.select_rows(rows)
        self._embedding = self._embedding.index_select(0, rows)
        self._copy_keys = self._copy_keys.index_select(0, rows)
        self._masks = self._masks.index_select(0, rows)
