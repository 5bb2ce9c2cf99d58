"""SARI, the metric of simplification: what was kept, added and deleted, against source and references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from fairseq_specdec.evaluation.ngrams import Ngrams, count_ngrams
from fairseq_specdec.evaluation.scores import check_parallel

ORDER = 4


def sari(hyps: list[str], refs: list[list[str]], srcs: list[str]) -> dict[str, float]:
    """Compute the mean over sentences of SARI as published: F1 of kept and added n-grams, precision of deleted ones.

    This is the sentence's SARI of the authors' own script, an operation without n-grams counting 0. Later versions
    differ: EASSE adds up over the corpus, that of Hugging Face counts 1 where there is nothing to keep, add or delete.
    Text is lower-cased and split into sacrebleu's 13a tokens, which leaves tokenised English nearly as it is.

    Args:
        hyps: one simplified sentence each.
        refs: one or more reference files, each as long as ``hyps``.
        srcs: the sentences before simplification, as many.

    Returns:
        ``sari`` (0..100).

    Raises:
        ValueError: nothing to score, or a file of another length.
    Source: Xu et al. (2016), "Optimizing Statistical Machine Translation for Text Simplification".
    """
    check_parallel(hyps, refs, srcs)
    tokenize = Tokenizer13a()
    total = 0.0
    for lines in zip(srcs, hyps, *refs, strict=True):
        source, hyp, *targets = (tokenize(line.lower()).split() for line in lines)
        total += sentence_sari(source, hyp, targets)
    return {"sari": 100.0 * total / len(hyps)}


def sentence_sari(source: Sequence[str], hyp: Sequence[str], refs: Sequence[Sequence[str]]) -> float:
    """Return SARI (0..1) of one sentence of tokens: the mean of three operations and of n = 1..4."""
    total = 0.0
    for n in range(1, ORDER + 1):
        given, said = (_times(count_ngrams(tokens, n), len(refs)) for tokens in (source, hyp))
        wanted: Ngrams = Counter()
        for ref in refs:
            wanted.update(count_ngrams(ref, n))
        total += _keep(given, said, wanted) + _delete(given, said, wanted) + _add(given, said, wanted)
    return total / (3 * ORDER)


def _keep(given: Ngrams, said: Ngrams, wanted: Ngrams) -> float:
    """Return the F1 of n-grams kept from the source; each is as right as the share of references that keep it."""
    kept, to_keep = given & said, given & wanted
    right = kept & wanted
    precision = _share(sum(right[ngram] / kept[ngram] for ngram in right), len(kept))
    recall = _share(sum(right[ngram] / to_keep[ngram] for ngram in right), len(to_keep))
    return _f1(precision, recall)


def _delete(given: Ngrams, said: Ngrams, wanted: Ngrams) -> float:
    """Return the precision of n-grams deleted from the source."""
    deleted = given - said
    right = deleted - wanted
    return _share(sum(right[ngram] / deleted[ngram] for ngram in right), len(deleted))


def _add(given: Ngrams, said: Ngrams, wanted: Ngrams) -> float:
    """Return the F1 of n-grams that the source does not have; how often does not count."""
    added, to_add = said.keys() - given.keys(), wanted.keys() - given.keys()
    right = len(added & to_add)
    return _f1(_share(right, len(added)), _share(right, len(to_add)))


def _times(counts: Ngrams, times: int) -> Ngrams:
    """Multiply counts, so that one sentence weighs as much as all references together."""
    return Counter({ngram: times * count for ngram, count in counts.items()})


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
