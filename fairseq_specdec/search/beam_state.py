"""The beams of a batch while it is decoded, and the hypotheses that have ended. Shape legend: see `blocks`.

S sentences, b beams of each. A step scores every beam, takes the best 2b continuations of a sentence, ends those of the
first b that are eos, and goes on with the first b others: fairseq's ``SequenceGenerator``, to the letter. A beam's keys
and values stay where they were written; what is reordered are the numbers of their slots.

By torch a step is work on the same memory from the first to the last, at places that the device knows, so that it can
be recorded: what the host decides (how much of the beams is looked at, which edits come into question) is told. There
each sentence has a step of its own, since a search that looks ahead goes further in one than in another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths
from fairseq_specdec.engine.native import beam as native_beam
from fairseq_specdec.engine.native import rounds
from fairseq_specdec.rules.constrain import constrain, join_beams_at_end_of_prefix
from fairseq_specdec.rules.limits import Limits, Reach
from fairseq_specdec.search.candidates import Candidates, Decision, Step
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.search.state import Tally, rows_to_keep
from fairseq_specdec.search.ties import best_of_equals


class BeamState:
    """Beams, a step a pass. Sentences that are finished can be dropped; what they hold is then kept aside.

    Args:
        limits: the generation options of the batch.
        first: [S] int64, the token every output starts with.
        beam: b.
        trace: gets every step, for the certificate; or None.
        finished: [S] bool, sentences that are there to fill the batch up, or None.

    Attributes:
        step, lowest: index of the token that comes next, from 0: the greatest and the least of the sentences'.
        at: [S] int64, that of each sentence, as the device knows it.
        ended: the hypotheses of each sentence so far, with one place more for what is not kept.
        finished: [S] bool, sentences that need no further step.
        n_finished: sentences that need no further step, as of the last `advance`.
        n_steps: steps made, summed over the sentences that were not finished.
        depth: steps that a pass can make beside the first.
    """

    depth = 0

    def __init__(
        self,
        limits: Limits,
        first: Tensor,
        beam: int,
        trace: list[Step] | None = None,
        finished: Tensor | None = None,
    ) -> None:
        self._trace = trace
        self.limits, self.beam, self.step, self.lowest = limits, beam, 0, 0
        size = (first.size(0), beam, limits.max_len + 2)  # S, b, T
        self._tokens = first.new_full(size, limits.pad)
        self._tokens[:, :, 0] = first[:, None]
        self._totals = torch.zeros(size, dtype=torch.float32, device=first.device)
        self._slots = torch.zeros(size, dtype=torch.int32, device=first.device)
        self._spare = tuple(torch.zeros_like(part) for part in self._beams)  # filled by the next step of compiled code
        self.at = torch.zeros_like(first)
        self._last = self._tokens[:, :, 0].contiguous()
        places = (size[0], beam + 1)
        self.ended = NBest(
            first.new_zeros(*places, size[2]),
            self._totals.new_zeros(*places, size[2]),
            self._totals.new_zeros(places),
            first.new_zeros(places),
            torch.zeros_like(first),
        )
        self.finished = torch.zeros_like(first, dtype=torch.bool) if finished is None else finished.clone()
        self._rows = torch.arange(first.size(0), device=first.device)
        self._aside = NBest(*(part.clone() for part in self.ended))
        self.n_finished = self.n_steps = 0

    @property
    def _beams(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._tokens, self._totals, self._slots

    @property
    def capacity(self) -> int:
        """Slots of the cache that a sentence can need."""
        return 1 + self.beam * (self.limits.max_len + 1)

    @property
    def is_open(self) -> bool:
        """Whether a sentence is unfinished."""
        return self.n_finished < self.finished.numel()

    @property
    def n_slots(self) -> int:
        """Slots of a sentence in use; the beams of the next pass take those behind them."""
        return 0 if self.step == 0 else 1 + (self.step - 1) * self.beam

    def block(self, extent: int | None = None) -> tuple[Tensor, Paths]:
        """Return what to score: the newest token of each beam [S, N] int64, N = 1 at first, then b, and its path.

        Args:
            extent: how many places of the beams to look at, at least step + 1; None: so many.
        """
        width = 1 if self.step == 0 else self.beam
        slots = self._slots[:, :width, : self._extent(extent)].contiguous()
        return self._last[:, :width].contiguous(), Paths(slots, self._steps(width))

    def _extent(self, extent: int | None) -> int:
        return self.step + 1 if extent is None else extent

    def _steps(self, width: int) -> Tensor:
        """Return the step for each of so many beams, [S, N] int64."""
        return self.at[:, None].expand(-1, width).contiguous()

    def rank(self, lprobs: Tensor, extent: int | None = None, reach: Reach | None = None) -> Candidates:
        """Find the best 2b continuations of each sentence.

        Args:
            lprobs: [S, N, V] float32, log-probabilities without NaN of what follows each beam. Changed in place.
            extent: see `block`.
            reach: what the step comes to, where it is not that of the limits.

        Which of equal scores comes first is decided by the call that fairseq makes.
        """
        if not rounds.can_run(lprobs):
            return self._rank(self._constrain(lprobs, extent, reach))
        found, tied = native_beam.rank(self.limits, self._beams, self.step, lprobs)
        candidates = Candidates(*found)
        if tied is not None:
            for part, again in zip(candidates, self._rank(lprobs), strict=True):
                part[tied] = again[tied]
        return candidates

    def _constrain(self, lprobs: Tensor, extent: int | None, reach: Reach | None) -> Tensor:
        """Do to the scores what the options say."""
        width, extent = lprobs.size(1), self._extent(extent)
        reach = self.limits.reach(self.step, self.step) if reach is None else reach
        return constrain(lprobs, self._steps(width), self.limits, reach, lambda: self._tokens[:, :width, :extent])

    def _rank(self, lprobs: Tensor) -> Candidates:
        """Find the best by torch; lprobs [S, N, V] are edited already."""
        symbols = lprobs.size(2)
        if self.step > 0:
            join_beams_at_end_of_prefix(self.limits, self.step, [*self._beams, lprobs])
            lprobs = lprobs + self._totals.gather(2, self._column((self.at - 1).clamp(min=0)))  # [S, b, 1]
        totals = lprobs.flatten(1)
        index = best_of_equals(totals, 2 * self.beam)
        return Candidates(totals.gather(1, index), index % symbols, torch.div(index, symbols, rounding_mode="floor"))

    def reach(self, limits: Limits) -> Reach:
        """Say what the next pass can come to by limits, which need not be those of a batch that is filled up."""
        return limits.reach(self.lowest, self.step + self.depth)

    def take(self, lprobs: Tensor, extent: int | None = None, reach: Reach | None = None) -> list[Decision]:
        """Make the steps that a pass decides by torch, here one, but for what the host knows; arguments: see `rank`."""
        goes, candidates = ~self.finished, self.rank(lprobs, extent, reach)
        self.settle(candidates, goes)
        return [Decision(goes, candidates)]

    def go_on(self, lprobs: Tensor) -> None:
        """Make the steps that scores [S, N, V] decide."""
        self.advance(self.rank(lprobs))

    def advance(self, candidates: Candidates) -> None:
        """End hypotheses and go on with the best others."""
        self.n_steps += self.finished.numel() - self.n_finished
        if self._trace is not None:
            self._trace.append(Decision(~self.finished, candidates).step(self._rows))
        if not rounds.can_run(candidates.scores):
            self.settle(candidates)
            self.look()
            return
        ended = [*self.ended, self.finished]
        self.n_finished = native_beam.advance(
            self.limits, self._beams, self.step, tuple(candidates), self._spare, self._last, ended
        )
        self._spare, (self._tokens, self._totals, self._slots) = self._beams, self._spare
        self.at += 1
        self.step = self.lowest = self.step + 1

    def look(self) -> list[int]:
        """Read what the host has to know after a pass; return the sentences that are unfinished."""
        finished, at = torch.stack([self.finished.to(self.at), self.at]).tolist()  # host sync: the loop's one
        still_open = [row for row, is_finished in enumerate(finished) if not is_finished]
        self.n_finished = len(finished) - len(still_open)
        self.step = max((at[row] for row in still_open), default=self.step + 1)
        self.lowest = min((at[row] for row in still_open), default=self.step)
        return still_open

    def count(self, decisions: list[Decision]) -> Tensor:
        """Return what the last pass brought to each sentence, as of `Tally.add_round`."""
        return torch.stack([decisions[0].goes.long(), *torch.zeros_like(self.at).expand(2, -1)])

    def begin_again(self) -> None:
        """Set what the host knows to what it was at first."""
        self.step = self.lowest = 0

    def catch_up(self, other: BeamState) -> None:
        """Take what the host knows of another state, from which sentences were taken."""
        self.step, self.lowest = other.step, other.lowest

    def settle(self, candidates: Candidates, goes: Tensor | None = None) -> Candidates:
        """Do what `advance` does by torch, but for what the host knows.

        Args:
            candidates: of each sentence.
            goes: [S] bool, sentences that make the step; None: all that are unfinished. Others stay as they are.

        Returns:
            those that became beams.
        """
        goes = ~self.finished if goes is None else goes
        ends = candidates.ends(self.limits.eos)
        going = candidates.going_on(ends)
        self._end(candidates, ends & goes[:, None])
        self._follow(going, goes)
        self.finished |= goes & (
            self.ended.n.ge(self.beam) | going.scores.eq(-math.inf).all(1) | self.at.ge(self.limits.last_step)
        )
        self.at += goes
        return going

    def _end(self, candidates: Candidates, ends: Tensor) -> None:
        """Put those of the first b candidates aside that end; ends: [S, 2b] bool."""
        scores, tokens, beams = (part[:, : self.beam] for part in candidates)
        ends = ends[:, : self.beam]
        order = self.ended.n[:, None] + ends.cumsum(1) - 1
        takes = ends & (order < self.beam)
        place = torch.where(takes, order, self.beam)  # [S, b]
        wide, here = beams[..., None].expand(-1, -1, self._tokens.size(2)), self._column(self.at)
        ended = self._tokens.gather(1, wide).roll(-1, 2)  # without the first token
        ended.scatter_(2, here, self.limits.eos)
        totals = self._totals.gather(1, wide).scatter_(2, here, scores[..., None])
        each = totals.diff(dim=2, prepend=torch.zeros_like(totals[:, :, :1]))
        lengths = (self.at[:, None] + 1).expand_as(tokens)
        for part, value in zip(self.ended[:4], (ended, each, scores, lengths), strict=True):
            wide = place if part.dim() == 2 else place[..., None].expand_as(value)
            part.scatter_(1, wide, value)
        self.ended.n.add_(takes.sum(1))

    def _follow(self, going: Candidates, goes: Tensor) -> None:
        """Go on with these; beams of other sentences stay, and what is written behind them is written over later."""
        columns = torch.arange(self.beam, device=going.tokens.device)
        beams = torch.where(goes[:, None], going.beams, columns)
        for part in self._beams:
            part.copy_(part.gather(1, beams[..., None].expand_as(part)))
        here, following = self._column(self.at), self._column((self.at + 1).clamp(max=self._tokens.size(2) - 1))
        self._tokens.scatter_(2, following, going.tokens[..., None])
        self._totals.scatter_(2, here, going.scores[..., None])
        self._slots.scatter_(2, following, self._next_slots().to(self._slots).expand_as(beams)[..., None])
        self._last.copy_(going.tokens)

    def _next_slots(self) -> Tensor:
        """Return where the next pass puts the beams, [S or 1, b]."""
        return 1 + self.at[:, None] * self.beam + torch.arange(self.beam, device=self.at.device)

    def _column(self, index: Tensor) -> Tensor:
        """Return what gathers or scatters one place of each beam, [S, b, 1]. index: [S] int64."""
        return index[:, None, None].expand(-1, self.beam, 1)

    def tensors(self) -> list[Tensor]:
        """Return all that sentences have where steps are made by torch, each tensor with a row for every one."""
        return [*self._beams, self._last, *self.ended, self.finished, self.at]

    def rows_to_keep(self) -> Tensor | None:
        """Return [S'] int64, the sentences to go on with, when dropping the finished ones pays, else None."""
        return rows_to_keep(self.finished, self.n_finished)

    def select_rows(self, rows: Tensor) -> None:
        """Go on with these sentences only; set the others aside. rows: [S'] int64."""
        self._set_aside()
        self._tokens, self._totals, self._slots = (part.index_select(0, rows) for part in self._beams)
        self._spare = tuple(torch.zeros_like(part) for part in self._beams)
        self.ended = NBest(*(part.index_select(0, rows) for part in self.ended))
        self._last, self.finished = self._last.index_select(0, rows), self.finished.index_select(0, rows)
        self._rows, self.at = self._rows.index_select(0, rows), self.at.index_select(0, rows)
        self.limits = self.limits.select_rows(rows)
        self.n_finished = 0

    def tally(self) -> Tally:
        """Count what was done: a round is a step of a sentence."""
        tally = Tally(0)
        ones = torch.ones(self.n_steps, dtype=torch.int64)
        tally.add_round(torch.stack([ones, torch.zeros_like(ones), torch.zeros_like(ones)]))
        return tally

    def result(self) -> NBest:
        """Return the hypotheses of all sentences, in the sentences' first order."""
        self._set_aside()
        *parts, n = self._aside
        return NBest(*(part[:, : self.beam] for part in parts), n)

    def _set_aside(self) -> None:
        for done, now in zip(self._aside, self.ended, strict=True):
            done.index_copy_(0, self._rows, now)
