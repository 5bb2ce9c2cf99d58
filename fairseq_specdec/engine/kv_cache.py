"""Keys and values of a batch whose rows have different lengths.

Rolling back costs nothing: a row's length says how much of it counts, and what lies behind is masked now and
overwritten by the next block.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import Paths
from fairseq_specdec.engine.native.layer import CCache, CKeys, Keys

CLEAR_AHEAD = 32  # positions


class KVCache:
    """Keys and values of the decoder's self-attention.

    Stored as [B * T, 2C] per layer (keys, then values), so that a ragged write is one row copy and attention reads
    a strided view.

    Args:
        n_layers: L.
        shape: (B, T, H, D).
        like: a tensor whose dtype and device are taken.

    Attributes:
        lengths: [B] int64, positions of each row that count.
    """

    def __init__(self, n_layers: int, shape: tuple[int, int, int, int], like: Tensor) -> None:
        self.n_rows, self.capacity, self.heads, self.head_dim = shape
        size = (self.n_rows * self.capacity, 2 * self.heads * self.head_dim)
        self._store = [torch.empty(size, dtype=like.dtype, device=like.device) for _ in range(n_layers)]
        self._views = self._split()
        self._native: tuple[Any, Any] | None = None  # what compiled code takes, from the first pass on
        self._clean = 0  # positions of every row up to here hold numbers, not what the memory held before
        if not device.reads_freely(like):
            self._clear(self.capacity)  # a round that is recorded must not depend on what earlier ones cleared
        self.lengths = torch.zeros(self.n_rows, dtype=torch.int64, device=like.device)
        self._rows = torch.empty(0, dtype=torch.int64, device=like.device)
        self._extent = 0
        self._paths: Tensor | None = None  # [B, N, P] int64, rows of the store that each position looks at

    def follow(self, paths: Paths) -> Tensor:
        """Make ready for `read_paths`, in the place of `open`.

        Returns:
            The additive mask [B * N, 1, 1, P] (0 or -inf) that shows each position its path.
        """
        n = paths.slots.size(1)
        self.place(self.positions(n))
        rows = torch.arange(self.n_rows, device=paths.slots.device)[:, None, None] * self.capacity
        index = torch.arange(paths.slots.size(2), device=paths.slots.device)
        hidden = index > paths.depths[..., None]  # [B, N, P]
        self._paths = (rows + paths.slots).masked_fill(hidden, 0)
        mask = torch.zeros(hidden.shape, dtype=self._store[0].dtype, device=hidden.device)
        return mask.masked_fill_(hidden, -math.inf).flatten(0, 1)[:, None, None]

    def read_paths(self, layer: int, kv: Tensor) -> tuple[Tensor, Tensor]:
        """Store a block and return what each of its positions looks at.

        Args:
            layer: its number.
            kv: [B, N, 2C], keys then values.

        Returns:
            keys and values, each [B * N, H, P, D].
        """
        store = self._store[layer]
        store.index_copy_(0, self._rows, kv.reshape(-1, kv.size(-1)))
        n = kv.size(0) * kv.size(1)
        found = store.index_select(0, self._paths.reshape(-1)).view(n, -1, 2, self.heads, self.head_dim)
        keys, values = found.permute(2, 0, 3, 1, 4).unbind()
        return keys, values

    def plan(self, n: int, longest: int) -> None:
        """Prepare for a block of n positions behind each row's length.

        Args:
            n: N.
            longest: host int, at least the greatest of ``lengths``; bounds what attention has to look at.
        """
        self._extent = min(longest + n, self.capacity)
        self._clear(self._extent)

    def positions(self, n: int) -> Tensor:
        """Return index [B, N] int64 of each position of a block in its row."""
        return self.lengths[:, None] + torch.arange(n, device=self.lengths.device)

    def open(self, where: Tensor, together: bool = False) -> Tensor | None:
        """Make ready for `write`.

        Args:
            where: [B, N] int64, see `positions`.
            together: let each position see all of its block.

        Returns:
            The additive mask [B, 1, N, extent] (0 or -inf) that shows a position the committed ones and those of its
            own block up to itself, [B, 1, 1, extent] where they see one another; None when all is visible.
        """
        self.place(where)
        if where.numel() == 1 and device.reads_freely(where):  # elsewhere ``longest`` may be more than its length
            return None
        last = where[:, -1:] if together else where
        hidden = torch.arange(self._extent, device=where.device) > last[..., None]  # [B, N or 1, extent]
        mask = torch.zeros(hidden.shape, dtype=self._store[0].dtype, device=where.device)
        return mask.masked_fill_(hidden, -math.inf)[:, None]

    def place(self, where: Tensor) -> None:
        """Say where the next `write` puts its positions: where [B, N] int64, as planned."""
        self._rows = (where + torch.arange(self.n_rows, device=where.device)[:, None] * self.capacity).view(-1)

    def _clear(self, extent: int) -> None:
        """Zero what attention is about to see for the first time, ahead in steps: most of the room is never used."""
        if extent <= self._clean:
            return
        begin, self._clean = self._clean, min(self.capacity, max(extent, self._clean + CLEAR_AHEAD))
        for store in self._store:
            store.view(self.n_rows, self.capacity, -1)[:, begin : self._clean].zero_()

    def write(self, layer: int, kv: Tensor) -> tuple[Tensor, Tensor]:
        """Store a block behind each row's length and return all that attention may look at.

        Args:
            layer: its number.
            kv: [B, N, 2C], keys then values.

        Returns:
            keys and values, each [B, H, extent, D] views.
        """
        self._store[layer].index_copy_(0, self._rows, kv.reshape(-1, kv.size(-1)))
        keys, values = self._views[layer]
        return keys[:, :, : self._extent], values[:, :, : self._extent]

    def native(self) -> tuple[Any, Any, int]:
        """Return what compiled code looks at and where it writes, arrays of a struct a layer; and the extent."""
        if self._native is None:
            n = len(self._store)
            keys = (CKeys * n)(*(Keys(0, *views, self.lengths).struct for views in self._views))
            stores = (CCache * n)(*(CCache(store.data_ptr(), self.capacity) for store in self._store))
            self._native = keys, stores
        return *self._native, self._extent

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [self.lengths, *(store.view(self.n_rows, self.capacity, -1) for store in self._store)]

    def keys(self, layer: int, ahead: int) -> tuple[Keys, Tensor]:
        """Return what compiled code looks at in one layer, and where it writes a block; ahead: see `Keys`."""
        return Keys(self._extent, *self._views[layer], self.lengths, ahead), self._store[layer]

    def _split(self) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values of each layer, each a [B, H, T, D] view."""
        shape = (self.n_rows, self.capacity, 2, self.heads, self.head_dim)
        return [store.view(shape).permute(2, 0, 3, 1, 4).unbind() for store in self._store]

    def commit(self, kept: Tensor) -> None:
        """Advance each row by kept [B] int64; positions beyond are stale."""
        self.lengths += kept

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        kept = rows.numel()
        for i, store in enumerate(self._store):
            chosen = store.new_empty(kept * self.capacity, store.size(1))
            used = store.view(self.n_rows, self.capacity, -1)[:, : self._clean]
            chosen.view(kept, self.capacity, -1)[:, : self._clean] = used.index_select(0, rows)
            self._store[i] = chosen
        self.lengths = self.lengths.index_select(0, rows)
        self.n_rows = kept
        self._views, self._native = self._split(), None


