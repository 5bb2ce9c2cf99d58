"""Linear maps in reduced precision on a CPU: fewer bytes to read, and not the numbers of the checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from fairseq_specdec.engine.linear import Linear, LinearMap
from fairseq_specdec.engine.packed import pack


class Bf16Linear:
    """A linear map whose weight and input are rounded to bfloat16; sums are float32, the output is rounded again.

    Args:
        linear: float32, on the CPU.
    """

    def __init__(self, linear: Linear) -> None:
        self.weight = linear.weight
        self._bias = None if linear.bias is None else linear.bias.bfloat16()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.bfloat16(), None)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], float32."""
        return torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self._packed, self._bias, "none", [], "").float()


class Int8Linear:
    """A linear map with int8 weights, a scale for each output, whose input is quantized as it comes (dynamically).

    Args:
        linear: float32, on the CPU.
    """

    def __init__(self, linear: Linear) -> None:
        self.weight = linear.weight
        scale = (linear.weight.abs().amax(1) / 127).clamp(min=1e-12)  # [out]
        zero = torch.zeros_like(scale, dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)  # they will go one day
            quantized = torch.quantize_per_channel(linear.weight, scale, zero, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantized, linear.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], float32."""
        return torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)


def converter(engine_dtype: str | None) -> Callable[[str, Linear], LinearMap]:
    """Return what turns each linear map, given its name, into the one that runs.

    Args:
        engine_dtype: "bf16" or "int8"; None keeps the precision, packed where that is possible.
    """
    if engine_dtype is None:
        return lambda name, linear: pack(linear)
    if engine_dtype == "int8":
        return lambda name, linear: Int8Linear(linear)
    # the best two of many logits are often closer than bfloat16 can tell: the output stays float32
    return lambda name, linear: pack(linear) if name == "output" else Bf16Linear(linear)
