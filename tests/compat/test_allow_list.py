import argparse
import collections
import io
import zipfile

import numpy as np
import omegaconf
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import meters

from fairseq_specdec import compat
from fairseq_specdec.compat import allow_list
from tests.vectors import VECTORS, with_vectors


def rewrite_pickle(path, old, new):
    """Put another module name into the pickle of a checkpoint, as another version of its author would have done."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)


@with_vectors
@pytest.mark.parametrize("name", ["verifier.pt", "drafter.pt", "drafter_cfg.pt"])
def test_checkpoints_of_the_reference_implementation_load_safely(name, unpickler):
    state = compat.load_checkpoint(str(VECTORS / name))
    options_held = state["args"] if state["args"] is not None else state["cfg"].model
    assert isinstance(options_held, argparse.Namespace)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_all_kinds_of_options_that_fairseq_saved_load_safely(save, unpickler, zipped):
    namespace = argparse.Namespace(arch="transformer", lr=[0.5], data="x")
    cfg = omegaconf.OmegaConf.create({"task": {"data": "x", "n": [1, 2.5, None, True]}})
    if omegaconf.__version__ >= "2.1":  # earlier, fairseq overrode a function of omegaconf to store a Namespace
        cfg._set_flag("allow_objects", True)
        cfg.model = namespace
    containers = {"empty": collections.defaultdict(dict), "ordered": collections.OrderedDict(a=1)}
    loaded = compat.load_checkpoint(save(args=namespace, cfg=cfg, extra_state=containers, zipped=zipped))
    assert loaded["args"] == namespace and loaded["cfg"] == cfg and loaded["extra_state"] == containers


def test_tensors_come_back_as_they_were_saved(state, save, unpickler):
    loaded = compat.load_checkpoint(save())["model"]
    assert loaded.keys() == state["model"].keys()
    assert all(torch.equal(loaded[name], state["model"][name]) for name in loaded)


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"], ids=["numpy 1", "numpy 2"])
def test_numbers_saved_by_either_numpy_load_safely(save, unpickler, module):
    values = {"best": np.float64(3.5), "count": np.int64(7), "flag": np.bool_(True), "row": np.arange(3.0)}
    path = save(extra_state=values)
    for written in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        rewrite_pickle(path, written, module)
    loaded = compat.load_checkpoint(path)["extra_state"]
    assert (loaded["best"], loaded["count"], loaded["flag"]) == (3.5, 7, True)
    assert np.array_equal(loaded["row"], np.arange(3.0))


def test_an_array_of_python_objects_is_refused(save):
    with pytest.raises(compat.CheckpointError):
        compat.load_checkpoint(save(extra_state={"a": np.array([print], dtype=object)}))


def test_meters_that_fairseq_0_9_saved_as_objects_load_safely(save, unpickler):
    held = collections.OrderedDict(loss=meters.AverageMeter(), wps=meters.TimeMeter(), wall=meters.StopwatchMeter())
    path = save(extra_state={"train_meters": held})
    rewrite_pickle(path, b"fairseq.logging.meters", b"fairseq.meters")
    assert list(compat.load_checkpoint(path)["extra_state"]["train_meters"]) == ["loss", "wps", "wall"]


def test_a_checkpoint_that_rank_0_sends_to_the_other_processes_loads_safely(save):
    sent = checkpoint_utils.load_checkpoint_to_cpu(save())
    buffer = io.BytesIO()
    torch.save(distributed_utils._split_tensors_from_obj(sent, tensors := []), buffer)
    buffer.seek(0)
    received = distributed_utils._put_tensors_in_obj(torch.load(buffer, map_location="cpu"), tensors)
    assert received["cfg"].model == sent["cfg"].model and received["model"].keys() == sent["model"].keys()


def test_the_allow_list_has_no_function_but_the_two_that_rebuild_numbers():
    functions = {name for name, item in allow_list.checkpoint_classes().items() if not isinstance(item, type)}
    assert functions - {"typing.Any"} == {
        f"{module}.{name}"
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("scalar", "_reconstruct")
    }
