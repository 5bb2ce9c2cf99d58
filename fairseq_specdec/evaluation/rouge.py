"""ROUGE: overlap of words and word pairs, and the longest common subsequence; computed by the package rouge-score."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fairseq_specdec.evaluation.scores import check_parallel
from fairseq_specdec.evaluation.writing import UNSPACED, script_of

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
TOKENIZERS = ("rouge-score", "unicode")
SEED = 12345  # of the draws of the interval
_STEMMED_FROM = 4  # letters; rouge-score leaves shorter words alone


def rouge(
    hyps: list[str],
    refs: list[list[str]],
    tokenizer: str = "rouge-score",
    stem: bool = True,
    bootstrap: int | None = None,
    sentence_mark: str | None = None,
) -> dict[str, dict[str, float]]:
    """Compute the mean ROUGE over sentences; the best reference by F1 counts for each sentence and type.

    ``rougeLsum`` treats a newline inside a text as the end of a sentence; without one it equals ``rougeL``.

    Args:
        hyps: one text each.
        refs: one or more reference files, each as long as ``hyps``.
        tokenizer: ``rouge-score``, which knows a to z and 0 to 9 alone, or ``unicode``, see `UnicodeTokenizer`.
        stem: reduce English words to their stems (Porter).
        bootstrap: draws of texts, with replacement, for a 95% interval of the mean, by rouge-score's aggregator;
            None: no interval.
        sentence_mark: stands for a newline in the texts, as ``<n>`` does in files with one text a line.

    Returns:
        ``{"rouge1": {"f": 0..100, "p": ..., "r": ...}, "rouge2": ..., "rougeL": ..., "rougeLsum": ...}``, F1, precision
        and recall; with ``bootstrap`` also ``low`` and ``high``, the interval of F1, and ``mid``, its median, which is
        what rouge-score's aggregator calls the score.

    Raises:
        ValueError: nothing to score, or a reference file of another length.
    """
    from rouge_score.rouge_scorer import RougeScorer  # it imports nltk, which is slow: only who asks for ROUGE pays
    from rouge_score.scoring import BootstrapAggregator
    from rouge_score.tokenizers import DefaultTokenizer

    check_parallel(hyps, refs)
    chosen = DefaultTokenizer(use_stemmer=stem) if tokenizer == "rouge-score" else UnicodeTokenizer(stem)
    scorer = RougeScorer(list(ROUGE_TYPES), tokenizer=chosen)  # given, since it logs that it takes the default
    mark = sentence_mark or "\n"
    scores = []
    for texts in zip(hyps, *refs, strict=True):
        hyp, *targets = (text.replace(mark, "\n") for text in texts)
        scores.append(scorer.score_multi(targets, hyp))
    result = {name: _means([score[name] for score in scores]) for name in ROUGE_TYPES}
    if bootstrap:
        aggregator = BootstrapAggregator(n_samples=bootstrap)
        for score in scores:
            aggregator.add_scores(score)
        for name, interval in _seeded(aggregator.aggregate).items():
            bounds = interval._asdict()  # low, mid, high
            result[name] |= {bound: 100.0 * float(score.fmeasure) for bound, score in bounds.items()}
    return result


class UnicodeTokenizer:
    """Splits text of any script for rouge-score; text in ASCII as that package does.

    A word is a run of letters, digits and the marks that belong to them, in lower case. In scripts that put no space
    between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) every letter with its marks is one.

    Args:
        stem: reduce words of a to z to their stems.
    """

    def __init__(self, stem: bool = True) -> None:
        self._stem: Callable[[str], str] = str
        if stem:
            from nltk.stem.porter import PorterStemmer

            self._stem = PorterStemmer().stem

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        spaced = []
        for character in unicodedata.normalize("NFC", text.lower()):
            spaced.append(_spaced(character))
        words = "".join(spaced).split()
        return [self._stem(word) if len(word) >= _STEMMED_FROM and word.isascii() else word for word in words]


@cache
def _spaced(character: str) -> str:
    """Return a character with a space where a word begins before it, or ends there."""
    kind = unicodedata.category(character)
    if kind[0] in "LN":
        return f" {character}" if script_of(character) in UNSPACED else character
    if kind[0] == "M":
        return character
    return "" if kind == "Cf" else " "  # joiners, invisible, stand inside words


def _means(scores: list[Any]) -> dict[str, float]:
    """Return the mean F1, precision and recall in 0..100."""
    names = {"f": "fmeasure", "p": "precision", "r": "recall"}
    return {short: 100.0 * sum(getattr(score, name) for score in scores) / len(scores) for short, name in names.items()}


def _seeded(draw: Callable[[], Any]) -> Any:
    """Call a function that takes numpy's shared random numbers, with a seed, and leave them as they were."""
    before = np.random.get_state()
    np.random.seed(SEED)
    try:
        return draw()
    finally:
        np.random.set_state(before)
