"""No drafts at all: plain greedy decoding on this package's engine."""

from __future__ import annotations

from torch import Tensor

from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting


@DRAFTERS.register("none")
class NoDrafter(Drafter):
    """Proposes empty blocks, so that every round adds the verifier's next token."""

    block_size = 0

    @classmethod
    def build(cls, setting: DrafterSetting) -> NoDrafter:
        """Make it; a block size has no meaning here and is ignored."""
        return cls()

    def start(self, source: Source, state: Rows) -> None:
        """Nothing to prepare."""

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Return tokens [B, 0]."""
        return DraftBlock.empty(state)

    def select_rows(self, rows: Tensor) -> None:
        """Nothing to select."""

    def tensors(self) -> list[Tensor]:
        """Return none."""
        return []
