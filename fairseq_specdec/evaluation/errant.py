"""ERRANT scores: the edits of a hypothesis, found with linguistic alignment, against those of the references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.edit_counts import EditCounts, sum_best
from fairseq_specdec.evaluation.scores import check_parallel

_Edits = set[tuple[int, int, str]]  # first token, token after the last, correction


def errant(hyps: list[str], refs: list[list[str]], srcs: list[str]) -> dict[str, float]:
    """Compute span-based precision, recall and F0.5 of corrections, by the packages errant and spaCy.

    Of several references the one counts, for each sentence, that gives the highest F0.5 over the sentences so far.

    Args:
        hyps: one corrected sentence each, tokens separated by spaces.
        refs: one or more reference files, each as long as ``hyps``.
        srcs: the sentences before correction, as many.

    Returns:
        ``p``, ``r`` and ``f0.5`` in 0..100.

    Raises:
        OptionError: errant or spaCy's English model is not installed.
        ValueError: nothing to score, or a file of another length.
    Source: Bryant et al. (2017), "Automatic Annotation and Evaluation of Error Types".
    """
    check_parallel(hyps, refs, srcs)
    annotator = _load_annotator()

    def count(source: str, hyp: str, *targets: str) -> list[EditCounts]:
        proposed, *gold = _edits(annotator, source, [hyp, *targets])
        return [EditCounts(len(proposed & wanted), len(proposed), len(wanted)) for wanted in gold]

    return sum_best(map(count, srcs, hyps, *refs)).scores()


def _edits(annotator: Any, source: str, texts: Sequence[str]) -> list[_Edits]:
    """Return for each text the edits that make it of the source. errant is not asked about equal or empty sentences."""
    words = source.split()
    parsed = annotator.parse(source) if words else None
    found: list[_Edits] = []
    for text in texts:
        if text.split() == words:
            found.append(set())
        elif not words or not text.split():
            found.append({(0, len(words), " ".join(text.split()))})
        else:
            edits = annotator.annotate(parsed, annotator.parse(text))
            found.append({(edit.o_start, edit.o_end, edit.c_str) for edit in edits})
    return found


def _load_annotator() -> Any:
    """Load errant's English annotator. Raises OptionError with the command that installs what is missing."""
    try:
        import errant
    except ImportError as error:
        raise OptionError(
            [
                "metric errant must have the package errant, got none: pip install errant, then python -m spacy "
                "download en_core_web_sm."
            ]
        ) from error
    try:
        return errant.load("en")
    except OSError as error:
        raise OptionError(
            [
                "metric errant must have spaCy's English model, got none: run python -m spacy download en_core_web_sm "
                "(spaCy's reason: " + " ".join(str(error).split())[:100] + ")."
            ]
        ) from error
