"""The parts of a Transformer layer over its weights; shared by encoders, the verifier and the block drafter."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from fairseq_specdec.engine.weights import EncoderLayerWeights, LayerWeights

SelfAttend = Callable[[Tensor], Tensor]  # [B, N, 3C] queries, keys and values -> [B, N, C]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, N, C] -> [B, H, N, D], a view."""
    return x.view(x.size(0), x.size(1), heads, -1).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention.

    Args:
        query: [B, H, N, D].
        key: [B, H, S, D].
        value: [B, H, S, D].
        mask: broadcast to [B, H, N, S], 0 or -inf, or None.

    Returns:
        [B, N, C].
    """
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


def self_attention(x: Tensor, w: EncoderLayerWeights, self_attend: SelfAttend) -> Tensor:
    """Apply a layer's self-attention with its norm and residual.

    Args:
        x: [B, N, C].
        w: the layer's weights.
        self_attend: attention among the positions; it owns the cache, if there is one, and the mask.

    Returns:
        [B, N, C].
    """
    y = w.self_out(self_attend(w.self_qkv(w.self_norm(x) if w.pre_norm else x)))
    x = x + (w.attention_norm(y) if w.attention_norm else y)
    return x if w.pre_norm else w.self_norm(x)


def feed_forward(x: Tensor, w: EncoderLayerWeights) -> Tensor:
    """Apply a layer's feed-forward part with its norm and residual. x: [B, N, C], as what is returned."""
    h = w.activation(w.fc1(w.ffn_norm(x) if w.pre_norm else x))
    y = w.fc2(w.hidden_norm(h) if w.hidden_norm else h)
    x = (x if w.residual_scale is None else w.residual_scale * x) + y
    return x if w.pre_norm else w.ffn_norm(x)


def decoder_layer(
    x: Tensor, w: LayerWeights, self_attend: SelfAttend, source: tuple[Tensor, Tensor], source_mask: Tensor | None
) -> Tensor:
    """Apply one decoder layer.

    Args:
        x: [B, N, C].
        w: its weights.
        self_attend: see `self_attention`.
        source: keys and values of the source, each [B, H, S, D].
        source_mask: [B, 1, 1, S], 0 or -inf, or None.

    Returns:
        [B, N, C].
    """
    x = self_attention(x, w, self_attend)
    query = split_heads(w.cross_q(w.cross_norm(x) if w.pre_norm else x), w.heads)
    x = x + w.cross_out(attend(query, *source, source_mask))
    return feed_forward(x if w.pre_norm else w.cross_norm(x), w)
