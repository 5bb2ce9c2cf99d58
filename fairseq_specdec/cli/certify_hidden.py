"""The tokens that a log leaves out: it prints no begin of sentence, no end, and no token that names a language."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from fairseq.data import Dictionary
from torch import Tensor, nn

from fairseq_specdec.certificate import NEAR_TIE, rescore_one
from fairseq_specdec.cli.certify_log import read_scores
from fairseq_specdec.evaluation.generate_log import GeneratedSentence
from fairseq_specdec.options import Conventions
from fairseq_specdec.search.decode import Batch


class HiddenTokens:
    """Puts them back where the scores of a log say that there was one.

    Whatever is put back is certified like all else: a choice that is wrong can only make an output wrong.

    Args:
        models: the verifier.
        dictionary: the target dictionary.
        conventions: the task's.
        temperature: divides logits.
    """

    def __init__(
        self, models: list[nn.Module], dictionary: Dictionary, conventions: Conventions, temperature: float
    ) -> None:
        eos = dictionary.eos() if conventions.eos is None else conventions.eos
        hidden = {dictionary.bos(), dictionary.eos(), *conventions.strip} - {eos}
        self._models, self._temperature = models, temperature
        self._hidden = torch.tensor(sorted(hidden), device=next(models[0].parameters()).device)
        self._bound = 2 * NEAR_TIE[models[0].decoder.embed_tokens.weight.dtype]

    @torch.no_grad()
    def put_back(
        self, batch: Batch, sentences: list[GeneratedSentence], outputs: list[list[Tensor]]
    ) -> list[list[Tensor]]:
        """Return the outputs of a batch with as many tokens as the log has scores.

        Args:
            batch: as in the run.
            sentences: of the log.
            outputs: the hypotheses of each, [n] int64, eos at the end.
        """
        told = [[read_scores(one)[1] for one in (first, *first.further)] for first in sentences]
        if [[len(ids) for ids in ones] for ones in outputs] == [[len(scores) for scores in each] for each in told]:
            return outputs
        encoded = [model.encoder.forward_torchscript(batch.net_input) for model in self._models]
        return [
            [self._complete(batch, encoded, row, ids, scores) for ids, scores in zip(ones, each, strict=True)]
            for row, (ones, each) in enumerate(zip(outputs, told, strict=True))
        ]

    def _complete(self, batch: Batch, encoded: list[Any], row: int, ids: Tensor, told: Sequence[float]) -> Tensor:
        """Return an output [len(told)] int64 of a row."""
        tokens = torch.cat([batch.first[row, None], ids.to(batch.first.device)])
        score = partial(rescore_one, self._models, encoded, batch.limits, self._temperature, row)
        wanted = torch.tensor(told, device=tokens.device)
        while tokens.numel() <= wanted.numel():
            n = tokens.numel() - 1
            scores = score(tokens)  # [n, V]
            own = scores.gather(1, tokens[1:, None]).squeeze(1)
            is_other = ~((own - wanted[:n]).abs() < self._bound)
            is_other[-1] = True  # at the latest before the end
            place = int(is_other.int().argmax())
            like = (scores[place, self._hidden] - wanted[place]).abs().argmin()
            tokens = torch.cat([tokens[: place + 1], self._hidden[like, None], tokens[place + 1 :]])
        return tokens[1:]
