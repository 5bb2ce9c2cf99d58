"""Encoder and decoder layers on a CPU by compiled code: one call where torch takes about twenty a layer.

At a handful of positions most of a pass is the cost of calling operations; here one team of threads goes through all
of a layer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fairseq_specdec.engine.native.library import CLinear, NativeLinear, address, library
from fairseq_specdec.engine.weights import EncoderLayerWeights

# what csrc/linear.h calls activation functions; others, though they be called like these, are run by torch
_EPILOGUES = {("torch.nn.functional", "relu"): 1, ("fairseq.modules.gelu", "gelu"): 2}
_MAPS = ("self_qkv", "self_out", "cross_q", "cross_out", "fc1", "fc2")
_NORMS = ("self_norm", "cross_norm", "ffn_norm")


class CNorm(ctypes.Structure):
    """A layer norm as the library takes it."""

    _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("eps", ctypes.c_double)]


class CKeys(ctypes.Structure):
    """See `Keys`."""

    _fields_ = [
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("row_stride", "head_stride", "stride", "extent")),
        ("lengths", ctypes.c_void_p),
        ("ahead", ctypes.c_int64),
        ("mask", ctypes.c_void_p),
    ]


class _CLayer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("channels", "heads", "pre_norm", "activation")),
        *((name, CLinear) for name in _MAPS),
        *((name, CNorm) for name in _NORMS),
    ]


class CCache(ctypes.Structure):
    """Where a pass leaves keys and values."""

    _fields_ = [("store", ctypes.c_void_p), ("capacity", ctypes.c_int64)]


class CPaths(ctypes.Structure):
    """See `blocks.Paths`."""

    _fields_ = [("slots", ctypes.c_void_p), ("stride", ctypes.c_int64), ("depths", ctypes.c_void_p)]


class Keys:
    """Keys and values that queries look at, and how far.

    Args:
        extent: positions that there are.
        key: [B, H, >= extent, D] float32, a view; None for those that the pass itself makes.
        value: the same, with the same strides.
        lengths: [B] int64, positions that every query sees, or None: all that there are. May change in place.
        ahead: how many more it sees behind those; 0: up to itself.
        mask: [B, ..., extent], 0 or -inf, or None.
    """

    def __init__(
        self,
        extent: int,
        key: Tensor | None = None,
        value: Tensor | None = None,
        lengths: Tensor | None = None,
        ahead: int = 0,
        mask: Tensor | None = None,
    ) -> None:
        self.extent, self.key, self.value, self.lengths, self.ahead, self.mask = (
            extent,
            key,
            value,
            lengths,
            ahead,
            mask,
        )
        strides = (0, 0, 0) if key is None else key.stride()[:3]
        self.struct = CKeys(address(key), address(value), *strides, extent, address(lengths), ahead, address(mask))


class NativeLayer:
    """One encoder or decoder layer.

    Args:
        weights: an encoder or decoder layer's for which `can_run` holds.
    """

    def __init__(self, weights: EncoderLayerWeights) -> None:
        self._weights = weights  # keeps the memory that the struct points to
        maps = {name: getattr(weights, name, None) for name in _MAPS}
        norms = {name: getattr(weights, name, None) for name in _NORMS}
        self._struct = _CLayer(
            channels=weights.self_qkv.struct.inputs,
            heads=weights.heads,
            pre_norm=weights.pre_norm,
            activation=_EPILOGUES[_name(weights.activation)],
            **{name: one.struct for name, one in maps.items() if one is not None},
            **{name: CNorm(address(n.weight), address(n.bias), n.eps) for name, n in norms.items() if n is not None},
        )
        self.address = ctypes.addressof(self._struct)

    @staticmethod
    def can_run(weights: EncoderLayerWeights) -> bool:
        """Say whether the library has all that this layer does."""
        maps = (getattr(weights, name, None) for name in _MAPS)
        unusual = (weights.attention_norm, weights.hidden_norm, weights.residual_scale)
        return (
            all(one is None or isinstance(one, NativeLinear) for one in maps)
            and all(part is None for part in unusual)
            and _name(weights.activation) in _EPILOGUES
        )


def _name(function: Any) -> tuple[str, str]:
    return getattr(function, "__module__", ""), getattr(function, "__name__", "")


def run_layers(
    layers: Sequence[NativeLayer], x: Tensor, own: Keys, source: Keys | None = None, store: Tensor | None = None
) -> Tensor:
    """Go through layers, all of which look at the same: an encoder's, or one of a decoder.

    Args:
        layers: not none.
        x: [B, N, C] float32, contiguous; changed in place.
        own: what self-attention looks at.
        source: what cross-attention looks at, in a decoder layer.
        store: [B * T, 2C], where the keys and values of the pass are to be written behind each row's length.

    Returns:
        x.
    """
    assert x.is_contiguous() and x.dtype == torch.float32
    lib, (n_rows, width, _) = library(), x.shape
    pointers = (ctypes.c_void_p * len(layers))(*(layer.address for layer in layers))
    scratch = x.new_empty(lib.specdec_scratch(pointers, len(layers), n_rows * width))
    cache = CCache(address(store), 0 if store is None else store.size(0) // n_rows)
    lib.specdec_layers(
        pointers,
        len(layers),
        x.data_ptr(),
        n_rows,
        width,
        scratch.data_ptr(),
        ctypes.byref(cache),
        ctypes.byref(own.struct),
        None if source is None else ctypes.byref(source.struct),
        torch.get_num_threads(),
    )
    return x


def native_layers(layers: Sequence[EncoderLayerWeights]) -> list[NativeLayer] | None:
    """Return the layers as the library runs them; None unless it can run every one."""
    return [NativeLayer(layer) for layer in layers] if all(map(NativeLayer.can_run, layers)) else None
