"""The metrics of ``specdec score``, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairseq_specdec.evaluation.errant import errant
from fairseq_specdec.evaluation.gleu import gleu
from fairseq_specdec.evaluation.m2 import m2
from fairseq_specdec.evaluation.sari import sari
from fairseq_specdec.evaluation.scores import bleu, rouge


@dataclass(frozen=True)
class Metric:
    """A metric and what it is called with.

    Args:
        compute: ``compute(hyps, refs)`` gives an object for JSON; see the two switches.
        needs_source: it is called with the source text too, ``compute(hyps, refs, srcs)``.
        m2_reference: its reference is one M2 file, ``compute(hyps, sentences)``.
    """

    compute: Callable[..., dict]
    needs_source: bool = False
    m2_reference: bool = False


METRICS = {
    "bleu": Metric(bleu),
    "rouge": Metric(rouge),
    "gleu": Metric(gleu, needs_source=True),
    "sari": Metric(sari, needs_source=True),
    "errant": Metric(errant, needs_source=True),
    "m2": Metric(m2, m2_reference=True),
}
