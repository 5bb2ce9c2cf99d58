"""Reads the weights of fairseq's Transformer encoders and decoders by attribute.

One small function per module of fairseq, so that the mapping reads like a table. Nothing here imports fairseq.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_specdec.engine.lent import Lending
from fairseq_specdec.engine.linear import Linear, LinearMap, Norm, convert_all, join, read_linear, read_norm
from fairseq_specdec.engine.reduced import converter
from fairseq_specdec.engine.support import refuse, why_not_encoder, why_unsupported

Convert = Callable[[str, Linear], LinearMap]
Layer = TypeVar("Layer", bound="EncoderLayerWeights")


@dataclass(frozen=True)
class EncoderLayerWeights:
    """One encoder layer, and what a decoder layer has in common with it; optional parts are None where absent."""

    heads: int
    pre_norm: bool
    self_qkv: LinearMap
    self_out: LinearMap
    self_norm: Norm
    attention_norm: Norm | None
    fc1: LinearMap
    activation: Callable[[Tensor], Tensor]
    hidden_norm: Norm | None
    fc2: LinearMap
    ffn_norm: Norm
    residual_scale: Tensor | None


@dataclass(frozen=True)
class LayerWeights(EncoderLayerWeights):
    """One decoder layer."""

    cross_q: LinearMap
    cross_out: LinearMap
    cross_norm: Norm


@dataclass(frozen=True)
class EncoderWeights:
    """An encoder.

    Args:
        embedding: [V, C].
        positions: [P, C], row ``pad + 1 + i`` is position i, row ``pad`` that of padding; None without.
        pad: padding id.
    """

    embedding: Tensor
    scale: float
    positions: Tensor | None
    pad: int
    embedding_norm: Norm | None
    layers: list[EncoderLayerWeights]
    final_norm: Norm | None


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder: embedding side, layers, output side.

    Args:
        embedding: [V, C_in].
        positions: [P, C], row ``pad + 1 + i`` is position i; None without position embeddings.
        pad: padding id.
        cross_kv: projects an encoder's output to keys, then values, of the first layer, then of the next.
    """

    embedding: Tensor
    scale: float
    project_in: LinearMap | None
    positions: Tensor | None
    pad: int
    embedding_norm: Norm | None
    cross_kv: LinearMap
    layers: list[LayerWeights]
    final_norm: Norm | None
    project_out: LinearMap | None
    output: LinearMap

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


def read_verifier(
    decoder: nn.Module, engine_dtype: str | None = None, lending: Lending | None = None
) -> DecoderWeights:
    """Read a stock decoder.

    Args:
        decoder: fairseq's.
        engine_dtype: see `converter`.
        lending: of the model, where its weights may be lent; else None.

    Raises:
        UnsupportedModelError: with every reason.
    """
    refuse(why_unsupported(decoder))
    return read_decoder(decoder, converter(engine_dtype), lending)


def read_encoder(
    encoder: Any, engine_dtype: str | None = None, lending: Lending | None = None
) -> EncoderWeights | None:
    """Read an encoder module; None when the engine cannot run it, and the module itself has to (in full precision)."""
    if why_not_encoder(encoder):
        return None
    convert = converter(engine_dtype)
    weights = EncoderWeights(
        embedding=encoder.embed_tokens.weight.detach(),
        scale=float(encoder.embed_scale),
        positions=read_positions(encoder),
        pad=encoder.padding_idx,
        embedding_norm=read_norm(encoder.layernorm_embedding),
        layers=[
            _converted(EncoderLayerWeights(**_read_common(layer)), layer, convert, lending)
            for layer in _layers_of(encoder)
        ],
        final_norm=read_norm(encoder.layer_norm),
    )
    return convert_all(weights, convert)


