"""What the kind of a device decides."""

from __future__ import annotations

from torch import Tensor


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error, torch's or another library's, says that there is no memory left on a GPU or a CPU."""
    said = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def reads_freely(tensor: Tensor) -> bool:
    """Say whether the host may look at this tensor's numbers at no cost: on a CPU.

    There shapes follow the numbers, since every position that is computed costs. Elsewhere a look waits for all work
    that is under way, and shapes are fixed, so that a round can be recorded once and run again as it is.
    """
    return tensor.device.type == "cpu"
