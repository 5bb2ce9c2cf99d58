"""Drafts from a file of guesses: the previous version of a translation, a translation memory, post-edited text."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fairseq_specdec.blocks import Rows, Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS, DrafterSetting
from fairseq_specdec.drafters.guided import DEFAULT_BLOCK_SIZE, GuidedDrafter


@DRAFTERS.register("file")
class FileDrafter(GuidedDrafter):
    """Drafts what the user guesses for each sentence, as `input` drafts the source.

    Args:
        guesses: target ids [n] int64 of each guess, ending in eos, in the order of the data.
        path: the file, for messages.
        block_size, edit_aware: see `GuidedDrafter`.
    """

    required: ClassVar[frozenset[str]] = frozenset({"draft_file"})
    accepted: ClassVar[frozenset[str]] = frozenset({"draft_rule"})

    def __init__(
        self, guesses: list[Tensor], path: str, block_size: int = DEFAULT_BLOCK_SIZE, edit_aware: bool = True
    ) -> None:
        super().__init__(block_size, edit_aware)
        self.path = path
        self._lines = torch.tensor([0, *(guess.numel() for guess in guesses)]).cumsum(0)  # [n + 1], where each begins
        none = torch.zeros(1, dtype=torch.int64, device="cpu")  # one more, so that there are some
        self._tokens = torch.cat([*guesses, none])

    @classmethod
    def build(cls, setting: DrafterSetting) -> FileDrafter:
        """Make it.

        Raises:
            OptionError: the file cannot be read, or has another number of lines than the data has sentences.
        """
        assert setting.draft_file is not None and setting.read_lines is not None
        guesses = setting.read_lines("--draft-file", setting.draft_file)
        if setting.n_sentences not in (None, len(guesses)):
            raise _another_length(len(guesses), setting.draft_file, f"{setting.n_sentences} sentences")
        return cls(guesses, setting.draft_file, setting.block_size or DEFAULT_BLOCK_SIZE, setting.edit_aware)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the guesses."""
        self._lines, self._tokens = self._lines.to(device), self._tokens.to(device)

    def start(self, source: Source, state: Rows) -> None:
        """Begin a batch; that its sentences have guesses is checked at once.

        Raises:
            OptionError: see `guide`.
        """
        super().start(source, state)
        self._lay_out()

    def guide(self, source: Source) -> tuple[Tensor, Tensor]:
        """Return the guesses of the batch's sentences.

        Raises:
            OptionError: the file has too few lines for these sentences, or the batch does not say which they are.
        """
        if source.ids is None:
            raise OptionError([
                "--drafter file needs each sentence's place in the data, got a batch that does not tell: use "
                "fairseq-generate or fairseq-interactive, or another --drafter."
            ])  # fmt: skip
        ids = source.ids
        last, count = int(ids.max()), self._lines.numel() - 1  # host sync: once a batch
        if last >= count:
            raise _another_length(count, self.path, f"sentence {last + 1}")
        begin, lengths = self._lines[ids], self._lines[ids + 1] - self._lines[ids]
        width = max(1, int(lengths.max()))  # host sync: once a batch
        columns = torch.arange(width, device=ids.device)
        guide = self._tokens[(begin[:, None] + columns).clamp(max=self._tokens.numel() - 1)]  # [B, G]
        return guide.masked_fill(columns >= lengths[:, None], -1), lengths

    def fork(self) -> None:
        """Return None: finding the guesses of a batch reads the host."""


def _another_length(count: int, path: str, wanted: str) -> OptionError:
    return OptionError([
        f"--draft-file must have one line for each sentence of the data, got {count} lines in {path} but {wanted}: "
        "check that it belongs to this data, with an empty line where there is no guess."
    ])  # fmt: skip
