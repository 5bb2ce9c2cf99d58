"""The command ``specdec``: a subcommand that needs neither torch nor fairseq starts without them, at once.

Importing the package repairs fairseq and registers with it, which takes seconds. So the package is entered in
``sys.modules`` as it is before its ``__init__`` has run, and that runs only for a subcommand that needs it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec


def main() -> int:
    """Run ``specdec`` with the arguments of the process; returns the exit status."""
    is_imported = "fairseq_specdec" in sys.modules  # by a program that calls this: it stays what it is
    if not is_imported:
        spec = find_spec("fairseq_specdec")
        package = sys.modules["fairseq_specdec"] = module_from_spec(spec)
    from fairseq_specdec.cli import main as command
    from fairseq_specdec.prerequisites import PrerequisiteError

    if not is_imported and command.needs_fairseq(sys.argv[1:]):
        try:
            spec.loader.exec_module(package)
        except PrerequisiteError as error:
            print(f"specdec: error: {error}", file=sys.stderr)
            return 2
    return command.main()
