"""Check that every token of a fairseq-generate log is the verifier's own choice: the certificate of losslessness.

Each output is scored again by the stock modules, by teacher forcing. Give the options that shaped the run, batching
included: the maximum length depends on the padded width of a batch. The log may come from any decoder, but it must be
greedy (--beam 1) and hold the dictionary's symbols (no --post-process or --remove-bpe). Exit status 1: a token is
wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import Dictionary, data_utils
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor, nn
from tqdm import tqdm

from fairseq_specdec.blocks import Source
from fairseq_specdec.certificate import Certificate, certify
from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import why_model_unsupported
from fairseq_specdec.evaluation.generate_log import GeneratedSentence, read_generate_log
from fairseq_specdec.files import write_text
from fairseq_specdec.generator import limits_of, source_lengths
from fairseq_specdec.options import GenerationOptions

DEFAULT_MAX_TOKENS = 12000  # fairseq-generate's, when neither --batch-size nor --max-tokens is given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec certify``; those of fairseq-generate have its names and defaults."""
    add = parser.add_argument
    add("data", metavar="DATA_BIN", help="folder of the binarised data")
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
    log = read_generate_log(args.gen)
    task = _load_task(args)
    outputs = read_outputs(log.sentences, task.target_dictionary)
    _check_data(log.sentences, task, args.gen_subset)
    models = _load_models(args, task)
    _check_lengths(outputs, models)
    total, options = Certificate(), GenerationOptions.from_args(args)
    for sample, tokens, lengths in _batches(args, task, models, outputs):
        prefix = sample["target"][:, : args.prefix_size] if args.prefix_size > 0 else None
        limits = limits_of(options, task.target_dictionary, models, _source(sample, task), prefix)
        with torch.no_grad():
            encoded = [model.encoder.forward_torchscript(sample["net_input"]) for model in models]
        total.add(certify(models, encoded, tokens, lengths, limits, args.temperature))
    _report(args, stats, total, models[0].decoder.embed_tokens.weight, len(outputs))
    return 1 if total.wrong else 0


def read_outputs(sentences: list[GeneratedSentence], dictionary: Dictionary) -> list[Tensor]:
    """Turn the H lines into ids.

    Args:
        sentences: of the log.
        dictionary: the target dictionary.

    Returns:
        for each sentence [n] int64, eos at the end.

    Raises:
        OptionError: there are no H or P lines, or they do not hold the dictionary's symbols.
    """
    if sentences[0].hypothesis is None or sentences[0].positional_scores is None:
        raise OptionError(["--gen must hold H and P lines, got a log without: give the whole log."])
    outputs, unknown, uneven = [], [], []
    for sentence in sentences:
        symbols = [symbol for symbol in sentence.hypothesis.split(" ") if symbol]
        ids = [dictionary.index(symbol) for symbol in symbols]
        odd = [s for s, i in zip(symbols, ids, strict=True) if i == dictionary.unk() and s != dictionary.unk_word]
        unknown += [(sentence.id, symbol) for symbol in odd]
        if len(sentence.positional_scores) != len(ids) + 1:
            uneven.append(sentence)
        outputs.append(torch.tensor([*ids, dictionary.eos()]))
    _refuse_changed_text(unknown, uneven)
    return outputs


def _refuse_changed_text(unknown: list[tuple[int, str]], uneven: list[GeneratedSentence]) -> None:
    """Refuse H lines that are not the tokens that were decoded."""
    reasons = []
    if unknown:
        index, symbol = unknown[0]
        reasons.append(
            f"--gen must hold symbols of the target dictionary in its H lines, got {len(unknown)} others (the first is "
            f"{symbol!r} in H-{index}): run fairseq-generate without --post-process (--remove-bpe), on this DATA_BIN."
        )
    if uneven:
        first = uneven[0]
        reasons.append(
            f"--gen must hold a score in P for each token of H and for eos, but {len(uneven)} sentences have another "
            f"number (H-{first.id} has {len(first.hypothesis.split())} tokens, P-{first.id} "
            f"{len(first.positional_scores)} scores): run fairseq-generate without --post-process (--remove-bpe). "
            "A log leaves out <s>: a model that emits it can be certified only while decoding (--certify)."
        )
    if reasons:
        raise OptionError(reasons)


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
    if not Path(args.data).is_dir():
        raise OptionError(
            [f"DATA_BIN must be the folder that fairseq-preprocess wrote, got {args.data}: check the path."]
        )
    if None in (args.source_lang, args.target_lang) and None in data_utils.infer_language_pair(args.data):
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
        models, _ = checkpoint_utils.load_model_ensemble(utils.split_paths(args.path), task=task)
    except CheckpointError as error:
        raise OptionError([str(error)]) from error
    reasons = [reason for model in models for reason in why_model_unsupported(model)]
    if reasons:
        raise OptionError([f"--path must be a model that the engine can run, got {args.path}: {r}." for r in reasons])
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    return [model.to(device=device, dtype=torch.float16 if args.fp16 else None).eval() for model in models]


