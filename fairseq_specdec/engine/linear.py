"""Linear maps and layer norms as the engine holds them, read from torch modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = TypeVar("Weights")


class LinearMap(Protocol):
    """What a linear map is to the layers. weight: [out, in], as in the checkpoint."""

    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""


class Linear(NamedTuple):
    """A linear map. weight: [out, in]; bias: [out] or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return F.linear(x, self.weight, self.bias)


def convert_all(weights: Weights, convert: Callable[[str, Linear], LinearMap]) -> Weights:
    """Return a dataclass of weights whose linear maps are converted, those of its ``layers`` too.

    Args:
        weights: with fields that hold linear maps.
        convert: gets a field's name and its map.
    """
    found = {field.name: getattr(weights, field.name) for field in fields(weights)}
    converted = {name: convert(name, value) for name, value in found.items() if isinstance(value, Linear)}
    if "layers" in found:
        converted["layers"] = [convert_all(layer, convert) for layer in found["layers"]]
    return replace(weights, **converted)


class Norm(NamedTuple):
    """A layer norm over the last dimension."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def read_linear(module: Any) -> Linear | None:
    """Read an nn.Linear; None stays None."""
    if module is None:
        return None
    return Linear(module.weight.detach(), None if module.bias is None else module.bias.detach())


def read_norm(module: Any) -> Norm | None:
    """Read a layer norm; None stays None."""
    return None if module is None else Norm(module.weight.detach(), module.bias.detach(), module.eps)


def join(*modules: Any) -> Linear:
    """Stack linear maps of one input into one."""
    parts = [read_linear(module) for module in modules]
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    return Linear(torch.cat([part.weight for part in parts]), bias)
