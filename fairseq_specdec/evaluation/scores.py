"""Metrics over plain text. Each takes hypotheses and references and returns numbers in 0..100, ready for JSON.

References are files, as sacrebleu has them: ``refs[r][i]`` is what reference file r says for sentence i.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import sacrebleu
from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
from sacrebleu.utils import SACREBLEU_DIR

from fairseq_specdec.config import OptionError

TOKENIZERS = tuple(sorted(sacrebleu.BLEU.TOKENIZERS))
_COMPOUND = re.compile(r"(\S)-(\S)")


def bleu(hyps: list[str], refs: list[list[str]], tokenize: str = "13a") -> dict[str, float | str]:
    """Compute corpus BLEU as sacrebleu does (exponential smoothing).

    Args:
        hyps: one detokenised sentence each.
        refs: one or more reference files, each as long as ``hyps``.
        tokenize: sacrebleu's name of what splits the text, one of TOKENIZERS; with ``flores200`` the number is called
            spBLEU.

    Returns:
        ``bleu`` (0..100) and ``signature``, sacrebleu's own.

    Raises:
        OptionError: the tokenizer needs a package or a file that is not there.
        ValueError: nothing to score, or a reference file of another length.
    """
    check_parallel(hyps, refs)
    _check_tokenizer(tokenize)
    return _by_sacrebleu("bleu", sacrebleu.BLEU(tokenize=tokenize), hyps, refs)


def chrf(hyps: list[str], refs: list[list[str]], word_order: int = 0) -> dict[str, float | str]:
    """Compute corpus chrF as sacrebleu does: the F2 of character n-grams up to 6, spaces left out.

    Args:
        hyps: one detokenised sentence each.
        refs: one or more reference files, each as long as ``hyps``.
        word_order: longest n-gram of words that counts, too; 2 makes it chrF++.

    Returns:
        ``chrf`` (0..100) and ``signature``, sacrebleu's own.

    Raises:
        ValueError: nothing to score, or a reference file of another length.
    """
    check_parallel(hyps, refs)
    return _by_sacrebleu("chrf", sacrebleu.CHRF(word_order=word_order), hyps, refs)


def ter(hyps: list[str], refs: list[list[str]]) -> dict[str, float | str]:
    """Compute corpus TER as sacrebleu does: edits and moves of words over the words of the reference; less is better.

    Args:
        hyps: one detokenised sentence each.
        refs: one or more reference files, each as long as ``hyps``.

    Returns:
        ``ter`` (in percent, may exceed 100) and ``signature``, sacrebleu's own.

    Raises:
        ValueError: nothing to score, or a reference file of another length.
    """
    check_parallel(hyps, refs)
    return _by_sacrebleu("ter", sacrebleu.TER(), hyps, refs)


def _by_sacrebleu(name: str, metric: Any, hyps: list[str], refs: list[list[str]]) -> dict[str, float | str]:
    score = metric.corpus_score(hyps, refs).score
    return {name: score, "signature": str(metric.get_signature())}


def _check_tokenizer(name: str) -> None:
    """Refuse a tokenizer that cannot run here; sacrebleu would fetch its file from the network, unasked."""
    if name in SPM_MODELS:
        url = SPM_MODELS[name]["url"]
        path = os.path.join(SACREBLEU_DIR, "models", os.path.basename(url))
        if not os.path.exists(path):
            raise OptionError([
                f"--tokenize {name} needs sacrebleu's file {path}, got none: download {url} under that name (SACREBLEU "
                "names another folder)."
            ])  # fmt: skip
    try:
        sacrebleu.BLEU(tokenize=name)
    except (ImportError, RuntimeError) as error:
        package = {"ja-mecab": "'sacrebleu[ja]'", "ko-mecab": "'sacrebleu[ko]'"}.get(name, "sentencepiece")
        raise OptionError(
            [f"--tokenize {name} needs packages that are not installed: pip install {package}."]
        ) from error


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
