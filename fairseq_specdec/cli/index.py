"""Sort a target text once for --drafter ngram --ngram-corpus, so that later runs map it into memory at once.

The text is split into subwords as the data is, one sentence a line. The file takes 8 bytes a token, making it some 50
bytes of memory a token; it belongs to the dictionary that it was made with.
"""

from __future__ import annotations

import argparse

from fairseq.data import Dictionary

from fairseq_specdec import clock
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.corpus import Corpus
from fairseq_specdec.drafters.corpus_file import SUFFIX, write_corpus
from fairseq_specdec.drafters.text import read_tokens
from fairseq_specdec.files import why_not_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec index``."""
    parser.add_argument("text", metavar="TEXT", help="one sentence a line, split into symbols as the data is")
    parser.add_argument("--dict", metavar="FILE", required=True, help="the target dictionary: DATA_BIN/dict.LANG.txt")
    parser.add_argument("--out", metavar="FILE", help=f"where to write (default: TEXT{SUFFIX})")


def run(args: argparse.Namespace) -> int:
    """Sort and write.

    Returns:
        0.

    Raises:
        OptionError: a file cannot be read or written.
    """
    out = args.out or args.text + SUFFIX
    why_not = why_not_file(out)
    if why_not:
        raise OptionError([f"--out must be a file that can be written, got {out}, which {why_not}."])
    began = clock.now()
    dictionary = _dictionary(args.dict)
    corpus = Corpus.of(read_tokens(dictionary, "TEXT", args.text), len(dictionary), dictionary.eos())
    if corpus.n_places == 0:
        raise OptionError([f"TEXT must hold at least one line, got {args.text}, which is empty: check the path."])
    try:
        write_corpus(corpus, dictionary, out)
    except OSError as error:
        reason = error.strerror or error
        raise OptionError([f"--out must be writable, got {out} ({reason}): choose another place."]) from error
    print(f"{out}: {corpus.n_places} tokens, {clock.since(began):.1f} seconds")
    return 0


def _dictionary(path: str) -> Dictionary:
    try:
        return Dictionary.load(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError([
            f"--dict must be a dictionary that fairseq-preprocess wrote, got {path} ({error}): pass "
            "DATA_BIN/dict.LANG.txt."
        ]) from error  # fmt: skip
