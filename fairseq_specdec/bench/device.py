"""Clock and memory of the device that a benchmark runs on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

from fairseq_specdec import clock
from fairseq_specdec.bench.measure import System

_MB = 1 << 20
_CPU_INFO = Path("/proc/cpuinfo")
_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class DeviceMeter:
    """Waits for the device before it reads the clock, and knows the greatest amount of memory since `reset_peak`.

    On a GPU that is what torch has allocated there; on a CPU, under Linux, what the process held. Both count the
    weights of all systems, which are in memory together.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"
        self._known = False

    def now(self) -> float:
        """Return seconds."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return clock.now()

    def reset_peak(self) -> None:
        """Forget the peak."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
            return
        try:
            _CLEAR_REFS.write_text("5")  # Linux: the peak becomes what is held now
            self._known = _STATUS.exists()
        except OSError:
            self._known = False

    def peak_mb(self, system: System) -> float | None:
        """Return the peak, or None where nobody keeps it, as for a system that runs in another process."""
        if not getattr(system, "is_here", True):
            return None
        if self.on_gpu:
            return torch.cuda.max_memory_allocated() / _MB
        held = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text()) if self._known else None
        return int(held[1]) / 1024 if held else None


def name_of(device: str) -> str:
    """Return the model of the processor ("cpu") or of the GPU ("cuda")."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    model = re.search(r"model name\s*: (.*)", _CPU_INFO.read_text()) if _CPU_INFO.exists() else None
    return model[1] if model else platform.processor() or platform.machine()
