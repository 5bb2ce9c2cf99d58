"""Runs a Transformer encoder by its weights; a module that cannot be read runs itself."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_specdec import device
from fairseq_specdec.blocks import EncoderOutput
from fairseq_specdec.engine.layers import attend, feed_forward, self_attention, split_heads
from fairseq_specdec.engine.lent import Lending
from fairseq_specdec.engine.native.layer import Keys, NativeLayer, native_layers, run_layers
from fairseq_specdec.engine.weights import EncoderLayerWeights, EncoderWeights, read_encoder


class FastEncoder:
    """Encodes batches.

    Args:
        module: fairseq's encoder.
        engine_dtype: see `engine.reduced`.
        lending: of the model, where its weights may be lent; else None.
    """

    def __init__(self, module: nn.Module, engine_dtype: str | None = None, lending: Lending | None = None) -> None:
        self._module = module
        self._weights = read_encoder(module, engine_dtype, lending)
        self._native = native_layers(self._weights.layers) if self._weights else None

    def forward(self, net_input: dict[str, Any]) -> EncoderOutput:
        """Encode a batch.

        Args:
            net_input: fairseq's; ``src_tokens`` [B, S] int64, padded on either side.
        """
        tokens = net_input["src_tokens"]
        if not self.can_run(tokens.size(1)):
            return _stock(self._module.forward_torchscript(net_input))
        assert self._weights is not None
        return _run(self._weights, tokens, self._native)

    def can_run(self, width: int) -> bool:
        """Say whether sources of so many positions are run by their weights and not by the module itself."""
        w = self._weights
        return w is not None and (w.positions is None or width + w.pad < w.positions.size(0))


def _run(w: EncoderWeights, tokens: Tensor, native: list[NativeLayer] | None) -> EncoderOutput:
    padding: Tensor | None = tokens.eq(w.pad)
    if device.reads_freely(tokens) and not padding.any():
        padding = None
    embedding = F.embedding(tokens, w.embedding)
    embedding = embedding * w.scale if w.scale != 1.0 else embedding
    positions = None if w.positions is None else F.embedding(_position_ids(tokens, padding, w.pad), w.positions)
    x = embedding if positions is None else embedding + positions
    x = w.embedding_norm(x) if w.embedding_norm else x
    mask = None
    if padding is not None:
        x = x.masked_fill(padding[..., None], 0.0)
        mask = torch.zeros(padding.shape, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill_(padding, -math.inf)[:, None, None]
    if native:
        x = run_layers(native, x.clone(), Keys(x.size(1), mask=mask))
    else:
        x = _run_layers(x, w.layers, mask)
    return EncoderOutput(w.final_norm(x) if w.final_norm else x, padding, embedding, positions)


def _run_layers(x: Tensor, layers: list[EncoderLayerWeights], mask: Tensor | None) -> Tensor:
    """Go through the layers. x: [B, S, C]; mask: [B, 1, 1, S], 0 or -inf, or None."""
    for layer in layers:

        def self_attend(qkv: Tensor, heads: int = layer.heads) -> Tensor:
            query, key, value = (split_heads(part, heads) for part in qkv.chunk(3, dim=-1))
            return attend(query, key, value, mask)

        x = feed_forward(self_attention(x, layer, self_attend), layer)
    return x


def _position_ids(tokens: Tensor, padding: Tensor | None, pad: int) -> Tensor:
    """Return the rows of fairseq's position table [B, S]: pad + 1, pad + 2 ... over what is not padding."""
    if padding is None:
        return torch.arange(pad + 1, pad + 1 + tokens.size(1), device=tokens.device).expand_as(tokens)
    real = ~padding
    return real.cumsum(1) * real + pad


def _stock(out: dict[str, list[Tensor]]) -> EncoderOutput:
    """Turn fairseq's [S, B, C] into [B, S, C]."""
    padding = next(iter(out["encoder_padding_mask"]), None)
    if padding is not None and not padding.any():  # host sync: once a batch
        padding = None
    parts = [next(iter(out.get(name, ())), None) for name in ("encoder_embedding", "encoder_pos")]
    return EncoderOutput(out["encoder_out"][0].transpose(0, 1), padding, *parts)
