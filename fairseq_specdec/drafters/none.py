"""No drafts at all: plain greedy decoding on this package's engine."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fairseq_specdec.blocks import Decoded, DecodeState, DraftBlock, Source
from fairseq_specdec.drafters.base import DRAFTERS, DrafterSetting


@DRAFTERS.register("none")
class NoDrafter:
    """Proposes empty blocks, so that every round adds the verifier's next token."""

    required: ClassVar[frozenset[str]] = frozenset()
    accepted: ClassVar[frozenset[str]] = frozenset()
    block_size = 0

    @classmethod
    def build(cls, setting: DrafterSetting) -> NoDrafter:
        """Make it; a block size has no meaning here and is ignored."""
        return cls()

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Nothing to move."""

    def start(self, source: Source, state: DecodeState) -> None:
        """Nothing to prepare."""

    def propose(self, state: DecodeState) -> DraftBlock:
        """Return tokens [B, 0]."""
        return state.no_draft()

    def advance(self, kept: Tensor) -> None:
        """Nothing to advance."""

    def select_rows(self, rows: Tensor) -> None:
        """Nothing to select."""

    def finish(self, decoded: Decoded) -> None:
        """Nothing to learn."""

    def fork(self) -> NoDrafter | None:
        """Return itself: it has no batches."""
        return self

    def tensors(self) -> list[Tensor]:
        """Return none."""
        return []
