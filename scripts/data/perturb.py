#!/usr/bin/env python3
"""Replace a share of the words of a text by other words of it, as a stand-in for an old or a remembered translation.

Usage: perturb.py --rate 0.15 --seed 1 TEXT OUT
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path


def perturb(lines: list[str], rate: float, seed: int) -> list[str]:
    """Replace each word with probability ``rate`` by one drawn from all lines, frequent ones more often."""
    rng = random.Random(seed)
    words = [word for line in lines for word in line.split()]
    return [" ".join(rng.choice(words) if rng.random() < rate else word for word in line.split()) for line in lines]


def main() -> None:
    """Parse the command line and write the text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if not 0 <= args.rate <= 1:
        parser.error(f"--rate must be in 0..1, got {args.rate}")
    lines = args.text.read_text("utf-8").splitlines()
    args.out.write_text("".join(f"{line}\n" for line in perturb(lines, args.rate, args.seed)), "utf-8")


if __name__ == "__main__":
    main()
