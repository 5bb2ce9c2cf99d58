"""The library of compiled code for the CPU, and linear maps by it; the layers are in `layer.py`.

Sums are taken in one order whatever the number of positions, rows and threads, so a position gets the same
bits alone and in a block.

The code (``csrc/``) is compiled when the package is installed, once for each instruction set. It is used for float32 on
a CPU and for the usual layers; everything else, and an installation without a compiler, runs on torch (`layers.py`).
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from fairseq_specdec.engine.linear import Linear
from fairseq_specdec.engine.native.missing import tell_what_is_missing

LANES = 16  # outputs of a panel
DISABLE = "FAIRSEQ_SPECDEC_NO_NATIVE"  # environment variable: 1 runs everything on torch
INTERFACE = 15  # of csrc/exports.h: a library of another one was built from other sources


_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}  # what csrc/linear.h calls them


class CLinear(ctypes.Structure):
    """A linear map as the library takes it."""

    _fields_ = [
        ("panels", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("kind", ctypes.c_int64),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled library for this processor; None where there is none, which is told once.

    It has no OpenMP runtime of its own: it takes the one that torch has loaded, and with it torch's threads.
    """
    if os.environ.get(DISABLE) == "1":
        return None
    names = instruction_sets()
    lib = next(filter(None, map(load, names)), None)
    tell_what_is_missing(names, lib and lib.instruction_set, INTERFACE)
    return lib


def layers_by() -> str:
    """Say what runs the layers of a float32 model on this CPU: the library's instruction set, or "torch"."""
    lib = library()
    return "torch" if lib is None else lib.instruction_set


def instruction_sets() -> list[str]:
    """Return the names of the libraries that this processor can run, best first.

    The portable one is slower than torch where torch has code for a processor's wider registers, so it is for those
    for which torch has none either.
    """
    if platform.machine().lower() in ("aarch64", "arm64"):
        return ["neon"]
    portable = ["portable"]
    known = {"AVX512": ["avx512", "avx2"], "AVX2": ["avx2"], "DEFAULT": portable, "NO AVX": portable}
    return known.get(torch.backends.cpu.get_cpu_capability(), [])


def load(name: str) -> ctypes.CDLL | None:
    """Load the library for an instruction set; None where it is missing, does not load or has another interface."""
    for path in sorted(Path(__file__).parent.glob(f"_native_{name}.so")):
        try:
            lib = ctypes.CDLL(str(path))
            if lib.specdec_interface() != INTERFACE:
                continue
            _declare(lib)
        except (OSError, AttributeError):  # built for another machine, torch has no OpenMP; a function is not there
            continue
        lib.instruction_set = name
        return lib
    return None


def _declare(lib: ctypes.CDLL) -> None:
    """Say what the functions take and return.

    Raises:
        AttributeError: one is missing.
    """
    pointer, integer, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    lib.specdec_scratch.argtypes, lib.specdec_scratch.restype = [pointer, integer, integer], integer
    lib.specdec_linear.argtypes, lib.specdec_linear.restype = [pointer, pointer, integer, pointer, integer], None
    lib.specdec_layers.argtypes = [pointer, integer, pointer, integer, integer, *[pointer] * 4, integer]
    lib.specdec_layers.restype = None
    arguments = [pointer, pointer, integer, integer, *[pointer] * 4, integer, *[pointer] * 4]
    lib.specdec_decode.argtypes, lib.specdec_decode.restype = [*arguments, number, integer], integer
    arguments = [pointer, integer, *[pointer] * 4, integer, *[pointer] * 3, integer, *[pointer] * 4]
    lib.specdec_steps.argtypes, lib.specdec_steps.restype = [*arguments, number, integer], integer
    lib.specdec_draft.argtypes = [pointer, pointer, integer, number, *[pointer] * 3, integer, integer]
    lib.specdec_draft.restype = integer
    lib.specdec_rank.argtypes = [pointer, pointer, pointer, integer, pointer, integer]
    lib.specdec_rank.restype = integer
    lib.specdec_advance.argtypes, lib.specdec_advance.restype = [pointer] * 4, integer
    lib.specdec_mirror_make.argtypes, lib.specdec_mirror_make.restype = [integer], pointer
    lib.specdec_mirror_free.argtypes, lib.specdec_mirror_free.restype = [pointer], None
    lib.specdec_mirror_begin.argtypes = [pointer, pointer, integer, pointer, integer]
    lib.specdec_mirror_begin.restype = None
    lib.specdec_mirror_plan.argtypes, lib.specdec_mirror_plan.restype = [pointer, pointer, integer], integer
    lib.specdec_mirror_learn.argtypes = [pointer, pointer, integer, integer]
    lib.specdec_mirror_learn.restype = None
    lib.specdec_mirror_step.argtypes, lib.specdec_mirror_step.restype = [pointer, pointer], integer
    lib.specdec_mirror_follow.argtypes, lib.specdec_mirror_follow.restype = [pointer, pointer], None
    lib.specdec_accept_exact.argtypes, lib.specdec_accept_exact.restype = [pointer, integer], integer
    lib.specdec_trim.argtypes = [integer, pointer, pointer, pointer, integer, integer, pointer]
    lib.specdec_trim.restype = integer
    lib.specdec_copy_guide.argtypes, lib.specdec_copy_guide.restype = [pointer, integer], None
    lib.specdec_ngram_draft.argtypes, lib.specdec_ngram_draft.restype = [pointer] * 3, integer
    lib.specdec_ngram_judge.argtypes = [integer, *[pointer] * 3, integer, pointer]
    lib.specdec_ngram_judge.restype = None
    lib.specdec_ngram_add.argtypes = [pointer, integer, integer, integer, pointer, pointer]
    lib.specdec_ngram_add.restype = None
    lib.specdec_commit.argtypes, lib.specdec_commit.restype = [pointer, pointer, pointer], None


class NativeLinear:
    """A linear map whose weight is laid out in panels of 16 outputs; sums are float32.

    Args:
        linear: float32, on the CPU.
        numbers: [out, in], what the panels hold: the weight itself, or bfloat16 or int8 numbers in its place.
        scales: [out] float32, what sums over these are multiplied by, or None.

    Attributes:
        panels: [out / 16, in, 16], zeros behind the last output.
    """

    def __init__(self, linear: Linear, numbers: Tensor | None = None, scales: Tensor | None = None) -> None:
        self.weight = linear.weight.to("meta")  # only its shape is asked for: where parts were joined, they are freed
        bias, numbers = linear.bias, linear.weight if numbers is None else numbers
        self.bias, self.scales = None if bias is None else bias.contiguous(), scales
        n_outputs, n_inputs = self.weight.shape
        whole, rest = divmod(n_outputs, LANES)
        self.panels = numbers.new_empty(whole + (rest > 0), n_inputs, LANES)
        self.panels[:whole] = numbers[: whole * LANES].view(whole, LANES, n_inputs).transpose(1, 2)
        if rest:  # padding the whole before would copy it
            self.panels[whole] = 0
            self.panels[whole, :, :rest] = numbers[whole * LANES :].T
        kind = _KINDS[numbers.dtype]
        self.struct = CLinear(address(self.panels), address(self.bias), address(self.scales), n_inputs, n_outputs, kind)
        self._self = ctypes.addressof(self.struct)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], self.struct.outputs)
        rows = x[..., 0].numel()
        library().specdec_linear(self._self, x.data_ptr(), rows, out.data_ptr(), torch.get_num_threads())
        return out


def address(tensor: Tensor | None) -> int | None:
    """Return where a tensor's numbers begin; None for None."""
    return None if tensor is None else tensor.data_ptr()
