"""Measures what a drafter is for: how many tokens a round the verifier keeps of its drafts."""

from __future__ import annotations

from typing import Any

from torch import nn

from fairseq_specdec.config import SpecConfig
from fairseq_specdec.drafters.nat import NatDrafter
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.stats import SpecStats

# Verifiers that never end a sentence would make validation slow; real translations are shorter than this.
_OPTIONS = GenerationOptions(beam=1, max_len_a=1.5, max_len_b=20)


class AcceptanceMeter:
    """Decodes validation batches speculatively with the drafter as it stands.

    Args:
        verifier: the model that checks; moved to the device and precision of the drafter.
        model: the drafter in training; read once, so make a new meter after each update of its weights.
        dictionary: the target dictionary.
        block_size: K.
    """

    def __init__(self, verifier: nn.Module, model: nn.Module, dictionary: Any, block_size: int) -> None:
        like = model.decoder.embed_tokens.weight
        verifier.to(device=like.device, dtype=like.dtype)
        stats = SpecStats(SpecConfig(drafter="nat"), block_size)
        self._generator = SpecGenerator([verifier], dictionary, NatDrafter(model, block_size), _OPTIONS, stats)

    def measure(self, sample: dict[str, Any]) -> dict[str, int]:
        """Decode a batch.

        Args:
            sample: a fairseq batch; its targets are not looked at.

        Returns:
            ``accepted_tokens`` and ``rounds`` of the batch; their quotient over all batches is the acceptance length.
        """
        stats = self._generator.stats
        tokens, rounds = stats.tokens, stats.rounds
        self._generator.generate([], sample)
        return {"accepted_tokens": stats.tokens - tokens, "rounds": stats.rounds - rounds}
