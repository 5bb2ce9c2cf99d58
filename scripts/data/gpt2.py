#!/usr/bin/env python3
"""Write the numbers of GPT-2's subwords for each line of text files, as BART's data has them.

    gpt2.py --encoder-json encoder.json --vocab-bpe vocab.bpe --out-dir DIR [--workers N] TEXT [TEXT ...]

DIR/<name of TEXT> has one line for each line of TEXT; an empty line stays empty, so that files stay parallel.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sys
from pathlib import Path

from fairseq.data.encoders.gpt2_bpe_utils import get_encoder
from gec_files import read
from tqdm import tqdm

_encoder = None  # of a worker's process, which reads the files once


def _start(encoder_json: str, vocab_bpe: str) -> None:
    global _encoder
    _encoder = get_encoder(encoder_json, vocab_bpe)


def _encode(line: str) -> str:
    return " ".join(map(str, _encoder.encode(line)))


def encode(files: tuple[Path, Path], out_dir: Path, texts: list[Path], workers: int = 1) -> None:
    """Write the numbers of each line of each text to a file of the same name in ``out_dir``.

    Args:
        files: encoder.json and vocab.bpe.
        out_dir: folder to write to.
        texts: UTF-8, plain or .gz.
        workers: processes; 1 encodes in this one.

    Raises:
        ValueError: a file is not there.
    """
    for path in (*files, *texts):
        if not path.is_file():
            raise ValueError(f"TEXT, --encoder-json and --vocab-bpe must be files, got {path}: check the path.")
    out_dir.mkdir(parents=True, exist_ok=True)
    names = tuple(map(str, files))
    with contextlib.ExitStack() as stack:
        if workers > 1:
            pool = stack.enter_context(multiprocessing.Pool(workers, _start, names))
            over = lambda lines: pool.imap(_encode, lines, chunksize=100)  # noqa: E731
        else:
            _start(*names)
            over = lambda lines: map(_encode, lines)  # noqa: E731
        for text in texts:
            lines = read(text)
            bar = tqdm(over(lines), total=len(lines), desc=f"encode {text.name}", disable=not sys.stderr.isatty())
            with (out_dir / text.name.removesuffix(".gz")).open("w", encoding="utf-8") as out:
                out.writelines(f"{line}\n" for line in bar)


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path, metavar="TEXT")
    for name in ("encoder-json", "vocab-bpe", "out-dir"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    try:
        encode((args.encoder_json, args.vocab_bpe), args.out_dir, args.texts, args.workers)
    except ValueError as error:
        sys.exit(f"gpt2.py: {error}")


if __name__ == "__main__":
    main()
