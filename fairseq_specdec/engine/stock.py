"""Which modules compute what the engine takes them to: those whose methods are fairseq's or torch's own, without hooks.

Nothing here imports fairseq: classes go by their package and name, so that a class of a user's that is called like one
of fairseq's is told from it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from torch.nn.modules import module as torch_module

_CALL = ("__call__", "_call_impl", "_wrapped_call_impl")


class Kind(NamedTuple):
    """What a module has to be.

    Args:
        name: for messages.
        known: classes, as "package.Class" for one that is defined anywhere in the package; the module's own class
            must be one of them, or inherit from one without replacing the methods.
        methods: those that say what is computed.
        also: subclasses that may define methods, since theirs compute the same.
    """

    name: str
    known: tuple[str, ...]
    methods: tuple[str, ...] = ("forward",)
    also: tuple[str, ...] = ()


LINEAR = Kind("torch's Linear", ("torch.nn.Linear",))
TABLE = Kind("torch's Embedding", ("torch.nn.Embedding",))
NORM = Kind("torch's LayerNorm", ("torch.nn.LayerNorm", "fairseq.modules.FusedLayerNorm"))
DROPOUT = Kind("fairseq's FairseqDropout", ("fairseq.modules.FairseqDropout", "torch.nn.Dropout", "torch.nn.Identity"))
LIST = Kind(
    "torch's ModuleList", ("torch.nn.ModuleList",), ("__iter__", "__getitem__", "__len__"),
    also=("fairseq.modules.LayerDropModuleList",),
)  # fmt: skip
POSITIONS = Kind(
    "fairseq's position embedding",
    ("fairseq.modules.LearnedPositionalEmbedding", "fairseq.modules.SinusoidalPositionalEmbedding"),
    ("forward", "get_embedding"),
)
ATTENTION = Kind(
    "fairseq's MultiheadAttention",
    ("fairseq.modules.MultiheadAttention",),
    (
        *("forward", "apply_sparse_mask", "reorder_incremental_state", "_get_input_buffer", "_set_input_buffer"),
        *("_append_prev_key_padding_mask", "_pad_masks"),
    ),
)
DECODER_LAYER = Kind(
    "fairseq's TransformerDecoderLayer",
    ("fairseq.modules.TransformerDecoderLayerBase",),
    ("forward", "residual_connection"),
)
ENCODER_LAYER = Kind(
    "fairseq's TransformerEncoderLayer",
    ("fairseq.modules.TransformerEncoderLayerBase",),
    ("forward", "residual_connection"),
)
DECODER = Kind(
    "fairseq's TransformerDecoder",
    ("fairseq.models.TransformerDecoderBase",),
    (
        *("forward", "extract_features", "extract_features_scriptable", "output_layer", "buffered_future_mask"),
        *("get_normalized_probs", "get_normalized_probs_scriptable", "reorder_incremental_state_scripting"),
    ),
)
ENCODER = Kind(
    "fairseq's TransformerEncoder",
    ("fairseq.models.TransformerEncoderBase",),
    (
        *("forward", "forward_scriptable", "forward_embedding", "forward_torchscript", "forward_non_torchscript"),
        "reorder_encoder_out",
    ),
    also=("fairseq_specdec.models.SpecDrafterEncoder",),  # which hands more out
)
MODEL = Kind(
    "a model of fairseq's",
    ("fairseq.models.TransformerModelBase", "fairseq.models.BaseFairseqModel"),
    ("get_normalized_probs", "get_normalized_probs_scriptable"),
)


def why_not(module: Any, kind: Kind, called: str) -> list[str]:
    """List what makes a module another than it has to be; empty if nothing does.

    Args:
        module: of a model.
        kind: what it has to be.
        called: how the model calls it.
    """
    base = _known_class(module, kind)
    if base is None:
        return [f"its {called} must be {kind.name}, but is {type(module).__name__}"]
    what = called if type(module).__name__ == called else f"{called} {type(module).__name__}"
    reasons = []
    for method in (*kind.methods, *_CALL):
        owner = next((cls for cls in type(module).__mro__ if method in vars(cls)), None)
        if owner is None:  # of other versions
            continue
        if method in vars(module) and not _is_checkpointed(module, method):
            reasons.append(f"its {what} replaces {method} (an attribute of the instance)")
        elif owner not in base.__mro__ and not _is_among(owner, kind.also):
            reasons.append(f"its {what} replaces {method} (in {owner.__name__})")
        elif _is_patched(vars(owner)[method], owner):
            reasons.append(f"its {what} replaces {method} (patched in {owner.__name__})")
    hooks = [hook for hook in _hooks(module) if getattr(hook, "__module__", "") != "fairseq.modules.quant_noise"]
    reasons += [f"its {called} has a hook ({getattr(hook, '__name__', type(hook).__name__)})" for hook in hooks]
    return reasons


def is_a(module: Any, kind: Kind) -> bool:
    """Say whether a module is of a known class, or of one that inherits from it: whether it has its attributes."""
    return _known_class(module, kind) is not None


def _known_class(module: Any, kind: Kind) -> type | None:
    return next((cls for cls in type(module).__mro__ if _is_among(cls, kind.known)), None)


def why_not_any() -> list[str]:
    """List hooks that torch calls for every module of the process."""
    found = (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
    return ["a hook is set on all modules of the process (register_module_forward_hook)"] if any(found) else []


def _hooks(module: Any) -> list[Callable[..., Any]]:
    """Return what is called with the module; fairseq's quantization noise, which it adds in training alone, too."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]


def _is_checkpointed(module: Any, method: str) -> bool:
    """Say whether fairseq's checkpoint_activations wraps the module's own forward, which changes no result."""
    wrapper = vars(module)[method]
    if (
        not isinstance(wrapper, functools.partial)
        or wrapper.func.__module__ != "fairseq.modules.checkpoint_activations"
    ):
        return False
    inner = wrapper.args[0]
    return getattr(inner, "__self__", None) is module and inner.__func__ is getattr(type(module), method)


def _is_patched(method: Any, owner: type) -> bool:
    """Say whether a function that was defined elsewhere, or wraps the first one, has taken a method's place."""
    function = getattr(method, "__func__", method)  # of a static method
    return getattr(function, "__module__", owner.__module__) != owner.__module__ or hasattr(function, "__wrapped__")


def _is_among(cls: type, names: tuple[str, ...]) -> bool:
    return any(
        cls.__name__ == name and f"{cls.__module__}.".startswith(f"{package}.")
        for package, _, name in (full.rpartition(".") for full in names)
    )
