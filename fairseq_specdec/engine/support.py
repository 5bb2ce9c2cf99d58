"""Says what keeps the engine from running a fairseq module. Nothing here imports fairseq."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from fairseq_specdec.engine import stock
from fairseq_specdec.engine.stock import is_a, why_not, why_not_any


class UnsupportedModelError(ValueError):
    """The engine cannot run this model; ``reasons`` lists all that stands in the way."""

    def __init__(self, reasons: list[str]) -> None:
        lines = "".join(f"\n  - {reason}" for reason in reasons)
        super().__init__(f"this model cannot be run by the speculative engine:{lines}\nUse --task translation instead.")
        self.reasons = reasons


def check_supported(model: nn.Module) -> None:
    """Refuse a model that the engine cannot run, without reading its weights.

    Raises:
        UnsupportedModelError: with every reason.
    """
    refuse(why_model_unsupported(model))


def refuse(reasons: list[str]) -> None:
    """Raise UnsupportedModelError if there are reasons."""
    if reasons:
        raise UnsupportedModelError(reasons)


def why_model_unsupported(model: Any) -> list[str]:
    """List all that keeps the engine from running this model; an encoder that it cannot run runs itself."""
    missing = [name for name in ("encoder", "decoder") if not isinstance(getattr(model, name, None), nn.Module)]
    if missing:
        return [f"it must have an encoder and a decoder, but {type(model).__name__} has no {' and no '.join(missing)}"]
    return why_not(model, stock.MODEL, "model") + why_unsupported(model.decoder)


def why_unsupported(decoder: Any) -> list[str]:
    """List all that keeps the engine from running this decoder; empty when it can."""
    reasons = why_not(decoder, stock.DECODER, "decoder")
    if not is_a(decoder, stock.DECODER):
        return reasons
    reasons += why_not_any() + why_not(decoder.layers, stock.LIST, "layers")
    if getattr(decoder, "adaptive_softmax", None) is not None:
        reasons.append("it has an adaptive softmax (--adaptive-softmax-cutoff)")
    else:
        reasons += why_not(decoder.output_projection, stock.LINEAR, "output_projection")
    reasons += _why_not_stack(decoder)
    for name in ("project_in_dim", "project_out_dim"):
        reasons += _why_not_part(decoder, name, stock.LINEAR)
    if getattr(decoder, "cross_self_attention", False):
        reasons.append("it attends to source and target in one attention (--cross-self-attention)")
    if len(decoder.layers) == 0:
        reasons.append("its decoder has no layers")
    layers = [decoder.layers[i] for i in range(len(decoder.layers))]  # iteration would apply layer drop
    return _distinct(reasons, map(_why_not_decoder_layer, layers)) + _why_not_alike(layers)


def why_not_encoder(encoder: Any) -> list[str]:
    """List all that keeps the engine from running this encoder; fairseq's own module runs it then."""
    reasons = why_not(encoder, stock.ENCODER, "encoder")
    if not is_a(encoder, stock.ENCODER):
        return reasons
    reasons += why_not_any() + why_not(encoder.layers, stock.LIST, "layers") + _why_not_stack(encoder)
    layers = (encoder.layers[i] for i in range(len(encoder.layers)))
    return _distinct(reasons, map(_why_not_encoder_layer, layers))


def _distinct(reasons: list[str], more: Iterable[list[str]]) -> list[str]:
    """Append what each layer has to say, once."""
    for each in more:
        reasons += [reason for reason in each if reason not in reasons]
    return reasons


def _why_not_stack(stack: Any) -> list[str]:
    """Look at what surrounds the layers of an encoder or decoder."""
    table = stack.embed_tokens
    reasons = why_not(table, stock.TABLE, "embed_tokens")
    positions = _why_not_part(stack, "embed_positions", stock.POSITIONS)
    if not reasons and table.max_norm is not None:
        reasons.append("its embed_tokens bounds the norm of its rows (max_norm)")
    reasons += positions
    if stack.embed_positions is not None and not positions:
        if stack.embed_positions.padding_idx != stack.padding_idx:
            reasons.append("its embed_positions has another padding_idx than its embed_tokens")
        if getattr(stack.embed_positions, "max_norm", None) is not None:
            reasons.append("its embed_positions bounds the norm of its rows (max_norm)")
    if getattr(stack, "quant_noise", None) is not None:
        reasons.append("it projects its embeddings for quantization (--quant-noise-pq)")
    for name in ("layernorm_embedding", "layer_norm"):
        reasons += _why_not_part(stack, name, stock.NORM)
    return reasons + _why_not_dropout(stack, "dropout_module")


