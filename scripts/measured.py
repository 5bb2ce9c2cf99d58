"""The command line of scripts that measure this machine: numbers to a JSON file, a table of them to a page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent / "train"))
from card import write_table  # noqa: E402
from decoding_runs import environment  # noqa: E402


def run(
    doc: str,
    command: str,
    name: str,
    measure: Callable[[], dict[str, Any]],
    page_of: Callable[[dict[str, Any], Path], str],
    why_not: str | None = None,
) -> None:
    """Measure, write the JSON, then the page.

    Args:
        doc: of the script.
        command: the script, as the file says what made it.
        name: of the table on the page.
        measure: returns what the file holds beside where it was made.
        page_of: makes the page's text of the file's content and its path.
        why_not: what keeps it from being measured here, or None.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, help=f"Markdown page with the markers of the table '{name}'")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    args = parser.parse_args()
    if args.threads is not None:
        if args.threads < 1:
            parser.error(f"--threads must be at least 1, got {args.threads}: leave it out for torch's own choice.")
        torch.set_num_threads(args.threads)
    if why_not is not None:
        parser.error(why_not)
    results = {"command": command, **environment(), **measure()}
    args.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if args.page:
        write_table(args.page, name, page_of(json.loads(args.out.read_text("utf-8")), args.out))
