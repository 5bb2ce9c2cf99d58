"""Further user-dirs: fairseq imports one, and the architectures of a checkpoint may need that of its authors, too."""

import argparse
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional  # noqa: UP035 (fairseq knows no other list)

from fairseq import utils
from fairseq.dataclass import FairseqDataclass

from fairseq_specdec.config import OptionError


@dataclass
class UserDirOption(FairseqDataclass):
    """The option, for the configuration of a task."""

    also_user_dir: Optional[List[str]] = field(  # noqa: UP006, UP045
        default=None,
        metadata={"help": "further user-dir, imported after this one; may be given several times"},
    )


def take_several(parser: argparse.ArgumentParser) -> None:
    """Let the option be given several times, each with one folder, which no field of a dataclass can say."""
    (action,) = (action for action in parser._actions if action.dest == "also_user_dir")
    action.__class__, action.type, action.metavar = argparse._AppendAction, str, "DIR"


def import_user_dirs(folders: Iterable[str]) -> None:
    """Import what registers with fairseq in these folders, as its ``--user-dir`` does; once, however often it is asked.

    Raises:
        OptionError: lists the folders that are not there.
    """
    folders = list(folders)
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    if missing:
        raise OptionError(
            [f"--also-user-dir must be an existing folder, got {folder}: check the path." for folder in missing]
        )
    for folder in folders:
        utils.import_user_module(Namespace(user_dir=str(Path(folder).absolute())))


def named_on(command_line: Sequence[str]) -> list[str]:
    """Return the ``--also-user-dir`` folders of a command line.

    fairseq checks ``--task`` and ``--arch`` against what is registered before it looks at any option of a task, so for
    names that a further user-dir brings it has to be read before.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--also-user-dir", action="append", default=[])
    return parser.parse_known_args(list(command_line))[0].also_user_dir