def _why_not_decoder_layer(layer: Any) -> list[str]:
    reasons = why_not(layer, stock.DECODER_LAYER, "layer")
    if not is_a(layer, stock.DECODER_LAYER):
        return reasons
    reasons += _why_not_common(layer)
    if layer.encoder_attn is None:
        return [*reasons, "its decoder does not attend to an encoder"]
    norm = _why_not_part(layer, "encoder_attn_layer_norm", stock.NORM)
    return reasons + _why_not_attention(layer, "encoder_attn") + norm


def _why_not_encoder_layer(layer: Any) -> list[str]:
    reasons = why_not(layer, stock.ENCODER_LAYER, "layer")
    return reasons + _why_not_common(layer) if is_a(layer, stock.ENCODER_LAYER) else reasons


def _why_not_common(layer: Any) -> list[str]:
    """Look at what encoder and decoder layers share."""
    reasons = _why_not_attention(layer, "self_attn")
    for name in ("fc1", "fc2"):
        reasons += why_not(getattr(layer, name), stock.LINEAR, name)
    for name in ("self_attn_layer_norm", "final_layer_norm", "attn_ln", "ffn_layernorm"):
        reasons += _why_not_part(layer, name, stock.NORM)
    for name in ("dropout_module", "activation_dropout_module"):
        reasons += _why_not_dropout(layer, name)
    return reasons


def _why_not_attention(layer: Any, name: str) -> list[str]:
    attention = getattr(layer, name)
    reasons = why_not(attention, stock.ATTENTION, name)
    if not is_a(attention, stock.ATTENTION):
        return reasons
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        reasons += why_not(getattr(attention, part), stock.LINEAR, f"{name}.{part}")
    reasons += _why_not_dropout(attention, "dropout_module")
    if attention.bias_k is not None or attention.add_zero_attn:
        reasons.append(f"its {name} adds a bias or zero key (add_bias_kv, add_zero_attn)")
    if getattr(attention, "use_xformers", False):
        reasons.append(f"its {name} uses xFormers attention (--decoder-xformers-att-config)")
    width = attention.num_heads * attention.head_dim
    if width != attention.embed_dim or getattr(attention.q_proj, "out_features", width) != width:
        reasons.append(f"its {name} has fewer heads than its width asks for (pruned)")
    if not math.isclose(attention.scaling, attention.head_dim**-0.5):
        reasons.append(f"its {name} scales products by {attention.scaling} instead of {attention.head_dim**-0.5}")
    return reasons


def _why_not_part(module: Any, name: str, kind: stock.Kind) -> list[str]:
    """Look at a part that need not be there."""
    part = getattr(module, name, None)
    if part is None:
        return []
    reasons = why_not(part, kind, name)
    if kind is stock.NORM and not reasons and (part.weight is None or part.bias is None):
        reasons.append(f"its {name} has no weight or no bias")
    return reasons


def _why_not_dropout(module: Any, name: str) -> list[str]:
    """Look at dropout, which has to do nothing in evaluation."""
    dropout = getattr(module, name, None)
    if dropout is None:
        return []
    if getattr(dropout, "apply_during_inference", False):
        return [f"its {name} drops in evaluation, too (--retain-dropout)"]
    return why_not(dropout, stock.DROPOUT, name)


def _why_not_alike(layers: list[Any]) -> list[str]:
    """Look at what has to be the same in all layers: keys and values of all lie in one cache."""
    heads = {layer.self_attn.num_heads for layer in layers if hasattr(layer.self_attn, "num_heads")}
    return ["its decoder's layers have different numbers of heads"] if len(heads) > 1 else []
