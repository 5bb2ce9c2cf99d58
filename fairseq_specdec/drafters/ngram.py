"""Drafts by look-up of the last n tokens in the source, in the output so far and in what was decoded before."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting
from fairseq_specdec.drafters.ngram_table import NgramTable
from fairseq_specdec.drafters.suffix import last_tokens, suffix_lengths
from fairseq_specdec.engine.native import ngram, rounds

DEFAULT_BLOCK_SIZE = 8
MAX_N = 4  # longest n-gram that is looked up; compiled code takes up to 8
MIN_TRUST = 0.3  # a copy is drafted where at least this share of its kind was accepted at the first token
CREDIT = 10.0, 5.0  # copies tried and right before any was
MEMORY = 0.995  # of what is known about copies, a draft: it fades, so that a kind that failed is tried again
MOST = 50.0  # copies of a kind that are remembered
MOST_UNREAD = 64  # batches


@DRAFTERS.register("ngram")
class NgramDrafter(Drafter):
    """Drafts what followed the last n tokens, longest n first.

    Two places are looked in, and the longer match is taken: the row itself (its source, then its output so far), whose
    text is copied from behind the latest match; and a table over all that this run has decoded, and over a corpus where
    one is given, which says the most frequent next token and is asked again for each token of the draft. Copies of a
    kind (the length of the match) that is rarely accepted are left out, since drafts cost time on a busy device;
    prompt look-up decoding (Saxena, 2023) and retrieval-based drafts (He et al., 2023) are its models.

    Args:
        block_size: K.
        eos: id that ends a sentence.
        symbols: [V_source] int64, the target id of each source id, -1 where the target has no such symbol; None when
            both share one dictionary.
        corpus: target ids [n] int64 of sentences that fill the table, each ending in eos.
    """

    accepted: ClassVar[frozenset[str]] = frozenset({"ngram_corpus"})
    learns: ClassVar[bool] = True

    def __init__(
        self, block_size: int, eos: int, symbols: Tensor | None = None, corpus: list[Tensor] | None = None
    ) -> None:
        self.block_size = block_size
        self.eos = eos
        self.symbols = symbols
        self.table = NgramTable(MAX_N, eos, corpus or [])
        self._waiting: Source | None = None  # what no draft was asked for yet
        self._source: Tensor  # [B, 1 + S] int64, eos and target ids from the left, -1 behind each row's end
        self._unread: list[tuple[Tensor, Tensor]] = []  # tokens and lengths of batches that are yet to be learned from
        self._asked: Tensor  # [B] int64, length of the match in the row that the last draft was copied from, else 0
        self._has_asked = False  # in this round
        # copies by length of the match
        self._tried, self._right = torch.zeros(2, MAX_N + 1, dtype=torch.float32, device="cpu")

    @classmethod
    def build(cls, setting: DrafterSetting) -> NgramDrafter:
        """Make it.

        Raises:
            OptionError: the corpus cannot be read.
        """
        corpus = None
        if setting.ngram_corpus is not None:
            assert setting.read_lines is not None
            corpus = setting.read_lines("--ngram-corpus", setting.ngram_corpus)
        return cls(setting.block_size or DEFAULT_BLOCK_SIZE, setting.eos, setting.symbols, corpus)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the tables."""
        self._catch_up()  # what was decoded is still where the tables are
        self.table.to(device)
        self.symbols = None if self.symbols is None else self.symbols.to(device)
        self._tried, self._right = self._tried.to(device), self._right.to(device)

    def start(self, source: Source, state: Rows) -> None:
        """Keep the source; on a CPU it waits for the first draft, since a batch may go without."""
        self._waiting = source
        if not device.reads_freely(source.tokens):
            self._begin()

    def _begin(self) -> None:
        """Lay the source out, in target ids and aligned on the left."""
        source, self._waiting = self._waiting, None
        assert source is not None
        # a sentence begins behind an eos
        self._source = torch.nn.functional.pad(source.aligned(self.symbols), (1, 0), value=self.eos)
        self._asked = torch.zeros_like(source.lengths)

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Draft from the longer of the two matches. O(B * (S + T) * MAX_N); no host read on a GPU."""
        if self._unread:
            self._catch_up()
        self._has_asked = True
        if self._waiting is not None:
            self._begin()
        if rounds.can_run(self._source):
            rows, trust, shape = (state.tokens, state.lengths), (self._tried, self._right), (self.block_size, self.eos)
            return DraftBlock(*ngram.draft(self.table.parts(), self._source, rows, trust, self._asked, shape))
        last = last_tokens(state, MAX_N, 0)
        copied, n_copied, matched = self._copy(state, last)
        tried, right = CREDIT
        trusted = self._right[matched] + right >= MIN_TRUST * (self._tried[matched] + tried)
        matched = torch.where(trusted & (n_copied > 0), matched, 0)
        likely, n_likely, known = self.table.roll_out(last, self.block_size)
        is_copy = matched >= known
        self._asked.copy_(torch.where(is_copy, matched, 0))
        lengths = torch.where(is_copy, n_copied.masked_fill(matched.eq(0), 0), n_likely)
        return DraftBlock(torch.where(is_copy[:, None], copied, likely).clamp(min=0), lengths)

    def finish(self, tokens: Tensor, lengths: Tensor) -> None:
        """Learn from what was decoded.

        On a CPU that waits for the next draft, since drafts may not pay and learning costs more than a round.
        """
        self._unread.append((tokens, lengths))
        if not device.reads_freely(tokens) or len(self._unread) >= MOST_UNREAD:
            self._catch_up()

    def _catch_up(self) -> None:
        """Add the outputs of batches to the table."""
        outputs, self._unread = self._unread, []
        if not outputs:
            return
        width = max(tokens.size(1) for tokens, _ in outputs)
        tokens = [torch.nn.functional.pad(tokens[:, 1:], (0, width - tokens.size(1))) for tokens, _ in outputs]
        self.table.add(torch.cat(tokens), torch.cat([lengths for _, lengths in outputs]) - 1)

    def forget(self) -> None:
        """Know the corpus alone."""
        self._unread = []
        self.table.forget()
        self._tried.zero_()
        self._right.zero_()

    def fork(self) -> NgramDrafter:
        """Return one that shares the tables; only this one learns."""
        twin = copy.copy(self)
        twin._unread = []
        return twin

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [] if self._waiting is not None else [self._source, self._asked]

    def _copy(self, state: Rows, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find the longest match in the row itself, the latest where there are several.

        Returns:
            tokens [B, K] int64 behind it, how many of them there are [B], and the length of the match [B] in 0..MAX_N.
        """
        output = state.tokens[:, 1 : max(2, state.max_length)]  # [B, T'], without the initial eos
        columns = torch.arange(output.size(1), device=last.device)
        output = output.masked_fill(columns >= state.lengths[:, None] - 1, -1)
        context = torch.cat([self._source, output], dim=1)  # [B, W]
        followed = torch.nn.functional.pad(context[:, 1:], (0, 1), value=-1).ge(0)  # places with something behind them
        n_common = suffix_lengths(context, last) * followed
        best = (n_common * context.size(1) + torch.arange(context.size(1), device=last.device)).amax(1)
        matched, place = best // context.size(1), best % context.size(1)
        index = place[:, None] + 1 + torch.arange(self.block_size, device=last.device)  # [B, K]
        tokens = context.gather(1, index.clamp(max=context.size(1) - 1))
        inside = (index < context.size(1)) & tokens.ge(0)
        inside = inside & torch.nn.functional.pad(tokens.ne(self.eos), (1, 0), value=True)[:, :-1]
        return tokens, inside.long().cumprod(1).sum(1), matched

    def advance(self, kept: Tensor) -> None:
        """Count how often copies were right at their first token."""
        if not self._has_asked:  # a round may go without a draft
            return
        self._has_asked = False
        if rounds.can_run(self._asked):
            ngram.judge(self._asked, kept, (self._tried, self._right))
            return
        was_asked = self._asked.gt(0) & kept.gt(0)
        tried = (MEMORY * self._tried).index_add(0, self._asked, was_asked.to(self._tried))
        right = (MEMORY * self._right).index_add(0, self._asked, (was_asked & kept.gt(1)).to(self._right))
        share = (MOST / tried).clamp(max=1.0)
        self._tried.copy_(tried * share)
        self._right.copy_(right * share)

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        if self._waiting is not None:
            self._waiting = self._waiting.select_rows(rows)
            return
        self._source, self._asked = self._source.index_select(0, rows), self._asked.index_select(0, rows)
