"""What became of drafts of several kinds, and how far a draft of each is worth going."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_CHANCE = 0.3  # that a draft token is right, all before it being right, too: less likely ones are left out
# before any was tried so many count as tried and so many as right: first tokens of a draft, and those behind right ones
CREDIT = (10.0, 5.0), (10.0, 9.5)
MEMORY = 0.995  # of what is known, a round: it fades, so that a kind that failed is tried again
MOST = 50.0  # tokens of a kind that are remembered


class Outcomes:
    """Counts, for each kind of drafts, first tokens and further ones that were tried and that were right.

    The first token is the hardest to guess; of further ones all are taken to be as likely, while those before were
    right.

    Args:
        n_kinds: how many kinds there are; a draft without tokens counts for none.
        block_size: K.
        least: chance below which a token is not worth drafting.
        credit: of ten first tokens, how many count as right before any was tried.

    Attributes:
        parts: [4, n_kinds] float32: first tokens tried and right, further ones tried and right; changed in place.
    """

    def __init__(self, n_kinds: int, block_size: int, least: float = MIN_CHANCE, credit: float = CREDIT[0][1]) -> None:
        self.block_size, self._least, self._credit = block_size, least, credit
        self.parts = torch.zeros(4, n_kinds, dtype=torch.float32, device="cpu")

    def to(self, device: torch.device) -> None:
        """Move the counts."""
        self.parts = self.parts.to(device)

    def forget(self) -> None:
        """Forget all."""
        self.parts.zero_()

    def worth(self, limit: int) -> Tensor:
        """Return how many tokens a draft of each kind is worth, at most ``limit``; [n_kinds] int64."""
        tried, right, further_tried, further_right = self.parts
        chance = (right + self._credit) / (tried + CREDIT[0][0])
        further = (further_right + CREDIT[1][1]) / (further_tried + CREDIT[1][0])
        n = torch.zeros_like(chance, dtype=torch.int64)
        for _ in range(limit):
            n = n + chance.ge(self._least)
            chance = chance * further
        return n

    def learn(self, kinds: Tensor, drafted: Tensor, kept: Tensor) -> None:
        """Count what a round made of its drafts.

        Args:
            kinds: [B] int64, of each row's draft.
            drafted: [B] int64, its tokens.
            kept: [B] int64, tokens that each row was given; 0 in those that had ended before.
        """
        counts = drafted.gt(0) & kept.gt(0)
        right = torch.minimum(kept - 1, drafted)  # the last one kept is the verifier's
        is_right = counts & right.gt(0)
        further = (right - 1) * is_right
        further_tried = further + (is_right & (right < drafted))
        told = torch.stack([counts.long(), is_right.long(), further_tried, further])  # [4, B]
        found = (MEMORY * self.parts).index_add(1, kinds, told.to(self.parts))
        # the greater of each pair, what was tried, bounds both
        share = (MOST / found[::2]).clamp(max=1.0).repeat_interleave(2, dim=0)
        self.parts.copy_(found * share)
