"""What the kind of a device decides."""

from __future__ import annotations

from torch import Tensor

# torch and CTranslate2, the CPU, cuBLAS and cuDNN; a cuBLAS that cannot be set up has, as a rule, no memory to do it in
_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "status_alloc_failed",
    "allocation_failed",
    "cublas_status_not_initialized",
)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error, torch's or another library's, says that there is no memory left on a GPU or a CPU."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


def reads_freely(tensor: Tensor) -> bool:
    """Say whether the host may look at this tensor's numbers at no cost: on a CPU.

    There shapes follow the numbers, since every position that is computed costs. Elsewhere a look waits for all work
    that is under way, and shapes are fixed, so that a round can be recorded once and run again as it is.
    """
    return tensor.device.type == "cpu"
