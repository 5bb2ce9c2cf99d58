"""Repairs of fairseq's data handling and of its layers."""

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def keep_last_batch() -> None:
    """Make ``batch_by_size`` return every sentence, as in fairseq 0.12.2.

    Later versions drop the last batch when its size is no multiple of ``--required-batch-size-multiple`` (default 8):
    the longest sentences are then neither decoded nor validated, and a set of 5 sentences gives nothing.
    """
    from fairseq.data import data_utils

    if _loses_sentences(data_utils.batch_by_size):
        data_utils.batch_by_size = _with_last_batch(data_utils.batch_by_size)


def _loses_sentences(batch_by_size: Callable[..., list[Any]]) -> bool:
    """Try three sentences with a required multiple of two."""
    three = np.arange(3, dtype=np.int64)
    batches = batch_by_size(three, None, num_tokens_vec=np.ones_like(three), required_batch_size_multiple=2)
    return sum(map(len, batches)) < len(three)


def _with_last_batch(batch_by_size: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Wrap ``batch_by_size``: batches are consecutive runs of the indices, so what is missing is one run at the end."""

    @functools.wraps(batch_by_size)
    def complete(indices: Iterable[int], *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(indices, np.ndarray):
            indices = np.fromiter(indices, dtype=np.int64, count=-1)
        if len(indices) == 0:  # looking for a last batch to drop, fairseq fails here
            return []
        batches = batch_by_size(indices, *args, **kwargs)
        kept = sum(map(len, batches))
        return batches if kept == len(indices) else [*batches, indices[kept:]]

    return complete


def honour_shards() -> None:
    """Make fairseq-generate decode one shard of the data with ``--num-shards`` and ``--shard-id``.

    It has these options but shards by the options of distributed training, so that every process decodes everything.
    """
    from fairseq_cli import generate

    # run as ``python -m``, the module that is running goes by another name
    for module in (generate, sys.modules["__main__"]):
        main = getattr(module, "_main", None)
        if getattr(module, "__file__", None) == generate.__file__ and not hasattr(main, "honours_shards"):
            module._main = _with_shards(main)


def _with_shards(main: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(main)
    def sharded(cfg: Any, output_file: Any) -> Any:
        shards = cfg.distributed_training
        shards.distributed_world_size = max(cfg.dataset.num_shards, shards.distributed_world_size)
        shards.distributed_rank = max(cfg.dataset.shard_id, shards.distributed_rank or 0)
        return main(cfg, output_file)

    sharded.honours_shards = True
    return sharded


def leave_encoder_fast_path() -> None:
    """Make the encoder layers of 0.12.2 compute step by step, as those of every other version do.

    Their fast path calls a private function of torch that has asked for one more argument since torch 2.0: decoding
    a batch with padding fails. Where it works, its results differ in the last bits.
    """
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

    if "_load_from_state_dict" in vars(TransformerEncoderLayerBase):  # there, only to fill in the fast path's weights
        TransformerEncoderLayerBase.can_use_fastpath = property(lambda layer: False, lambda layer, value: None)
