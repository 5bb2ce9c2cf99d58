"""Measure systems against each other: fairseq's own search, this package's drafters, CTranslate2; docs/bench.md.

Takes fairseq-generate's data and generation options, too. All systems decode the same batches in one process, in turn.
Exit status 1: a system failed at some batch size; 130: interrupted (what was measured until then is written).
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib import metadata
from typing import Any

import fairseq
import torch
from fairseq import options as fairseq_options
from fairseq import utils
from tqdm import tqdm

from fairseq_specdec.bench.build import build_systems
from fairseq_specdec.bench.data import BenchData, Scorer
from fairseq_specdec.bench.device import DeviceMeter, name_of
from fairseq_specdec.bench.load import Loaded, load
from fairseq_specdec.bench.measure import measure, rows
from fairseq_specdec.bench.names import parse_systems
from fairseq_specdec.bench.report import check_file, check_plot, notes, plot, table, write_json
from fairseq_specdec.bench.systems import EVERY_DRAFTER
from fairseq_specdec.compat import CheckpointError, load_checkpoint
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS
from fairseq_specdec.engine.native.library import layers_by
from fairseq_specdec.evaluation.metrics import METRICS
from fairseq_specdec.models.checkpoint import model_options
from fairseq_specdec.models.load import is_drafter
from fairseq_specdec.tasks.build import sibling_of

DEFAULT = "fairseq,none,ngram"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec bench`` alone; `parse` reads fairseq's."""
    parser.usage = "specdec bench DATA_BIN --path V.pt [--drafter-path D.pt] [options, also those of fairseq-generate]"
    parser.allow_abbrev = False  # else --batch-size would be taken for --batch-sizes
    add = parser.add_argument
    metrics = [name for name, metric in METRICS.items() if not metric.m2_reference]
    add(
        "--systems",
        metavar="LIST",
        help="names with commas between: fairseq, fairseq-beamN, ctranslate2[:compute=int8][:beam=5] or a drafter with "
        f"its options ({', '.join(DRAFTERS)}; nat:block=8:beta=3:tau=1); "
        f"default: {DEFAULT}, and nat or ar with --drafter-path",
    )
    add("--batch-sizes", default="1,8,32", metavar="LIST", help="most sentences of a batch (default: 1,8,32)")
    add("--limit", type=int, metavar="N", help="decode the first N sentences of the split only")
    add("--repeats", type=int, default=3, metavar="N", help="timed passes of each system (default: 3)")
    add("--warmup", type=int, default=1, metavar="N", help="passes before them that are not timed (default: 1)")
    add("--threads", type=int, metavar="N", help="CPU threads of every system (default: torch's)")
    add("--metric", default="bleu", choices=metrics, help="quality of the outputs (default: bleu)")
    add("--ref", nargs="+", default=[], metavar="FILE", help="references (default: the target side of the data)")
    add("--json", metavar="FILE", help="write the numbers there after each batch size")
    add("--plot", metavar="FILE", help="draw speed-ups and latencies (png, pdf, svg)")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Read the options of the benchmark, and fairseq's into ``args.fairseq``.

    Raises:
        OptionError: two precisions are asked for, or a task that this package does not decode.
    """
    args, rest = parser.parse_known_args(argv)
    if {"--fp16", "--bf16"} <= set(rest):  # fairseq's parser would speak of TPUs
        raise OptionError(["--fp16 and --bf16 exclude each other, got both: leave one out."])
    named = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    named.add_argument("--task", default="translation")
    task = sibling_of(named.parse_known_args(rest)[0].task)  # its options are taken, too: --drafter-path ...
    others = fairseq_options.get_generation_parser(default_task=task)
    others.prog, others.usage = parser.prog, parser.usage
    args.fairseq = fairseq_options.parse_args_and_arch(others, [*rest, "--task", task])
    return args


def run(args: Namespace) -> int:
    """Measure, write, print.

    Returns:
        0; 1 if a system failed; 130 if interrupted.

    Raises:
        OptionError: options that cannot be honoured, or files that cannot be read or written.
    """
    logging.disable(logging.INFO)  # importing fairseq lets every library's messages through
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("specdec bench: interrupted", file=sys.stderr)
        return 130
    finally:
        logging.disable(logging.NOTSET)


def _run(args: Namespace) -> int:
    sizes = _check(args)
    wanted, added = parse_systems(args.systems or _usual(args.fairseq.drafter_path), DRAFTERS)
    if added:
        print(f"specdec bench: also running {' and '.join(added)}: speed-ups refer to them", file=sys.stderr)
    if args.threads:
        torch.set_num_threads(args.threads)
    loaded = load(args.fairseq)
    data = BenchData(loaded.cfg, loaded.task, loaded.models, args.limit)
    scorer = Scorer(data, args.metric, args.ref, loaded.no_text)
    systems = build_systems(wanted, loaded, torch.get_num_threads())
    content = {**_environment(args, loaded), "missing": sizes, "rows": []}
    try:
        for size in sizes:
            content["rows"] += _measure_size(args, loaded, data, scorer, systems, size)
            content["missing"] = [other for other in content["missing"] if other != size]
            if args.json:
                write_json(args.json, content)
    finally:
        _report(args, content, data)
    return int(any("error" in row for row in content["rows"]))


def _usual(drafter_path: str | None) -> str:
    """Return the systems that are measured where none are named."""
    if drafter_path is None:
        return DEFAULT
    try:
        options = model_options(load_checkpoint(drafter_path))
    except CheckpointError as error:
        raise OptionError([f"--drafter-path: {error}"]) from error
    return f"{DEFAULT},{'nat' if is_drafter(options) else 'ar'}"


def _check(args: Namespace) -> list[int]:
    """Return the batch sizes; refuse options that cannot be honoured before anything is loaded."""
    given, reasons = args.fairseq, []
    words = [word.strip() for word in args.batch_sizes.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        reasons.append(f"--batch-sizes must be numbers from 1 with commas between, got {args.batch_sizes!r}: pass 1,8.")
    for option, least in (("limit", 1), ("repeats", 1), ("warmup", 0), ("threads", 1)):
        value = getattr(args, option)
        if value is not None and value < least:
            reasons.append(f"--{option} must be at least {least}, got {value}: raise it or leave it out.")
    if not given.path:
        reasons.append("--path must name the checkpoint of the verifier, got nothing: pass --path V.pt.")
    if given.beam not in (1, 5):  # 5 is fairseq's default
        reasons.append(f"--beam is set by each system, got {given.beam}: pass --systems fairseq-beam{given.beam}.")
    defaults = {"beta": 1, "tau": 0.0, "cuda_graphs": False}
    refused = [
        ("batch_size", None, "pass --batch-sizes"),
        ("num_shards", 1, "pass --limit for fewer sentences"),
        ("score_reference", False, "leave it out"),
        ("drafter", "none", "name the drafter in --systems"),
        *((name, defaults.get(name), "write it behind a system") for name in sorted(EVERY_DRAFTER)),
        ("certify", False, "run specdec certify"),
        ("spec_stats", None, "pass --json"),
    ]  # fmt: skip
    for name, default, remedy in refused:
        value = getattr(given, name, default)
        if value != default:
            reasons.append(f"--{name.replace('_', '-')} has no place in a benchmark, got {value}: {remedy}.")
    if reasons:
        raise OptionError(reasons)
    check_file("--json", args.json)
    check_plot(args.plot)
    return list(dict.fromkeys(map(int, words)))


def _measure_size(
    args: Namespace, loaded: Loaded, data: BenchData, scorer: Scorer, systems: Sequence[Any], size: int
) -> list[dict[str, Any]]:
    """Measure one batch size; return its rows."""
    batches = data.batches(size)
    if loaded.device == "cuda":
        batches = [replace(batch, sample=utils.move_to_cuda(batch.sample)) for batch in batches]
    total = (args.warmup + args.repeats) * len(systems) * len(batches)
    with tqdm(total=total, desc=f"batch size {size}", unit="batch", disable=None, leave=False) as bar:
        meter = DeviceMeter(loaded.device)
        results = measure(systems, batches, meter, repeats=args.repeats, warmup=args.warmup, tick=bar.update)
    return rows(systems, results, size, loaded.device, scorer.score)


def _environment(args: Namespace, loaded: Loaded) -> dict[str, Any]:
    """Describe what was measured and where."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "fairseq": fairseq.__version__}
    versions["layers"] = layers_by() if loaded.device == "cpu" else "torch"
    for package in ("fairseq-specdec", "ctranslate2", "sacrebleu"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": date.today().isoformat(),
        "device": loaded.device,
        "device_name": name_of(loaded.device),
        "dtype": loaded.dtype,
        "threads": torch.get_num_threads(),
        "versions": versions,
        "data": loaded.cfg.task.data,
        "path": loaded.cfg.common_eval.path,
        "gen_subset": loaded.cfg.dataset.gen_subset,
        "limit": args.limit,
        "repeats": args.repeats,
        "warmup": args.warmup,
        "metric": args.metric,
    }


def _report(args: Namespace, content: dict[str, Any], data: BenchData) -> None:
    """Print the table, draw the chart, and say what is missing."""
    if content["rows"]:
        where = f"{content['device']}, {content['dtype']}, {content['threads']} threads"
        what = f"{len(data.ids)} sentences of {content['gen_subset']}"
        print(f"{what}; {where}; median of {args.repeats} passes in turn\n")
        print(table(content["rows"], args.metric))
        if args.plot:
            plot(args.plot, content["rows"])
    problems = [line for line in notes(content["rows"]) if line.startswith("failed")]
    if content["missing"]:
        kept = f"; what is there: {args.json}" if args.json and content["rows"] else ""
        sizes = ", ".join(map(str, content["missing"]))
        problems.append(f"batch sizes {sizes} are missing{kept}")
    for problem in problems:
        print(f"specdec bench: {problem}", file=sys.stderr)
