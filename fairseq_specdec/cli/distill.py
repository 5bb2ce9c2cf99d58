"""Turn a fairseq-generate log of the training set into distilled training text, in the order of the data.

The sources (S lines) and the hypotheses (H lines) are written as they were decoded, subword pieces included, so that
fairseq-preprocess with the same dictionaries binarises them again: P.<source language> and P.<target language>.
Sentences that the run skipped have no line in either file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.generate_log import (
    GeneratedSentence,
    GenerateLog,
    describe_missing,
    read_generate_log,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec distill``."""
    parser.add_argument(
        "--gen", metavar="LOG", nargs="+", required=True, help="log of fairseq-generate, or the logs of all shards"
    )
    parser.add_argument("--out-prefix", metavar="P", required=True, help="write P.<source> and P.<target>")
    parser.add_argument("--source-lang", metavar="SRC", help="suffix of the sources (default: as the log says)")
    parser.add_argument("--target-lang", metavar="TGT", help="suffix of the targets (default: as the log says)")


def run(args: argparse.Namespace) -> int:
    """Write the two files.

    Returns:
        0.

    Raises:
        OptionError: a log that is cut short or holds changed text, unknown languages, or files that cannot be written.
    """
    log = read_generate_log(args.gen, gaps=True)
    _check_text(log.sentences)
    source_lang, target_lang = _languages(args, log)
    sources = [sentence.source for sentence in log.sentences]
    targets = [sentence.hypothesis for sentence in log.sentences]
    paths = [_write(args.out_prefix, lang, lines) for lang, lines in ((source_lang, sources), (target_lang, targets))]
    empty = sum(not line for line in targets)
    note = f", {empty} of them with an empty hypothesis" if empty else ""
    print(f"{paths[0]} {paths[1]}: {len(targets)} sentences{note}")
    if missing := log.missing():
        note = describe_missing(missing, log.ids[-1] + 1)
        print(f"specdec distill: {note}: the files go on without them, line by line together.", file=sys.stderr)
    return 0


def _check_text(sentences: list[GeneratedSentence]) -> None:
    """Refuse a log that lacks the text or holds it changed, so that it cannot be binarised again."""
    reasons = [
        f"--gen must hold {letter} lines, got a log without: give the whole log."
        for letter, text in (("S", sentences[0].source), ("H", sentences[0].hypothesis))
        if text is None
    ]
    if not reasons and 2 * sum(map(_was_detokenized, sentences)) > len(sentences):
        reasons.append(
            f"--gen must hold S lines as the model reads them, got detokenised text ({sentences[0].source[:40]!r}): "
            f"decode again without --bpe and --tokenizer."
        )
    if not reasons and 2 * sum(map(_lost_its_pieces, sentences)) > len(sentences):
        reasons.append(
            f"--gen must hold the subword pieces, got joined words ({sentences[0].hypothesis[:40]!r}): decode again "
            f"without --remove-bpe (--post-process)."
        )
    if reasons:
        raise OptionError(reasons)


def _was_detokenized(sentence: GeneratedSentence) -> bool:
    """Tell whether fairseq detokenised the output, and so the source too: D is H after that step."""
    return sentence.detokenized not in (None, sentence.hypothesis)


def _lost_its_pieces(sentence: GeneratedSentence) -> bool:
    """Tell whether tokens were joined: there is a score for each token and for eos."""
    scores = sentence.positional_scores
    return scores is not None and len(scores) > len(sentence.hypothesis.split()) + 1


def _languages(args: argparse.Namespace, log: GenerateLog) -> tuple[str, str]:
    """Find the two suffixes: the options, else what the log says."""
    told = log.languages if len(log.languages) == 2 else [None, None]
    source, target = args.source_lang or told[0], args.target_lang or told[1]
    reasons = [
        f"{option} must be given when the log does not name the languages, got nothing: pass {option} and a suffix."
        for option, value in (("--source-lang", source), ("--target-lang", target))
        if not value
    ]
    if source and source == target:
        reasons.append(f"--source-lang and --target-lang must differ, got {source} twice: pass other suffixes.")
    if reasons:
        raise OptionError(reasons)
    return source, target


def _write(prefix: str, lang: str, lines: list[str]) -> Path:
    """Write one file and return its path; folders on the way are made."""
    path = Path(f"{prefix}.{lang}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OptionError([f"--out-prefix must be writable, got {path} ({reason}): choose another place."]) from error
    return path
