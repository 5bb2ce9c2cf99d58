"""Further user-dirs: fairseq imports one, and the architectures of a checkpoint may need that of its authors, too."""

import argparse
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairseq import utils

from fairseq_specdec.config import OptionError


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
