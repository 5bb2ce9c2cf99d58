"""Reads the weights of a fairseq Transformer decoder by attribute, or says why it cannot be run.

One small function per module of fairseq, so that the mapping reads like a table. Nothing here imports fairseq.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UnsupportedModelError(ValueError):
    """The engine cannot run this model; ``reasons`` lists all that stands in the way."""

    def __init__(self, reasons: list[str]) -> None:
        lines = "".join(f"\n  - {reason}" for reason in reasons)
        super().__init__(f"this model cannot be run by the speculative engine:{lines}\nUse --task translation instead.")
        self.reasons = reasons


class Linear(NamedTuple):
    """A linear map. weight: [out, in]; bias: [out] or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return F.linear(x, self.weight, self.bias)


class PackedLinear:
    """A linear map whose weight is laid out once for oneDNN: on a CPU several times faster for a handful of rows.

    Args:
        linear: float32, on the CPU.
    """

    def __init__(self, linear: Linear) -> None:
        self._bias = linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")


def pack(linear: Linear) -> Linear | PackedLinear:
    """Pack a linear map where that is possible; its last bits then differ from those of F.linear."""
    weight = linear.weight
    possible = weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    return PackedLinear(linear) if possible and hasattr(torch.ops.mkldnn, "_reorder_linear_weight") else linear


class Norm(NamedTuple):
    """A layer norm over the last dimension."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer; optional parts are None where the model has none."""

    heads: int
    pre_norm: bool
    self_qkv: Linear | PackedLinear
    self_out: Linear | PackedLinear
    self_norm: Norm
    cross_q: Linear | PackedLinear
    cross_kv: Linear
    cross_out: Linear | PackedLinear
    cross_norm: Norm
    fc1: Linear | PackedLinear
    activation: Callable[[Tensor], Tensor]
    fc2: Linear | PackedLinear
    ffn_norm: Norm
    attention_norm: Norm | None
    hidden_norm: Norm | None
    residual_scale: Tensor | None


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder: embedding side, layers, output side.

    Args:
        embedding: [V, C_in].
        positions: [P, C], row ``pad + 1 + i`` is position i; None without position embeddings.
        pad: padding id.
    """

    embedding: Tensor
    scale: float
    project_in: Linear | None
    positions: Tensor | None
    pad: int
    embedding_norm: Norm | None
    layers: list[LayerWeights]
    final_norm: Norm | None
    project_out: Linear | None
    output: Linear | PackedLinear

    @property
    def channels(self) -> int:
        """C, the width of the layers."""
        return self.layers[0].self_out.weight.size(0)

    def embed(self, tokens: Tensor) -> Tensor:
        """[..., N] int64 -> [..., N, C]: scaled and projected token embeddings, without positions."""
        x = F.embedding(tokens, self.embedding)
        x = x * self.scale if self.scale != 1.0 else x
        return self.project_in(x) if self.project_in else x

    def position_of(self, index: Tensor) -> Tensor:
        """[..., N] int64 indices from 0 -> [..., N, C]; past the table's end its last row is given.

        Only rejected drafts can lie past the end: the maximum length keeps committed tokens inside.
        """
        assert self.positions is not None
        return F.embedding((index + self.pad + 1).clamp(max=self.positions.size(0) - 1), self.positions)

    def project(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., V] logits."""
        x = self.final_norm(x) if self.final_norm else x
        return self.output(self.project_out(x) if self.project_out else x)


def read_verifier(decoder: nn.Module) -> DecoderWeights:
    """Read a stock decoder.

    Raises:
        UnsupportedModelError: with every reason.
    """
    check_supported(decoder)
    return read_decoder(decoder)


def check_supported(decoder: nn.Module) -> None:
    """Refuse a decoder that the engine cannot run, without reading its weights.

    Raises:
        UnsupportedModelError: with every reason.
    """
    reasons = why_unsupported(decoder)
    if reasons:
        raise UnsupportedModelError(reasons)


def read_decoder(decoder: Any) -> DecoderWeights:
    """Read embedding, layers and output of a module built like fairseq's TransformerDecoder."""
    layers = decoder.layers
    return DecoderWeights(
        embedding=decoder.embed_tokens.weight.detach(),
        scale=float(decoder.embed_scale),
        project_in=read_linear(decoder.project_in_dim),
        positions=read_positions(decoder),
        pad=decoder.padding_idx,
        embedding_norm=read_norm(decoder.layernorm_embedding),
        layers=[read_layer(layers[i]) for i in range(len(layers))],  # indexing: iteration would apply layer drop
        final_norm=read_norm(decoder.layer_norm),
        project_out=read_linear(decoder.project_out_dim),
        output=read_linear(decoder.output_projection),
    )


