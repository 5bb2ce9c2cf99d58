"""Linear maps with rounded weights on a CPU: fewer bytes to read, and not the numbers of the checkpoint.

Inputs and sums stay float32, so an output still does not depend on what else is in the batch or the block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fairseq_specdec.engine.linear import Linear, LinearMap
from fairseq_specdec.engine.native.library import NativeLinear, library
from fairseq_specdec.engine.packed import pack

_ROWS = 4096  # rounded at a time, so that a large weight is not copied as a whole in float32


def rounded(weight: Tensor, engine_dtype: str) -> tuple[Tensor, Tensor | None]:
    """Round a weight.

    Args:
        weight: [out, in] float32.
        engine_dtype: "bf16", or "int8": whole numbers in -127..127 with a scale for each output.

    Returns:
        [out, in] bfloat16 or int8, and [out] float32 scales or None.
    """
    if engine_dtype == "bf16":
        return weight.bfloat16(), None
    numbers, scales = torch.empty_like(weight, dtype=torch.int8), weight.new_empty(weight.size(0))
    parts = (each.split(_ROWS) for each in (weight, numbers, scales))
    for own, whole, scale in zip(*parts, strict=True):
        scale.copy_((own.abs().amax(1) / 127).clamp(min=1e-12))
        whole.copy_((own / scale[:, None]).round())
    return numbers, scales


def reduce(linear: Linear, engine_dtype: str) -> LinearMap:
    """Return a linear map with a rounded weight; compiled code reads it as it is, without it nothing gets faster."""
    numbers, scales = rounded(linear.weight, engine_dtype)
    if library() is not None:
        return NativeLinear(linear, numbers, scales)
    weight = numbers.float() if scales is None else numbers * scales[:, None]
    return pack(Linear(weight, linear.bias))


def converter(engine_dtype: str | None) -> Callable[[str, Linear], LinearMap]:
    """Return what turns each linear map, given its name, into the one that runs.

    Args:
        engine_dtype: "bf16" or "int8"; None keeps the weights, packed where that is possible.
    """
    if engine_dtype is None:
        return lambda name, linear: pack(linear)
    return lambda name, linear: reduce(linear, engine_dtype)
