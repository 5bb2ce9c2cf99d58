"""Score decoded text against references: text files with one sentence a line, or a fairseq-generate log.

BLEU, chrF, TER, ROUGE and SARI take detokenised text, which they split themselves; GLEU, M2 and ERRANT take tokens with
spaces between, as their references have.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from dataclasses import replace
from functools import partial

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation import rouge, scores
from fairseq_specdec.evaluation.generate_log import (
    GeneratedSentence,
    GenerateLog,
    describe_missing,
    read_generate_log,
)
from fairseq_specdec.evaluation.m2_file import read_m2
from fairseq_specdec.evaluation.metrics import METRICS, Metric
from fairseq_specdec.evaluation.text import check_same_length, read_lines
from fairseq_specdec.evaluation.writing import advise

# options that some metrics take: what they are called here, and there
OF_METRICS = {
    "--tokenize": "tokenize",
    "--tokenizer": "tokenizer",
    "--no-stemmer": "stem",
    "--bootstrap": "bootstrap",
    "--sentence-mark": "sentence_mark",
    "--word-order": "word_order",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec score``."""
    with_source = ", ".join(sorted(name for name, metric in METRICS.items() if metric.needs_source))
    parser.add_argument("metric", choices=sorted(METRICS))
    parser.add_argument("--hyp", metavar="FILE", help="decoded text")
    parser.add_argument("--ref", metavar="FILE", nargs="+", help="references, one file or several; m2: the M2 file")
    parser.add_argument(
        "--gen",
        metavar="LOG",
        nargs="+",
        help="log of fairseq-generate, or of all shards: its D lines are scored against its T lines, or against --ref",
    )
    parser.add_argument(
        "--src", metavar="FILE", help=f"source text, which {with_source} need; the others only check its length"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--compound-split",
        action="store_true",
        help="bleu: tokenised BLEU with hyphenated compounds split, as in the WMT14 English-German papers",
    )
    parser.add_argument("--lang", help="language of the Moses tokeniser for --compound-split (default: de)")
    parser.add_argument(
        "--tokenized", action="store_true", help="the text has Moses tokens already: --compound-split only splits"
    )
    _add_options_of_metrics(parser.add_argument_group("options of some metrics"))


