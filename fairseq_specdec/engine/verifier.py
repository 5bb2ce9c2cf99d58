"""The verifier: one model, or an ensemble that averages probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fairseq_specdec.blocks import EncoderOutput, Paths, RowBuffers
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.fast_decoder import FastDecoder
from fairseq_specdec.engine.weights import DecoderWeights
from fairseq_specdec.rules.constrain import drop_nan
from fairseq_specdec.rules.limits import Limits

Memory = list[EncoderOutput]  # one for each model of the ensemble


class Verifier:
    """Encodes the source and scores blocks of positions.

    Args:
        encoders: of each model of the ensemble.
        weights: of their decoders.
        temperature: divides the logits.
    """

    def __init__(
        self, encoders: Sequence[FastEncoder], weights: Sequence[DecoderWeights], temperature: float = 1.0
    ) -> None:
        self.encoders = encoders
        self.decoders = [FastDecoder(w) for w in weights]
        self.temperature = temperature

    def fork(self) -> Verifier:
        """Return a verifier with the same weights and batches of its own."""
        return Verifier(self.encoders, [decoder.weights for decoder in self.decoders], self.temperature)

    def start(self, net_input: dict[str, Any], capacity: int) -> Memory:
        """Begin a batch: encode and project the source once, make room for ``capacity`` positions a row.

        Args:
            net_input: fairseq's; ``src_tokens`` [B, S] int64, padded on either side.
            capacity: T.

        Returns:
            what each encoder made of it.
        """
        memory = [encoder.forward(net_input) for encoder in self.encoders]
        projected = [
            decoder.start(output.memory, output.padding, capacity)
            for decoder, output in zip(self.decoders, memory, strict=True)
        ]
        return [output._replace(projected=keys) for output, keys in zip(memory, projected, strict=True)]

    def score(self, tokens: Tensor, longest: int, paths: Paths | None = None) -> Tensor:
        """Score a block behind each row's committed positions.

        Args:
            tokens: [B, N] int64.
            longest: host int, at least the greatest number of committed positions, or of slots in use.
            paths: of the positions; None where they follow one another.

        Returns:
            [B, N, V] float32 log-probabilities, averaged over the models as probabilities; -inf for NaN.
        """
        scores = [decoder.score(tokens, longest, self.temperature, paths) for decoder in self.decoders]
        lprobs = scores[0][0]
        if len(scores) > 1:
            lprobs = torch.logsumexp(torch.stack([each for each, _ in scores]), dim=0) - math.log(len(scores))
        if any(may_be_nan for _, may_be_nan in scores):
            drop_nan(lprobs)
        return lprobs

    @property
    def takes_steps(self) -> bool:
        """Whether `take_steps` can be called: one model, run by compiled code."""
        return len(self.decoders) == 1 and self.decoders[0].is_compiled

    def take_steps(self, rows: RowBuffers, limits: Limits, n: int, longest: int) -> Tensor:
        """Decode greedily until a row ends, in place.

        Args:
            rows: of the batch.
            limits: the options of the batch.
            n: most steps.
            longest: host int, at least the greatest number of committed positions.

        Returns:
            [steps, 5, B] int64, for each step: lengths, finished, tokens kept, drafted, accepted. A step that compiled
            code does not know how to take is not there: equal scores, scores that are no numbers.
        """
        return self.decoders[0].take_steps(rows, limits, n, longest, self.temperature)

    def commit(self, kept: Tensor) -> None:
        """Advance each row by kept [B] int64."""
        for decoder in self.decoders:
            decoder.commit(kept)

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [tensor for decoder in self.decoders for tensor in decoder.tensors()]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        for decoder in self.decoders:
            decoder.select_rows(rows)
