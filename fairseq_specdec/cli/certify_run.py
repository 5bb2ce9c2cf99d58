"""The run that a log is of, set up again: its task, its models and its batches."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import data_utils
from torch import Tensor, nn
from tqdm import tqdm

from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import why_model_unsupported
from fairseq_specdec.evaluation.generate_log import GeneratedSentence
from fairseq_specdec.generator import batch_of
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.tasks.build import build_task, options_on, sibling_of
from fairseq_specdec.tasks.spec_options import SpecOptions, engine_options
from fairseq_specdec.tasks.speculative import SpeculativeTask

DEFAULT_MAX_TOKENS = 12000  # fairseq-generate's, when neither --batch-size nor --max-tokens is given


def load_task(args: argparse.Namespace) -> SpeculativeTask:
    """Set up the task of the run over the data, by its sibling here, and read the split."""
    name = sibling_of(args.task)
    given = options_on(name, args.of_task, "specdec certify")
    if asked := engine_options(argparse.Namespace(**{**vars(SpecOptions()), **given})):
        raise OptionError([f"{option} has no place in a certificate: leave it out." for option in asked])
    first, *others = utils.split_paths(args.data)  # dictionaries and all splits but train are read from the first
    if absent := [folder for folder in (first, *others) if not Path(folder).is_dir()]:
        raise OptionError(
            [f"DATA_BIN must be the folder that fairseq-preprocess wrote, got {absent[0]}: check the path."]
        )
    languages = args.source_lang, args.target_lang
    if None in languages:
        languages = data_utils.infer_language_pair(first)
    if None in languages:
        raise OptionError([f"--source-lang and --target-lang must be given, {args.data} does not tell: pass both."])
    own = {
        "data": args.data,
        "source_lang": languages[0],
        "target_lang": languages[1],
        "max_source_positions": args.max_source_positions,
        "max_target_positions": args.max_target_positions,
        "required_seq_len_multiple": args.required_seq_len_multiple,
        "dataset_impl": None,
    }
    task = build_task(name, own, args.of_task)
    try:
        task.load_dataset(args.gen_subset)
    except FileNotFoundError as error:
        reason = f"--gen-subset must be a split of DATA_BIN, got {args.gen_subset} for {args.data}: check both."
        raise OptionError([reason]) from error
    return task


def load_models(args: argparse.Namespace, task: SpeculativeTask) -> list[nn.Module]:
    """Load what fairseq loads for a task, the verifier in it, to where it is to run."""
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
    reasons = [reason for model in task.verifiers(models) for reason in why_model_unsupported(model)]
    if reasons:
        raise OptionError([f"--path must be a model that the engine can run, got {args.path}: {r}." for r in reasons])
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    return [model.to(device=device, dtype=torch.float16 if args.fp16 else None).eval() for model in models]


class _Asked:
    """Stands where a task has its generator, and gives back what it is asked to decode.

    Args:
        options: of the run.
        task: its.
        models: as fairseq loaded them.
    """

    def __init__(self, options: GenerationOptions, task: SpeculativeTask, models: list[nn.Module]) -> None:
        self._rest = options, task.target_dictionary, task.verifiers(models)
        self._eos = task.conventions().eos

    def generate(
        self,
        models: list[nn.Module],
        sample: dict[str, Any],
        prefix_tokens: Tensor | None = None,
        constraints: None = None,
        bos_token: int | None = None,
    ) -> Batch:
        """Return the batch; arguments as of `SpecGenerator.generate`."""
        return batch_of(*self._rest, sample, prefix_tokens, bos_token, self._eos)


def check_lengths(sentences: list[GeneratedSentence], models: list[nn.Module]) -> None:
    """Refuse outputs for which a model has no positions."""
    limit = min(model.max_decoder_positions() for model in models)
    longest, place = max((len(one.positional_scores), s.id) for s in sentences for one in (s, *s.further))
    if longest > limit:
        raise OptionError([
            f"--gen must hold outputs of at most {limit} tokens, eos counted (the positions of --path), got "
            f"{longest} in H-{place}: pass the --path of the run."
        ])  # fmt: skip


def batches(
    args: argparse.Namespace,
    options: GenerationOptions,
    task: SpeculativeTask,
    models: list[nn.Module],
    present: set[int],
) -> Iterator[tuple[Batch, list[int]]]:
    """Yield the batches of the run, but for those of which the log has nothing.

    Args:
        args: of the command.
        options: of the run.
        task: its.
        models: as fairseq loaded them.
        present: sentences that the log has.

    Yields:
        what the log has of a batch, with padding and limits of the whole, and the sentences' places in the data.

    Raises:
        OptionError: sentences of the log were too long to be in a batch.
    """
    device, asked = next(models[0].parameters()).device, _Asked(options, task, models)
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
        whole = task.inference_step(asked, models, sample, prefix_tokens=prefix)
        yield whole.select_rows(torch.tensor([row for row, _ in kept], device=device)), [i for _, i in kept]
    if left:
        raise OptionError([
            f"--gen must hold sentences that fit the positions of the model and the task, got {len(left)} that do not "
            f"(the first is S-{min(left)}): pass the run's --max-source-positions and --max-target-positions."
        ])  # fmt: skip
