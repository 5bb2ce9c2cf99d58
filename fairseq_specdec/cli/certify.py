"""Check that a fairseq-generate log is what the verifier gives: the certificate of losslessness.

Each output is scored again by the stock modules, by teacher forcing; with a beam the search is made again, too, and
checked step by step. Give the options that shaped the run, batching included: the maximum length depends on the padded
width of a batch. The log may come from any decoder, but it must hold the dictionary's symbols (no --post-process or
--remove-bpe). Sentences that it lacks are named and left out. Exit status 1: something is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fairseq.data import data_utils
from torch import Tensor, nn

from fairseq_specdec.certificate import Certificate, certify, rescore_one
from fairseq_specdec.cli.certify_beams import BeamCertifier, BeamVerdict
from fairseq_specdec.cli.certify_hidden import HiddenTokens
from fairseq_specdec.cli.certify_log import (
    Twins,
    check_data,
    check_options,
    other_options,
    read_outputs,
    read_twins,
    settle_twins,
)
from fairseq_specdec.cli.certify_run import batches, check_lengths, load_models, load_task
from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.generate_log import GenerateLog, describe_missing, read_generate_log
from fairseq_specdec.files import write_text
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.tasks.speculative import SpeculativeTask

_SHOWN = 10  # sentences that messages name, of a kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec certify``; names and defaults, but that of --beam, are fairseq-generate's."""
    add = parser.add_argument
    add("data", metavar="DATA_BIN[:...]", help="folder of the binarised data, or several as in the run")
    add("--path", metavar="V.pt[:V2.pt]", required=True, help="checkpoint of the verifier; several make an ensemble")
    add("--gen", metavar="LOG", nargs="+", required=True, help="log of fairseq-generate, or the logs of all shards")
    add("--spec-stats", metavar="FILE", help="write the certificate into this JSON file, the run's statistics or new")
    add("--json", action="store_true", help="print one JSON object instead of a line")
    add("--task", default="translation", metavar="TASK", help="of the run, with its options (default: translation)")
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
    run.add_argument("--beam", type=int, default=1, metavar="B", help="default: 1, where fairseq-generate's is 5")
    run.add_argument("--nbest", type=int, default=1, metavar="N")
    run.add_argument("--lenpen", type=float, default=1.0, metavar="X")
    run.add_argument("--unnormalized", action="store_true")
    run.add_argument("--no-repeat-ngram-size", type=int, default=0, metavar="N")
    run.add_argument("--max-len-a", type=float, default=0.0, metavar="A")
    run.add_argument("--max-len-b", type=int, default=200, metavar="B")
    run.add_argument("--min-len", type=int, default=1, metavar="N")
    run.add_argument("--unkpen", type=float, default=0.0, metavar="X")
    run.add_argument("--temperature", type=float, default=1.0, metavar="X")
    run.add_argument("--prefix-size", type=int, default=0, metavar="N")
    run.add_argument("--match-source-len", action="store_true")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Read the options; those that are not this command's own go to the task, in ``args.of_task``."""
    parser.allow_abbrev = False  # else an option of a task may be taken for one of the command
    args, args.of_task = parser.parse_known_args(argv)
    return args


def run(args: argparse.Namespace) -> int:
    """Certify a log.

    Returns:
        0, or 1 if something is wrong.

    Raises:
        OptionError: the log does not suit the data or the options, or cannot be turned into tokens; a file cannot be
            read or written.
    """
    stats = _read_stats(args.spec_stats)
    log = read_generate_log(args.gen, gaps=True, n_best=True)
    check_options(log, args.beam, args.nbest)
    task = load_task(args)
    if reasons := task.why_stock(args):
        raise OptionError([f"the engine cannot search again as the run did: {reason}." for reason in reasons])
    outputs = read_outputs(log.sentences, task.target_dictionary, task.conventions())
    check_data(log, task, args.gen_subset)
    loaded = load_models(args, task)
    verdict = _judge(args, task, loaded, log, outputs)
    n_sentences = len(task.dataset(args.gen_subset))
    missing = log.missing(n_sentences)
    like = next(loaded[0].parameters())
    _report(args, stats, verdict, like, (len(log.sentences), len(missing)))
    if missing:
        _say(f"{describe_missing(missing, n_sentences)}: they are not certified")
    _explain(args, verdict, log)
    return 1 if verdict.certificate.wrong else 0


