"""The beams of a batch while it is decoded, and the hypotheses that have ended. Shape legend: see `blocks`.

S sentences, b beams of each. A step scores every beam, takes the best 2b continuations of a sentence, ends those of the
first b that are eos, and goes on with the first b others: fairseq's ``SequenceGenerator``, to the letter. A beam's keys
and values stay where they were written; what is reordered are the numbers of their slots.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths
from fairseq_specdec.engine.native import beam as native_beam
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import rows_to_keep
from fairseq_specdec.search.ties import best_of_equals


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first.

    Args:
        scores: [S, 2b] float32, the total of the beam with the token's score added.
        tokens: [S, 2b] int64.
        beams: [S, 2b] int64, which beam each continues.
    """

    scores: Tensor
    tokens: Tensor
    beams: Tensor

    def ends(self, eos: int) -> Tensor:
        """Return which of them end a hypothesis, [S, 2b] bool."""
        return self.tokens.eq(eos) & self.scores.ne(-math.inf)

    def going_on(self, eos: int) -> Candidates:
        """Return those that become beams: the first b that are no eos, each part [S, b]."""
        columns = torch.arange(self.tokens.size(1), device=self.tokens.device)
        order = self.ends(eos) * columns.numel() + columns
        chosen = torch.topk(order, columns.numel() // 2, dim=1, largest=False).indices
        return Candidates(*(part.gather(1, chosen) for part in self))


class Step(NamedTuple):
    """What a step decided.

    Args:
        rows: [S] int64, the sentences' numbers in the batch.
        candidates: of these sentences.
    """

    rows: Tensor
    candidates: Candidates


class BeamState:
    """Beams, all at the same step. Sentences that are finished can be dropped; what they hold is then kept aside.

    Args:
        limits: the generation options of the batch.
        first: [S] int64, the token every output starts with.
        beam: b.
        trace: gets every step, for the certificate; or None.

    Attributes:
        step: index of the token that comes next, from 0.
        n_finished: sentences that need no further step, as of the last `advance`.
        n_steps: steps made, summed over the sentences that were not finished.
    """

    def __init__(self, limits: Limits, first: Tensor, beam: int, trace: list[Step] | None = None) -> None:
        self._trace = trace
        self.limits, self.beam, self.step = limits, beam, 0
        size = (first.size(0), beam, limits.max_len + 2)  # S, b, T
        self._tokens = first.new_full(size, limits.pad)
        self._tokens[:, :, 0] = first[:, None]
        self._totals = torch.zeros(size, dtype=torch.float32, device=first.device)
        self._slots = torch.zeros(size, dtype=torch.int32, device=first.device)
        self._spare = tuple(torch.zeros_like(part) for part in self._beams)  # filled by the next step
        self._last = self._tokens[:, :, 0].contiguous()
        places = (size[0], beam + 1)
        self._ended = NBest(
            first.new_zeros(*places, size[2]),
            self._totals.new_zeros(*places, size[2]),
            self._totals.new_zeros(places),
            first.new_zeros(places),
            torch.zeros_like(first),
        )
        self._finished = torch.zeros_like(first, dtype=torch.bool)
        self._rows = torch.arange(first.size(0), device=first.device)
        self._aside = NBest(*(part.clone() for part in self._ended))
        self.n_finished = self.n_steps = 0

    @property
    def _beams(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._tokens, self._totals, self._slots

    @staticmethod
    def capacity(limits: Limits, beam: int) -> int:
        """Return how many slots of the cache a sentence can need."""
        return 1 + beam * (limits.max_len + 1)

    @property
    def is_open(self) -> bool:
        """Whether a sentence is unfinished."""
        return self.n_finished < self._finished.numel()

    @property
    def n_slots(self) -> int:
        """Slots of a sentence in use; the beams of the next pass take those behind them."""
        return 0 if self.step == 0 else 1 + (self.step - 1) * self.beam

    def block(self) -> tuple[Tensor, Paths]:
        """Return what to score: the newest token of each beam [S, N] int64, N = 1 at first, then b, and its path."""
        width = 1 if self.step == 0 else self.beam
        slots = self._slots[:, :width, : self.step + 1].contiguous()
        depths = torch.full((slots.size(0), width), self.step, dtype=torch.int64, device=slots.device)
        return self._last[:, :width].contiguous(), Paths(slots, depths)

    def rank(self, lprobs: Tensor) -> Candidates:
        """Find the best 2b continuations of each sentence.

        Args:
            lprobs: [S, N, V] float32, log-probabilities without NaN of what follows each beam. Changed in place.

        Which of equal scores comes first is decided by the call that fairseq makes.
        """
        if not rounds.can_run(lprobs):
            return self._rank(self._constrain(lprobs))
        found, tied = native_beam.rank(self.limits, self._beams, self.step, lprobs)
        candidates = Candidates(*found)
        if tied is not None:
            for part, again in zip(candidates, self._rank(lprobs), strict=True):
                part[tied] = again[tied]
        return candidates

    def _constrain(self, lprobs: Tensor) -> Tensor:
        """Do to the scores what the options say."""
        limits, width = self.limits, lprobs.size(1)
        steps = torch.full(lprobs.shape[:2], self.step, dtype=torch.int64, device=lprobs.device)
        reach = limits.reach(self.step, self.step)
        return constrain(lprobs, steps, limits, reach, lambda: self._tokens[:, :width, : self.step + 1])

    def _rank(self, lprobs: Tensor) -> Candidates:
        """Find the best by torch; lprobs [S, N, V] are edited already."""
        symbols = lprobs.size(2)
        if self.step > 0:
            join_beams_at_end_of_prefix(self.limits, self.step, [*self._beams, lprobs])
            lprobs = lprobs + self._totals[:, :, self.step - 1, None]
        totals = lprobs.flatten(1)
        index = best_of_equals(totals, 2 * self.beam)
        return Candidates(totals.gather(1, index), index % symbols, torch.div(index, symbols, rounding_mode="floor"))

    def advance(self, candidates: Candidates) -> None:
        """End hypotheses and go on with the best others."""
        self.n_steps += self._finished.numel() - self.n_finished
        if self._trace is not None:
            is_open = ~self._finished
            self._trace.append(Step(self._rows[is_open], Candidates(*(part[is_open] for part in candidates))))
        if rounds.can_run(candidates.scores):
            ended = [*self._ended, self._finished]
            self.n_finished = native_beam.advance(
                self.limits, self._beams, self.step, tuple(candidates), self._spare, self._last, ended
            )
        else:
            self._end(candidates)
            self._follow(candidates)
        self._spare, (self._tokens, self._totals, self._slots) = self._beams, self._spare
        self.step += 1

    def _end(self, candidates: Candidates) -> None:
        """Put those of the first b candidates aside that are eos."""
        scores, tokens, beams = (part[:, : self.beam] for part in candidates)
        ends = candidates.ends(self.limits.eos)[:, : self.beam] & ~self._finished[:, None]  # [S, b]
        order = self._ended.n[:, None] + ends.cumsum(1) - 1
        takes = ends & (order < self.beam)
        place = torch.where(takes, order, self.beam)  # [S, b]
        wide = beams[..., None].expand(-1, -1, self._tokens.size(2))
        ended = self._tokens.gather(1, wide).roll(-1, 2)  # without the first token
        ended[:, :, self.step] = self.limits.eos
        totals = self._totals.gather(1, wide)
        totals[:, :, self.step] = scores
        each = totals.diff(dim=2, prepend=torch.zeros_like(totals[:, :, :1]))
        lengths = torch.full_like(tokens, self.step + 1)
        for part, value in zip(self._ended[:4], (ended, each, scores, lengths), strict=True):
            wide = place if part.dim() == 2 else place[..., None].expand_as(value)
            part.scatter_(1, wide, value)
        self._ended.n.add_(takes.sum(1))

    def _follow(self, candidates: Candidates) -> None:
        """Fill the spare beams with the first b candidates that are no eos."""
        scores, tokens, beams = candidates.going_on(self.limits.eos)
        for part, spare in zip(self._beams, self._spare, strict=True):
            spare.copy_(part.gather(1, beams[..., None].expand_as(part)))
        new_tokens, new_totals, new_slots = self._spare
        new_tokens[:, :, self.step + 1] = tokens
        new_totals[:, :, self.step] = scores
        columns = torch.arange(self.beam, device=tokens.device)
        new_slots[:, :, self.step + 1] = 1 + self.step * self.beam + columns
        self._last = tokens
        self._finished |= self._ended.n.ge(self.beam) | scores.eq(-math.inf).all(1)
        if self.step >= self.limits.max_len:
            self._finished.fill_(True)
        self.n_finished = int(self._finished.sum())  # host sync: the loop's one

    def rows_to_keep(self) -> Tensor | None:
        """Return [S'] int64, the sentences to go on with, when dropping the finished ones pays, else None."""
        return rows_to_keep(self._finished, self.n_finished)

    def select_rows(self, rows: Tensor) -> None:
        """Go on with these sentences only; set the others aside. rows: [S'] int64."""
        self._set_aside()
        self._tokens, self._totals, self._slots = (part.index_select(0, rows) for part in self._beams)
        self._spare = tuple(torch.zeros_like(part) for part in self._beams)
        self._ended = NBest(*(part.index_select(0, rows) for part in self._ended))
        self._last, self._finished = self._last.index_select(0, rows), self._finished.index_select(0, rows)
        self._rows = self._rows.index_select(0, rows)
        self.limits = self.limits.select_rows(rows)
        self.n_finished = 0

    def result(self) -> NBest:
        """Return the hypotheses of all sentences, in the sentences' first order."""
        self._set_aside()
        *parts, n = self._aside
        return NBest(*(part[:, : self.beam] for part in parts), n)

    def _set_aside(self) -> None:
        for done, now in zip(self._aside, self._ended, strict=True):
            done.index_copy_(0, self._rows, now)


def join_beams_at_end_of_prefix(limits: Limits, step: int, parts: list[Tensor]) -> None:
    """Give all beams of sentences whose prefix ends here what the first has, as fairseq does.

    Args:
        limits: the options of the batch.
        step: index of the token that comes next.
        parts: each [S, b, ...], changed in place.
    """
    if limits.prefix is None or step >= min(limits.prefix.size(1), limits.max_len):
        return
    ends = limits.prefix[:, step].eq(limits.eos)[:, None, None]  # [S, 1, 1]
    for part in parts:
        part.copy_(torch.where(ends, part[:, :1], part))
