"""The state of a batch while it is decoded, and what becomes of it. Shape legend: see `blocks`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec import device
from fairseq_specdec.blocks import DraftBlock, RowBuffers, Verdict
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.limits import Limits, Reach


class Tally:
    """Counts over the rounds of a batch. A round only hands its tensors in: they are counted when somebody asks.

    Args:
        block_size: K.
    """

    def __init__(self, block_size: int) -> None:
        self._bins = block_size + 2
        self._rounds: list[Tensor] = []

    def add_round(self, counts: Tensor) -> None:
        """Hand a round in. counts: [3, B] int64: tokens kept (0 in rows that had ended before), drafted, accepted."""
        self._rounds.append(counts)

    def counts(self) -> tuple[list[int], int, int]:
        """Count.

        Returns:
            how many rounds of unfinished rows kept 0, 1, ..., K + 1 tokens (none keeps 0); draft tokens proposed in
            them; draft tokens that became output.
        """
        if not self._rounds:
            return [0] * self._bins, 0, 0
        kept, drafted, accepted = torch.cat(self._rounds, dim=1)
        histogram = torch.bincount(kept, minlength=self._bins).tolist()
        return [0, *histogram[1:]], int((drafted * (kept > 0)).sum()), int(accepted.minimum(kept).sum())


class Decoded(NamedTuple):
    """A decoded batch.

    Args:
        tokens: [B, T] int64, the first token, then the output; anything past a row's length.
        scores: [B, T] float32, log-probability of each token.
        lengths: [B] int64, the first token and eos counted.
        tally: counts for the statistics.
    """

    tokens: Tensor
    scores: Tensor
    lengths: Tensor
    tally: Tally


class DecodeState:
    """The rows of a batch while they are decoded: each has its own length and ends on its own.

    Rows that have ended can be dropped; what they hold is then kept aside under their first row number.

    Args:
        limits: the generation options for this batch.
        first: [B] int64, the token every row starts with (eos, unless the caller says otherwise).
        block_size: K.
        finished: [B] bool, rows that are there to fill the batch up, or None.

    Attributes:
        tokens: [B, T] int64, the first token, then what was decoded; what lies past a row's length is stale.
        scores: [B, T] float32, log-probability of each token.
        lengths: [B] int64, valid tokens, the first one counted.
        totals: [B] float32, score of an unfinished row's tokens, added in their order; zeros where nobody needs it.
        finished: [B] bool.
        max_length: host int, at least the longest unfinished row, as of the last ``read``.
        is_open: whether some row is unfinished, likewise.
        tally: counts for the statistics.
    """

    def __init__(self, limits: Limits, first: Tensor, block_size: int, finished: Tensor | None = None) -> None:
        n_rows, capacity = first.size(0), limits.max_len + 3 + block_size
        self.limits, self.block_size = limits, block_size
        self.tokens = first.new_full((n_rows, capacity), limits.pad)
        self.tokens[:, 0] = first
        self.scores = torch.zeros(n_rows, capacity, dtype=torch.float32, device=first.device)
        self.lengths = torch.ones_like(first)
        self.totals = torch.zeros_like(first, dtype=torch.float32)
        self.finished = torch.zeros_like(first, dtype=torch.bool) if finished is None else finished.clone()
        self.tally = Tally(block_size)
        self.is_open, self.max_length, self._min_length = True, 1, 1
        self._n_finished = 0
        self._forced: Tensor | None = None  # [B, K] bool, draft tokens of this round that a prefix forces
        self.status: Tensor  # [5, B] int64: lengths, finished; of the last round tokens kept, drafted and accepted
        self._rows = torch.arange(n_rows, device=first.device)
        self._columns = torch.arange(block_size + 1, device=first.device)
        self._done = (self.tokens.clone(), self.scores.clone(), self.lengths.clone())

    @property
    def capacity(self) -> int:
        """T: tokens a row can hold: the first, max_len + 1 more, and one block of stale ones behind them."""
        return self.tokens.size(1)

    @property
    def n_open(self) -> int:
        """Unfinished rows, as of the last ``read``."""
        return self.n_rows - self._n_finished

    def read(self) -> Tensor:
        """Learn what the last round did to the rows. This is the one host read of a round.

        Returns:
            [3, B] int64 on the host: tokens that each row was given, drafted and accepted.
        """
        status = self.status.cpu()  # host sync: the loop's one
        self.tally.add_round(status[2:] if self._forced is None else self._without_forced(status[2:]))
        self._forced = None
        self.learn(*status[:2].tolist())
        return status[2:]

    def learn(self, lengths: list[int], finished: list[int]) -> None:
        """Know the tokens of each row, and which rows have ended."""
        still_open = [n for n, is_finished in zip(lengths, finished, strict=True) if not is_finished]
        self.is_open = bool(still_open)
        self.max_length, self._min_length = max(still_open, default=0), min(still_open, default=self.capacity)
        self._n_finished = len(lengths) - len(still_open)

    def buffers(self) -> RowBuffers | None:
        """Return what compiled code may go on with by itself, in place; None where it may not."""
        prefix = self.limits.prefix
        in_prefix = prefix is not None and self._min_length <= prefix.size(1)
        if in_prefix or not self._is_compiled(self.tokens):
            return None
        return RowBuffers(self.tokens, self.scores, self.lengths, self.finished, self.totals)

    def read_steps(self, status: Tensor) -> None:
        """Learn what steps without drafts did to the rows. status: [steps, 5, B] int64, one step or more."""
        self.tally.add_round(status[:, 2:].transpose(0, 1).flatten(1))
        self.learn(*status[-1, :2].tolist())

    def with_draft(self, draft: DraftBlock) -> Tensor:
        """Return the verifier's input [B, K + 1] int64: each row's last token, then its draft."""
        last = self.tokens.gather(1, self.lengths[:, None] - 1)  # [B, 1]
        return torch.cat([last, draft.tokens], dim=1) if draft.tokens.size(1) else last

    @property
    def n_rows(self) -> int:
        """B, finished rows that are still in the batch counted."""
        return self.finished.numel()

    def trim(self, draft: DraftBlock, limit: int | None = None) -> DraftBlock:
        """Cut a draft to ``limit`` tokens and to what this batch can use.

        Finished rows draft nothing, nor does any row past its last token. On the CPU, where a host read is free and
        every position costs, columns that no row uses are cut off, too; on other devices the width stays what it is.
        """
        if self._is_compiled(draft.lengths):
            most = draft.tokens.size(1) if limit is None else limit
            ends = (self.finished, self.limits.max_len, most)
            lengths, longest = rounds.trim(draft.lengths, self.lengths, *ends)
            return DraftBlock(draft.tokens[:, :longest], lengths)
        room = self.limits.last_step + 1 - self.lengths  # [B]; the token after the draft needs a place as well
        lengths = torch.minimum(draft.lengths, room).clamp(min=0, max=limit).masked_fill(self.finished, 0)
        tokens = draft.tokens
        if device.reads_freely(tokens) and tokens.size(1) > 0:
            tokens = tokens[:, : int(lengths.max())]
        return DraftBlock(tokens, lengths)

    def force(self, draft: DraftBlock) -> DraftBlock:
        """Let a draft begin with the tokens that the prefix forces there; nobody guessed them, so they do not count."""
        prefix, width = self.limits.prefix, draft.tokens.size(1)
        if prefix is None or width == 0 or self._min_length > prefix.size(1):
            return draft
        steps = self.steps(width)  # [B, K]
        forced = prefix.gather(1, steps.clamp(max=prefix.size(1) - 1))
        is_forced = (steps < min(prefix.size(1), self.limits.max_len)) & forced.ne(self.limits.pad)
        leading = is_forced.long().cumprod(1).sum(1).masked_fill(self.finished, 0)
        lengths = draft.lengths.maximum(leading)
        self._forced = is_forced & (self._columns[:width] < lengths[:, None])
        return DraftBlock(torch.where(is_forced, forced, draft.tokens), lengths)

    def _without_forced(self, counts: Tensor) -> Tensor:
        """Return a round's counts [3, B] without the draft tokens that a prefix forces, which nobody guessed."""
        kept, drafted, accepted = counts
        forced = self._forced.to(counts.device)
        stands = forced & (torch.arange(forced.size(1)) < accepted[:, None])
        return torch.stack([kept, drafted - forced.sum(1), accepted.minimum(kept) - stands.sum(1)])

    def steps(self, n: int) -> Tensor:
        """[B, N] int64, for each of n positions fed the index of the token it predicts (0 = first)."""
        return (self.lengths - 1)[:, None] + self._columns[:n]

    def history(self, draft: DraftBlock, n: int) -> Tensor:
        """Return the tokens that each of n positions follows, [B, N, T] int64: the row's, then its draft; a view."""
        tokens = self.tokens
        if n > 1:
            tokens = tokens.scatter(1, self.lengths[:, None] + self._columns[: n - 1], draft.tokens)
        return tokens[:, None].expand(-1, n, -1)

    def span(self, n: int) -> tuple[int, int]:
        """Return the lowest and the highest of ``steps(n)`` over the unfinished rows, as host ints."""
        return self._min_length - 1, self.max_length - 2 + n

    def reach(self, n: int) -> Reach:
        """Say what ``steps(n)`` of the unfinished rows come to."""
        return self.limits.reach(*self.span(n))

    def commit(self, draft: DraftBlock, verdict: Verdict, lprobs: Tensor) -> Tensor:
        """Append what was accepted and the token after it, cut behind the first eos.

        Args:
            draft: what was proposed.
            verdict: what stands of it.
            lprobs: [B, K + 1, V] float32, the constrained scores.

        Returns:
            [B] int64, tokens really appended: 0 for finished rows, else 1..K + 1.
        """
        if self._is_compiled(lprobs):
            return self._commit_native(draft, verdict, lprobs)
        if verdict.totals is not None:
            self.totals.copy_(verdict.totals)
        width = draft.tokens.size(1)
        columns = self._columns[: width + 1]
        next_token = verdict.next_token[:, None]  # [B, 1]
        new = next_token
        if width > 0:
            new = torch.cat([draft.tokens, next_token], dim=1)  # [B, K + 1]
            new = torch.where(columns < verdict.n_accepted[:, None], new, next_token)
        until_eos = torch.where(new.eq(self.limits.eos), columns + 1, width + 2).amin(1)  # [B]
        room = self.limits.last_step + 2 - self.lengths  # an eos is forced in time, unless all scores are NaN
        end = torch.minimum(until_eos, room)
        kept = torch.minimum(verdict.n_accepted + 1, end).masked_fill(self.finished, 0)
        ended = end <= kept
        where = self.lengths[:, None] + columns  # [B, K + 1]; in a finished row this is past its length
        self.tokens.scatter_(1, where, new)
        self.scores.scatter_(1, where, lprobs.gather(-1, new[..., None]).squeeze(-1))
        self.lengths += kept
        self.finished |= ended
        counts = (kept, draft.lengths, verdict.n_accepted)
        self.status = torch.stack([self.lengths, self.finished.to(kept), *counts])
        return kept

    def _is_compiled(self, like: Tensor) -> bool:
        """Say whether compiled code knows what is asked for; it has one last step for all rows."""
        return self.limits.last_steps is None and rounds.can_run(like)

    def _commit_native(self, draft: DraftBlock, verdict: Verdict, lprobs: Tensor) -> Tensor:
        """Do the same by compiled code, which is never recorded."""
        if verdict.totals is not None:
            self.totals = verdict.totals
        self.status = rounds.commit(
            (self.tokens, self.scores, self.lengths, self.finished),
            (self.limits.eos, self.limits.max_len),
            (draft.tokens, draft.lengths),
            (verdict.n_accepted, verdict.next_token),
            lprobs,
        )
        return self.status[2]

    def rows_to_keep(self) -> Tensor | None:
        """Return [B'] int64, the rows to go on with, when dropping the finished ones pays, else None."""
        return rows_to_keep(self.finished, self._n_finished)

    def select_rows(self, rows: Tensor) -> None:
        """Go on with these rows only; set the others aside. rows: [B'] int64."""
        self._set_aside()
        self.tokens, self.scores = self.tokens.index_select(0, rows), self.scores.index_select(0, rows)
        self.lengths, self.finished = self.lengths.index_select(0, rows), self.finished.index_select(0, rows)
        self.totals = self.totals.index_select(0, rows)
        self._rows = self._rows.index_select(0, rows)
        self.limits = self.limits.select_rows(rows)
        self._n_finished = 0

    def result(self) -> Decoded:
        """Return all rows, in their first order."""
        self._set_aside()
        return Decoded(*self._done, self.tally)

    def _set_aside(self) -> None:
        for done, now in zip(self._done, (self.tokens, self.scores, self.lengths), strict=True):
            done.index_copy_(0, self._rows, now)


def rows_to_keep(finished: Tensor, n_finished: int) -> Tensor | None:
    """Return the rows to go on with where dropping the finished ones pays, else None.

    Args:
        finished: [B] bool.
        n_finished: how many are, as far as the host knows.

    Returns:
        [B'] int64; None while fewer than an eighth are finished, and where all are.
    """
    total = finished.numel()
    if n_finished == 0 or n_finished == total or n_finished * 8 < total:
        return None
    return torch.nonzero(~finished).squeeze(1)  # host sync: once for several finished rows
