"""Start a drafter from the weights of its verifier."""

from __future__ import annotations

import logging
import math
import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from fairseq_specdec.compat import load_checkpoint
from fairseq_specdec.models.checkpoint import model_options

logger = logging.getLogger(__name__)

_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)")
_OF_SYMBOLS = ("embed_tokens.weight", "output_projection.weight")
# Settings that are in no tensor's shape but change what the tensors compute.
_SETTINGS = {
    "activation_fn": "relu",
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_normalize_before": False,
    "decoder_normalize_before": False,
    "layernorm_embedding": False,
}


@dataclass
class InitReport:
    """What became of the drafter's tensors: names that were copied, and names left fresh with the reason."""

    copied: list[str] = field(default_factory=list)
    fresh: dict[str, str] = field(default_factory=dict)


def init_from_verifier(model: nn.Module, path: str) -> InitReport:
    """Copy what fits from a verifier's checkpoint into a drafter, in place, and log what was copied.

    Args:
        model: a SpecDrafterModel.
        path: fairseq checkpoint of a Transformer.

    Raises:
        ValueError: the checkpoint shares no layer with the drafter (option --init-from-verifier).
    """
    checkpoint = load_checkpoint(path)
    options = model_options(checkpoint)
    report = copy_verifier(model, checkpoint["model"], options)
    if not any(_LAYER.match(name) for name in report.copied):
        raise ValueError(
            f"--init-from-verifier: no layer of {path} (arch {options.arch}) fits the drafter: give the drafter the "
            "verifier's --encoder-embed-dim and --encoder-ffn-embed-dim, or leave the option out."
        )
    logger.info("initialised %d tensors from the verifier %s", len(report.copied), path)
    for reason in sorted(set(report.fresh.values())):
        names = [name for name, why in report.fresh.items() if why == reason]
        logger.info("left fresh, %s: %s", reason, ", ".join(names))
    _warn_about_settings(model, options)
    return report


def copy_verifier(model: nn.Module, verifier: Mapping[str, Tensor], options: Namespace) -> InitReport:
    """Copy tensors of the verifier's state dict into the drafter, in place.

    Args:
        model: a SpecDrafterModel.
        verifier: state dict.
        options: the verifier's model options.

    The verifier multiplies embeddings by s = sqrt(d), the drafter by 1. The table also projects the output, so it is
    copied as it is: s times larger it would make all logits s times too large. The drafter's input is then 1/s of the
    verifier's once the positions are divided by s as well, and the first layer is adapted to that (`_adapt_scale`).
    So the encoder starts as the verifier's, and the positions that the drafter adds before every later layer start
    small instead of drowning what these layers have learned to read.
    """
    own = model.state_dict()
    depth = {side: _depth(verifier, side) for side in ("encoder", "decoder")}
    own_depth = {side: _depth(own, side) for side in ("encoder", "decoder")}
    scale = {side: _embedding_scale(verifier, options, side) for side in ("encoder", "decoder")}
    report = InitReport()
    for name, tensor in own.items():
        if name.endswith(("embed_positions._float_tensor", ".version")):
            continue
        side = name.split(".")[0]
        value = _source(name, tensor, verifier, depth, own_depth)
        if value is not None and name.endswith(_OF_SYMBOLS) and str(getattr(options, "arch", "")).startswith("bart"):
            value = _without_mask(value, tensor)
        if value is not None and name.endswith("embed_positions.weight"):
            value = _fit_rows(value / scale[side], tensor)
        if value is None or value.shape != tensor.shape:
            report.fresh[name] = "not in the verifier" if value is None else "of another shape"
            continue
        tensor.copy_(value)
        report.copied.append(name)
    for side in ("encoder", "decoder"):
        inputs = {f"{side}.embed_tokens.weight", f"{side}.layers.0.self_attn.q_proj.weight"}
        if scale[side] != 1 and inputs <= set(report.copied):
            _adapt_scale(getattr(model, side), scale[side])
    _start_monotone(model, report, scale["decoder"])
    return report


def _depth(state: Mapping[str, Tensor], side: str) -> int:
    layers = [int(match[2]) for match in map(_LAYER.match, state) if match and match[1] == side]
    return max(layers, default=-1) + 1


def _embedding_scale(verifier: Mapping[str, Tensor], options: Namespace, side: str) -> float:
    table = verifier.get(f"{side}.embed_tokens.weight")
    if table is None or getattr(options, "no_scale_embedding", False):
        return 1.0
    return math.sqrt(table.size(1))


