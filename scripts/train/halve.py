#!/usr/bin/env python3
"""Make a fairseq checkpoint fit to be shipped: weights in half precision, no optimizer, no paths of this machine.

    halve.py CHECKPOINT.pt OUT.pt

Stock fairseq reads the result; on a CPU its weights become float32 again, each the value it was rounded to.
"""

from __future__ import annotations

import argparse
import logging
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from fairseq_specdec.compat import load_checkpoint


def halve(state: dict[str, Any]) -> dict[str, Any]:
    """Return what of a checkpoint's dict is needed to decode, or to start another training from."""
    halves: dict[tuple[int, tuple[int, ...]], Tensor] = {}  # tied weights stay one tensor, stored once

    def half(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        key = (tensor.data_ptr(), tuple(tensor.shape))
        return halves.setdefault(key, tensor.half())

    config = state.get("cfg")
    if config is not None and not isinstance(config, dict):
        config = OmegaConf.to_container(config)
    return {
        "args": without_paths(state.get("args")),
        "cfg": None
        if config is None
        else {name: without_paths(config[name]) for name in ("model", "task", "criterion")},
        "model": {name: half(tensor) for name, tensor in state["model"].items()},
        "optimizer_history": [{"optimizer_name": "", "lr_scheduler_state": {}, "num_updates": updates(state)}],
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
        "task_state": {name: value for name, value in state.get("task_state", {}).items() if name != "datasets"},
    }


def updates(state: dict[str, Any]) -> int:
    """Return for how many updates a checkpoint was trained."""
    return int((state.get("optimizer_history") or [{}])[-1].get("num_updates", 0))


def without_paths(value: Any) -> Any:
    """Empty every text that holds a path, at any depth of a Namespace, dict or list."""
    if isinstance(value, Namespace):
        return Namespace(**without_paths(vars(value)))
    if isinstance(value, dict):
        return {name: without_paths(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_paths, value))
    return "" if isinstance(value, str) and os.sep in value else value


def main() -> None:
    """Parse the command line, convert, say the size."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.save(halve(load_checkpoint(args.checkpoint)), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
