"""Reading fairseq checkpoints: safely, whichever version wrote them, and with errors that say what to do."""

import functools
import os
import re
from collections.abc import Callable
from typing import IO, Any

import torch

from fairseq_specdec.compat.allow_list import (
    RestrictedPickle,
    UnsafeClassError,
    allow_checkpoint_classes,
    safe_by_default,
)

# fairseq 0.12.2 gave each encoder layer a second copy of its weights, for a fast path that later versions dropped.
_FAST_PATH_KEY = re.compile(r"\.layers\.\d+\.(in_proj|out_proj|fc1|fc2)_(weight|bias)$")
_CONVERT = (
    "python -c \"import torch; s = torch.load({path!r}, map_location='cpu', weights_only=False); "
    "torch.save({{k: s.get(k) for k in ('args', 'cfg', 'model')}}, 'converted.pt')\""
)


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, or needs a class that is not safe to unpickle."""


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code it may contain.

    Args:
        path: a file that fairseq 0.9 or later wrote, or one with only the keys args, cfg and model.

    Returns:
        The dict as written ("model": names to tensors; "args": Namespace or None; "cfg": DictConfig, dict or None;
        "optimizer_history", "extra_state" ...), without the weights that 0.12.2 stored twice.

    Raises:
        CheckpointError: no such file; not a whole checkpoint; or it holds a class that is not on the allow-list.
    """
    allow_checkpoint_classes()
    try:
        with open(path, "rb") as file:
            return read_checkpoint(file)
    except OSError as error:
        raise _missing(path, error) from error


def read_checkpoint(file: IO[bytes], *_: Any, **__: Any) -> dict[str, Any]:
    """Do the work of ``load_checkpoint`` on an open file; further arguments of ``torch.load`` change nothing."""
    path = str(getattr(file, "name", "the file"))
    try:
        if safe_by_default():
            state = torch.load(file, map_location="cpu", weights_only=True)
        else:
            state = torch.load(file, map_location="cpu", weights_only=False, pickle_module=RestrictedPickle)
    except Exception as error:  # a parser of damaged input fails in any way it likes, OSError included
        raise _unreadable(path, error) from error
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        held = f"the keys {sorted(map(str, state))[:8]}" if isinstance(state, dict) else f"a {type(state).__name__}"
        raise CheckpointError(
            f"{path} is not a fairseq checkpoint: it must be a dict with the weights under 'model', but holds {held}. "
            "Give the .pt file that fairseq-train saved."
        )
    drop_fast_path_keys(state["model"])
    _fill_in_history(state)
    return state


def drop_fast_path_keys(weights: dict[str, Any]) -> None:
    """Remove, in place, the encoder weights that 0.12.2 stored twice; 0.12.2 itself makes them anew when loading."""
    for key in [key for key in weights if _FAST_PATH_KEY.search(key)]:
        del weights[key]


def _fill_in_history(state: dict[str, Any]) -> None:
    """Give a checkpoint that was reduced to args, cfg and model the two entries that fairseq upgrades on loading."""
    if "optimizer_history" not in state and "best_loss" not in state:
        state["optimizer_history"] = [{"optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0}]
        state.setdefault("extra_state", {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}})


def explain_checkpoint_errors() -> None:
    """Make fairseq's own functions read through ``read_checkpoint`` and report a missing file as CheckpointError."""
    from fairseq import checkpoint_utils

    if isinstance(checkpoint_utils.torch, _TorchReadingSafely):
        return
    checkpoint_utils.torch = _TorchReadingSafely()
    checkpoint_utils.load_checkpoint_to_cpu = _explain_missing_file(checkpoint_utils.load_checkpoint_to_cpu)
    checkpoint_utils.load_model_ensemble_and_task = _explain_model_not_found(
        checkpoint_utils.load_model_ensemble_and_task
    )


class _TorchReadingSafely:
    """The torch module as ``fairseq.checkpoint_utils`` sees it: with a ``load`` that is safe in every version.

    Newer fairseq asks for unrestricted unpickling by name, and before torch 2.6 that is the default.
    """

    load = staticmethod(read_checkpoint)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _explain_missing_file(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``load_checkpoint_to_cpu``, in which the only files opened are the checkpoint's."""

    @functools.wraps(function)
    def explained(path: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(path, *args, **kwargs)
        except OSError as error:
            raise _missing(path, error) from error

    return explained


def _explain_model_not_found(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``load_model_ensemble_and_task``; errors about its other files (dictionaries) pass through."""

    @functools.wraps(function)
    def explained(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            message, found, path = str(error).partition("Model file not found: ")
            if message or not found:
                raise
            raise _missing(path, error) from error

    return explained


def _missing(path: str, error: OSError) -> CheckpointError:
    reason = error.strerror or "No such file or directory"
    return CheckpointError(
        f"Cannot open the checkpoint {path}: {reason}. Check the option that names it "
        "(--path, --drafter-path, --init-from-verifier, --restore-file or --finetune-from-model)."
    )


def _unreadable(path: str, error: Exception) -> CheckpointError:
    """Tell a checkpoint that needs an unsafe class from a file that is no checkpoint."""
    unsafe = ", ".join(_unsafe_names(path, error))
    if unsafe:
        return CheckpointError(
            f"Refused to load {path}: it needs {unsafe}, which is not among the classes that are safe to unpickle "
            "(a pickle may run any code). If you trust whoever made it, reduce it once, in an environment with "
            f"nothing to lose, to what decoding needs: {_CONVERT.format(path=path)} . If args or cfg themselves hold "
            "that class, replace it there by plain values before saving."
        )
    size = os.path.getsize(path) if os.path.exists(path) else 0
    text = str(error).strip()
    reason = (text.partition("WeightsUnpickler error: ")[2] or text).partition("\n")[0]
    return CheckpointError(
        f"Cannot read {path} ({size} bytes) as a checkpoint: it is truncated or not a file that fairseq saved "
        f"({type(error).__name__}: {reason}). Copy or download it again and compare the sizes."
    )


def _unsafe_names(path: str, error: Exception) -> list[str]:
    """Names of the classes that made reading fail; none if something else did."""
    if isinstance(error, UnsafeClassError):
        return [error.args[0]]
    refused = re.search(r"GLOBAL (\S+)|but got <class '([^']+)'>", str(error))
    if refused is None:
        return []
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # written before torch 1.6 or with another pickle protocol
        found = []
    return sorted(found) or [refused.group(1) or refused.group(2)]
