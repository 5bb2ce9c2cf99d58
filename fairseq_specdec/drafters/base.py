"""What every drafter offers, and the registry of their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from fairseq_specdec.blocks import DecodeState, DraftBlock, Source
from fairseq_specdec.registry import Registry


@dataclass(frozen=True)
class DrafterSetting:
    """What a drafter may be built from; each takes what it needs.

    Args:
        block_size: K asked for, or None for the drafter's own.
        model: the trained drafter (encoder and decoder modules), for drafters that need weights.
        trained_block_size: the block it was trained for, likewise.
        pad, unk: special ids of the target dictionary.
    """

    block_size: int | None
    pad: int
    unk: int
    model: Any = None
    trained_block_size: int | None = None


class Drafter(Protocol):
    """Guesses the next tokens of every row of a batch.

    Attributes:
        needs_weights: whether ``--drafter-path`` is required (else it is refused).
        block_size: K, the width of every block it proposes.
    """

    needs_weights: ClassVar[bool]
    block_size: int

    @classmethod
    def build(cls, setting: DrafterSetting) -> Drafter:
        """Make the drafter.

        Raises:
            ValueError: the setting does not suit it.
        """

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to where the verifier is; called before each batch, free when nothing changes."""

    def start(self, source: Source) -> None:
        """Begin a batch: encode, index or keep the source."""

    def propose(self, state: DecodeState) -> DraftBlock:
        """Guess up to K tokens for each row. The state is read only."""

    def advance(self, kept: Tensor) -> None:
        """Learn how many tokens each row was given. kept: [B] int64."""

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows of the batch. rows: [B'] int64."""


DRAFTERS: Registry[Drafter] = Registry("drafter")
