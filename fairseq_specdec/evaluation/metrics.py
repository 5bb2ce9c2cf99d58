"""The metrics of ``specdec score``, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairseq_specdec.evaluation.errant import errant
from fairseq_specdec.evaluation.gleu import gleu
from fairseq_specdec.evaluation.m2 import m2
from fairseq_specdec.evaluation.rouge import rouge
from fairseq_specdec.evaluation.sari import sari
from fairseq_specdec.evaluation.scores import bleu, chrf, ter


@dataclass(frozen=True)
class Metric:
    """A metric and what it is called with.

    Args:
        compute: ``compute(hyps, refs)`` gives an object for JSON; see the two switches.
        needs_source: it is called with the source text too, ``compute(hyps, refs, srcs)``.
        m2_reference: its reference is one M2 file, ``compute(hyps, sentences)``.
        options: further arguments of ``compute``, by name.
        words: what it counts as a word, for metrics that have no signature which says it.
    """

    compute: Callable[..., dict]
    needs_source: bool = False
    m2_reference: bool = False
    options: frozenset[str] = frozenset()
    words: str | None = None


_SPACES = "what stands between spaces"
METRICS = {
    "bleu": Metric(bleu, options=frozenset({"tokenize"})),
    "chrf": Metric(chrf, options=frozenset({"word_order"})),
    "ter": Metric(ter),
    "rouge": Metric(rouge, options=frozenset({"tokenizer", "stem", "bootstrap", "sentence_mark"})),
    "gleu": Metric(gleu, needs_source=True, words=_SPACES),
    "sari": Metric(sari, needs_source=True, words="lower-case tokens of sacrebleu's 13a"),
    "errant": Metric(errant, needs_source=True, words=_SPACES),
    "m2": Metric(m2, m2_reference=True, words=_SPACES),
}
