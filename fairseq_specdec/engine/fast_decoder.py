"""Runs an autoregressive decoder over many positions a pass, each row at its own offset."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths, RowBuffers
from fairseq_specdec.engine.kv_cache import CrossCache, KVCache
from fairseq_specdec.engine.layers import attend, decoder_layer, split_heads
from fairseq_specdec.engine.native.decoder import native_decoder
from fairseq_specdec.engine.weights import DecoderWeights
from fairseq_specdec.rules.limits import Limits


class FastDecoder:
    """One model's decoder with its caches.

    Args:
        weights: as read from the fairseq module.
    """

    def __init__(self, weights: DecoderWeights) -> None:
        self.weights = weights
        self._native = native_decoder(weights)
        self._cache: KVCache | None = None
        self._source: CrossCache | None = None

    def start(self, memory: Tensor, padding: Tensor | None, capacity: int, projected: Tensor | None = None) -> Tensor:
        """Begin a batch.

        Args:
            memory: [B, S, C_enc], encoder output.
            padding: [B, S] bool, True at padding, or None.
            capacity: T, positions to make room for.
            projected: [B, S, L * 2C], what is returned, where a decoder with these weights has made it already.

        Returns:
            [B, S, L * 2C], the source's keys and values for every layer.
        """
        w = self.weights
        heads = w.layers[0].heads
        self._cache = self._source = None  # the last batch's memory is free before this one takes its own
        projected = w.cross_kv(memory) if projected is None else projected
        self._source = CrossCache(projected, len(w.layers), heads, padding)
        shape = (memory.size(0), capacity, heads, w.channels // heads)
        self._cache = KVCache(len(w.layers), shape, like=w.embedding)
        return projected

    def score(
        self, tokens: Tensor, longest: int, temperature: float = 1.0, paths: Paths | None = None
    ) -> tuple[Tensor, bool]:
        """Score the positions behind each row's committed ones.

        Args:
            tokens: [B, N] int64, fed at positions lengths .. lengths + N - 1 of each row, or at the ends of paths.
            longest: host int, at least the greatest committed length, or the greatest number of slots in use.
            temperature: divides the logits.
            paths: of the positions; None where they follow one another.

        Returns:
            [B, N, V] float32 log-probabilities, and whether some of them may be NaN.
        """
        self._cache.plan(tokens.size(1), longest)
        if self._native is not None:
            return self._native(tokens, self._cache, self._source, temperature, paths)
        w = self.weights
        where = self._cache.positions(tokens.size(1)) if paths is None else paths.depths
        x = w.embed(tokens)  # [B, N, C]
        x = x if w.positions is None else x + w.position_of(where)
        x = w.embedding_norm(x) if w.embedding_norm else x
        logits = w.project(self._run(x, where) if paths is None else self._run_paths(x, paths))
        logits = logits / temperature if temperature != 1.0 else logits
        return torch.log_softmax(logits, dim=-1, dtype=torch.float32), True

    def _run(self, x: Tensor, where: Tensor) -> Tensor:
        """Go through the layers. x: [B, N, C]; where: [B, N] int64, places in the cache."""
        mask = self._cache.open(where)
        for i, layer in enumerate(self.weights.layers):

            def self_attend(qkv: Tensor, i: int = i, heads: int = layer.heads) -> Tensor:
                width = qkv.size(-1) // 3
                keys, values = self._cache.write(i, qkv[..., width:])
                return attend(split_heads(qkv[..., :width], heads), keys, values, mask)

            x = decoder_layer(x, layer, self_attend, self._source.read(i), self._source.mask)
        return x

    def _run_paths(self, x: Tensor, paths: Paths) -> Tensor:
        """Go through the layers, each position along its own path. x: [B, N, C]."""
        mask = self._cache.follow(paths)
        for i, layer in enumerate(self.weights.layers):

            def self_attend(qkv: Tensor, i: int = i, heads: int = layer.heads) -> Tensor:
                width = qkv.size(-1) // 3
                keys, values = self._cache.read_paths(i, qkv[..., width:])
                alone = qkv[..., :width].flatten(0, 1)[:, None]  # [B * N, 1, C]
                return attend(split_heads(alone, heads), keys, values, mask).view(*qkv.shape[:2], width)

            x = decoder_layer(x, layer, self_attend, self._source.read(i), self._source.mask)
        return x

    @property
    def is_compiled(self) -> bool:
        """Whether compiled code runs this model."""
        return self._native is not None

    def take_steps(self, rows: RowBuffers, limits: Limits, n: int, longest: int, temperature: float) -> Tensor:
        """Decode greedily until a row ends, in place, by compiled code.

        Args:
            rows: of the batch.
            limits: the options of the batch.
            n: most steps.
            longest: host int, at least the greatest committed length.
            temperature: divides the logits.

        Returns:
            [steps, 5, B] int64: what `rounds.commit` returns of each step that was taken.
        """
        self._cache.plan(n, longest)
        return self._native.take_steps(rows, limits, n, self._cache, self._source, temperature)

    def commit(self, kept: Tensor) -> None:
        """Advance each row by kept [B] int64."""
        self._cache.commit(kept)

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [*self._cache.tensors(), *self._source.tensors()]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._cache.select_rows(rows)
        self._source.select_rows(rows)
