"""What may follow prefixes that a beam search has not verified, for whole batches: lists of other prefixes, and a text.

Shapes as in `beam_state`; F prefixes of each sentence, each known by its last tokens. A *list* has the best tokens that
may follow, with their log-probabilities. Whatever is guessed the search gives the same, so rows of the table may be
written by several prefixes at once, in any order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.drafters.suffix import MAX_SUFFIX, edit_aware_place

TRUST, ELSE = math.log(0.9), math.log(0.1)  # score of the guide's token, and most that others get beside it
SIZE = 1 << 13  # lists for suffixes of each length
_ODD = 0x1E3779B97F4A7C15  # spreads tokens over all bits of a key


class Lists(NamedTuple):
    """What may follow prefixes, best first.

    Args:
        scores: [S, F, L] float32, -inf where there is no more.
        tokens: [S, F, L] int64.
    """

    scores: Tensor
    tokens: Tensor


class Suffixes:
    """The newest list behind each few last tokens; kept over sentences.

    Args:
        n: L, tokens of a list.
    """

    def __init__(self, n: int) -> None:
        rows = MAX_SUFFIX * SIZE + 2  # the last but one is never filled, the last takes what is not kept
        self._empty = rows - 2
        self._keys = torch.zeros(rows, dtype=torch.int64)
        self._scores = torch.full((rows, n), -math.inf)
        self._tokens = torch.zeros(rows, n, dtype=torch.int64)

    def to(self, device: torch.device) -> None:
        """Move to where the verifier is."""
        if self._keys.device != device:
            self._keys, self._scores, self._tokens = (
                part.to(device) for part in (self._keys, self._scores, self._tokens)
            )

    def put(self, recent: Tensor, lists: Lists, is_there: Tensor) -> None:
        """Remember lists. recent: [S, F, 3] int64, last tokens, the last one first; is_there: [S, F] bool."""
        keys, rows = self._find_rows(recent)
        rows = torch.where(is_there[..., None], rows, self._empty + 1).flatten(0, 1)  # [S * F, 3]
        self._keys.index_copy_(0, rows.flatten(), keys.flatten())
        for row in rows.unbind(1):
            self._scores.index_copy_(0, row, lists.scores.flatten(0, 1))
            self._tokens.index_copy_(0, row, lists.tokens.flatten(0, 1))

    def find(self, recent: Tensor) -> Lists:
        """Return the lists behind the longest suffixes that are known; empty where none is."""
        keys, rows = self._find_rows(recent)
        found = torch.where(self._keys[rows].eq(keys), rows, -1).amax(2)  # rows of longer ones come later
        found = torch.where(found < 0, self._empty, found)
        return Lists(self._scores[found], self._tokens[found])

    def _find_rows(self, recent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys of each one's last 1, 2 and 3 tokens and their rows, both [S, F, 3] int64."""
        keys, key = [], torch.ones_like(recent[..., 0])
        for token in recent.unbind(2):
            key = (key ^ (token + 3)) * _ODD  # wraps
            key = key ^ (key >> 29)
            keys.append(key)
        found = torch.stack(keys, dim=2) | 1  # 0 is nobody's
        first = torch.arange(MAX_SUFFIX, device=recent.device) * SIZE
        return found, first + ((found >> 7) & (SIZE - 1))


class Guesses:
    """Guesses for the sentences of a batch.

    Args:
        suffixes: what sentences have taught.
        guide: [S, G] int64, a text that each output resembles, -1 behind its end.
        lengths: [S] int64, of these.
    """

    def __init__(self, suffixes: Suffixes, guide: Tensor, lengths: Tensor) -> None:
        self._suffixes, self._guide, self._lengths = suffixes, guide, lengths

    def follow(self, before: Tensor, recent: Tensor) -> Tensor:
        """Return where the guide goes on behind prefixes, [S, F] int64.

        Args:
            before: [S, F] int64, where it did so before their last token.
            recent: [S, F, 3] int64, their last tokens, the last one first.
        """
        shape, width = before.shape, self._guide.size(1)
        here = self._guide.gather(1, before.clamp(max=width - 1))
        goes_on = (before < self._lengths[:, None]) & here.eq(recent[..., 0])
        guide, lengths = self._guide[:, None].expand(*shape, width), self._lengths[:, None].expand(shape)
        place = edit_aware_place(guide.flatten(0, 1), lengths.flatten(), before.flatten(), recent.flatten(0, 1))
        return torch.where(goes_on, before + 1, place.view(shape))

    def lists(self, recent: Tensor, places: Tensor) -> Lists:
        """Guess lists: the guide's token before those of the newest prefix with the same last ones.

        Args:
            recent: [S, F, 3] int64.
            places: [S, F] int64, see `follow`.
        """
        scores, tokens = self._suffixes.find(recent)
        token = self._guide.gather(1, places.clamp(max=self._guide.size(1) - 1))
        has = ((places < self._lengths[:, None]) & (token >= 0))[..., None]
        token = token.clamp(min=0)[..., None]  # [S, F, 1]
        scores = torch.where(has, scores.clamp(max=ELSE).masked_fill(tokens.eq(token), -math.inf), scores)
        first = torch.where(has, TRUST, -math.inf).to(scores)
        return Lists(torch.cat([first, scores], dim=2), torch.cat([token, tokens], dim=2))

    def learn(self, recent: Tensor, lists: Lists, is_there: Tensor) -> None:
        """Learn verified lists; arguments as of `Suffixes.put`."""
        self._suffixes.put(recent, lists, is_there)

    def tensors(self) -> list[Tensor]:
        """Return all that sentences have here, each tensor with a row for every one."""
        return [self._guide, self._lengths]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these sentences. rows: [S'] int64."""
        self._guide, self._lengths = self._guide.index_select(0, rows), self._lengths.index_select(0, rows)
