"""Drafts by look-up of the last tokens in the source, the output so far, what was decoded before, and a corpus."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import Ask, DraftBlock, Rows, Source
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting, Waiting
from fairseq_specdec.drafters.corpus import DEPTH, Corpus
from fairseq_specdec.drafters.ngram_table import NgramTable
from fairseq_specdec.drafters.outcomes import Outcomes
from fairseq_specdec.drafters.suffix import last_tokens, suffix_lengths
from fairseq_specdec.engine.native import ngram, rounds

DEFAULT_BLOCK_SIZE = 8
MAX_N = 4  # longest match that is looked for in the row and in the table; all that are longer are as good
PLACES = 3  # the row, the table, the corpus
MOST_UNREAD = 64  # batches


@DRAFTERS.register("ngram")
class NgramDrafter(Drafter):
    """Drafts what followed the last tokens elsewhere, the most of them first.

    Three places are looked in, and the longest match is taken, of two that are as long the one that is named first: the
    row itself (its source, then its output so far), whose text is copied from behind the latest match; a table over all
    that this run has decoded, which says the most frequent next token and is asked again for each token of the draft;
    and a corpus where one is given, whose places are followed as long as they go on alike. How far a draft goes is
    decided by how drafts of its kind (the place, and the length of the match) have fared, since drafts cost time on a
    busy device; those of a kind that is rarely right are left out. Prompt look-up decoding (Saxena, 2023) and
    retrieval-based drafts (He et al., 2023) are its models.

    Args:
        block_size: K.
        eos: id that ends a sentence.
        symbols: [V_source] int64, the target id of each source id, -1 where the target has no such symbol; None when
            both share one dictionary.
        corpus: target text, or None.
    """

    accepted: ClassVar[frozenset[str]] = frozenset({"ngram_corpus"})
    learns: ClassVar[bool] = True
    copies: ClassVar[bool] = True

    def __init__(self, block_size: int, eos: int, symbols: Tensor | None = None, corpus: Corpus | None = None) -> None:
        self.block_size = block_size
        self.eos = eos
        self.symbols = symbols
        self.table = NgramTable(MAX_N, eos)
        self.corpus = None if corpus is None or corpus.n_places == 0 else corpus
        self.outcomes = Outcomes(PLACES * (DEPTH + 1), block_size)  # by the place and the length of the match
        self._waiting: Waiting | None = None  # what no draft was asked for yet
        self._source: Tensor  # [B, 1 + S] int64, eos and target ids from the left, -1 behind each row's end
        self._unread: list[tuple[Tensor, Tensor]] = []  # tokens and lengths of batches that are yet to be learned from
        self._kind: Tensor  # [B] int64, of the last draft
        self._counted: Tensor  # [B] int64, its tokens, an eos at its end not counted
        self._has_asked = False  # in this round
        self._lookups: ngram.Lookups | None = None  # by compiled code, over the same tensors

    @classmethod
    def build(cls, setting: DrafterSetting) -> NgramDrafter:
        """Make it.

        Raises:
            OptionError: the corpus cannot be read.
        """
        corpus = None
        if setting.ngram_corpus is not None:
            assert setting.read_corpus is not None
            corpus = setting.read_corpus(setting.ngram_corpus)
        return cls(setting.block_size or DEFAULT_BLOCK_SIZE, setting.eos, setting.symbols, corpus)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the tables."""
        self._catch_up()  # what was decoded is still where the tables are
        self._lookups = None
        self.table.to(device)
        self.outcomes.to(device)
        self.symbols = None if self.symbols is None else self.symbols.to(device)
        self.corpus = None if self.corpus is None else self.corpus.to(device)

    def start(self, source: Source, state: Rows) -> None:
        """Keep the source; on a CPU it waits for the first draft, since a batch may go without."""
        self._waiting = Waiting(replace(source, encoded=()))
        if not device.reads_freely(source.tokens):
            self._begin()

    def _begin(self) -> None:
        """Lay the source out, in target ids and aligned on the left."""
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        source = waiting.take()
        # a sentence begins behind an eos
        self._source = torch.nn.functional.pad(source.aligned(self.symbols), (1, 0), value=self.eos)
        self._kind, self._counted = torch.zeros_like(source.lengths), torch.zeros_like(source.lengths)

    def propose(self, state: Rows, ask: Ask | None = None) -> DraftBlock:
        """Draft from the longest match. O(B * (S + T) * MAX_N) and the look-up in the corpus; no host read on a GPU."""
        if self._unread:
            self._catch_up()
        self._has_asked = True
        if self._waiting is not None:
            self._begin()
        limit = self.block_size if ask is None else min(ask.most, self.block_size)
        if rounds.can_run(self._source):
            rows, asked = (state.tokens, state.lengths), (self._kind, self._counted)
            return DraftBlock(*self.compiled().draft(self._source, rows, asked, (limit, self.eos)))
        tokens, lengths, kind = self._look_up(state, limit)
        self._kind.copy_(kind)
        last = tokens.gather(1, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
        self._counted.copy_(lengths - (lengths.gt(0) & last.eq(self.eos)).long())
        return DraftBlock(tokens, lengths)

    def compiled(self) -> ngram.Lookups:
        """Return what does the same by compiled code."""
        if self._lookups is None:
            self._lookups = ngram.Lookups(self.table.parts(), MAX_N, self.corpus, DEPTH, self.outcomes.parts)
        return self._lookups

    def _look_up(self, state: Rows, limit: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a draft's tokens [B, K], how many of them count [B] and its kind [B], all int64."""
        last, worth = last_tokens(state, DEPTH, 0), self.outcomes.worth(limit)
        found = [self._copy(state, last[:, :MAX_N], limit), self.table.roll_out(last[:, :MAX_N], limit)]
        if self.corpus is not None:
            tokens, lengths, n = self.corpus.roll_out(last.masked_fill(last.eq(self.eos), self.corpus.eos), limit)
            found.append((tokens.masked_fill(tokens.eq(self.corpus.eos), self.eos), lengths, n))
        best, longest, kind = found[0][0], torch.zeros_like(state.lengths), torch.zeros_like(state.lengths)
        length = longest
        for place, (tokens, lengths, n) in enumerate(found):
            own = place * (DEPTH + 1) + n
            lengths = torch.minimum(lengths, worth[own])
            matched = n.clamp(max=MAX_N) * lengths.gt(0)
            wins = matched > longest
            best = torch.where(wins[:, None], tokens, best)
            length, kind = torch.where(wins, lengths, length), torch.where(wins, own, kind)
            longest = torch.where(wins, matched, longest)
        return best.clamp(min=0), length, kind

    def finish(self, tokens: Tensor, lengths: Tensor) -> None:
        """Learn from what was decoded.

        On a CPU that waits for the next draft, since learning costs more than a round: where none pays for long, what
        was decoded long before the next one is not learned from.
        """
        self._unread.append((tokens, lengths))
        if device.reads_freely(tokens):
            del self._unread[:-MOST_UNREAD]
        else:
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
        self.outcomes.forget()

    def fork(self) -> NgramDrafter:
        """Return one that shares the tables; only this one learns."""
        twin = copy.copy(self)
        twin._unread = []
        return twin

    def tensors(self) -> list[Tensor]:
        """Return all that rows have here, each tensor with a row for every one."""
        return [] if self._waiting is not None else [self._source, self._kind, self._counted]

    def _copy(self, state: Rows, last: Tensor, limit: int) -> tuple[Tensor, Tensor, Tensor]:
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
        index = place[:, None] + 1 + torch.arange(limit, device=last.device)  # [B, K]
        tokens = context.gather(1, index.clamp(max=context.size(1) - 1))
        inside = (index < context.size(1)) & tokens.ge(0)
        inside = inside & torch.nn.functional.pad(tokens.ne(self.eos), (1, 0), value=True)[:, :-1]
        return tokens, inside.long().cumprod(1).sum(1), matched

    def was_taken(self, lengths: Tensor) -> None:
        """Count no more than these tokens [B] int64 of each row's draft."""
        self._counted.copy_(torch.minimum(self._counted, lengths))

    def advance(self, kept: Tensor) -> None:
        """Count how the drafts fared."""
        if not self._has_asked:  # a round may go without a draft
            return
        self._has_asked = False
        if rounds.can_run(self._kind):
            self.compiled().judge((self._kind, self._counted), kept)
        else:
            self.outcomes.learn(self._kind, self._counted, kept)

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows. rows: [B'] int64."""
        if self._waiting is not None:
            self._waiting.select_rows(rows)
            return
        parts = (self._source, self._kind, self._counted)
        self._source, self._kind, self._counted = (part.index_select(0, rows) for part in parts)
