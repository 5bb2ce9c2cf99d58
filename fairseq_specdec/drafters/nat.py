"""The Spec-Drafter: a non-autoregressive model that fills K masks in one pass (Xia et al., 2023)."""

from __future__ import annotations

import copy
import logging
from typing import Any, ClassVar

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting, Waiting
from fairseq_specdec.engine.block_decoder import BlockDecoder, read_block_decoder
from fairseq_specdec.engine.encoder import FastEncoder

logger = logging.getLogger(__name__)


@DRAFTERS.register("nat")
class NatDrafter(Drafter):
    """Drafts with a trained Spec-Drafter.

    Args:
        model: the drafter; its encoder, unless that is the verifier's, and its decoder are run by their weights.
        block_size: K.
        engine_dtype: of its linear maps, see `engine.reduced`; drafts may be as rough as they like.
    """

    required: ClassVar[frozenset[str]] = frozenset({"drafter_path"})

    def __init__(self, model: Any, block_size: int, engine_dtype: str | None = None) -> None:
        self.model = model.eval()
        self.engine_dtype = engine_dtype
        self.block_size = block_size
        self._encoder: FastEncoder | None = None
        self._decoder: BlockDecoder | None = None
        self._can_draft = True
        self._waiting: Waiting | None = None  # what is yet to be encoded
        self._capacity = 0  # most positions of a prefix and a block in this batch

    @classmethod
    def build(cls, setting: DrafterSetting) -> NatDrafter:
        """Make it.

        Raises:
            OptionError: the block is larger than the one it was trained for.
        """
        trained = setting.trained_block_size
        asked = setting.block_size or trained
        if asked > trained:
            raise OptionError([
                f"--block-size must not exceed the block that the drafter was trained for ({trained}), got {asked}: "
                f"pass --block-size {trained} or less, or train a drafter with --block-size {asked}."
            ])  # fmt: skip
        return cls(setting.model, asked, setting.engine_dtype)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to the verifier's device and precision and read the weights."""
        self.model.to(device=device, dtype=dtype)
        if not self.model.shares_encoder:
            self._encoder = FastEncoder(self.model.encoder, self.engine_dtype)
        self._decoder = BlockDecoder(read_block_decoder(self.model.decoder, self.engine_dtype))

    def start(self, source: Source, state: Rows) -> None:
        """Encode the source, unless it is longer than the encoder's positions: then nothing is drafted.

        On a CPU that waits for the first draft: a batch for which none pays goes without.
        """
        longest = self.model.encoder.max_positions()
        self._can_draft = source.tokens.size(1) <= longest
        if not self._can_draft:
            logger.warning(
                "a source of %d tokens exceeds the drafter's %d positions: its batch is decoded without drafts",
                source.tokens.size(1),
                longest,
            )
            return
        self._waiting, self._capacity = Waiting(source), state.capacity
        if not device.reads_freely(source.tokens):
            self._encode()

    def _encode(self) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        source = waiting.take()
        if self._encoder is None:  # of an ensemble it takes what the first model made of the source
            self._decoder.start(source.encoded[0].unscaled(self.model.encoder.scale), self._capacity)
        else:
            net_input = {"src_tokens": source.tokens, "src_lengths": source.lengths}
            self._decoder.start(self._encoder.forward(net_input), self._capacity)

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Fill K masks behind each row's tokens; cost grows with prefix + K, unless the decoder has one layer."""
        k, lengths = self.block_size, state.lengths - 1  # the initial eos is no part of the drafter's input
        if not self._can_draft:
            return DraftBlock(state.tokens[:, :1].expand(-1, k), torch.zeros_like(lengths))
        if self._waiting is not None:
            self._encode()
        prefix = state.tokens[:, 1 : state.max_length]
        logits = self._decoder.forward(prefix, lengths.clamp(max=prefix.size(1)), k)
        room = self._decoder.max_positions
        usable = torch.full_like(lengths, k) if room is None else (room - lengths).clamp(0, k)
        may_cut = device.reads_freely(logits)  # elsewhere shapes are fixed, and nobody asks how sure it is
        return DraftBlock(logits.argmax(-1), usable, logits if may_cut else None)

    def fork(self) -> NatDrafter:
        """Return one with the same weights."""
        twin = copy.copy(self)
        twin._decoder = BlockDecoder(self._decoder.weights)
        return twin

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return self._decoder.tensors() if self._can_draft else []

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        if self._waiting is not None:
            self._waiting.select_rows(rows)
        elif self._can_draft:
            self._decoder.select_rows(rows)