def _add_options_of_metrics(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--tokenize", choices=scores.TOKENIZERS, help="bleu: how sacrebleu splits the text (default: 13a)")
    add("--tokenizer", choices=rouge.TOKENIZERS, help="rouge: unicode for text beyond a to z (default: rouge-score)")
    add("--no-stemmer", dest="stem", action="store_const", const=False, help="rouge: words themselves, not their stems")
    add("--bootstrap", type=int, metavar="N", help="rouge: 95%% interval of the mean by N draws (rouge-score has 1000)")
    add("--sentence-mark", metavar="TEXT", help="rouge: what ends a sentence inside a line, for rougeLsum, such as <n>")
    add("--word-order", type=int, metavar="N", help="chrf: longest n-gram of words that counts, too; 2 is chrF++")


def run(args: argparse.Namespace) -> int:
    """Print the score.

    Returns:
        0.

    Raises:
        OptionError: options that do not go together, or files that cannot be scored.
    """
    metric = METRICS[args.metric]
    _check_options(args, metric)
    given = {name: getattr(args, name) for name in metric.options if getattr(args, name) is not None}
    metric = replace(metric, compute=partial(metric.compute, **given))
    if args.compound_split:
        metric = replace(
            metric, compute=partial(scores.compound_split_bleu, lang=args.lang or "de", tokenized=args.tokenized)
        )
    result = _compute(metric, args)
    print(json.dumps(result) if args.json else _line(result))
    return 0


def _compute(metric: Metric, args: argparse.Namespace) -> dict:
    """Read what a metric needs and compute it; with sentences missing in the log it counts those that are there."""
    log = read_generate_log(args.gen, gaps=True) if args.gen else None
    hyps = _read_hypotheses(args, log)
    refs = _read_references(args, log, metric.m2_reference)
    srcs = {f"--src {args.src}": read_lines("--src", args.src)} if args.src else {}
    missing = _pick_sentences(log, refs if args.ref else {}, srcs) if log else []
    check_same_length({**hyps, **refs, **srcs})
    _advise(args, [*hyps.values(), *refs.values()])
    given = [*hyps.values(), *refs.values()] if metric.m2_reference else [*hyps.values(), list(refs.values())]
    result = metric.compute(*given, *(srcs.values() if metric.needs_source else ()))
    words = {"words": metric.words} if metric.words else {}
    return {**result, **words, **({"missing": len(missing)} if missing else {})}


def _advise(args: argparse.Namespace, texts: list[list[str]]) -> None:
    """Say where a metric's words do not fit the text, unless they were chosen."""
    if args.compound_split or args.tokenize or args.tokenizer or METRICS[args.metric].m2_reference:
        return
    hint = advise(args.metric, itertools.chain(*texts))
    if hint:
        print(f"specdec score: hint: {hint}", file=sys.stderr)


def _pick_sentences(log: GenerateLog, *groups: dict[str, list]) -> list[int]:
    """Keep of each file, in place, what belongs to the sentences of the log; say which others there are.

    Returns:
        The places of the sentences that the log lacks.

    Raises:
        OptionError: the files are of different lengths, or end before the last sentence of the log.
    """
    files = {name: lines for group in groups for name, lines in group.items()}
    if files:
        check_same_length(files)
    total = len(next(iter(files.values()))) if files else log.ids[-1] + 1
    if total <= log.ids[-1]:
        raise OptionError([
            f"{name} must have a line for each sentence of the data, those that the log lacks too, and the log has "
            f"sentence {log.ids[-1]} (counted from 0), got {total} lines: give the whole text in the order of the data."
            for name in files
        ])  # fmt: skip
    missing = log.missing(total)
    if missing:
        print(f"specdec score: {describe_missing(missing, total)}: scored without them.", file=sys.stderr)
        for group in groups:
            group.update({name: [lines[i] for i in log.ids] for name, lines in group.items()})
    return missing


def _check_options(args: argparse.Namespace, metric: Metric) -> None:
    """Refuse options that do not go together, all reasons at once."""
    reasons = []
    if args.gen and args.hyp:
        reasons.append(f"--hyp must not be given with --gen, got {args.hyp}: give the log or the text.")
    if not args.gen and not args.hyp:
        reasons.append("--hyp must name the decoded text, got nothing: pass --hyp FILE --ref FILE, or --gen LOG.")
    if args.hyp and not args.gen and not args.ref:
        reasons.append("--ref must be given with --hyp, got nothing: pass --ref FILE [FILE ...].")
    if metric.m2_reference and (args.gen and not args.ref or len(args.ref or ()) > 1):
        given = " ".join(args.ref or ["nothing"])
        reasons.append(f"--ref must be one M2 file for metric {args.metric}, got {given}: pass --ref GOLD.m2.")
    if metric.needs_source and not args.src:
        reasons.append(f"--src must name the source text for metric {args.metric}, got nothing: pass --src FILE.")
    if args.compound_split and args.metric != "bleu":
        reasons.append(f"--compound-split is a kind of BLEU, got metric {args.metric}: score bleu.")
    for option, value in (("--lang", args.lang), ("--tokenized", args.tokenized)):
        if value and not args.compound_split:
            reasons.append(f"{option} is for --compound-split only, got it without: add --compound-split.")
    reasons += _bad_options_of_metrics(args, metric)
    if reasons:
        raise OptionError(reasons)


def _bad_options_of_metrics(args: argparse.Namespace, metric: Metric) -> list[str]:
    reasons = []
    for option, name in OF_METRICS.items():
        takers = ", ".join(other for other, known in METRICS.items() if name in known.options)
        if getattr(args, name) is not None and name not in metric.options:
            reasons.append(f"{option} is an option of {takers}, got metric {args.metric}: leave it out.")
    if args.compound_split and args.tokenize:
        reasons.append(
            f"--tokenize must not be given with --compound-split, which has Moses tokens, got {args.tokenize}: leave "
            "one of the two out."
        )
    for option, least in (("--bootstrap", 1), ("--word-order", 0)):
        value = getattr(args, OF_METRICS[option])
        if value is not None and value < least:
            reasons.append(f"{option} must be at least {least}, got {value}: raise it or leave it out.")
    return reasons


def _read_hypotheses(args: argparse.Namespace, log: GenerateLog | None) -> dict[str, list]:
    """Read the hypotheses. Returns what they are called, and their lines."""
    if log:
        return {"--gen (D lines)": _words(log.sentences, "detokenized", "D")}
    return {f"--hyp {args.hyp}": read_lines("--hyp", args.hyp)}


def _read_references(args: argparse.Namespace, log: GenerateLog | None, m2_reference: bool) -> dict[str, list]:
    """Read the references, from the log if no file is given. Returns what each is called and its lines or sentences."""
    if log and not args.ref:
        return {"--gen (T lines)": _words(log.sentences, "target", "T")}
    if m2_reference:
        return {f"--ref {path} (S lines)": read_m2(path, "--ref") for path in args.ref}
    files: dict[str, list] = {}
    for number, path in enumerate(args.ref, start=1):
        name = f"--ref {path}" if f"--ref {path}" not in files else f"--ref {path} (file {number})"
        files[name] = read_lines("--ref", path)
    return files


def _words(sentences: list[GeneratedSentence], kind: str, letter: str) -> list[str]:
    """Take one kind of line of all sentences; subword pieces are refused, their BLEU is not that of the words."""
    texts = [getattr(sentence, kind) for sentence in sentences]
    if texts[0] is None:
        raise OptionError(
            [f"--gen must hold {letter} lines to be scored, got a log without: give the whole log, or --hyp and --ref."]
        )
    pieces = sum("\u2581" in text or "@@ " in text for text in texts)
    if 2 * pieces > len(texts):
        raise OptionError(
            [
                f"--gen must hold words in its {letter} lines, got subword pieces ({texts[0][:40]!r}): decode with "
                f"--remove-bpe sentencepiece (or the kind that the data has)."
            ]
        )
    return texts


def _line(result: dict) -> str:
    """Write a metric's result in one line: numbers with two decimals, what they are made of in brackets."""
    words = []
    for name, value in result.items():
        if name == "missing":  # said on standard error
            continue
        if isinstance(value, dict):
            interval = f" [{value['low']:.2f}, {value['high']:.2f}]" if "low" in value else ""
            words.append(f"{name} {value['f']:.2f}{interval}")
        elif isinstance(value, str):
            words.append(f"({value})" if name == "signature" else f"({name}: {value})")
        else:
            words.append(f"{name} {value:.2f}")
    return " ".join(words)
