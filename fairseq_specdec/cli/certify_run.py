"""The run that a log is of, set up again: its task, its models and its batches."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import data_utils
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor, nn
from tqdm import tqdm

from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import why_model_unsupported
from fairseq_specdec.generator import batch_of
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.search.decode import Batch

DEFAULT_MAX_TOKENS = 12000  # fairseq-generate's, when neither --batch-size nor --max-tokens is given


def load_task(args: argparse.Namespace) -> TranslationTask:
    """Set up fairseq's task over the data and read the split."""
    cfg = TranslationConfig(
        data=args.data,
        source_lang=args.source_lang,
        target_lang=args.target_lang,
        max_source_positions=args.max_source_positions,
        max_target_positions=args.max_target_positions,
        required_seq_len_multiple=args.required_seq_len_multiple,
        dataset_impl=None,
    )
    first, *others = utils.split_paths(args.data)  # dictionaries and all splits but train are read from the first
    if absent := [folder for folder in (first, *others) if not Path(folder).is_dir()]:
        raise OptionError(
            [f"DATA_BIN must be the folder that fairseq-preprocess wrote, got {absent[0]}: check the path."]
        )
    if None in (args.source_lang, args.target_lang) and None in data_utils.infer_language_pair(first):
        raise OptionError([f"--source-lang and --target-lang must be given, {args.data} does not tell: pass both."])
    task = TranslationTask.setup_task(cfg)
    try:
        task.load_dataset(args.gen_subset)
    except FileNotFoundError as error:
        reason = f"--gen-subset must be a split of DATA_BIN, got {args.gen_subset} for {args.data}: check both."
        raise OptionError([reason]) from error
    return task


def load_models(args: argparse.Namespace, task: TranslationTask) -> list[nn.Module]:
    """Load the verifier to where it is to run."""
    try:
        overrides = ast.literal_eval(args.model_overrides)
    except (ValueError, SyntaxError):
        overrides = None
    if not isinstance(overrides, dict):
        raise OptionError([
            f"--model-overrides must be a dictionary of Python, got {args.model_overrides}: pass the run's, such as "
            "\"{'max_source_positions': 2048}\"."
        ])  # fmt: skip
    try:
        models, _ = checkpoint_utils.load_model_ensemble(utils.split_paths(args.path), overrides, task=task)
    except CheckpointError as error:
        raise OptionError([str(error)]) from error
    reasons = [reason for model in models for reason in why_model_unsupported(model)]
    if reasons:
        raise OptionError([f"--path must be a model that the engine can run, got {args.path}: {r}." for r in reasons])
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    return [model.to(device=device, dtype=torch.float16 if args.fp16 else None).eval() for model in models]


def check_lengths(outputs: dict[int, list[Tensor]], models: list[nn.Module]) -> None:
    """Refuse outputs for which a model has no positions."""
    limit = min(model.max_decoder_positions() for model in models)
    longest, place = max((len(one), place) for place, ones in outputs.items() for one in ones)
    if longest > limit:
        raise OptionError([
            f"--gen must hold outputs of at most {limit} tokens, eos counted (the positions of --path), got "
            f"{longest} in H-{place}: pass the --path of the run."
        ])  # fmt: skip


def batches(
    args: argparse.Namespace,
    options: GenerationOptions,
    task: TranslationTask,
    models: list[nn.Module],
    present: set[int],
) -> Iterator[tuple[Batch, list[int]]]:
    """Yield the batches of the run, but for those of which the log has nothing.

    Args:
        args: of the command.
        options: of the run.
        task: its.
        models: the verifier.
        present: sentences that the log has.

    Yields:
        what the log has of a batch, with padding and limits of the whole, and the sentences' places in the data.

    Raises:
        OptionError: sentences of the log were too long to be in a batch.
    """
    dictionary, device = task.target_dictionary, next(models[0].parameters()).device
    limits = [model.max_positions() for model in models]
    no_size = args.max_tokens is None and args.batch_size is None
    samples = task.get_batch_iterator(
        task.dataset(args.gen_subset),
        max_tokens=DEFAULT_MAX_TOKENS if no_size else args.max_tokens,
        max_sentences=args.batch_size,
        max_positions=utils.resolve_max_positions(task.max_positions(), *limits),
        ignore_invalid_inputs=True,  # a run that did not skip them has none
        required_batch_size_multiple=args.required_batch_size_multiple,
        seed=args.seed,
    ).next_epoch_itr(shuffle=False)
    left = set(present)
    for sample in tqdm(samples, desc="certify", unit="batch", disable=None, leave=False):
        kept = [(row, i) for row, i in enumerate(sample["id"].tolist()) if i in left]
        if not kept:
            continue
        left -= {i for _, i in kept}
        sample = utils.apply_to_sample(lambda tensor: tensor.to(device), sample)
        prefix = sample["target"][:, : args.prefix_size] if args.prefix_size > 0 else None
        whole = batch_of(options, dictionary, models, sample, prefix)
        yield whole.select_rows(torch.tensor([row for row, _ in kept], device=device)), [i for _, i in kept]
    if left:
        raise OptionError([
            f"--gen must hold sentences that fit the positions of the model and the task, got {len(left)} that do not "
            f"(the first is S-{min(left)}): pass the run's --max-source-positions and --max-target-positions."
        ])  # fmt: skip
