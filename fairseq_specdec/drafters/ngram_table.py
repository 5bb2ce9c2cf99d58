"""A hash table from the last n tokens to the most frequent next one, over whole tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.engine.native import ngram, rounds

SLOTS = 1 << 16  # for each n: 10 MB for four of them, whatever is added
MIN_SHARE = 0.4  # a token is offered where at least this share of what followed the n-gram was that token
_FACTOR = -7046029254386353131  # odd and without pattern (2**64 / golden ratio), as a signed number


class NgramTable:
    """For each n in 1..N, what followed the n-grams of the sentences that were added.

    A slot holds one n-gram (the latest of those that share it) and its most frequent next token, by the majority vote
    of Boyer and Moore, so that what is added later counts as well.

    Args:
        max_n: N.
        eos: id that ends a sentence, and stands before its first token.
    """

    def __init__(self, max_n: int, eos: int) -> None:
        self.max_n, self.eos, self.size = max_n, eos, SLOTS
        empty = torch.zeros(max_n * self.size, dtype=torch.int64, device="cpu")
        # the n-gram's hash, its most frequent next token, how often that came, how often any, and the vote
        self._key, self._next, self._hits, self._total, self._vote = (empty.clone() for _ in range(5))

    def forget(self) -> None:
        """Forget all."""
        for part in self.parts():
            part.zero_()

    def to(self, device: torch.device) -> None:
        """Move the table."""
        for name in ("_key", "_next", "_hits", "_total", "_vote"):
            setattr(self, name, getattr(self, name).to(device))

    def parts(self) -> ngram.Table:
        """Return what compiled code looks at."""
        return self._key, self._next, self._hits, self._total, self._vote

    def roll_out(self, last: Tensor, n_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
        """Follow the most frequent next token from one to the next.

        Args:
            last: [B, N] int64, the last tokens of each row, the last one first; negative where there is none.
            n_tokens: K, most tokens to follow.

        Returns:
            tokens [B, K] int64, how many of them are offered [B] int64, and the length of the n-gram that offered the
            first one [B] int64, 0 where none did.
        """
        alive = last[:, 0].ge(0)
        tokens, n_offered, first_n = [], torch.zeros_like(last[:, 0]), torch.zeros_like(last[:, 0])
        for k in range(n_tokens):
            token, n = self._ask(last)
            alive = alive & n.gt(0)
            if device.reads_freely(last) and not alive.any():
                break
            first_n = n if k == 0 else first_n
            tokens.append(token)
            n_offered = n_offered + alive
            alive = alive & token.ne(self.eos)
            last = torch.cat([token[:, None], last[:, :-1]], dim=1)
        missing = n_tokens - len(tokens)
        return torch.stack(tokens + [torch.zeros_like(first_n)] * missing, dim=1), n_offered, first_n

    def _ask(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next token [B] by the longest n-gram that is sure enough, and its n [B], 0 where there is none."""
        hashes = torch.stack(self._hashes(last), dim=1)  # [B, N]
        ns = torch.arange(self.max_n, device=last.device)
        slots = (hashes & (self.size - 1)) + ns * self.size
        hits, total = self._hits[slots], self._total[slots]
        sure = self._key[slots].eq(hashes) & (hits >= MIN_SHARE * total) & hits.gt(0) & last.ge(0).cumprod(1).bool()
        n = (sure * (ns + 1)).amax(1)  # [B]
        return self._next[slots].gather(1, (n - 1).clamp(min=0)[:, None]).squeeze(1), n

    def _hashes(self, last: Tensor) -> list[Tensor]:
        """Return N hashes of the shape of last[..., 0], of the last 1, 2 ... N tokens. last: [..., N] int64."""
        found, value = [], torch.zeros_like(last[..., 0])
        for n in range(self.max_n):
            value = (value ^ (last[..., n] + 1)) * _FACTOR
            value = value ^ (value >> 29)
            found.append(value)
        return found

    def add(self, tokens: Tensor, lengths: Tensor) -> None:
        """Count what follows every n-gram of some sentences. Reads the host; call it between batches.

        Args:
            tokens: [B, T] int64, anything behind a row's length.
            lengths: [B] int64.
        """
        if rounds.can_run(self._key):
            ngram.add(self.parts(), self.max_n, self.eos, tokens, lengths)
            return
        padded = torch.nn.functional.pad(tokens, (self.max_n, 0), value=-1)
        padded[:, self.max_n - 1] = self.eos
        windows = padded[:, :-1].unfold(1, self.max_n, 1).flip(-1)  # [B, T, N], the tokens before each, last first
        counted = torch.arange(tokens.size(1), device=tokens.device) < lengths[:, None]
        windows, following = windows[counted], tokens[counted]  # [M, N], [M]; host sync: between batches
        complete = windows.ge(0).cumprod(1).bool()
        for n, hashes in enumerate(self._hashes(windows)):
            self._count(n, hashes[complete[:, n]], following[complete[:, n]])

    def _count(self, n: int, hashes: Tensor, following: Tensor) -> None:
        """Count pairs of an n-gram's hash [M] and the token behind it [M]; n counts from 0."""
        pairs = (hashes ^ (following + 1)) * _FACTOR
        _, group, count = pairs.unique(return_inverse=True, return_counts=True)
        one = torch.empty_like(count).scatter_(0, group, torch.arange(group.numel(), device=group.device))
        hashes, following = hashes[one], following[one]
        slots = (hashes & (self.size - 1)) + n * self.size
        known = self._key[slots].eq(hashes)
        same = known & self._next[slots].eq(following)
        self._hits.index_add_(0, slots, count * same)
        self._total.index_add_(0, slots, count * known)
        self._vote.index_add_(0, slots, torch.where(same, count, -count))
        self._replace(slots, hashes, following, count)

    def _replace(self, slots: Tensor, hashes: Tensor, following: Tensor, count: Tensor) -> None:
        """Give slots whose vote is lost, or that hold another n-gram, to the most frequent newcomer."""
        order = (slots * (int(count.max()) + 1 if count.numel() else 1) + count).argsort(stable=True)
        slots, hashes, following, count = slots[order], hashes[order], following[order], count[order]
        lost = self._vote[slots].lt(0) & self._next[slots].ne(following)
        new = self._key[slots].ne(hashes)
        wins = (lost | new) & torch.cat([slots[1:].ne(slots[:-1]), slots.new_ones(min(1, slots.numel())).bool()])
        before = torch.cat([slots.new_zeros(1), count.cumsum(0)])
        seen = before[1:] - before[torch.searchsorted(slots, slots)]  # pairs in this call that share the slot
        chosen = slots[wins]
        self._total[chosen] = torch.where(new[wins], seen[wins], self._total[chosen])
        self._key[chosen], self._next[chosen] = hashes[wins], following[wins]
        self._hits[chosen] = self._vote[chosen] = count[wins]
