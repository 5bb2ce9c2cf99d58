"""Work that is recorded once and then run again as it is, on the same memory: CUDA graphs.

At a handful of positions a GPU waits for the next launch most of the time; a recording is launched as a whole.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch


class Recording(Protocol):
    """What was recorded."""

    def replay(self) -> None:
        """Do it again, on the tensors that it was recorded with."""


class Recorder(Protocol):
    """Records work. It must read nothing on the host; what Python decides on the way is decided once."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do the work, so that libraries load and choose what they need before anything is recorded."""

    def record(self, work: Callable[[], None], keeps: bool = False) -> Recording:
        """Record the work without doing it; the memory that it makes lives as long as the recording.

        Args:
            work: what to record.
            keeps: what the work makes stays as it is while others are done; else it is good until the next of them.
        """


class CudaRecorder:
    """Records CUDA graphs. They share one pool of memory, so that their intermediate results lie in the same place.

    What one of them leaves there is overwritten when another is launched, so one that makes memory to keep has a pool
    of its own. A pool ends with the last graph over it, so the next one begins another.

    Args:
        device: the GPU, which need not be the current one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._sharing: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()
        # torch's own stream for recording is one of the device that was current when it was first asked for
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do the work on the stream on which it is recorded, for which libraries make what they need."""
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                work()
            current.wait_stream(self._stream)

    def record(self, work: Callable[[], None], keeps: bool = False) -> Recording:
        """Record the work without doing it; threads that load data may use the GPU meanwhile, hence the mode.

        Raises:
            RuntimeError: what the work raised, or what ended the recording; nothing is being recorded any more.
        """
        if not self._sharing:
            self._pool = torch.cuda.graph_pool_handle()
        pool = torch.cuda.graph_pool_handle() if keeps else self._pool
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            try:
                self._capture(graph, pool, work)
            except BaseException:
                self._leave_capture(pool)
                raise
            finally:
                torch.cuda.set_stream(current)  # a recording that fails leaves its own
        if not keeps:
            self._sharing.add(graph)
        return graph

    def _capture(self, graph: torch.cuda.CUDAGraph, pool: Any, work: Callable[[], None]) -> None:
        """Record; where the work fails, that is the error, and not that the recording could not be ended after it."""
        failure: BaseException | None = None
        try:
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                try:
                    work()
                except BaseException as error:
                    failure = error
                    raise
        except RuntimeError as error:
            if failure is None or error is failure:
                raise
            raise failure from error

    def _leave_capture(self, pool: Any) -> None:
        """Have the allocator go on as before: torch does not where a recording cannot be ended.

        Where it has been, ending it again raises, and the graph gives its part of the pool back itself.
        """
        for name in ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool"):  # as torch's version calls it
            try:
                getattr(torch._C, name)(self._device.index or 0, pool)
                torch._C._cuda_releasePool(self._device.index or 0, pool)
            except (AttributeError, RuntimeError):
                continue
