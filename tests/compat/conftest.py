import pytest
import torch

from fairseq_specdec import compat
from fairseq_specdec.compat import allow_list, checkpoints


@pytest.fixture(scope="session")
def state(verifier):
    """A checkpoint as fairseq-train saves it: "cfg" a dict with a Namespace in it, "args" None."""
    return compat.load_checkpoint(str(verifier))


@pytest.fixture
def save(state, tmp_path):
    """Write the checkpoint with some of its entries changed; return its path."""

    def write(name="c.pt", zipped=True, **changes):
        path = str(tmp_path / name)
        torch.save({**state, **changes}, path, _use_new_zipfile_serialization=zipped)
        return path

    return write


@pytest.fixture(params=["weights_only", "restricted"])
def unpickler(request, monkeypatch):
    """Run a test with torch's own safe unpickler, and with the one that stands in for it before torch 2.6."""
    if request.param == "weights_only" and not allow_list.safe_by_default():
        pytest.skip("this torch cannot extend its list of safe classes")
    monkeypatch.setattr(checkpoints, "safe_by_default", lambda: request.param == "weights_only")
    return request.param
