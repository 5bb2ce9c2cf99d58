"""The options of a batch as compiled code reads them: `rules.constrain` says what they do to scores."""

from __future__ import annotations

import ctypes

from fairseq_specdec.engine.native.library import address
from fairseq_specdec.rules.limits import Limits


class CRules(ctypes.Structure):
    """See Rules in csrc/beam.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("pad", "unk", "eos", "max_len", "min_len", "ngram")),
        ("unk_penalty", ctypes.c_double),
        ("prefix", ctypes.c_void_p),
        ("n_prefix", ctypes.c_int64),
        ("match_lengths", ctypes.c_void_p),
    ]


def c_rules(limits: Limits) -> CRules:
    """Return the options; their memory is that of ``limits``, whose steps have one end for all rows."""
    prefix, match = limits.prefix, limits.source_lengths
    assert prefix is None or prefix.is_contiguous()
    n_prefix = 0 if prefix is None else prefix.size(1)
    return CRules(
        limits.pad,
        limits.unk,
        limits.eos,
        limits.max_len,
        limits.min_len,
        limits.no_repeat_ngram,
        limits.unk_penalty,
        address(prefix),
        n_prefix,
        address(match),
    )
