"""A decoder's pass on a CPU by compiled code, in one call: from tokens to log-probabilities."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths, RowBuffers
from fairseq_specdec.engine.kv_cache import CrossCache, KVCache
from fairseq_specdec.engine.linear import Norm
from fairseq_specdec.engine.native.layer import CNorm, CPaths, NativeLayer, native_layers
from fairseq_specdec.engine.native.library import CLinear, NativeLinear, address, library
from fairseq_specdec.engine.native.rounds import CState
from fairseq_specdec.engine.native.rules import c_rules
from fairseq_specdec.engine.weights import DecoderWeights
from fairseq_specdec.rules.limits import Limits


class _CEmbedding(ctypes.Structure):
    _fields_ = [
        ("table", ctypes.c_void_p),
        ("symbols", ctypes.c_int64),
        ("scale", ctypes.c_double),
        ("positions", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("n_positions", ctypes.c_int64),
        ("norm", CNorm),
    ]


class _CDecoder(ctypes.Structure):
    _fields_ = [
        ("channels", ctypes.c_int64),
        ("embedding", _CEmbedding),
        ("layers", ctypes.c_void_p),
        ("n_layers", ctypes.c_int64),
        ("final_norm", CNorm),
        ("output", CLinear),
    ]


class NativeDecoder:
    """A decoder whose layers, embedding and output are of the usual kind.

    Args:
        weights: a decoder's for which `native_decoder` does not return None.
        layers: its layers as the library runs them.
    """

    def __init__(self, weights: DecoderWeights, layers: list[NativeLayer]) -> None:
        self._weights, self._layers = weights, layers  # keep the memory that the struct points to
        self._table, positions = weights.embedding.contiguous(), weights.positions
        self._positions = None if positions is None else positions.contiguous()
        self._pointers = (ctypes.c_void_p * len(self._layers))(*(layer.address for layer in self._layers))
        embedding = _CEmbedding(
            address(self._table),
            self._table.size(0),
            weights.scale,
            address(self._positions),
            weights.pad + 1,
            0 if positions is None else positions.size(0),
            _norm(weights.embedding_norm),
        )
        self._struct = _CDecoder(
            weights.channels,
            embedding,
            ctypes.addressof(self._pointers),
            len(self._layers),
            _norm(weights.final_norm),
            weights.output.struct,
        )
        self.address = ctypes.addressof(self._struct)

    def __call__(
        self, tokens: Tensor, cache: KVCache, source: CrossCache, temperature: float, paths: Paths | None = None
    ) -> tuple[Tensor, bool]:
        """Score positions behind each row's committed ones.

        Args:
            tokens: [B, N] int64.
            cache: planned for so many positions; their keys and values are written.
            source: of the batch.
            temperature: divides the logits.
            paths: of the positions; None where they follow one another.

        Returns:
            [B, N, V] float32 log-probabilities, and whether some of them may be NaN.

        Raises:
            IndexError: a token is none of the table's, as by torch.
        """
        n_rows, width = tokens.shape
        tokens, (keys, stores, extent) = tokens.contiguous(), cache.native()
        x, scratch, out = self._room(n_rows, width)
        along = paths and CPaths(address(paths.slots), paths.slots.size(2), address(paths.depths))
        n_bad = library().specdec_decode(
            self.address,
            tokens.data_ptr(),
            n_rows,
            width,
            cache.lengths.data_ptr(),
            stores,
            keys,
            source.native(),
            extent,
            along and ctypes.byref(along),
            x.data_ptr(),
            scratch.data_ptr(),
            out.data_ptr(),
            temperature,
            torch.get_num_threads(),
        )
        if n_bad < 0:
            raise self.unknown_token(tokens)
        return out, n_bad > 0

    def take_steps(
        self,
        rows: RowBuffers,
        limits: Limits,
        n: int,
        cache: KVCache,
        source: CrossCache,
        temperature: float,
    ) -> Tensor:
        """Decode greedily until a row ends, in place; a step that needs more than is done here is not begun.

        Args:
            rows: of the batch.
            limits: the options of the batch.
            n: most steps.
            cache: planned for so many positions; its rows advance, too.
            source: of the batch.
            temperature: divides the logits.

        Returns:
            [steps, 5, B] int64: what `rounds.commit` returns of each step that was taken.
        """
        keys, stores, extent = cache.native()
        n_rows, capacity = rows.tokens.shape
        x, scratch, out = self._room(n_rows, 1)
        status = rows.lengths.new_empty(n, 5, n_rows)
        state = CState(*map(address, rows[:4]), capacity, limits.eos, limits.max_len)
        taken = library().specdec_steps(
            self.address,
            n_rows,
            cache.lengths.data_ptr(),
            stores,
            keys,
            source.native(),
            extent,
            ctypes.byref(c_rules(limits)),
            ctypes.byref(state),
            rows.totals.data_ptr(),
            n,
            status.data_ptr(),
            x.data_ptr(),
            scratch.data_ptr(),
            out.data_ptr(),
            temperature,
            torch.get_num_threads(),
        )
        return status[:taken]

    def _room(self, n_rows: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return memory for a pass: its input [B * N, C], what layers need, its scores [B, N, V]."""
        w, n = self._struct, n_rows * width
        x = self._table.new_empty(n, w.channels)
        n_scratch = library().specdec_scratch(self._pointers, len(self._layers), n)
        return x, x.new_empty(n_scratch), x.new_empty(n_rows, width, w.output.outputs)

    def unknown_token(self, tokens: Tensor) -> IndexError:
        """Say that some of these tokens are none of the embedding's."""
        return IndexError(
            f"token ids must be rows of the decoder's embedding, 0..{self._struct.embedding.symbols - 1}, "
            f"got {int(tokens.min())}..{int(tokens.max())}: check the draft, the prefix and the dictionaries."
        )


def native_decoder(weights: DecoderWeights) -> NativeDecoder | None:
    """Return the decoder as the library runs it, None where it cannot."""
    usual = weights.project_in is None and weights.project_out is None and isinstance(weights.output, NativeLinear)
    layers = native_layers(weights.layers) if usual and weights.embedding.dtype == torch.float32 else None
    return None if layers is None else NativeDecoder(weights, layers)


def _norm(norm: Norm | None) -> CNorm:
    return CNorm() if norm is None else CNorm(address(norm.weight), address(norm.bias), norm.eps)
