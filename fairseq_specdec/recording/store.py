"""The sessions that are kept, and what is not recorded."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar

from fairseq_specdec.device import is_out_of_memory
from fairseq_specdec.engine.graphs import Recorder, Recording
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.recording.inputs import Shape, step_up
from fairseq_specdec.search.decode import Batch

logger = logging.getLogger(__name__)

MAX_ROWS = 128  # larger batches keep a GPU busy between launches, and filling them up would cost more
MAX_BYTES = 4 << 30  # of all sessions' rows; the one that was not used for longest goes
MAX_SESSIONS = 64


class CannotRecordError(RuntimeError):
    """Recording failed; the message says why."""


class Sized(Protocol):
    """A session.

    Attributes:
        n_bytes: memory of its rows.
    """

    n_bytes: int


S = TypeVar("S", bound=Sized)


class Sessions(OrderedDict[Shape, S]):
    """Sessions by their shape; the one that was used last comes last."""

    works = True  # False once recording has failed

    def shape_for(self, batch: Batch, verifier: Verifier) -> Shape | None:
        """Return the shape for a batch, None where it has to be decoded without recording."""
        rows, width = batch.source.tokens.shape
        shape = Shape(step_up(rows), step_up(width), step_up(max(batch.limits.max_len, 1)))
        if not self.works or batch.limits.has_rules_of_rows or shape.rows > MAX_ROWS:
            return None
        return shape if all(encoder.can_run(shape.width) for encoder in verifier.encoders) else None

    def ready(self, shape: Shape, make: Callable[[], S]) -> S:
        """Return the session for a shape, a new one where there is none; forget those that have no room beside it."""
        if shape not in self:
            new = make()
            while self and (
                len(self) >= MAX_SESSIONS or new.n_bytes + sum(old.n_bytes for old in self.values()) > MAX_BYTES
            ):
                self.popitem(last=False)
            self[shape] = new
        self.move_to_end(shape)
        return self[shape]

    def give_up(self, error: RuntimeError) -> None:
        """Free the memory, and go on without recording where that is what failed.

        Raises:
            RuntimeError: the error, where it is another.
        """
        self.clear()
        if not (is_out_of_memory(error) or isinstance(error, CannotRecordError)):
            raise error
        self.works = not isinstance(error, CannotRecordError)
        logger.warning("decoding without CUDA graphs (leave --cuda-graphs out): %s", error)


def record(recorder: Recorder, work: Callable[[], None], keeps: bool = False) -> Recording:
    """Record work.

    Raises:
        CannotRecordError: that failed, and not for want of memory.
    """
    try:
        return recorder.record(work, keeps)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise CannotRecordError(f"recording failed: {error}") from error
