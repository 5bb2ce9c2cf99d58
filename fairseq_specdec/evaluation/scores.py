"""Metrics over plain text. Each takes hypotheses and references and returns numbers in 0..100, ready for JSON.

References are files, as sacrebleu has them: ``refs[r][i]`` is what reference file r says for sentence i.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import sacrebleu

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_COMPOUND = re.compile(r"(\S)-(\S)")


def bleu(hyps: list[str], refs: list[list[str]]) -> dict[str, float | str]:
    """Compute corpus BLEU as sacrebleu does by default (13a tokens, exponential smoothing).

    Args:
        hyps: one detokenised sentence each.
        refs: one or more reference files, each as long as ``hyps``.

    Returns:
        ``bleu`` (0..100) and ``signature``, sacrebleu's own.

    Raises:
        ValueError: nothing to score, or a reference file of another length.
    """
    check_parallel(hyps, refs)
    metric = sacrebleu.BLEU()
    score = metric.corpus_score(hyps, refs).score
    return {"bleu": score, "signature": str(metric.get_signature())}


def compound_split_bleu(
    hyps: list[str], refs: list[list[str]], lang: str = "de", tokenized: bool = False
) -> dict[str, float | str]:
    """Compute tokenised BLEU with split compounds, the number of the WMT14 English-German papers.

    Unicode punctuation becomes ASCII, Moses tokenisation follows, a hyphen inside a word becomes a token of its own
    (``well-known`` counts as ``well ##AT##-##AT## known``), and BLEU is computed over these tokens without smoothing.
    It is another number than sacrebleu's, usually a higher one, and is not to be compared with it.

    Args:
        hyps: one sentence each, detokenised unless ``tokenized``.
        refs: one or more reference files, each as long as ``hyps``.
        lang: language of the Moses tokeniser.
        tokenized: the text has Moses tokens already, as fairseq prints it for data prepared with Moses: only the
            compounds are split.

    Returns:
        ``bleu`` (0..100) and ``signature``, sacrebleu's with the tokenisation named.

    Raises:
        ValueError: nothing to score, or a reference file of another length.
    Source: the evaluation script of Vaswani et al. (2017), ``get_ende_bleu.sh`` of tensor2tensor.
    """
    check_parallel(hyps, refs)
    tokenize = str if tokenized else _moses(lang)
    hyps = [split_compounds(tokenize(line)) for line in hyps]
    refs = [[split_compounds(tokenize(line)) for line in ref] for ref in refs]
    metric = sacrebleu.BLEU(
        tokenize="none", smooth_method="none", force=True
    )  # force: the text is tokenised on purpose
    score = metric.corpus_score(hyps, refs).score
    name = "as-given" if tokenized else f"moses-{lang}"
    signature = str(metric.get_signature()).replace("tok:none", f"tok:{name}+compound-split")
    return {"bleu": score, "signature": signature}


def split_compounds(line: str) -> str:
    """Make the hyphens inside words tokens of their own: ``a-b`` becomes ``a ##AT##-##AT## b``.

    As in the papers' script one letter cannot belong to two matches: of ``a-b-c`` only the first hyphen is split.
    """
    return _COMPOUND.sub(r"\1 ##AT##-##AT## \2", line)


def rouge(hyps: list[str], refs: list[list[str]]) -> dict[str, dict[str, float]]:
    """Compute the mean ROUGE F1 over sentences, with stemming; the best reference counts for each sentence and type.

    ``rougeLsum`` treats a newline inside a text as the end of a sentence; without one it equals ``rougeL``.

    Args:
        hyps: one text each.
        refs: one or more reference files, each as long as ``hyps``.

    Returns:
        ``{"rouge1": {"f": 0..100}, "rouge2": ..., "rougeL": ..., "rougeLsum": ...}``.

    Raises:
        ValueError: nothing to score, or a reference file of another length.
    """
    from rouge_score.rouge_scorer import RougeScorer  # it imports nltk, which is slow: only who asks for ROUGE pays
    from rouge_score.tokenizers import DefaultTokenizer

    check_parallel(hyps, refs)
    scorer = RougeScorer(list(ROUGE_TYPES), tokenizer=DefaultTokenizer(use_stemmer=True))  # the default, less its log
    totals = dict.fromkeys(ROUGE_TYPES, 0.0)
    for hyp, *targets in zip(hyps, *refs, strict=True):
        for name, score in scorer.score_multi(targets, hyp).items():
            totals[name] += score.fmeasure
    return {name: {"f": 100.0 * total / len(hyps)} for name, total in totals.items()}


def check_parallel(hyps: list[str], refs: list[list[str]], srcs: list[str] | None = None) -> None:
    """Raise ValueError unless there is something to score and every file is as long as the hypotheses."""
    if not hyps or not refs:
        raise ValueError(f"a metric needs sentences and references, got {len(hyps)} sentences, {len(refs)} references")
    lengths = [len(ref) for ref in refs]
    if any(length != len(hyps) for length in lengths):
        raise ValueError(f"references must be as many as hypotheses ({len(hyps)}), got {lengths}")
    if srcs is not None and len(srcs) != len(hyps):
        raise ValueError(f"sources must be as many as hypotheses ({len(hyps)}), got {len(srcs)}")


@cache
def _moses(lang: str) -> Callable[[str], str]:
    """Return a function that replaces Unicode punctuation and splits a sentence into Moses tokens."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer = MosesPunctNormalizer(lang=lang)
    tokenizer = MosesTokenizer(lang=lang)

    def tokenize(line: str) -> str:
        return tokenizer.tokenize(normalizer.replace_unicode_punct(line), escape=False, return_str=True)

    return tokenize