def _judge(
    args: argparse.Namespace,
    task: SpeculativeTask,
    loaded: list[nn.Module],
    log: GenerateLog,
    outputs: dict[int, list[Tensor]],
) -> BeamVerdict:
    """Say what to think of the outputs of a log, batch by batch."""
    models, dictionary = task.verifiers(loaded), task.target_dictionary
    check_lengths(log.sentences, models)
    options, twins = GenerationOptions.from_args(args), read_twins(dictionary)
    hidden = HiddenTokens(models, dictionary, task.conventions(), options.temperature)
    sentences = {sentence.id: sentence for sentence in log.sentences}
    beams = BeamCertifier(models, dictionary, options, args.nbest, twins) if args.beam > 1 else None
    verdict = BeamVerdict() if beams is None else beams.verdict
    for batch, ids in batches(args, options, task, loaded, set(outputs)):
        told = [sentences[i] for i in ids]
        given = hidden.put_back(batch, told, [outputs[i] for i in ids])
        if beams is not None:
            beams.certify(batch, told, given)
        else:
            verdict.certificate.add(_certify_greedy(options, models, batch, [one for (one,) in given], twins))
    return verdict


@torch.no_grad()
def _certify_greedy(
    options: GenerationOptions, models: list[nn.Module], batch: Batch, outputs: list[Tensor], twins: Twins
) -> Certificate:
    """Certify a batch of greedy outputs, each [n] int64 with eos at the end."""
    device = batch.first.device
    following = data_utils.collate_tokens(outputs, batch.limits.pad).to(device)  # [B, T - 1]
    tokens = torch.cat([batch.first[:, None], following], dim=1)
    lengths = torch.tensor([len(one) + 1 for one in outputs], device=device)
    encoded = [model.encoder.forward_torchscript(batch.net_input) for model in models]
    for row in range(len(outputs)) if twins else ():
        score = partial(rescore_one, models, encoded, batch.limits, options.temperature, row)
        length = int(lengths[row])
        tokens[row, :length] = settle_twins(tokens[row, :length], twins, score)
    return certify(models, encoded, tokens, lengths, batch.limits, options.temperature)


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
    verdict: BeamVerdict,
    like: Tensor,
    counted: tuple[int, int],
) -> None:
    """Print the certificate and write it into the statistics; counted: the log's sentences, and those it lacks."""
    n, missing = counted
    where: dict[str, Any] = {
        "device": like.device.type,
        "dtype": str(like.dtype).removeprefix("torch."),
        "sentences": n,
    }
    if missing:
        where["missing"] = missing
    counts, near, wrong = verdict.certificate.as_dict(), sorted(verdict.near_ties), sorted(verdict.wrong)
    lists: dict[str, Any] = {}
    told = f"certificate of {n} sentences: {verdict.certificate}"
    if args.beam > 1:
        lists = {"hypotheses": verdict.hypotheses, "near_tie_sentences": near, "wrong_sentences": wrong}
        each = f"{n - len(near) - len(wrong)} exact, {len(near)} with near ties, {len(wrong)} wrong"
        told = (
            f"certificate of {n} sentences ({each}): {verdict.certificate.told('hypotheses and steps of the search')}"
        )
    print(json.dumps({**where, **lists, **counts}) if args.json else told)
    if stats is not None:
        write_text(args.spec_stats, json.dumps({**(stats or where), "certificate": counts}, indent=2) + "\n")


def _explain(args: argparse.Namespace, verdict: BeamVerdict, log: GenerateLog) -> None:
    """Say which sentences are not exact and why, and what may be the cause of what is wrong."""
    for kind, sentences in (("near tie", verdict.near_ties), ("wrong", verdict.wrong)):
        for number in sorted(sentences)[:_SHOWN]:
            _say(f"sentence {number}: {kind}: {sentences[number]}")
        if len(sentences) > _SHOWN:
            _say(f"{len(sentences) - _SHOWN} more sentences: {kind}; --json names them")
    if verdict.search.wrong:
        _say(
            f"{verdict.search.wrong} steps of the search made again are wrong: the fault is in this package, report it"
        )
    if verdict.certificate.wrong:
        names = [option.name for option in fields(GenerationOptions)] + ["unnormalized", "prefix_size"]
        others = other_options(log, {name: getattr(args, name) for name in names if hasattr(args, name)})
        _say(
            "wrong tokens are expected when the log was decoded with another --beam, by another checkpoint, or with "
            "another precision, other options or batches than those given here" + "".join(f"; {one}" for one in others)
        )


def _say(what: str) -> None:
    print(f"specdec certify: {what}.", file=sys.stderr)
