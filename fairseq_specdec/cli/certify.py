"""Check that every token of a fairseq-generate log is the verifier's own choice: the certificate of losslessness.

Each output is scored again by the stock modules, by teacher forcing. Give the options that shaped the run, batching
included: the maximum length depends on the padded width of a batch. The log may come from any decoder, but it must be
greedy (--beam 1) and hold the dictionary's symbols (no --post-process or --remove-bpe). Sentences that it lacks are
named and left out. Exit status 1: a token is wrong.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import data_utils
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor, nn
from tqdm import tqdm

from fairseq_specdec.blocks import Source
from fairseq_specdec.certificate import Certificate, certify, rescore
from fairseq_specdec.cli.certify_log import Twins, check_data, read_outputs, read_twins, settle_twins
from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import why_model_unsupported
from fairseq_specdec.evaluation.generate_log import describe_missing, read_generate_log
from fairseq_specdec.files import write_text
from fairseq_specdec.generator import limits_of, source_lengths
from fairseq_specdec.options import GenerationOptions

DEFAULT_MAX_TOKENS = 12000  # fairseq-generate's, when neither --batch-size nor --max-tokens is given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec certify``; those of fairseq-generate have its names and defaults."""
    add = parser.add_argument
    add("data", metavar="DATA_BIN[:...]", help="folder of the binarised data, or several as in the run")
    add("--path", metavar="V.pt[:V2.pt]", required=True, help="checkpoint of the verifier; several make an ensemble")
    add("--gen", metavar="LOG", nargs="+", required=True, help="log of fairseq-generate, or the logs of all shards")
    add("--spec-stats", metavar="FILE", help="write the certificate into this JSON file, the run's statistics or new")
    add("--json", action="store_true", help="print one JSON object instead of a line")
    add("--gen-subset", default="test", metavar="SPLIT", help="what was decoded (default: test)")
    add("--source-lang", "-s", metavar="SRC", help="where the data folder does not tell")
    add("--target-lang", "-t", metavar="TGT", help="likewise")
    add("--cpu", action="store_true", help="stay on the CPU where there is a GPU")
    add("--fp16", action="store_true", help="score in half precision, as the run did")
    run = parser.add_argument_group("as in the run", "the options that the run was given")
    run.add_argument("--model-overrides", default="{}", metavar="DICT", help="options of the checkpoint to change")
    run.add_argument("--max-tokens", type=int, metavar="N", help="default: 12000, unless --batch-size is given")
    run.add_argument("--batch-size", "--max-sentences", type=int, metavar="N")
    run.add_argument("--required-batch-size-multiple", type=int, default=8, metavar="N")
    run.add_argument("--required-seq-len-multiple", type=int, default=1, metavar="N")
    run.add_argument("--max-source-positions", type=int, default=1024, metavar="N")
    run.add_argument("--max-target-positions", type=int, default=1024, metavar="N")
    run.add_argument("--seed", type=int, default=1, metavar="N")
    run.add_argument("--max-len-a", type=float, default=0.0, metavar="A")
    run.add_argument("--max-len-b", type=int, default=200, metavar="B")
    run.add_argument("--min-len", type=int, default=1, metavar="N")
    run.add_argument("--unkpen", type=float, default=0.0, metavar="X")
    run.add_argument("--temperature", type=float, default=1.0, metavar="X")
    run.add_argument("--prefix-size", type=int, default=0, metavar="N")
    run.add_argument("--match-source-len", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Certify a log.

    Returns:
        0, or 1 if a token is wrong.

    Raises:
        OptionError: the log does not suit the data, or cannot be turned into tokens; a file cannot be read or written.
    """
    stats = _read_stats(args.spec_stats)
    log = read_generate_log(args.gen, gaps=True)
    task = _load_task(args)
    outputs = read_outputs(log.sentences, task.target_dictionary)
    dataset = task.dataset(args.gen_subset)
    check_data(log, dataset, task.source_dictionary, args.gen_subset)
    models = _load_models(args, task)
    _check_lengths(outputs, models)
    total, twins = Certificate(), read_twins(task.target_dictionary)
    for sample, rows, tokens, lengths in _batches(args, task, models, outputs):
        total.add(_certify_batch(args, task, models, twins, sample, rows, tokens, lengths))
    _report(
        args,
        stats,
        total,
        models[0].decoder.embed_tokens.weight,
        len(outputs),
        log.missing(len(dataset)),
    )
    return 1 if total.wrong else 0


def _load_task(args: argparse.Namespace) -> TranslationTask:
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


def _load_models(args: argparse.Namespace, task: TranslationTask) -> list[nn.Module]:
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


def _check_lengths(outputs: dict[int, Tensor], models: list[nn.Module]) -> None:
    """Refuse outputs for which a model has no positions."""
    limit = min(model.max_decoder_positions() for model in models)
    longest = max(outputs, key=lambda i: len(outputs[i]))
    if len(outputs[longest]) > limit:
        raise OptionError([
            f"--gen must hold outputs of at most {limit} tokens, eos counted (the positions of --path), got "
            f"{len(outputs[longest])} in H-{longest}: pass the --path of the run."
        ])  # fmt: skip


def _batches(
    args: argparse.Namespace, task: TranslationTask, models: list[nn.Module], outputs: dict[int, Tensor]
) -> Iterator[tuple[dict[str, Any], Tensor, Tensor, Tensor]]:
    """Yield the batches of the run, but for those of which the log has nothing.

    Yields:
        sample; rows [B'] int64, those of it that the log has, and of these tokens [B', T] int64 with the initial eos
        and lengths [B'] int64.

    Raises:
        OptionError: sentences of the log were too long to be in a batch.
    """
    dictionary, device = task.target_dictionary, next(models[0].parameters()).device
    limits = [model.max_positions() for model in models]
    no_size = args.max_tokens is None and args.batch_size is None
    batches = task.get_batch_iterator(
        task.dataset(args.gen_subset),
        max_tokens=DEFAULT_MAX_TOKENS if no_size else args.max_tokens,
        max_sentences=args.batch_size,
        max_positions=utils.resolve_max_positions(task.max_positions(), *limits),
        ignore_invalid_inputs=True,  # a run that did not skip them has none
        required_batch_size_multiple=args.required_batch_size_multiple,
        seed=args.seed,
    ).next_epoch_itr(shuffle=False)
    left = set(outputs)
    for batch in tqdm(batches, desc="certify", unit="batch", disable=None, leave=False):
        kept = [(row, i) for row, i in enumerate(batch["id"].tolist()) if i in left]
        if not kept:
            continue
        left -= {i for _, i in kept}
        tokens = data_utils.collate_tokens([outputs[i] for _, i in kept], dictionary.pad())  # [B', T - 1]
        tokens = torch.nn.functional.pad(tokens, (1, 0), value=dictionary.eos())
        lengths = torch.tensor([len(outputs[i]) + 1 for _, i in kept])
        rows = torch.tensor([row for row, _ in kept])
        sample = utils.apply_to_sample(lambda tensor: tensor.to(device), batch)
        yield sample, rows.to(device), tokens.to(device), lengths.to(device)
    if left:
        raise OptionError([
            f"--gen must hold sentences that fit the positions of the model and the task, got {len(left)} that do not "
            f"(the first is S-{min(left)}): pass the run's --max-source-positions and --max-target-positions."
        ])  # fmt: skip


@torch.no_grad()
def _certify_batch(
    args: argparse.Namespace,
    task: TranslationTask,
    models: list[nn.Module],
    twins: Twins,
    sample: dict[str, Any],
    rows: Tensor,
    tokens: Tensor,
    lengths: Tensor,
) -> Certificate:
    """Certify what the log has of a batch; arguments as of `_batches`. Padding and limits are the whole batch's."""
    prefix = sample["target"][:, : args.prefix_size] if args.prefix_size > 0 else None
    options = GenerationOptions.from_args(args)
    limits = limits_of(options, task.target_dictionary, models, _source(sample, task), prefix).select_rows(rows)
    encoded = [
        model.encoder.reorder_encoder_out(model.encoder.forward_torchscript(sample["net_input"]), rows)
        for model in models
    ]
    for row in range(len(rows)) if twins else ():
        own = torch.tensor([row], device=rows.device)

        def score(ids: Tensor, own: Tensor = own) -> Tensor:
            whole = tokens[:, : len(ids)].index_copy(0, own, ids[None])
            return rescore(models, encoded, whole, own, limits, args.temperature)[0]

        length = int(lengths[row])
        tokens[row, :length] = settle_twins(tokens[row, :length], twins, score)
    return certify(models, encoded, tokens, lengths, limits, args.temperature)


def _source(sample: dict[str, Any], task: Any) -> Source:
    """Return the source side of a fairseq batch."""
    pad = task.source_dictionary.pad()
    return Source(sample["net_input"]["src_tokens"], source_lengths(sample["net_input"], pad), pad)


def _read_stats(path: str | None) -> dict[str, Any] | None:
    """Read the statistics to complete: an empty dict where the file is new, None without the option."""
    if path is None:
        return None
    if not Path(path).absolute().parent.is_dir():
        raise OptionError([f"--spec-stats must be in an existing folder, got {path}: create the folder first."])
    if not Path(path).exists():
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(
            [f"--spec-stats must be a JSON file or a new one, got {path} ({error}): name another."]
        ) from error
    if not isinstance(found, dict):
        raise OptionError([f"--spec-stats must hold a JSON object, got {path} with another value: name another file."])
    return found


def _report(
    args: argparse.Namespace,
    stats: dict[str, Any] | None,
    total: Certificate,
    like: Tensor,
    sentences: int,
    missing: list[int],
) -> None:
    """Print the certificate and write it into the statistics."""
    where = {"device": like.device.type, "dtype": str(like.dtype).removeprefix("torch."), "sentences": sentences}
    counts = total.as_dict()
    if missing:
        where["missing"] = len(missing)
        note = describe_missing(missing, sentences + len(missing))
        print(f"specdec certify: {note}: they are not certified.", file=sys.stderr)
    if args.json:
        print(json.dumps({**where, **counts}))
    else:
        print(f"certificate of {sentences} sentences: {total}")
    if stats is not None:
        write_text(args.spec_stats, json.dumps({**(stats or where), "certificate": counts}, indent=2) + "\n")
    if total.wrong:
        print(
            "wrong tokens are expected when the log was decoded with --beam above 1, by another checkpoint, or with "
            "other options or batches than those given here.",
            file=sys.stderr,
        )