def _source(
    name: str,
    tensor: Tensor,
    verifier: Mapping[str, Tensor],
    depth: Mapping[str, int],
    own_depth: Mapping[str, int],
) -> Tensor | None:
    """Return the verifier's tensor for a drafter's tensor, None where there is none."""
    match = _LAYER.match(name)
    if match:
        side, index, rest = match[1], int(match[2]), match[3]
        layer = chosen_layer(index, own_depth[side], depth[side])
        return None if layer is None else verifier.get(f"{side}.layers.{layer}.{rest}")
    if name == "decoder.output_projection.weight" and name not in verifier:
        return verifier.get("decoder.embed_tokens.weight")  # tied, and old checkpoints store it once
    if name.endswith("embed_positions.weight") and name not in verifier:
        rows, width = tensor.shape
        return SinusoidalPositionalEmbedding.get_embedding(rows, width, padding_idx=1)
    return verifier.get(name)


def chosen_layer(index: int, own_depth: int, depth: int) -> int | None:
    """Return which of ``depth`` verifier layers starts drafter layer ``index``: evenly spaced, first and last kept.

    A deeper drafter takes the verifier's layers for its first ones; its other layers get None.
    """
    if own_depth >= depth:
        return index if index < depth else None
    return round(index * (depth - 1) / max(own_depth - 1, 1))


def _without_mask(table: Tensor, like: Tensor) -> Tensor:
    # Published BARTs have a last row for a mask, which the dictionary need not have; fairseq drops it, too.
    return table[:-1] if table.size(0) == like.size(0) + 1 else table


def _fit_rows(table: Tensor, like: Tensor) -> Tensor:
    # The verifier may have fewer learned positions; those beyond keep the drafter's own values.
    rows = min(table.size(0), like.size(0))
    if table.shape[1:] != like.shape[1:]:
        return table
    return torch.cat([table[:rows].to(like), like[rows:]])


@torch.no_grad()
def _adapt_scale(stack: nn.Module, scale: float) -> None:
    """Make a stack of layers compute on input / scale what it computed on input.

    A layer norm forgets the scale of its input. Post-norm: the first self-attention reads the small input, so its
    projections grow by the scale and its output shrinks with the residual. Pre-norm: every block reads a normalised
    input, so only what is added to the residual shrinks, in all layers.
    """
    if stack.layernorm_embedding is not None or not len(stack.layers):
        return
    if not stack.layers[0].normalize_before:
        attention = stack.layers[0].self_attn
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight.mul_(scale)
        shrink = [attention.out_proj]
    else:
        attentions = [layer.self_attn for layer in stack.layers]
        attentions += [layer.encoder_attn for layer in stack.layers if hasattr(layer, "encoder_attn")]
        shrink = [attention.out_proj for attention in attentions] + [layer.fc2 for layer in stack.layers]
    for linear in shrink:
        linear.weight.div_(scale)
        linear.bias.div_(scale)


@torch.no_grad()
def _start_monotone(model: nn.Module, report: InitReport, scale: float) -> None:
    # Where both sides hold the same kind of positions their product is largest at equal positions, so that a
    # multiple of the identity makes each mask copy from around its own place instead of from everywhere.
    copy = model.decoder.copy_attn
    sides = ("decoder",) if model.shares_encoder else ("encoder", "decoder")  # the verifier's has its own positions
    if copy is None or not {f"{side}.embed_positions.weight" for side in sides} <= set(report.copied):
        return
    copy.weight.copy_(torch.eye(copy.weight.size(0)) * scale)
    report.fresh["decoder.copy_attn.weight"] = "started as a monotone copy"


def _warn_about_settings(model: nn.Module, options: Namespace) -> None:
    sides = ("decoder",) if model.shares_encoder else ("encoder", "decoder")
    for side in sides:
        if not getattr(model.decoder.cfg, f"{side}_learned_pos"):
            logger.warning(
                "--init-from-verifier: sinusoidal positions of the drafter outweigh the verifier's embeddings, "
                "which it does not scale: better pass --%s-learned-pos",
                side,
            )
    for name, default in _SETTINGS.items():
        theirs, ours = getattr(options, name, default), getattr(model.decoder.cfg, name)
        if theirs != ours and (not name.startswith("encoder_") or "encoder" in sides):
            logger.warning(
                "--init-from-verifier: %s is %s in the verifier, %s in the drafter; the weights expect the first",
                name,
                theirs,
                ours,
            )
