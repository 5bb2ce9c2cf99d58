"""Where in the input a batch's sentences stand, for callers that do not say."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

import torch
from torch import Tensor


class InputPlaces:
    """Numbers the sentences of one buffer after the other, as fairseq-interactive reads them.

    fairseq-interactive numbers what it prints, but its batches come sorted by length and without numbers; sentences
    are known again by their tokens, equal ones in their order. Padding at the edges of a sentence, which a user may
    have typed as its symbol, cannot be told from a batch's own and does not count.
    """

    def __init__(self) -> None:
        self._n_read = 0
        self._waiting: dict[tuple[int, ...], deque[int]] = defaultdict(deque)

    def read(self, sentences: Iterable[Tensor], pad: int) -> None:
        """Number the sentences of a buffer; what was left of the buffer before is forgotten.

        Args:
            sentences: ids [n] int64 each.
            pad: the id of padding.
        """
        self._waiting.clear()
        for tokens in sentences:
            self._waiting[_without_edges(tokens.tolist(), pad)].append(self._n_read)
            self._n_read += 1

    def find(self, src_tokens: Tensor, pad: int) -> Tensor | None:
        """Return the places of a batch's sentences.

        Args:
            src_tokens: [B, S] int64, padded with ``pad``.
            pad: the id of padding.

        Returns:
            [B] int64, or None where a sentence was not read or came out before.
        """
        places = []
        for row in src_tokens.tolist():
            waiting = self._waiting.get(_without_edges(row, pad))
            if not waiting:
                return None
            places.append(waiting.popleft())
        return torch.tensor(places, device=src_tokens.device)


def _without_edges(tokens: list[int], pad: int) -> tuple[int, ...]:
    """Return the tokens from the first to the last that is no padding."""
    real = [place for place, token in enumerate(tokens) if token != pad]
    return tuple(tokens[real[0] : real[-1] + 1]) if real else ()
