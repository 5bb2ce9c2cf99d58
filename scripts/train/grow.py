#!/usr/bin/env python3
"""Start a Transformer of another size from a trained one: wider and deeper, or with fewer layers.

    grow.py CHECKPOINT.pt OUT.pt [--embed-dim 512] [--ffn-dim 2048] [--heads 8] [--encoder-layers 6]
        [--decoder-layers 6] [--noise 0.01]

The grown model says nearly what the trained one says, so that its training (``fairseq-train --finetune-from-model
OUT.pt`` with the new sizes) begins where the other has ended and not from nothing:

- a wider layer copies each unit and divides what reads it by the number of its copies (Net2Net, arXiv 1511.05641);
  units along the model's width are copied in order, so that sinusoidal positions nearly keep their meaning;
- a layer that is new copies its neighbour and adds nothing at first: what its two or three parts put out is zero;
- fewer layers are the first of each group; the norm behind them is that behind the last one, which fits what reads it.

Copies of a unit would stay copies: ``--noise`` moves every weight by a share of its matrix's spread. For models with
one dictionary and one embedding (``--share-all-embeddings``), norms after each layer, no learned positions.
"""

from __future__ import annotations

import argparse
import logging
import math
import re
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from fairseq_specdec.compat import load_checkpoint


class Widening:
    """Which old unit each new unit copies, along one axis.

    Args:
        old, new: numbers of units.
        parts: the axis is so many stretches end to end, each widened by itself (sine and cosine, heads).
        old_parts: stretches of the old axis, where their number changes (heads); later ones copy from the start.
    """

    def __init__(self, old: int, new: int, parts: int = 1, old_parts: int | None = None) -> None:
        old_parts = old_parts or parts
        if new % parts or old % old_parts:
            raise ValueError(f"{old} units in {old_parts} parts cannot become {new} in {parts}: sizes do not divide")
        length, old_length = new // parts, old // old_parts
        if length < old_length or parts < old_parts:
            raise ValueError(
                f"{new} units in {parts} parts are fewer than {old} in {old_parts}; layers only grow wider"
            )
        spread = torch.linspace(0, old_length - 1, length).round().long()
        self.source = torch.cat([spread + part % old_parts * old_length for part in range(parts)])
        copies = torch.bincount(self.source, minlength=old)
        self.copies = copies[self.source].float()
        self.copies_in_part = torch.bincount(spread, minlength=old_length)[spread].repeat(parts).float()


