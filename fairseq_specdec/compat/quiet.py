"""Importing fairseq without what its import prints and sets."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_import() -> Iterator[None]:
    """Keep the import of fairseq from logging advice and from setting up logging for the whole process.

    One of its models sets the root logger to DEBUG, and one of its tasks then advises to install tensorboardX, which
    nobody needs here. What a program set up before the import is as it was after it. fairseq's own commands import
    fairseq before a user-dir: there the line comes too early to be kept back.
    """
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    logging.disable(max(disabled, logging.INFO))
    try:
        yield
    finally:
        for handler in root.handlers[:]:
            if handler not in handlers:
                root.removeHandler(handler)
        root.setLevel(level)
        logging.disable(disabled)
