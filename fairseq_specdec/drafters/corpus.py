"""A text in which is looked up what followed the last tokens: its places, sorted by what stands before them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

DEPTH = 8  # tokens before a place that it is sorted by; the longest match
SAMPLES = 16  # places that end like the output whose continuations are compared
SHARE = 2, 5  # a token is drafted while so many of so many of these go on alike; whole numbers, equal everywhere


class Corpus:
    """Sentences, and all their places in the order of the tokens before them, the nearest first.

    Places that end like the output lie side by side, so that a search by halves finds them: its time grows with the
    logarithm of the text. It takes 8 bytes a token, which may be a file's, and making the order some 40 more.

    Args:
        text: [n + 1] int32, the separator, then sentences that each end in it.
        order: [n] int32, the places 1..n of the text, sorted.
        n_symbols: V, greater than every token.
        eos: the separator.
    """

    def __init__(self, text: Tensor, order: Tensor, n_symbols: int, eos: int) -> None:
        self.text, self.order, self.n_symbols, self.eos = text, order, n_symbols, eos
        # [V + 1] int64: places behind a token begin here in the order
        counts = torch.bincount(text[:-1], minlength=n_symbols)
        self.begins = torch.nn.functional.pad(counts.cumsum(0), (1, 0))

    @classmethod
    def of(cls, tokens: Tensor, n_symbols: int, eos: int) -> Corpus:
        """Sort a text. tokens: [n] int32 on the CPU, sentences that each end in eos; the others as above."""
        text = torch.nn.functional.pad(tokens, (1, 0), value=eos)
        before = torch.arange(tokens.numel(), dtype=torch.int32, device="cpu")
        begins = torch.where(text[:-1].eq(eos), before, 0).cummax(0).values.int()  # of the sentence before each place
        order = before.long()
        for j in reversed(range(DEPTH)):  # sorted by the farthest token first: the nearest has the last word
            there = before - j
            key = torch.where(there >= begins, text[there.clamp(min=0)], -1)
            order = order[key[order].argsort(stable=True)]
        return cls(text, order.int() + 1, n_symbols, eos)

    def to(self, device: torch.device) -> Corpus:
        """Return it on another device."""
        twin = copy.copy(self)
        twin.text, twin.order, twin.begins = (part.to(device) for part in (self.text, self.order, self.begins))
        return twin

    @property
    def n_places(self) -> int:
        """How many places there are: n."""
        return self.order.numel()

    def roll_out(self, last: Tensor, n_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
        """Follow the places that end like the output, as long as enough of them go on alike.

        Args:
            last: [B, DEPTH] int64, the last tokens of each row, the last one first; negative where there is none.
            n_tokens: K, most tokens to follow.

        Returns:
            tokens [B, K] int64, how many of them are offered [B] int64, and how many of the last tokens stand before
            these places [B] int64, 0 where there are none. O(B * log n) operations on whole tensors, no host read.
        """
        low, high, n = self._find(last)
        n_places = (high - low).clamp(max=SAMPLES)  # [B]
        samples = torch.arange(SAMPLES, device=last.device)
        index = low[:, None] + samples * (high - low)[:, None] // n_places.clamp(min=1)[:, None]  # [B, M], spread
        agree = samples < n_places[:, None]
        places = self.order[index.clamp(max=self.n_places - 1)].long()
        steps = torch.arange(n_tokens, device=last.device)
        texts = self.text[(places[..., None] + steps).clamp(max=self.n_places)].long()  # [B, M, K]
        is_open, tokens, n_offered = n > 0, [], torch.zeros_like(n)
        for k in range(n_tokens):
            own = texts[..., k]
            alike = (own[:, :, None].eq(own[:, None]) & agree[:, None]).sum(2) * agree  # [B, M]
            most = alike.amax(1)
            first = torch.where(alike.eq(most[:, None]), samples, SAMPLES).amin(1)
            token = own.gather(1, first[:, None])  # [B, 1]
            is_open = is_open & (SHARE[1] * most >= SHARE[0] * n_places)
            n_offered = n_offered + is_open
            tokens.append(token.squeeze(1))
            is_open = is_open & token.squeeze(1).ne(self.eos)
            agree = agree & own.eq(token)
        return torch.stack(tokens, dim=1), n_offered, n

    def _find(self, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find the places that most of the last tokens [B, DEPTH] stand before.

        Returns:
            where these places begin and end in the order, and how many of the tokens these are, each [B] int64.
        """
        wanted = self._within_sentence(last.clamp(min=-1))
        full = torch.full_like(wanted[:, 0], DEPTH)
        near = self._bound(wanted, full, torch.zeros_like(full, dtype=torch.bool))
        # all tokens would stand there: the places on both sides have most of them
        sides = torch.stack([near - 1, near], dim=1)  # [B, 2]
        keys = self._keys(sides.clamp(0, self.n_places - 1))  # [B, 2, DEPTH]
        common = (keys.eq(wanted[:, None]) & wanted[:, None].ge(0)).long().cumprod(2).sum(2)
        n = (common * (sides.ge(0) & sides.lt(self.n_places))).amax(1)
        is_end = torch.arange(2, device=n.device).bool().repeat_interleave(n.numel())
        low, high = self._bound(wanted.repeat(2, 1), n.repeat(2), is_end).chunk(2)
        return low, high, n

    def _bound(self, wanted: Tensor, n: Tensor, is_end: Tensor) -> Tensor:
        """Return where in the order the first n [R] of the wanted tokens [R, DEPTH] begin, or end [R] bool."""
        low, high = torch.zeros_like(n), torch.full_like(n, self.n_places)
        columns = torch.arange(DEPTH, device=n.device)
        for _ in range(self.n_places.bit_length()):
            middle = (low + high) // 2
            keys = self._keys(middle.clamp(max=self.n_places - 1))  # [R, DEPTH]
            differs = keys.ne(wanted) & (columns < n[:, None])
            first = torch.where(differs, columns, DEPTH).amin(1)
            at = first.clamp(max=DEPTH - 1)[:, None]
            is_less = (keys.gather(1, at) < wanted.gather(1, at)).squeeze(1)
            is_before = torch.where(first.eq(DEPTH), is_end, is_less) & (low < high)
            low, high = torch.where(is_before, middle + 1, low), torch.where(is_before, high, middle)
        return low

    def _keys(self, index: Tensor) -> Tensor:
        """Return the tokens before places of the order, [...] -> [..., DEPTH] int64, the nearest first."""
        before = self.order[index].long()[..., None] - 1 - torch.arange(DEPTH, device=index.device)
        return self._within_sentence(self.text[before.clamp(min=0)].long())

    def _within_sentence(self, tokens: Tensor) -> Tensor:
        """Return [..., DEPTH] tokens with -1 from behind the separator on."""
        is_eos = tokens.eq(self.eos).long()
        return tokens.masked_fill((is_eos.cumsum(-1) - is_eos).gt(0), -1)
