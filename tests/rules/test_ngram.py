"""N-grams that may not repeat: the rule alone, against a plain loop."""

import math
import random

import pytest
import torch

from fairseq_specdec.rules.ngram import ban_repeats

PAD, TYPES = 1, 9


def banned_after(tokens, n):
    """Say which tokens would complete an n-gram that is there already."""
    end = tokens[len(tokens) - n + 1 :]
    return {tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == end}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_what_would_repeat_is_forbidden_at_every_position_and_nothing_else(n):
    rng = random.Random(n)
    rows = [[2, *(rng.randrange(3, 6) for _ in range(11))] for _ in range(5)]
    tokens = torch.tensor(rows)  # [B, T]
    steps = torch.tensor([[rng.randrange(9) + k for k in range(3)] for _ in rows])  # [B, N]
    lprobs = torch.zeros(5, 3, TYPES)
    lprobs[..., PAD] = -math.inf
    ban_repeats(lprobs, tokens[:, None].expand(-1, 3, -1), steps, n, PAD)
    for b, row in enumerate(rows):
        for k, step in enumerate(steps[b].tolist()):
            forbidden = set(lprobs[b, k].isinf().nonzero().flatten().tolist())
            assert forbidden == banned_after(row[: step + 1], n) | {PAD}


def test_rows_shorter_than_the_ngram_forbid_nothing():
    lprobs = torch.zeros(1, 1, TYPES)
    ban_repeats(lprobs, torch.tensor([[[2, 4]]]), torch.tensor([[1]]), 3, PAD)
    assert not lprobs.isinf().any()
