"""GLEU, the metric of JFLEG: BLEU that punishes words of the source which the reference changes."""

from __future__ import annotations

import numpy as np

from fairseq_specdec.evaluation.ngrams import count_ngrams
from fairseq_specdec.evaluation.scores import check_parallel

ORDER = 4
ITERATIONS = 500
_SEED_STEP = 101


def gleu(hyps: list[str], refs: list[list[str]], srcs: list[str]) -> dict[str, float]:
    """Compute corpus GLEU, the mean over 500 draws of one reference for each sentence.

    Tokens are what stands between spaces. On JFLEG dev it reproduces the published numbers: the source as hypothesis
    against all four references has 38.21; 55.26 is the mean over the four references, each as hypothesis against the
    other three.

    Args:
        hyps: one tokenised sentence each.
        refs: one or more reference files, each as long as ``hyps``.
        srcs: the sentences before correction, as many.

    Returns:
        ``gleu`` (0..100).

    Raises:
        ValueError: nothing to score, or a file of another length.
    Source: Napoles et al. (2015) in the version of 2016, "GLEU without tuning". The draws are those of its script
    (Python 2): ``random.seed(101 * j)`` for iteration j, then one ``randint`` for each sentence.
    """
    check_parallel(hyps, refs, srcs)
    stats = np.array(
        [
            [sentence_stats(hyp.split(), ref.split(), src.split()) for ref in targets]
            for hyp, src, *targets in zip(hyps, srcs, *refs, strict=True)
        ],
        dtype=np.int64,
    )  # [sentences, references, 2 + 2 * ORDER]
    sentences = np.arange(len(hyps))
    scores = [score(stats[sentences, drawn].sum(axis=0)) for drawn in _draws(len(hyps), len(refs))]
    return {"gleu": 100.0 * float(np.mean(scores))}


def sentence_stats(hyp: list[str], ref: list[str], src: list[str]) -> list[int]:
    """Count what GLEU adds up over sentences.

    Returns:
        Length of the hypothesis, length of the reference; then for n = 1..4 the n-grams that match the reference, less
        those of the source that the reference does not have at all (0 at least), and the n-grams of the hypothesis.
    """
    stats = [len(hyp), len(ref)]
    for n in range(1, ORDER + 1):
        found, wanted, given = (count_ngrams(tokens, n) for tokens in (hyp, ref, src))
        matches = sum(min(count, wanted[ngram]) for ngram, count in found.items())
        kept_errors = sum(min(count, given[ngram]) for ngram, count in found.items() if ngram not in wanted)
        stats += [max(0, matches - kept_errors), max(0, len(hyp) + 1 - n)]
    return stats


def score(stats: np.ndarray) -> float:
    """Turn added-up counts [2 + 2 * ORDER] into GLEU (0..1); a count of zero makes it zero, there is no smoothing."""
    if not stats.all():
        return 0.0
    brevity = min(0.0, 1.0 - stats[1] / stats[0])
    return float(np.exp(brevity + np.log(stats[2::2] / stats[3::2]).mean()))


def _draws(sentences: int, references: int) -> list[np.ndarray]:
    """Return for each iteration the reference [sentences] of every sentence; all draws are equal if there is but one.

    ``RandomState([seed])`` gives the numbers of Python's ``random.seed(seed)``, all of an iteration at once.
    """
    iterations = ITERATIONS if references > 1 else 1
    uniform = (np.random.RandomState([_SEED_STEP * j]).random_sample(sentences) for j in range(iterations))
    return [(numbers * references).astype(np.int64) for numbers in uniform]
