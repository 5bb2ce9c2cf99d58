"""Loads what all systems share, once."""

from __future__ import annotations

import ast
import copy
import warnings
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import data_utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks import TASK_REGISTRY, FairseqTask
from torch import nn

from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.tasks.build import stock_of


@dataclass(frozen=True)
class Loaded:
    """What all systems share.

    Args:
        cfg: fairseq's configuration of the command line; its task is that of this package.
        task: the stock task of which that is a sibling.
        models: the verifier, where it is to run.
    """

    cfg: Any
    task: FairseqTask
    models: list[nn.Module]

    @property
    def dtype(self) -> str:
        """Of the weights."""
        return str(next(self.models[0].parameters()).dtype).removeprefix("torch.")

    @property
    def device(self) -> str:
        """Of the weights: "cpu" or "cuda"."""
        return next(self.models[0].parameters()).device.type

    @property
    def task_name(self) -> str:
        """Of this package's task."""
        return self.cfg.task.task if isinstance(self.cfg.task, Namespace) else self.cfg.task._name

    @property
    def no_text(self) -> frozenset[int]:
        """The symbols that fairseq leaves out of the text of an output: eos, and what names a language."""
        generator = self.task.build_generator(self.models, self.generation(1))
        return frozenset(getattr(generator, "symbols_to_strip_from_output", {generator.eos}))

    def generation(self, beam: int) -> Any:
        """Return the generation options with another beam."""
        options = copy.deepcopy(self.cfg.generation)
        options.beam, options.nbest = beam, 1
        return options


def load(given: Namespace) -> Loaded:
    """Load task, data and models as fairseq-generate does.

    Args:
        given: options, as fairseq parses them.

    Raises:
        OptionError: a file that they name cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of hydra, about how fairseq calls it
        cfg = convert_namespace_to_omegaconf(given)
    if not cfg.task.source_lang or not cfg.task.target_lang:
        try:
            inferred = data_utils.infer_language_pair(utils.split_paths(cfg.task.data)[0])
        except OSError as error:
            raise OptionError([f"DATA_BIN must be a folder that fairseq-preprocess wrote, got {cfg.task.data}: check "
                               "the path."]) from error  # fmt: skip
        if None in inferred:
            raise OptionError([f"--source-lang and --target-lang must be given, {cfg.task.data} does not tell."])
        cfg.task.source_lang, cfg.task.target_lang = inferred
    name = cfg.task.task if isinstance(cfg.task, Namespace) else cfg.task._name
    task = TASK_REGISTRY[stock_of(name)].setup_task(copy.deepcopy(cfg.task))  # some tasks change their options
    try:
        models, saved = checkpoint_utils.load_model_ensemble(
            utils.split_paths(cfg.common_eval.path),
            arg_overrides=ast.literal_eval(cfg.common_eval.model_overrides),
            task=task,
        )
        task.load_dataset(cfg.dataset.gen_subset, task_cfg=saved.task)
    except CheckpointError as error:
        raise OptionError([str(error)]) from error
    except FileNotFoundError as error:
        subset = f"{cfg.dataset.gen_subset} for {cfg.task.data}"
        raise OptionError([f"--gen-subset must be a split of DATA_BIN, got {subset}: check both."]) from error
    # fairseq-generate takes --bf16, too, and computes in float32 all the same
    dtype = torch.float16 if cfg.common.fp16 else torch.bfloat16 if cfg.common.bf16 else None
    use_cuda = torch.cuda.is_available() and not cfg.common.cpu
    for model in models:
        model.to(device="cuda" if use_cuda else "cpu", dtype=dtype)
        model.prepare_for_inference_(cfg)
    return Loaded(cfg, task, models)
