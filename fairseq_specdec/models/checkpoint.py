"""Options stored in a checkpoint, whatever fairseq version and entry point wrote it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any


def model_options(checkpoint: Mapping[str, Any]) -> Namespace:
    """Return the model's options, with ``arch``; see `_section`."""
    options = _section(checkpoint, "model")
    options.arch = getattr(options, "_name", None) or getattr(options, "arch", None)
    return options


def task_options(checkpoint: Mapping[str, Any]) -> Namespace:
    """Return the task's options; see `_section`."""
    return _section(checkpoint, "task")


def _section(checkpoint: Mapping[str, Any], name: str) -> Namespace:
    # fairseq to 0.9 writes ``args``, a flat Namespace. Later versions write ``cfg``: a dict or DictConfig of sections,
    # each of them a mapping or, for models and tasks without a dataclass, again a flat Namespace.
    config = checkpoint.get("cfg")
    section = config.get(name) if isinstance(config, Mapping) else _get(config, name)
    section = checkpoint.get("args") if section is None else section
    if section is None:
        return Namespace()
    return Namespace(**(vars(section) if isinstance(section, Namespace) else dict(section.items())))


def _get(config: Any, name: str) -> Any:
    return None if config is None else getattr(config, name, None)
