"""Says what keeps the engine from running a fairseq module. Nothing here imports fairseq."""

from __future__ import annotations

from typing import Any

from torch import nn


class UnsupportedModelError(ValueError):
    """The engine cannot run this model; ``reasons`` lists all that stands in the way."""

    def __init__(self, reasons: list[str]) -> None:
        lines = "".join(f"\n  - {reason}" for reason in reasons)
        super().__init__(f"this model cannot be run by the speculative engine:{lines}\nUse --task translation instead.")
        self.reasons = reasons


def check_supported(decoder: nn.Module) -> None:
    """Refuse a decoder that the engine cannot run, without reading its weights.

    Raises:
        UnsupportedModelError: with every reason.
    """
    reasons = why_unsupported(decoder)
    if reasons:
        raise UnsupportedModelError(reasons)


def why_unsupported(decoder: Any) -> list[str]:
    """List all that keeps the engine from running this decoder; empty when it can."""
    if not _is(decoder, "TransformerDecoderBase"):
        return [f"its decoder must be fairseq's TransformerDecoder, but is {type(decoder).__name__}"]
    methods = ("forward", "extract_features", "extract_features_scriptable", "output_layer")
    reasons = _replaced(decoder, methods, ("TransformerDecoderBase", "TransformerDecoder"))
    if getattr(decoder, "adaptive_softmax", None) is not None:
        reasons.append("it has an adaptive softmax (--adaptive-softmax-cutoff)")
    elif not isinstance(decoder.output_projection, nn.Linear):
        reasons.append(f"its output projection must be linear, but is {type(decoder.output_projection).__name__}")
    reasons += _why_not_embedding(decoder)
    if getattr(decoder, "cross_self_attention", False):
        reasons.append("it attends to source and target in one attention (--cross-self-attention)")
    for i in range(len(decoder.layers)):
        reasons += [reason for reason in _why_not_decoder_layer(decoder.layers[i]) if reason not in reasons]
    return reasons


def why_not_encoder(encoder: Any) -> list[str]:
    """List all that keeps the engine from running this encoder; fairseq's own module runs it then."""
    if not _is(encoder, "TransformerEncoderBase"):
        return [f"its encoder must be fairseq's TransformerEncoder, but is {type(encoder).__name__}"]
    own = ("TransformerEncoderBase", "TransformerEncoder", "SpecDrafterEncoder")
    reasons = _replaced(encoder, ("forward", "forward_scriptable", "forward_embedding"), own)
    reasons += _why_not_embedding(encoder)
    for i in range(len(encoder.layers)):
        reasons += [reason for reason in _why_not_encoder_layer(encoder.layers[i]) if reason not in reasons]
    return reasons


def _why_not_embedding(stack: Any) -> list[str]:
    reasons = []
    if not isinstance(stack.embed_tokens, nn.Embedding):
        reasons.append(f"its input embedding must be a table, but is {type(stack.embed_tokens).__name__}")
    if getattr(stack, "quant_noise", None) is not None:
        reasons.append("it projects its embeddings for quantization (--quant-noise-pq)")
    return reasons


def _why_not_decoder_layer(layer: Any) -> list[str]:
    if not _is(layer, "TransformerDecoderLayerBase"):
        return [f"a decoder layer must be fairseq's TransformerDecoderLayer, but is {type(layer).__name__}"]
    own = ("TransformerDecoderLayerBase", "TransformerDecoderLayer")
    reasons = _replaced(layer, ("forward", "residual_connection"), own)
    if layer.encoder_attn is None:
        return [*reasons, "its decoder does not attend to an encoder"]
    return reasons + _why_not_attention(layer, "self_attn") + _why_not_attention(layer, "encoder_attn")


def _why_not_encoder_layer(layer: Any) -> list[str]:
    if not _is(layer, "TransformerEncoderLayerBase"):
        return [f"an encoder layer must be fairseq's TransformerEncoderLayer, but is {type(layer).__name__}"]
    own = ("TransformerEncoderLayerBase", "TransformerEncoderLayer")
    return _replaced(layer, ("forward", "residual_connection"), own) + _why_not_attention(layer, "self_attn")


def _why_not_attention(layer: Any, name: str) -> list[str]:
    attention = getattr(layer, name)
    if not _is(attention, "MultiheadAttention"):
        return [f"its {name} must be fairseq's MultiheadAttention, but is {type(attention).__name__}"]
    reasons = []
    if attention.bias_k is not None or attention.add_zero_attn:
        reasons.append(f"its {name} adds a bias or zero key (add_bias_kv, add_zero_attn)")
    if getattr(attention, "use_xformers", False):
        reasons.append(f"its {name} uses xFormers attention (--decoder-xformers-att-config)")
    return reasons


def _replaced(module: Any, methods: tuple[str, ...], own: tuple[str, ...]) -> list[str]:
    """List the methods that a class other than fairseq's ``own`` defines.

    A checkpoint_activations wrapper replaces forward on the instance; that changes no result and is not looked at.
    """
    kind = type(module).__name__
    found = [(method, _owner(module, method)) for method in methods]
    what = "layer" if "Layer" in own[0] else "decoder" if "Decoder" in own[0] else "encoder"
    return [f"its {what} {kind} replaces {method} (in {owner})" for method, owner in found if owner not in own]


def _is(module: Any, class_name: str) -> bool:
    return any(cls.__name__ == class_name for cls in type(module).__mro__)


def _owner(module: Any, method: str) -> str:
    """Name the class that defines ``method`` for this module."""
    return next(cls.__name__ for cls in type(module).__mro__ if method in cls.__dict__)