class Growth:
    """New weights from old ones, by the names fairseq's Transformer gives them."""

    def __init__(self, model: dict[str, Any], sizes: dict[str, int], noise: float, seed: int = 1) -> None:
        embed, ffn, heads = (
            int(model[f"encoder_{name}"]) for name in ("embed_dim", "ffn_embed_dim", "attention_heads")
        )
        self.embed = Widening(embed, sizes["embed_dim"], parts=2)
        self.ffn = Widening(ffn, sizes["ffn_dim"])
        self.inner = Widening(embed, sizes["embed_dim"], sizes["heads"], heads)
        self.layers = {side: (int(model[f"{side}_layers"]), sizes[f"{side}_layers"]) for side in ("encoder", "decoder")}
        self.head_scale = math.sqrt((sizes["embed_dim"] / sizes["heads"]) / (embed / heads))
        self.embed_scale = math.sqrt(embed / sizes["embed_dim"])
        self.noise = noise
        self.random = torch.Generator().manual_seed(seed)

    def grow(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the new sizes, float32, under fairseq's names."""
        grown = {}
        for name, tensor in state.items():
            part = re.match(r"(encoder|decoder)\.layers\.(\d+)\.(.+)", name)
            if part is None:
                grown[name] = self._widen(name, tensor.float())
                continue
            side, layer, rest = part[1], int(part[2]), part[3]
            old, new = self.layers[side]
            for target, copied, is_new in arrangement(old, new):
                is_last = target == new - 1
                if layer == (old - 1 if is_last and rest.startswith("final_layer_norm") else copied):
                    wide = self._widen(rest, tensor.float(), read_by_embedding=is_last and side == "decoder")
                    grown[f"{side}.layers.{target}.{rest}"] = silent(rest, wide) if is_new else wide
        return grown

    def _widen(self, name: str, tensor: Tensor, read_by_embedding: bool = False) -> Tensor:
        if "embed_tokens" in name or "output_projection" in name:
            wide = tensor[:, self.embed.source] * self.embed_scale
        elif "layer_norm" in name:
            wide = tensor[self.embed.source]
            if read_by_embedding and name.startswith("final_layer_norm"):  # which divides by no number of copies
                wide = wide / (self.embed.copies * self.embed_scale)
            return wide
        elif "fc1" in name or "fc2" in name or "_proj" in name:
            reads, writes = self._axes(name)
            wide = tensor[writes.source]
            if "q_proj" in name:  # copies within a head would count again in each product with a key
                scale = self.head_scale / self.inner.copies_in_part
                wide = wide * (scale[:, None] if wide.dim() == 2 else scale)
            if wide.dim() == 2:
                wide = wide[:, reads.source] / reads.copies
        else:
            return tensor
        if wide.dim() < 2:
            return wide
        return wide + torch.randn(wide.shape, generator=self.random) * wide.std() * self.noise

    def _axes(self, name: str) -> tuple[Widening, Widening]:
        if "fc1" in name:
            return self.embed, self.ffn
        if "fc2" in name:
            return self.ffn, self.embed
        return (self.inner, self.embed) if "out_proj" in name else (self.embed, self.inner)


def arrangement(old: int, new: int) -> list[tuple[int, int, bool]]:
    """Return (layer, old layer that it copies, whether it is an addition) for each of ``new`` layers.

    The old layers keep their order, the last one its place at the end, where more are asked for.
    """
    if new <= old:
        return [(layer, layer * old // new, False) for layer in range(new)]
    groups = [layer * old // new for layer in range(new)]
    plan = []
    for layer, copied in enumerate(groups):
        kept = groups.index(copied) if copied < old - 1 else new - 1
        plan.append((layer, copied, layer != kept))
    return plan


def silent(name: str, tensor: Tensor) -> Tensor:
    """Return a new layer's weight such that the layer passes on what it is given."""
    if "out_proj" in name or "fc2" in name:
        return torch.zeros_like(tensor)
    if "layer_norm" in name:  # what comes in was normalised and scaled before: near the same scale again
        return torch.full_like(tensor, tensor.square().mean().sqrt().item() if "weight" in name else 0.0)
    return tensor


def grown_checkpoint(state: dict[str, Any], sizes: dict[str, int | None], noise: float) -> dict[str, Any]:
    """Return a checkpoint's dict with weights and model options of the new sizes.

    Raises:
        ValueError: sizes do not divide, or the model is of a kind that is not grown here.
    """
    config = OmegaConf.to_container(state["cfg"]) if not isinstance(state["cfg"], dict) else dict(state["cfg"])
    model = dict(config["model"] if isinstance(config["model"], dict) else vars(config["model"]))
    for option, wanted in (("share_all_embeddings", True), ("encoder_normalize_before", False),
                           ("encoder_learned_pos", False), ("layernorm_embedding", False)):  # fmt: skip
        if bool(model.get(option, False)) != wanted:
            raise ValueError(f"the model was trained with {option}={model.get(option)}; only {wanted} can be grown")
    known = {"embed_dim": "encoder_embed_dim", "ffn_dim": "encoder_ffn_embed_dim", "heads": "encoder_attention_heads",
             "encoder_layers": "encoder_layers", "decoder_layers": "decoder_layers"}  # fmt: skip
    chosen = {name: int(model[option] if sizes.get(name) is None else sizes[name]) for name, option in known.items()}
    weights = Growth(model, chosen, noise).grow(state["model"])
    for side in ("encoder", "decoder"):
        model |= {f"{side}_embed_dim": chosen["embed_dim"], f"{side}_ffn_embed_dim": chosen["ffn_dim"],
                  f"{side}_attention_heads": chosen["heads"], f"{side}_layers": chosen[f"{side}_layers"]}  # fmt: skip
    model |= {"decoder_input_dim": chosen["embed_dim"], "decoder_output_dim": chosen["embed_dim"]}
    kind = type(config["model"])
    return state | {"cfg": config | {"model": kind(**model)}, "model": weights}


def main() -> None:
    """Parse the command line, grow, say the size."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path)
    for option in ("embed-dim", "ffn-dim", "heads", "encoder-layers", "decoder-layers"):
        parser.add_argument(f"--{option}", type=int)
    parser.add_argument("--noise", type=float, default=0.01)
    args = parser.parse_args()
    grown = grown_checkpoint(load_checkpoint(args.checkpoint), vars(args), args.noise)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(grown, args.out)
    print(f"{args.out}: {sum(weight.numel() for weight in grown['model'].values()) / 1e6:.1f} million weights")


if __name__ == "__main__":
    main()
