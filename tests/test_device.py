"""What the kind of a device decides."""

import pytest
import torch

from fairseq_specdec.device import is_out_of_memory, reads_freely


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("CUDA error: Out of memory"),
    ],
    ids=str,
)
def test_every_librarys_way_to_say_that_memory_ran_out_is_known(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("words", ["shapes do not match", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", ""])
def test_other_errors_are_not_about_memory(words):
    assert not is_out_of_memory(RuntimeError(words))


def test_the_host_reads_freely_on_a_cpu_alone():
    assert reads_freely(torch.zeros(1))
    assert not reads_freely(torch.zeros(1, device="meta"))
