"""What every drafter offers, and the registry of their names."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.drafters.corpus import Corpus
from fairseq_specdec.registry import Registry

FILLER = "madeupword"  # what fairseq calls symbols that only make a dictionary's size a multiple of 8


@dataclass(frozen=True)
class DrafterSetting:
    """What a drafter may be built from; each takes what it needs.

    Args:
        block_size: K asked for, or None for the drafter's own.
        pad, unk, eos: special ids of the target dictionary.
        edit_aware: how drafts that copy a text go on after a bifurcation; False is the published rule.
        symbols: [V_source] int64, the target id of each source id, -1 where the target has no such symbol; None when
            source and target share one dictionary.
        model: the trained drafter (encoder and decoder modules), for drafters that need weights.
        trained_block_size: the block it was trained for, likewise.
        engine_dtype: precision of its linear maps, for drafters that need weights; None as in the checkpoint.
        verifier: the verifier's first model, for drafters that use its weights.
        draft_dtype: what the weights of drafters that write one token at a time are rounded to; None: what pays.
        read_lines: reads a text file (its option, its path) as a list of target ids [n] int64, each ending in eos.
        read_corpus: reads a text, or a file that holds one sorted, to look things up in.
        draft_file, ngram_corpus: such files, or None.
        n_sentences: how many the data has, or None where that is not known yet.
    """

    block_size: int | None
    pad: int
    unk: int
    eos: int = 2
    edit_aware: bool = True
    symbols: Tensor | None = None
    model: Any = None
    trained_block_size: int | None = None
    engine_dtype: str | None = None
    verifier: Any = None
    draft_dtype: str | None = None
    read_lines: Callable[[str, str], list[Tensor]] | None = None
    read_corpus: Callable[[str], Corpus] | None = None
    draft_file: str | None = None
    ngram_corpus: str | None = None
    n_sentences: int | None = None


def shared_symbols(source: Any, target: Any) -> Tensor | None:
    """Map source ids to target ids by symbol.

    Args:
        source: fairseq's dictionary.
        target: likewise.

    Returns:
        [V_source] int64, -1 where the target has no such symbol, and for the symbols that fairseq fills a dictionary
        up with; None when the dictionaries are the same.
    """
    if source.symbols == target.symbols:
        return None
    return torch.tensor(
        [-1 if symbol.startswith(FILLER) else target.indices.get(symbol, -1) for symbol in source.symbols]
    )


class Waiting:
    """The source of a batch that nothing was drafted for yet; dropping rows of it copies no more than their numbers.

    Args:
        source: of the whole batch.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows: Tensor | None = None  # [B] int64, those that are left; None: all

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._rows = rows if self._rows is None else self._rows.index_select(0, rows)

    def take(self) -> Source:
        """Return the source of the rows that are left."""
        return self._source if self._rows is None else self._source.select_rows(self._rows)


class Drafter(ABC):
    """Guesses the next tokens of every row of a batch.

    Attributes:
        required: options (by their Python names) without which it cannot be built.
        accepted: further options that it takes; the others are refused.
        learns: whether its drafts depend on what was decoded before.
        reads: what its checkpoint holds: a Spec-Drafter, or a model of the verifier's kind.
        one_by_one: whether each draft token takes its own time, and a draft ends where `Ask` says.
        copies: whether drafts are looked up or copied, which takes no time to speak of.
        has_guide: whether `guide` tells a text that outputs resemble, which beams can look ahead by.
        block_size: K, the width of the widest block it proposes.
    """

    required: ClassVar[frozenset[str]] = frozenset()
    accepted: ClassVar[frozenset[str]] = frozenset()
    learns: ClassVar[bool] = False
    reads: ClassVar[Literal["spec_drafter", "autoregressive"]] = "spec_drafter"
    one_by_one: ClassVar[bool] = False
    copies: ClassVar[bool] = False
    has_guide: ClassVar[bool] = False
    block_size: int

    @classmethod
    @abstractmethod
    def build(cls, setting: DrafterSetting) -> Drafter:
        """Make the drafter.

        Raises:
            ValueError: the setting does not suit it.
        """

    @abstractmethod
    def start(self, source: Source, state: Rows) -> None:
        """Begin a batch: encode, index or keep the source. The state is read only, here and later."""

    @abstractmethod
    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Guess up to K tokens for each row; a round may go by without it being asked.

        Args:
            state: the batch.
            ask: how much of the draft is wanted; None: all of it.
        """

    @abstractmethod
    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows of the batch. rows: [B'] int64."""

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """Return all that the rows of the batch have here, each tensor with a row for every one."""

    # what a drafter need not do

    def guide(self, source: Source) -> tuple[Tensor, Tensor]:
        """Return a text that each output resembles; of drafters that have one.

        Returns:
            [B, G] int64, target ids from the left, -1 behind a row's length; and the lengths [B] int64.
        """
        raise NotImplementedError(f"{type(self).__name__} has no guide")

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to where the verifier is."""

    def was_taken(self, lengths: Tensor) -> None:
        """Learn how many tokens of what was proposed last are verified, where others draft as well. lengths: [B]."""

    def advance(self, kept: Tensor) -> None:
        """Learn how many tokens each row was given. kept: [B] int64."""

    def finish(self, tokens: Tensor, lengths: Tensor) -> None:
        """Learn what a batch has become. tokens: [B, T] int64, the first token, then the output; lengths: [B] int64."""

    def forget(self) -> None:
        """Forget what batches have taught."""

    def fork(self) -> Drafter | None:
        """Return a drafter that knows the same and has batches of its own, for recording; None where that cannot be.

        What is recorded (`start`, `propose`, `advance`) must change tensors of the rows in place, read nothing on the
        host, and do the same in every round.
        """
        return copy.copy(self)


DRAFTERS: Registry[Drafter] = Registry("drafter")
