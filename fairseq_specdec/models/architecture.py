"""Which architectures the engine may be able to run, told before a model is built from options that somebody stored."""

from __future__ import annotations

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.models.transformer import TransformerModelBase


def why_not_architecture(arch: str | None) -> list[str]:
    """List what keeps the engine from running models of an architecture; the others are looked at once they are built.

    Args:
        arch: the name, None where a checkpoint has none.
    """
    if arch is None:
        return ["it holds no options of a model (neither args nor cfg), so fairseq cannot build it"]
    model = ARCH_MODEL_REGISTRY.get(arch, MODEL_REGISTRY.get(arch))
    if model is None:
        return [f"its architecture {arch!r} is not known to this fairseq: it needs the --user-dir it is from"]
    if model.__module__.startswith("fairseq.") and not issubclass(model, TransformerModelBase):
        return [f"its decoder must be fairseq's TransformerDecoder, but architecture {arch} is {model.__name__}"]
    return []
