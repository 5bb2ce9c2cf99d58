#!/usr/bin/env python3
"""Keep a fairseq command's log in a file and show how far it is.

    command 2>&1 | progress.py LOG

On a terminal one line is rewritten, elsewhere a line is printed now and then. All of the input goes to LOG.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TextIO

_TRAINING = re.compile(r"\bloss=([\d.]+).*\bnum_updates=(\d+)")
_VALIDATION = re.compile(r"valid on .*\| loss ([\d.]+)(?:.*\| (acceptance_length) ([\d.]+))?")
_GENERATION = re.compile(r"progress_bar(?: \| |:):?\s+(\d+) / (\d+)\b")


def describe(line: str) -> str | None:
    """Return what ``line`` of a fairseq log (``--log-format simple``) says about progress, or None."""
    if found := _TRAINING.search(line):
        return f"update {found[2]}, loss {found[1]}"
    if found := _VALIDATION.search(line):
        return f"validation loss {found[1]}" + (f", acceptance length {found[3]}" if found[2] else "")
    if found := _GENERATION.search(line):
        return f"batch {found[1]} of {found[2]}"
    return None


def follow(source: TextIO, log: TextIO, screen: TextIO, every: float) -> None:
    """Copy ``source`` to ``log`` and report on ``screen``.

    Args:
        source: Read to its end.
        log: Gets every line.
        screen: Gets at most one report in ``every`` seconds, on the same line where it is a terminal.
        every: Seconds.
    """
    start = last = time.monotonic()
    rewriting = screen.isatty()
    for line in source:
        log.write(line)
        now = time.monotonic()
        if now - last < every:
            continue
        if text := describe(line):
            last = now
            text = f"      {text}, {now - start:.0f} s"
            screen.write(f"\r{text:<70}" if rewriting else f"{text}\n")
            screen.flush()
            log.flush()
    if rewriting:
        screen.write(f"\r{'':<70}\r")


def main() -> None:
    """Follow standard input."""
    if len(sys.argv) != 2:
        sys.exit("usage: command 2>&1 | progress.py LOG")
    with open(sys.argv[1], "w", encoding="utf-8") as log:
        follow(sys.stdin, log, sys.stderr, every=1.0 if sys.stderr.isatty() else 15.0)


if __name__ == "__main__":
    main()
