"""Drafts by a model that writes one token at a time: the verifier's own weights, rounded, or another fairseq model."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fairseq_specdec.blocks import Ask, DraftBlock, EncoderOutput, Rows, Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting, Waiting
from fairseq_specdec.engine.draft_decoder import DraftDecoder
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.weights import read_verifier

logger = logging.getLogger(__name__)

DEFAULT_DTYPE = "int8"  # of weights on a CPU, where a pass of one position is bound by reading them


class AutoregressiveDrafter(Drafter):
    """Drafts greedily with a decoder of its own, whose source is encoded when the first draft of a batch is made.

    Args:
        model: fairseq's, of which the decoder is read.
        block_size: K.
        pad, eos: special ids of the target dictionary.
        draft_dtype: what its weights are rounded to on a CPU, see `engine.reduced`; None for the default.
    """

    accepted: ClassVar[frozenset[str]] = frozenset({"draft_dtype"})
    one_by_one: ClassVar[bool] = True
    default_block_size: ClassVar[int]

    def __init__(self, model: Any, block_size: int, pad: int, eos: int, draft_dtype: str | None = None) -> None:
        self.model, self.block_size, self.draft_dtype = model, block_size, draft_dtype
        self._pad, self._eos = pad, eos
        self._decoder: DraftDecoder
        self._waiting: Waiting | None = None  # what is yet to be encoded
        self._capacity = 0
        self._can_draft = True

    @classmethod
    def build(cls, setting: DrafterSetting) -> AutoregressiveDrafter:
        """Make it."""
        block_size = setting.block_size or cls.default_block_size
        return cls(cls._model_of(setting), block_size, setting.pad, setting.eos, setting.draft_dtype)

    @staticmethod
    @abstractmethod
    def _model_of(setting: DrafterSetting) -> Any:
        """Return the model that drafts."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Read the weights.

        Raises:
            OptionError: they cannot be rounded as is asked.
        """
        rounded = self._rounded(device, dtype)
        self._read_encoder(device, dtype, rounded)
        weights = read_verifier(self.model.decoder, rounded)
        self._decoder = DraftDecoder(weights, self.block_size, self._pad, self._eos)

    def _rounded(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return what weights are rounded to, None where they stay as they are."""
        if (device.type, dtype) == ("cpu", torch.float32):
            return self.draft_dtype or DEFAULT_DTYPE
        if self.draft_dtype is not None:
            raise OptionError([
                f"--draft-dtype {self.draft_dtype} needs a float32 model on a CPU, got {dtype} on {device.type}: "
                "leave it out."
            ])  # fmt: skip
        return None

    @abstractmethod
    def _read_encoder(self, device: torch.device, dtype: torch.dtype, rounded: str | None) -> None:
        """Make ready to encode."""

    @abstractmethod
    def _encode(self, source: Source) -> EncoderOutput:
        """Return what the decoder looks at."""

    def start(self, source: Source, state: Rows) -> None:
        """Keep the source until the first draft: a batch for which none pays goes without."""
        self._waiting, self._capacity = Waiting(source), state.capacity

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Write up to as many tokens behind each row as are asked for; cost grows with their number."""
        if not self._can_draft:
            return DraftBlock.empty(state)
        if self._waiting is not None:
            source = self._encode(self._waiting.take())
            self._decoder.start(source.memory, source.padding, self._capacity, source.projected)
            self._waiting = None
        ask = Ask(self.block_size) if ask is None else ask
        return DraftBlock(*self._decoder.draft(state.tokens, state.lengths, state.max_length, ask))

    def forget(self) -> None:
        """Forget how often its tokens were right."""
        if hasattr(self, "_decoder"):
            self._decoder.forget()

    def fork(self) -> None:
        """Return None: how often tokens were right is learned outside of what could be recorded."""

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [] if self._waiting is not None or not self._can_draft else self._decoder.tensors()

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        if self._waiting is not None:
            self._waiting.select_rows(rows)
        elif self._can_draft:
            self._decoder.select_rows(rows)


@DRAFTERS.register("self")
class SelfDrafter(AutoregressiveDrafter):
    """Drafts with the verifier's own weights, rounded; of an ensemble, with those of its first model.

    The encoder's output and its keys and values are the verifier's.
    """

    default_block_size: ClassVar[int] = 16  # its tokens are nearly always right

    @staticmethod
    def _model_of(setting: DrafterSetting) -> Any:
        return setting.verifier

    def _rounded(self, device: torch.device, dtype: torch.dtype) -> str:
        if (device.type, dtype) != ("cpu", torch.float32):
            raise OptionError([
                f"--drafter self needs a float32 model on a CPU, got {dtype} on {device.type}, where rounded weights "
                "are not read faster: choose another --drafter."
            ])  # fmt: skip
        return self.draft_dtype or DEFAULT_DTYPE

    def _read_encoder(self, device: torch.device, dtype: torch.dtype, rounded: str | None) -> None:
        """There is none: see `Source.encoded`."""

    def _encode(self, source: Source) -> EncoderOutput:
        return source.encoded[0]


@DRAFTERS.register("ar")
class ArDrafter(AutoregressiveDrafter):
    """Drafts with another model of the same dictionaries; its source is encoded by its own encoder."""

    required: ClassVar[frozenset[str]] = frozenset({"drafter_path"})
    reads: ClassVar[Literal["spec_drafter", "autoregressive"]] = "autoregressive"
    default_block_size: ClassVar[int] = 8

    @staticmethod
    def _model_of(setting: DrafterSetting) -> Any:
        return setting.model

    def _read_encoder(self, device: torch.device, dtype: torch.dtype, rounded: str | None) -> None:
        self.model.eval()
        self.model.to(device=device, dtype=dtype)
        self._encoder = FastEncoder(self.model.encoder, rounded)

    def start(self, source: Source, state: Rows) -> None:
        """Keep the source, unless it is longer than the encoder's positions: then nothing is drafted."""
        longest = self.model.encoder.max_positions()
        self._can_draft = source.tokens.size(1) <= longest
        if self._can_draft:
            super().start(source, state)
        else:
            logger.warning(
                "a source of %d tokens exceeds the drafter's %d positions: its batch is decoded without drafts",
                source.tokens.size(1),
                longest,
            )

    def _encode(self, source: Source) -> EncoderOutput:
        return self._encoder.forward({"src_tokens": source.tokens, "src_lengths": source.lengths})
