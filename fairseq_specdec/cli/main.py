"""Entry point of ``specdec``: one module a subcommand, imported only when it is asked for.

A subcommand's module has ``add_arguments(parser)`` and ``run(args) -> int`` (the exit status); its docstring is its
help. One that takes options of fairseq, too, also has ``parse(parser, argv) -> Namespace``. It raises ``OptionError``
for what the user can mend: the command ends with status 2 and one line for each reason.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

from fairseq_specdec.config import OptionError

COMMANDS = {
    "score": "metrics of decoded text: BLEU, chrF, TER, ROUGE, GLEU, M2, ERRANT, SARI",
    "distill": "a fairseq-generate log of the training set becomes distilled training text",
    "certify": "check that every token of a fairseq-generate log is the verifier's own choice",
    "bench": "measure systems against each other: speed, latency, quality, identity",
    "info": "what a checkpoint is, and whether the engine can run it",
    "index": "sort a text once for look-ups (--drafter ngram --ngram-corpus)",
    "user-dir": "print the package's folder, for --user-dir from anywhere",
}
WITHOUT_FAIRSEQ = {"score", "distill", "user-dir"}  # work on text and paths alone, and import neither it nor torch


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: arguments after ``specdec``; None takes those of the process.

    Returns:
        Exit status: the subcommand's own, or 2 for arguments that cannot be honoured.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    name, *rest = argv
    if name not in COMMANDS:
        print(f"specdec: error: {_unknown(name)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"fairseq_specdec.cli.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(f"specdec {name}", description=module.__doc__)
        module.add_arguments(parser)
        parse = getattr(module, "parse", argparse.ArgumentParser.parse_args)
        return module.run(parse(parser, rest))
    except OptionError as error:
        reasons = error.reasons
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("fairseq_specdec"):
            raise
        package = error.name.partition(".")[0].replace("_", "-")
        reasons = [f"the package {package} is not installed: {sys.executable} -m pip install {package}"]
    for reason in reasons:
        print(f"specdec {name}: error: {reason}", file=sys.stderr)
    return 2


def needs_fairseq(argv: Sequence[str]) -> bool:
    """Tell whether the command with these arguments has to have fairseq and torch imported."""
    return bool(argv) and argv[0] in COMMANDS.keys() - WITHOUT_FAIRSEQ


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: specdec COMMAND ...", "", *lines, "", "specdec COMMAND --help shows the options of one."])


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown command {name!r}.{hint} Known: {', '.join(sorted(COMMANDS))}."


if __name__ == "__main__":
    sys.exit(main())