def read_decoder(decoder: Any, convert: Convert | None = None, lending: Lending | None = None) -> DecoderWeights:
    """Read embedding, layers and output of a module built like fairseq's TransformerDecoder.

    Args:
        decoder: the module.
        convert: makes the linear maps that run, layer by layer; None keeps them as they are read.
        lending: see `read_verifier`.
    """
    convert = convert or _as_read
    layers, projections = _layers_of(decoder), []
    for attention in (layer.encoder_attn for layer in layers):
        projections += [attention.k_proj, attention.v_proj]
    cross_kv = convert("cross_kv", join(*projections))
    if lending:
        lending.take(cross_kv, *projections)
    weights = DecoderWeights(
        embedding=decoder.embed_tokens.weight.detach(),
        scale=float(decoder.embed_scale),
        project_in=read_linear(decoder.project_in_dim),
        positions=read_positions(decoder),
        pad=decoder.padding_idx,
        embedding_norm=read_norm(decoder.layernorm_embedding),
        cross_kv=cross_kv,
        layers=[_converted(read_layer(layer), layer, convert, lending) for layer in layers],
        final_norm=read_norm(decoder.layer_norm),
        project_out=read_linear(decoder.project_out_dim),
        output=read_linear(decoder.output_projection),
    )
    return convert_all(weights, convert)


def _layers_of(stack: Any) -> list[Any]:
    return [stack.layers[i] for i in range(len(stack.layers))]  # iteration would apply layer drop


def _as_read(name: str, linear: Linear) -> Linear:
    return linear


def _converted(weights: Layer, layer: Any, convert: Convert, lending: Lending | None) -> Layer:
    """Convert the weights of one layer; where they may be lent its modules let go of their own."""
    weights = convert_all(weights, convert)
    if lending is None:
        return weights
    own, source = layer.self_attn, getattr(layer, "encoder_attn", None)
    lending.take(weights.self_qkv, own.q_proj, own.k_proj, own.v_proj)
    if getattr(layer, "c_attn", None) is None:  # else these are other numbers
        lending.take(weights.self_out, own.out_proj)
    lending.take(weights.fc1, layer.fc1)
    lending.take(weights.fc2, layer.fc2)
    if isinstance(weights, LayerWeights):
        lending.take(weights.cross_q, source.q_proj)
        lending.take(weights.cross_out, source.out_proj)
    return weights


def read_layer(layer: Any) -> LayerWeights:
    """Read one TransformerDecoderLayer."""
    self_out = read_linear(layer.self_attn.out_proj)
    if getattr(layer, "c_attn", None) is not None:  # a factor for each head's slice of the output
        factor = layer.c_attn.detach().repeat_interleave(layer.head_dim)
        bias = None if self_out.bias is None else self_out.bias * factor
        self_out = Linear(self_out.weight * factor[:, None], bias)
    common = {**_read_common(layer), "self_out": self_out}
    return LayerWeights(
        **common,
        cross_q=read_linear(layer.encoder_attn.q_proj),
        cross_out=read_linear(layer.encoder_attn.out_proj),
        cross_norm=read_norm(layer.encoder_attn_layer_norm),
    )


def _read_common(layer: Any) -> dict[str, Any]:
    """Read what encoder and decoder layers share: the fields of EncoderLayerWeights."""
    scale = getattr(layer, "w_resid", None)
    return {
        "heads": layer.self_attn.num_heads,
        "pre_norm": layer.normalize_before,
        "self_qkv": join(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
        "self_out": read_linear(layer.self_attn.out_proj),
        "self_norm": read_norm(layer.self_attn_layer_norm),
        "attention_norm": read_norm(getattr(layer, "attn_ln", None)),
        "fc1": read_linear(layer.fc1),
        "activation": layer.activation_fn,
        "hidden_norm": read_norm(getattr(layer, "ffn_layernorm", None)),
        "fc2": read_linear(layer.fc2),
        "ffn_norm": read_norm(layer.final_layer_norm),
        "residual_scale": None if scale is None else scale.detach(),
    }


def read_positions(stack: Any) -> Tensor | None:
    """Read an encoder's or decoder's learned or sinusoidal positions, [P, C] in the dtype of its token embedding."""
    module = stack.embed_positions
    if module is None:
        return None
    table = module.weight if isinstance(module, nn.Embedding) else module.weights
    return table.detach().to(stack.embed_tokens.weight)
