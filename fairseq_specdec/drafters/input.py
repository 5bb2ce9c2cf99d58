"""Drafts copied from the source: input-guided aggressive decoding (Sun et al., 2021; Ge et al., 2022)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fairseq_specdec.blocks import Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS, DrafterSetting
from fairseq_specdec.drafters.guided import DEFAULT_BLOCK_SIZE, GuidedDrafter

N_SPECIAL = 4  # bos, pad, eos and unk, which all dictionaries have


@DRAFTERS.register("input")
class InputDrafter(GuidedDrafter):
    """Drafts the source, for tasks whose output resembles the input: grammatical error correction, simplification.

    Args:
        symbols: [V_source] int64, the target id of each source id, -1 where the target has no such symbol; None when
            both share one dictionary.
        block_size, edit_aware: see `GuidedDrafter`.
    """

    accepted: ClassVar[frozenset[str]] = frozenset({"draft_rule"})

    def __init__(
        self, symbols: Tensor | None = None, block_size: int = DEFAULT_BLOCK_SIZE, edit_aware: bool = True
    ) -> None:
        super().__init__(block_size, edit_aware)
        self.symbols = symbols

    @classmethod
    def build(cls, setting: DrafterSetting) -> InputDrafter:
        """Make it.

        Raises:
            OptionError: the dictionaries share so little that nothing could be copied.
        """
        symbols = setting.symbols
        if symbols is not None and int(symbols.ge(0).sum()) <= N_SPECIAL:
            raise OptionError([
                f"--drafter input needs symbols that are in both dictionaries, got none of {symbols.numel()}: use it "
                f"for data whose target resembles the source, prepared with --joined-dictionary, or --drafter ngram."
            ])  # fmt: skip
        return cls(setting.symbols, setting.block_size or DEFAULT_BLOCK_SIZE, setting.edit_aware)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the table of symbols."""
        self.symbols = None if self.symbols is None else self.symbols.to(device)

    def guide(self, source: Source) -> tuple[Tensor, Tensor]:
        """Return the source, in target ids and aligned on the left."""
        return source.aligned(self.symbols), source.lengths
