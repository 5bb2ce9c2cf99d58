"""Several drafters asked in turn: one that copies drafts where it is sure, a model where it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from fairseq_specdec import device
from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting
from fairseq_specdec.drafters.outcomes import Outcomes

SURE = 0.6  # chance that a token has to be right for it to be copied where a model could be asked
CREDIT = 7.0  # of ten first tokens, before any was seen: more than that chance, so that every copy is tried
# what became of the last copy in a row: there was none, its first token was wrong, a later one, none
N_CLASSES = 4


@dataclass
class _Copy:
    """What a drafter offered for this round, whether it is taken or not.

    Args:
        block: the draft.
        kinds: [B] int64, of it: what became of the one before.
        before: [B] int64, tokens of each row at that time.
    """

    block: DraftBlock
    kinds: Tensor
    before: Tensor

    def judge(self, state: Rows) -> tuple[Tensor, Tensor]:
        """Return how many of its tokens can be judged by what stands now, and how many are right, each [B] int64."""
        tokens = self.block.tokens
        where = self.before[:, None] + torch.arange(tokens.size(1), device=tokens.device)
        standing = state.tokens.gather(1, where.clamp(max=state.capacity - 1))
        right = (tokens.eq(standing) & (where < state.lengths[:, None]) & self.block.mask).long().cumprod(1).sum(1)
        return torch.minimum(self.block.lengths, state.lengths - self.before), right


class StackedDrafter(Drafter):
    """Asks drafters in turn: the first that is sure drafts, row by row.

    All but the last one copy, which takes no time: each is sure as far as what it offered, taken or not, was right of
    late where the last copy in the row had come to the same end. The last one drafts where none of them is.

    Args:
        drafters: two or more, those that copy first.
    """

    parts: ClassVar[tuple[type[Drafter], ...]] = ()  # of which `build` makes one each

    def __init__(self, drafters: list[Drafter]) -> None:
        *self.copies, self.last = drafters
        self.block_size = max(drafter.block_size for drafter in drafters)
        self._outcomes = Outcomes(N_CLASSES * len(self.copies), self.block_size, SURE, CREDIT)
        self._offered: list[_Copy] = []  # in this round, by each that copies
        self._state: Rows  # of the round
        self._classes: list[Tensor] = []  # [B] int64 of each that copies
        self._has_asked_last = False  # in this round

    @classmethod
    def build(cls, setting: DrafterSetting) -> StackedDrafter:
        """Make all of them; see theirs."""
        return cls([part.build(setting) for part in cls.parts])

    @property
    def _all(self) -> list[Drafter]:
        return [*self.copies, self.last]

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move all of them."""
        self._outcomes.to(device)
        for drafter in self._all:
            drafter.to(device, dtype)

    def start(self, source: Source, state: Rows) -> None:
        """Begin a batch."""
        for drafter in self._all:
            drafter.start(source, state)
        self._classes = [torch.zeros_like(source.lengths) for _ in self.copies]

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Draft by the first that is sure in each row; where all rows have a copy, the last one is not asked."""
        ask = Ask(self.block_size) if ask is None else ask
        self._state = state
        worth = self._outcomes.worth(min(ask.most, self.block_size))
        draft = DraftBlock.empty(state)
        for i, drafter in enumerate(self.copies):
            offered = drafter.propose(state, _within(ask, drafter))
            kinds = N_CLASSES * i + self._classes[i]
            self._offered.append(_Copy(DraftBlock(offered.tokens, offered.lengths), kinds, state.lengths.clone()))
            sure = torch.minimum(offered.lengths, worth[kinds])
            drafter.was_taken(sure.masked_fill(draft.lengths.gt(0), 0))
            draft = _first(draft, DraftBlock(offered.tokens, sure))
        lacks, reads_freely = draft.lengths.eq(0) & ~state.finished, device.reads_freely(state.lengths)
        self._has_asked_last = not reads_freely or bool(lacks.any())
        if not self._has_asked_last:
            return replace(draft, is_free=True)
        drafted = self.last.propose(state, _within(ask, self.last))
        if reads_freely and not draft.lengths.any():
            return drafted  # which may say how sure it is
        return _first(draft, drafted)

    def _learn(self) -> None:
        """Learn what became of the copies that were offered, by what stands now."""
        for i, offered in enumerate(self._offered):
            n_judged, right = offered.judge(self._state)
            self._outcomes.learn(offered.kinds, n_judged, right + 1)
            became = torch.where(right.eq(0), 1, torch.where(right < n_judged, 2, 3))
            self._classes[i] = torch.where(n_judged.gt(0), became, self._classes[i])
        self._offered = []

    def advance(self, kept: Tensor) -> None:
        """Let those that drafted learn; the rows have these tokens [B] int64 by now."""
        self._learn()
        for drafter in self.copies:
            drafter.advance(kept)
        if self._has_asked_last:
            self.last.advance(kept)
            self._has_asked_last = False

    def finish(self, tokens: Tensor, lengths: Tensor) -> None:
        """Let all learn what a batch has become."""
        for drafter in self._all:
            drafter.finish(tokens, lengths)

    def forget(self) -> None:
        """Forget what batches have taught."""
        self._outcomes.forget()
        for drafter in self._all:
            drafter.forget()

    def fork(self) -> None:
        """Return None: which of them drafts is decided outside of what could be recorded."""

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [*self._classes, *(tensor for drafter in self._all for tensor in drafter.tensors())]

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        self._classes = [part.index_select(0, rows) for part in self._classes]
        for drafter in self._all:
            drafter.select_rows(rows)


def _within(ask: Ask, drafter: Drafter) -> Ask:
    return ask._replace(most=min(ask.most, drafter.block_size))


def _first(first: DraftBlock, second: DraftBlock) -> DraftBlock:
    """Return the rows of the first draft that have tokens, and the second's others."""
    width = max(first.tokens.size(1), second.tokens.size(1))
    tokens = [pad(draft.tokens, (0, width - draft.tokens.size(1))) for draft in (first, second)]
    is_first = first.lengths.gt(0)
    lengths = torch.where(is_first, first.lengths, second.lengths)
    return DraftBlock(torch.where(is_first[:, None], *tokens), lengths)


def drafter_named(name: str) -> type[Drafter]:
    """Return a drafter's class by its name.

    Args:
        name: registered; or several with commas or plus signs between, which are asked in turn.

    Raises:
        ValueError: a name is unknown.
        OptionError: these drafters cannot be asked in turn.
    """
    names = re.split("[,+]", name)
    parts = tuple(DRAFTERS[part.strip()] for part in names)
    if len(parts) == 1:
        return parts[0]
    reasons = [
        f"--drafter {name}: {part.strip()} must come last, since it always drafts: put those first that copy."
        for part, cls in zip(names[:-1], parts[:-1], strict=True)
        if not cls.copies
    ]
    if names[-1].strip() == "none":
        reasons.append(f"--drafter {name}: none drafts nothing: leave it out.")
    if len(set(parts)) < len(parts):
        reasons.append(f"--drafter {name} must name a drafter once: leave the second out.")
    if reasons:
        raise OptionError(reasons)
    attributes = {
        "parts": parts,
        "required": frozenset.union(*(part.required for part in parts)),
        "accepted": frozenset.union(*(part.accepted for part in parts)),
        "learns": True,
        "reads": parts[-1].reads,
        "one_by_one": parts[-1].one_by_one,
    }
    return type("StackedDrafter", (StackedDrafter,), attributes)
