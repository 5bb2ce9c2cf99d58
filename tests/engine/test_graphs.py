"""What surrounds the recording of a CUDA graph, with stand-ins for what needs a GPU."""

import gc
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from fairseq_specdec.device import is_out_of_memory
from fairseq_specdec.engine.graphs import CudaRecorder


class Graph:
    """In the place of a CUDAGraph."""


@pytest.fixture
def cuda(monkeypatch):
    """Stand-ins for torch.cuda and the allocator; writes down what they are asked for."""
    seen = SimpleNamespace(captures=[], ended=[], stream="main", end_fails=False, handles=0)

    class Capture:
        def __init__(self, graph, pool, stream, capture_error_mode):
            seen.captures.append((pool, stream))

        def __enter__(self):
            seen.stream = seen.captures[-1][1]

        def __exit__(self, kind, error, trace):
            if error is not None or seen.end_fails:
                raise RuntimeError("operation failed due to a previous error during capture")
            seen.stream = "main"

    def handle():
        seen.handles += 1
        return (0, seen.handles)

    def end(device, pool):
        seen.ended.append((device, pool))

    stand_ins = {
        "CUDAGraph": Graph,
        "graph": Capture,
        "graph_pool_handle": handle,
        "Stream": lambda device: f"stream of {device}",
        "device": lambda device: nullcontext(),
        "current_stream": lambda: seen.stream,
        "set_stream": lambda stream: setattr(seen, "stream", stream),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", end, raising=False)
    return seen


def nothing():
    pass


def test_recordings_share_a_pool_but_for_those_that_keep_what_they_make(cuda):
    recorder = CudaRecorder(torch.device("cuda:0"))
    graphs = [recorder.record(nothing, keeps) for keeps in (False, True, False, True)]
    pools = [pool for pool, _ in cuda.captures]
    assert len(graphs) == 4
    assert pools[0] == pools[2]
    assert len(set(pools)) == 3


def test_a_pool_is_not_used_again_after_its_last_graph(cuda):
    recorder = CudaRecorder(torch.device("cuda:0"))
    graphs = [recorder.record(nothing), recorder.record(nothing)]
    del graphs[0]
    gc.collect()
    graphs.append(recorder.record(nothing))
    first, second, third = (pool for pool, _ in cuda.captures)
    assert first == second == third
    graphs.clear()
    gc.collect()
    graphs.append(recorder.record(nothing))
    assert cuda.captures[-1][0] != first


def test_each_device_records_on_a_stream_of_its_own(cuda):
    for name in ("cuda:0", "cuda:1"):
        CudaRecorder(torch.device(name)).record(nothing)
    assert [stream for _, stream in cuda.captures] == ["stream of cuda:0", "stream of cuda:1"]


@pytest.mark.parametrize("keeps", [False, True])
def test_a_recording_that_fails_leaves_nothing_under_way_and_says_why(cuda, keeps):
    def fail():
        raise RuntimeError("CUDA out of memory")

    recorder = CudaRecorder(torch.device("cuda:1"))
    with pytest.raises(RuntimeError, match="CUDA out of memory") as error:
        recorder.record(fail, keeps)
    assert is_out_of_memory(error.value)
    (pool, _) = cuda.captures[-1]
    assert cuda.ended == [(1, pool), (1, pool)]
    assert cuda.stream == "main"
    recorder.record(nothing, keeps)
    assert cuda.captures[-1][0] != pool


def test_a_recording_that_cannot_be_ended_leaves_nothing_under_way_either(cuda, monkeypatch):
    def ended_before(device, pool):
        raise RuntimeError("not currently recording to mempool_id")

    cuda.end_fails = True
    recorder = CudaRecorder(torch.device("cuda:0"))
    with pytest.raises(RuntimeError, match="previous error during capture"):
        recorder.record(nothing)
    assert len(cuda.ended) == 2
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", ended_before, raising=False)
    with pytest.raises(RuntimeError, match="previous error during capture"):
        recorder.record(nothing)
    assert len(cuda.ended) == 2, "the graph gives its part of the pool back itself"
