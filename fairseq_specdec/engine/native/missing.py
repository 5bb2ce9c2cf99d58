"""Says which code runs the layers, and why, where the library for this processor is not there."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
NOTE = "_native_build.txt"  # written by setup.py: a line "avx2: reason" for each library that could not be compiled


def tell_what_is_missing(wanted: list[str], chosen: str | None, interface: int) -> None:
    """Log a warning unless the best library runs.

    Args:
        wanted: instruction sets of this processor, best first.
        chosen: the one whose library was loaded; None means that torch runs the layers.
        interface: what a library has to be of.
    """
    better = wanted if chosen is None else wanted[: wanted.index(chosen)]
    if better:
        reasons = "; ".join(f"{name}: {_why_not(name, interface)}" for name in better)
        runs = "torch" if chosen is None else f"the {chosen} library"
        logger.warning(
            f"Layers are run by {runs}, with the same output and slower than by code compiled for this processor, "
            f"which is not there ({reasons}). Install a C++ compiler (GCC 8 or later, or clang), then this package "
            "again with --force-reinstall --no-deps --no-cache-dir; or install a wheel of it, which needs no compiler."
        )


def _why_not(name: str, interface: int) -> str:
    """Return why a library was not taken."""
    path = FOLDER / f"_native_{name}.so"
    if not path.exists():
        return _noted().get(name, "it was not compiled")
    try:
        found = ctypes.CDLL(str(path)).specdec_interface()
    except (OSError, AttributeError) as error:
        return str(error)
    return f"{path} was compiled from other sources (interface {found}, not {interface})"


def _noted() -> dict[str, str]:
    """Return why libraries could not be compiled, by instruction set."""
    path = FOLDER / NOTE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: reason for name, _, reason in (line.partition(": ") for line in lines)}
