"""Work that is recorded once and then run again as it is, on the same memory: CUDA graphs.

At a handful of positions a GPU waits for the next launch most of the time; a recording is launched as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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
    of its own.

    Args:
        device: the GPU, which need not be the current one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do the work beside the current stream, as recording does."""
        with torch.cuda.device(self._device):
            stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                work()
            current.wait_stream(stream)

    def record(self, work: Callable[[], None], keeps: bool = False) -> Recording:
        """Record the work without doing it; threads that load data may use the GPU meanwhile, hence the mode."""
        pool = None if keeps else self._pool
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            try:
                with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                    work()
            finally:
                torch.cuda.set_stream(current)  # a recording that fails leaves its own
        return graph
