#!/usr/bin/env python3
"""Lengthen a fairseq dictionary with symbols that no text holds, so that another model's embeddings fit.

Usage: pad_dictionary.py DICT --like OTHER_DICT --out DICT
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Write the longer dictionary; it must not be the longer one already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dictionary", type=Path)
    parser.add_argument("--like", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    lines = args.dictionary.read_text("utf-8").splitlines()
    missing = len(args.like.read_text("utf-8").splitlines()) - len(lines)
    if missing < 0:
        print(f"{args.dictionary} must not be longer than {args.like}: learn fewer pieces", file=sys.stderr)
        return 2
    lines += [f"<unused{i}> 0" for i in range(missing)]
    args.out.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
