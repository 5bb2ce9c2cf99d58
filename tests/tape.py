"""A CPU in the place of a GPU: work is recorded operation by operation, and run again on the same memory.

What a CUDA graph does is checked so without one: whatever Python decides while recording is frozen, results land where
they landed first, looking at a number on the host is an error, and what was recorded and not yet done holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.recording.ahead import AheadDecoder
from fairseq_specdec.recording.beams import RecordedBeamDecoder
from fairseq_specdec.recording.decoder import RecordedDecoder
from fairseq_specdec.search.beam import BeamDecoder

aten = torch.ops.aten
# operations that wait for the device: they give the host a number, or a shape that depends on numbers, or copy from it
HOST_READS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.lift_fresh.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
    aten._unique2.default,
    aten.unique_dim.default,
}


class HostReadError(AssertionError):
    """Work that is recorded looked at a number."""


class NoHostReads(TorchDispatchMode):
    """Makes every look at a number an error."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse the operation or do it."""
        indices = args[1] if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default) else ()
        if func in HOST_READS or any(i is not None and i.dtype == torch.bool for i in indices):
            raise HostReadError(f"{func} reads the host")
        return func(*args, **(kwargs or {}))


class Tape(NoHostReads):
    """Recorded operations."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[Callable[[], None]] = []
        self._made: list[Tensor] = []
        self._before: list[tuple[Tensor, Tensor]] = []  # what recording changed, and what it was

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation and write it down."""
        arguments = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | (kwargs or {})
        written = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        self._before += [(arguments[name], arguments[name].clone()) for name in written if name in arguments]
        out = super().__torch_dispatch__(func, types, args, kwargs)
        returns = [r.alias_info for r in func._schema.returns]
        if any(alias is not None and not alias.is_write for alias in returns):
            return out  # a view: it looks at memory that other steps fill

        if not written:
            self._made += [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]

        def again() -> None:
            new = func(*args, **(kwargs or {}))
            if not written:
                for old, value in zip(tree_leaves(out), tree_leaves(new), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(value)

        self._steps.append(again)
        return out

    def undo(self) -> None:
        """Take back what recording did to memory that was there before."""
        for tensor, before in reversed(self._before):
            tensor.copy_(before)
        self._before = []

    def spoil(self) -> None:
        """Fill what was made with nonsense, which is what lies in memory before work is done or after others had it."""
        for tensor in self._made:
            tensor.fill_(1 if tensor.dtype == torch.bool else -77)

    def replay(self) -> None:
        """Do all of it again."""
        for step in self._steps:
            step()


class PooledTape(Tape):
    """One of many that put what they make in the same place."""

    def __init__(self, recorder: TapeRecorder) -> None:
        super().__init__()
        self._recorder = recorder

    def replay(self) -> None:
        """Do all of it again; what the last of the others left is lost."""
        recorder = self._recorder
        if recorder.last not in (None, self):
            recorder.last.spoil()
        super().replay()
        recorder.last = self
        recorder.n_rounds += 1


class TapeRecorder:
    """Records tapes; counts them.

    Attributes:
        n_recorded: tapes.
        n_rounds: how often those were done again that make nothing to keep, as rounds do.
        last: the one of these that ran last.
    """

    def __init__(self) -> None:
        self.n_recorded = self.n_rounds = 0
        self.last: PooledTape | None = None

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do the work."""
        with NoHostReads():
            work()

    def record(self, work: Callable[[], None], keeps: bool = False) -> Tape:
        """Do the work, write it down, and take back what it did."""
        self.n_recorded += 1
        tape = Tape() if keeps else PooledTape(self)
        with tape:
            work()
        tape.undo()
        tape.spoil()
        return tape


def record(generator: SpecGenerator) -> TapeRecorder:
    """Have a generator decode by recorded rounds; return its recorder."""
    recorder, ready = TapeRecorder(), generator._ready_decoder

    def decoder() -> AheadDecoder | RecordedBeamDecoder:
        made = ready()
        if isinstance(made, BeamDecoder):
            generator._decoder = made = RecordedBeamDecoder(made.batches, recorder)
        elif not isinstance(made, AheadDecoder | RecordedBeamDecoder):
            generator._decoder = made = generator._ahead(RecordedDecoder(made, recorder))
        return made

    generator._ready_decoder = decoder
    return recorder
