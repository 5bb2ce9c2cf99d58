"""Weights that the engine has laid out anew, in place of the modules' own: one copy of them in memory instead of two.

A module whose weight is lent has no numbers. Whoever asks for them (fairseq's own decoding, a certificate, training,
whoever saves or moves the model) gets them back first, bit for bit, in the same parameter; from then on there are two
copies. Only counts of a model's numbers differ while weights are lent.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_specdec.engine.linear import LinearMap
from fairseq_specdec.engine.native.library import LANES, NativeLinear


class LentLinear(nn.Linear):
    """A linear map of torch's while its weight is lent; asked for it, it is a plain one again."""

    lent_from: Tensor  # [panels, in, LANES] float32
    lent_at: int  # first of its outputs there

    @property
    def weight(self) -> nn.Parameter:
        """[out, in], brought back."""
        return _brought_back(self).weight

    def _apply(self, *args: Any, **options: Any) -> nn.Module:
        return _brought_back(self)._apply(*args, **options)

    def _save_to_state_dict(self, *args: Any, **options: Any) -> None:
        _brought_back(self)._save_to_state_dict(*args, **options)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        _brought_back(self)._load_from_state_dict(*args, **options)


class Lending:
    """Lends the weights of one model, layer by layer while they are read.

    Args:
        model: whose weights they are. A weight that two of its modules share is left to them.
    """

    def __init__(self, model: nn.Module) -> None:
        owners = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
        self._shared = {weight for weight, n in owners.items() if n > 1}

    def take(self, linear: LinearMap, *modules: nn.Module) -> None:
        """Empty modules whose weights a linear map has, one behind the other, as they were."""
        if not isinstance(linear, NativeLinear) or linear.panels.dtype != torch.float32:
            return
        begin = 0
        for module in modules:
            weight = module._parameters["weight"]
            if type(module) is nn.Linear and id(weight) not in self._shared:
                module.lent_from, module.lent_at = linear.panels, begin
                module.__class__ = LentLinear
                weight.data = weight.data.new_empty(0)
            begin += module.out_features


def _brought_back(module: nn.Linear) -> nn.Linear:
    """Give a module its weight again."""
    begin, end = module.lent_at, module.lent_at + module.out_features
    panels = module.lent_from[begin // LANES : -(-end // LANES)]
    rows = panels.transpose(1, 2).flatten(0, 1)[begin % LANES :][: module.out_features]
    module._parameters["weight"].data = rows.contiguous()
    del module.lent_from, module.lent_at
    module.__class__ = nn.Linear
    return module
