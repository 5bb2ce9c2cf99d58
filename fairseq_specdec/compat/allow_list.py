"""The classes that a fairseq checkpoint may hold besides tensors, and two unpicklers that accept no others."""

import _compat_pickle
import argparse
import codecs
import collections
import functools
import pickle
import typing
from typing import Any

import torch

# Where numpy keeps the two functions that rebuild its values, before and since numpy 2.
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMPY_TYPE_CODES = "?bhilqBHILQefdgFD"


def _plain_classes() -> list[Any]:
    """Options (a Namespace, or the omegaconf containers of 2020 and 2021) and the types that omegaconf notes down.

    fairseq's own option enums are not here since they cannot be in a checkpoint: they have no importable name, so
    fairseq writes their values as text.
    """
    from omegaconf import base, dictconfig, listconfig, nodes

    containers = [dictconfig.DictConfig, listconfig.ListConfig, base.Metadata, base.ContainerMetadata]
    values = [nodes.AnyNode, nodes.StringNode, nodes.IntegerNode, nodes.FloatNode, nodes.BooleanNode]
    noted = [typing.Any, dict, list, tuple, str, int, float, bool]
    return [argparse.Namespace, collections.defaultdict, *containers, *values, *noted]


def _meter_classes() -> dict[str, Any]:
    """The running means that fairseq up to 0.9 stored as objects; later versions store their numbers."""
    from fairseq.logging import meters

    names = ("AverageMeter", "TimeMeter", "StopwatchMeter")
    modules = ("fairseq.meters", "fairseq.logging.meters")
    return {f"{module}.{name}": getattr(meters, name) for module in modules for name in names}


def _sent_between_processes() -> list[Any]:
    """What stands for a tensor in the checkpoint that rank 0 sends to the other processes of a training."""
    from fairseq.distributed import utils

    return [utils._TensorPlaceholder]


def _numpy_classes() -> dict[str, Any]:
    """Numbers and arrays of numbers, such as the best validation loss; arrays of Python objects stay out."""
    import numpy as np

    scalar, reconstruct = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    found: dict[str, Any] = {"numpy.dtype": np.dtype, "numpy.ndarray": np.ndarray}
    for module in _NUMPY_MODULES:
        found |= {f"{module}.scalar": scalar, f"{module}._reconstruct": reconstruct}
    return found | {_full_name(type(np.dtype(code))): type(np.dtype(code)) for code in _NUMPY_TYPE_CODES}


def _full_name(item: Any) -> str:
    return f"{item.__module__}.{item.__qualname__}"


@functools.lru_cache(maxsize=1)
def checkpoint_classes() -> dict[str, Any]:
    """The allow-list: full name as it stands in the pickle -> class or function.

    None of them runs code, reads or writes files, imports, or looks up attributes by name, whatever its arguments.
    """
    plain = [*_plain_classes(), *_sent_between_processes()]
    return {_full_name(item): item for item in plain} | _meter_classes() | _numpy_classes()


def safe_by_default() -> bool:
    """Whether this torch can be given names to allow (2.6 and later, where weights-only is also the default)."""
    return torch.__version__ >= (2, 6)


def allow_checkpoint_classes() -> None:
    """Let weights-only loading accept the classes of ``checkpoint_classes``, in this process, by every torch.load."""
    if safe_by_default():
        torch.serialization.add_safe_globals([(item, name) for name, item in checkpoint_classes().items()])


def _python_3_name(module: str, name: str) -> tuple[str, str]:
    """Undo that pickles of protocol 2, torch's, go by Python 2's names (``__builtin__.long``)."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


class UnsafeClassError(pickle.UnpicklingError):
    """A pickle asked for a class or function that is not on the allow-list; ``args[0]`` is its full name."""


class RestrictedPickle:
    """Stands in for the ``pickle`` module in ``torch.load``: resolves allow-listed names only, in any torch."""

    class Unpickler(pickle.Unpickler):
        """Looks names up in the allow-list instead of importing them."""

        def find_class(self, module: str, name: str) -> Any:
            """Return the allowed class or function called ``module.name``.

            Raises:
                UnsafeClassError: it is not on the list.
            """
            module, name = _python_3_name(module, name)
            full_name = f"{module}.{name}"
            if full_name in checkpoint_classes():
                return checkpoint_classes()[full_name]
            # What torch itself takes for safe: tensors, dtypes, sizes and the functions that rebuild them.
            from torch._weights_only_unpickler import _get_allowed_globals

            allowed = {"_codecs.encode": codecs.encode, **_get_allowed_globals()}
            if full_name not in allowed:
                raise UnsafeClassError(full_name)
            return allowed[full_name]

    @classmethod
    def load(cls, file: Any, **options: Any) -> Any:
        """Unpickle one object from a binary file (the header of files that torch wrote before 1.6)."""
        return cls.Unpickler(file, **options).load()