def _check_data(sentences: list[GeneratedSentence], task: TranslationTask, subset: str) -> None:
    """Refuse a log of other data."""
    dataset = task.dataset(subset)
    if len(dataset) != len(sentences):
        raise OptionError([
            f"--gen must be the log of split {subset} with its {len(dataset)} sentences, got {len(sentences)}: pass "
            "the run's --gen-subset."
        ])  # fmt: skip
    for sentence in sentences:
        if sentence.source is None or sentence.detokenized != sentence.hypothesis:
            continue  # S is not there, or was decoded to plain text (--bpe, --tokenizer)
        expected = task.source_dictionary.string(dataset[sentence.id]["source"])
        if sentence.source != expected:
            raise OptionError([
                f"--gen must be the log of split {subset}, but S-{sentence.id} is {sentence.source!r} where the data "
                f"has {expected!r}: pass the DATA_BIN and the --gen-subset of the run."
            ])  # fmt: skip


def _check_lengths(outputs: list[Tensor], models: list[nn.Module]) -> None:
    """Refuse outputs for which a model has no positions."""
    limit = min(model.max_decoder_positions() for model in models)
    longest = max(range(len(outputs)), key=lambda i: len(outputs[i]))
    if len(outputs[longest]) > limit:
        raise OptionError([
            f"--gen must hold outputs of at most {limit} tokens, eos counted (the positions of --path), got "
            f"{len(outputs[longest])} in H-{longest}: pass the --path of the run."
        ])  # fmt: skip


def _batches(
    args: argparse.Namespace, task: TranslationTask, models: list[nn.Module], outputs: list[Tensor]
) -> Iterator[tuple[dict[str, Any], Tensor, Tensor]]:
    """Yield the batches of the run: sample, tokens [B, T] int64 with the initial eos, lengths [B] int64."""
    dictionary, device = task.target_dictionary, next(models[0].parameters()).device
    limits = [model.max_positions() for model in models]
    no_size = args.max_tokens is None and args.batch_size is None
    batches = task.get_batch_iterator(
        task.dataset(args.gen_subset),
        max_tokens=DEFAULT_MAX_TOKENS if no_size else args.max_tokens,
        max_sentences=args.batch_size,
        max_positions=utils.resolve_max_positions(task.max_positions(), *limits),
        required_batch_size_multiple=args.required_batch_size_multiple,
        seed=args.seed,
    ).next_epoch_itr(shuffle=False)
    for batch in tqdm(batches, desc="certify", unit="batch", disable=None, leave=False):
        rows = [outputs[i] for i in batch["id"].tolist()]
        tokens = data_utils.collate_tokens(rows, dictionary.pad())  # [B, T - 1]
        tokens = torch.nn.functional.pad(tokens, (1, 0), value=dictionary.eos())
        lengths = torch.tensor([len(row) + 1 for row in rows])
        sample = utils.apply_to_sample(lambda tensor: tensor.to(device), batch)
        yield sample, tokens.to(device), lengths.to(device)


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
    args: argparse.Namespace, stats: dict[str, Any] | None, total: Certificate, like: Tensor, sentences: int
) -> None:
    """Print the certificate and write it into the statistics."""
    where = {"device": like.device.type, "dtype": str(like.dtype).removeprefix("torch."), "sentences": sentences}
    counts = total.as_dict()
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