def read_layer(layer: Any) -> LayerWeights:
    """Read one TransformerDecoderLayer."""
    self_out = read_linear(layer.self_attn.out_proj)
    if getattr(layer, "c_attn", None) is not None:  # a factor for each head's slice of the output
        factor = layer.c_attn.detach().repeat_interleave(layer.head_dim)
        bias = None if self_out.bias is None else self_out.bias * factor
        self_out = Linear(self_out.weight * factor[:, None], bias)
    return LayerWeights(
        heads=layer.self_attn.num_heads,
        pre_norm=layer.normalize_before,
        self_qkv=join(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
        self_out=self_out,
        self_norm=read_norm(layer.self_attn_layer_norm),
        cross_q=read_linear(layer.encoder_attn.q_proj),
        cross_kv=join(layer.encoder_attn.k_proj, layer.encoder_attn.v_proj),
        cross_out=read_linear(layer.encoder_attn.out_proj),
        cross_norm=read_norm(layer.encoder_attn_layer_norm),
        fc1=read_linear(layer.fc1),
        activation=layer.activation_fn,
        fc2=read_linear(layer.fc2),
        ffn_norm=read_norm(layer.final_layer_norm),
        attention_norm=read_norm(getattr(layer, "attn_ln", None)),
        hidden_norm=read_norm(getattr(layer, "ffn_layernorm", None)),
        residual_scale=None if getattr(layer, "w_resid", None) is None else layer.w_resid.detach(),
    )


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


def read_positions(decoder: Any) -> Tensor | None:
    """Read the table of a learned or sinusoidal position embedding, [P, C] in the dtype of the token embedding."""
    module = decoder.embed_positions
    if module is None:
        return None
    table = module.weight if isinstance(module, nn.Embedding) else module.weights
    return table.detach().to(decoder.embed_tokens.weight)


def why_unsupported(decoder: Any) -> list[str]:
    """List all that keeps the engine from running this decoder; empty when it can."""
    if not _is(decoder, "TransformerDecoderBase"):
        return [f"its decoder must be fairseq's TransformerDecoder, but is {type(decoder).__name__}"]
    reasons = []
    for method in ("forward", "extract_features", "extract_features_scriptable", "output_layer"):
        owner = _owner(decoder, method)
        if owner not in ("TransformerDecoderBase", "TransformerDecoder"):
            reasons.append(f"its decoder {type(decoder).__name__} replaces {method} (in {owner})")
    if getattr(decoder, "adaptive_softmax", None) is not None:
        reasons.append("it has an adaptive softmax (--adaptive-softmax-cutoff)")
    elif not isinstance(decoder.output_projection, nn.Linear):
        reasons.append(f"its output projection must be linear, but is {type(decoder.output_projection).__name__}")
    if not isinstance(decoder.embed_tokens, nn.Embedding):
        reasons.append(f"its input embedding must be a table, but is {type(decoder.embed_tokens).__name__}")
    if getattr(decoder, "cross_self_attention", False):
        reasons.append("it attends to source and target in one attention (--cross-self-attention)")
    for i in range(len(decoder.layers)):
        reasons += [reason for reason in _why_not_layer(decoder.layers[i]) if reason not in reasons]
    return reasons


def _why_not_layer(layer: Any) -> list[str]:
    if not _is(layer, "TransformerDecoderLayerBase"):
        return [f"a decoder layer must be fairseq's TransformerDecoderLayer, but is {type(layer).__name__}"]
    reasons = []
    for method in ("forward", "residual_connection"):
        owner = _owner(layer, method)
        # a checkpoint_activations wrapper replaces forward on the instance and changes no result
        if owner not in ("TransformerDecoderLayerBase", "TransformerDecoderLayer"):
            reasons.append(f"its layer {type(layer).__name__} replaces {method} (in {owner})")
    if layer.encoder_attn is None:
        return [*reasons, "its decoder does not attend to an encoder"]
    for name in ("self_attn", "encoder_attn"):
        attention = getattr(layer, name)
        if not _is(attention, "MultiheadAttention"):
            reasons.append(f"its {name} must be fairseq's MultiheadAttention, but is {type(attention).__name__}")
            continue
        if attention.bias_k is not None or attention.add_zero_attn:
            reasons.append(f"its {name} adds a bias or zero key (add_bias_kv, add_zero_attn)")
        if getattr(attention, "use_xformers", False):
            reasons.append(f"its {name} uses xFormers attention (--decoder-xformers-att-config)")
    return reasons


def _is(module: Any, class_name: str) -> bool:
    return any(cls.__name__ == class_name for cls in type(module).__mro__)


def _owner(module: Any, method: str) -> str:
    """Name the class that defines ``method`` for this module."""
    return next(cls.__name__ for cls in type(module).__mro__ if method in cls.__dict__)
