"""Writing a file as a whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_whole(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that has its name only once it is whole; where writing fails the old one stays.

    Until then it has a name that nobody else can have made in this folder, be it as a link to somewhere else.

    Args:
        path: where; a link that is there is replaced, not followed.
        write: writes to the file that it is given.
    """
    path = Path(path)
    number, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            write(file)
        mask = os.umask(0)  # can be read by being set alone
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)  # what open() would have given it
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write text, in UTF-8; see `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode("utf-8")))
