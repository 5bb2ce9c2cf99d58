"""Linear maps whose weights are laid out once for the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec.engine.linear import Linear, LinearMap
from fairseq_specdec.engine.native.library import NativeLinear, library


class PackedLinear:
    """A linear map whose weight is laid out once for oneDNN: on a CPU several times faster for a handful of rows.

    Alone a plain call is faster where a small weight meets few rows; but only if the loop of a measurement keeps the
    weight in the cache next to the core. In a pass, which reads one weight after the other, it is twice as slow.

    Args:
        linear: float32, on the CPU.
    """

    def __init__(self, linear: Linear) -> None:
        self.weight, self.bias = linear
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")


def pack(linear: Linear) -> LinearMap:
    """Lay a weight out for the CPU where that is possible; the last bits of results then differ from F.linear's."""
    if linear.weight.device.type != "cpu" or linear.weight.dtype != torch.float32:
        return linear
    if library() is not None:
        return NativeLinear(linear)
    possible = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    return PackedLinear(linear) if possible else linear
