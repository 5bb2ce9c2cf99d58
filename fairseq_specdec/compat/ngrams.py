"""A repair of fairseq's search: n-grams that may not repeat."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_N = 2  # of the n-grams with which it is tried


def block_repeated_ngrams() -> None:
    """Make ``--no-repeat-ngram-size`` work without fairseq's CUDA extension.

    fairseq since 0.10 compares the end of the whole buffer of tokens, which is padding, so that nothing is blocked;
    its extension, and the versions before, compare the newest tokens.
    """
    from fairseq.ngram_repeat_block import NGramRepeatBlock

    if _blocks_nothing(NGramRepeatBlock(_N, use_extension=False)):
        NGramRepeatBlock._no_repeat_ngram = _of_tokens_so_far(NGramRepeatBlock._no_repeat_ngram)


def _blocks_nothing(block: Any) -> bool:
    """Try 4 5 4, behind which 5 would repeat a pair, with room for one token more."""
    tokens = torch.tensor([[4, 5, 4, 1]])
    return bool(block(tokens, torch.zeros(1, 6), 1, 1, 2).eq(0).all())


def _of_tokens_so_far(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(method)
    def cut(self: Any, tokens: Tensor, lprobs: Tensor, bsz: int, beam_size: int, step: int) -> Tensor:
        return method(self, tokens[:, : step + 1], lprobs, bsz, beam_size, step)

    return cut
