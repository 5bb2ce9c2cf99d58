"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def why_not_file(path: str) -> str | None:
    """Say why a file could not be written at the end of a run, as far as can be seen before; None: it can."""
    folder = Path(path).absolute().parent
    if Path(path).is_dir():
        return "is a folder: name a file in it"
    if not folder.is_dir():
        return "must be in an existing folder: create it first"
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        return "cannot be written there: choose another place"
    return None


def write_whole(path: str, write: Callable[[Path], object]) -> None:
    """Write a file; a failure or an interrupt leaves what was there, and nothing beside it.

    Args:
        path: of the file; what is no plain file (/dev/stdout) is written to as it is.
        write: writes to the file that it is given, which lies in the same folder.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        write(target)
        return
    target = target.resolve()  # what a link leads to is written, the link stays
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(number)
    try:
        write(Path(name))
        os.chmod(name, _mode_of(target))
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode_of(target: Path) -> int:
    """Return the rights that a file has, or that a new one gets."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def write_text(path: str, text: str) -> None:
    """Write text, in UTF-8; see `write_whole`."""
    write_whole(path, lambda file: file.write_text(text, "utf-8"))