class CrossCache:
    """Keys and values of the source, projected once a batch.

    Args:
        projected: [B, S, L * 2C], keys then values of the first layer, then of the next.
        n_layers: L.
        heads: H.
        padding: [B, S] bool, True at padding, or None when there is none.
    """

    def __init__(self, projected: Tensor, n_layers: int, heads: int, padding: Tensor | None) -> None:
        self._store = projected.view(*projected.shape[:2], n_layers, 2, heads, -1)  # [B, S, L, 2, H, D]
        self._views = self._split()
        self._keys: list[Keys] = []  # of each layer, from the first pass of compiled code on
        self._native: Any = None
        self.mask: Tensor | None = None  # [B, 1, 1, S], 0 or -inf
        if padding is not None:
            mask = torch.zeros(padding.shape, dtype=projected.dtype, device=padding.device)
            self.mask = mask.masked_fill_(padding, -math.inf)[:, None, None]

    def _split(self) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values of each layer, each a [B, H, S, D] view."""
        return [layer.unbind() for layer in self._store.permute(2, 3, 0, 4, 1, 5)]

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return keys and values of a layer, each [B, H, S, D]."""
        return self._views[layer]

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [self._store, *([] if self.mask is None else [self.mask])]

    def keys(self, layer: int) -> Keys:
        """Return what compiled code looks at in a layer."""
        if not self._keys:
            self._keys = [Keys(key.size(2), key, value, mask=self.mask) for key, value in self._views]
        return self._keys[layer]

    def native(self) -> Any:
        """Return what compiled code looks at, an array of a struct a layer."""
        if self._native is None:
            n = len(self._views)
            self._native = (CKeys * n)(*(self.keys(i).struct for i in range(n)))
        return self._native

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._store = self._store.index_select(0, rows)
        self._views, self._keys, self._native = self._split(), [], None
        self.mask = None if self.mask is None else self.mask.index_select(0, rows)
