"""The verifier: one model, or an ensemble that averages probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fairseq_specdec.blocks import EncoderOutput
from fairseq_specdec.engine.fast_decoder import FastDecoder
from fairseq_specdec.engine.weights import DecoderWeights

Memory = list[EncoderOutput]  # one for each model of the ensemble


class Verifier:
    """Scores blocks of positions.

    Args:
        weights: one set for each model of the ensemble.
        temperature: divides the logits.
    """

    def __init__(self, weights: list[DecoderWeights], temperature: float = 1.0) -> None:
        self.decoders = [FastDecoder(w) for w in weights]
        self.temperature = temperature

    def start(self, memory: Memory, capacity: int) -> None:
        """Begin a batch: project the source once, make room for ``capacity`` positions a row."""
        for decoder, output in zip(self.decoders, memory, strict=True):
            decoder.start(output.memory, output.padding, capacity)

    def score(self, tokens: Tensor, longest: int) -> Tensor:
        """Score a block behind each row's committed positions.

        Args:
            tokens: [B, N] int64.
            longest: host int, at least the greatest number of committed positions.

        Returns:
            [B, N, V] float32 log-probabilities, averaged over the models as probabilities.
        """
        each = [self._log_probs(decoder.forward(tokens, longest)) for decoder in self.decoders]
        if len(each) == 1:
            return each[0]
        return torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))

    def _log_probs(self, logits: Tensor) -> Tensor:
        if self.temperature != 1.0:
            logits = logits / self.temperature
        return torch.log_softmax(logits, dim=-1, dtype=torch.float32)

    def commit(self, kept: Tensor) -> None:
        """Advance each row by kept [B] int64."""
        for decoder in self.decoders:
            decoder.commit(kept)

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        for decoder in self.decoders:
            decoder.select_rows(rows)
