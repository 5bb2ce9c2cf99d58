"""Beams that look ahead, for whole batches: what a pass takes, and as many steps as what it found decides.

A pass takes each sentence's live beams and, behind them, prefixes that the same search would visit if guesses were
right. Then the step of the plain search is made on the live beams, and further ones on the lists of what was verified
ahead, in each sentence as far as they reach; others wait. Everything has a fixed shape, and the host reads nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits, Reach
from fairseq_specdec.search.beam_state import BeamState
from fairseq_specdec.search.candidates import Candidates, Decision, Step
from fairseq_specdec.search.guesses import MAX_SUFFIX, Guesses, Lists
from fairseq_specdec.search.state import Tally

ROUNDING = 1e-5  # a continuation is no better than its beam, but for this


class Prefixes(NamedTuple):
    """Prefixes of each sentence.

    Args:
        totals: [S, F] float32, -inf where there is none.
        recent: [S, F, 3] int64, the last tokens, the last one first.
        places: [S, F] int64, where the guide goes on.
        columns: [S, F] int64, the position of the pass that they are; -1: none.
        slots: [S, F, P] int32, their paths.
    """

    totals: Tensor
    recent: Tensor
    places: Tensor
    columns: Tensor
    slots: Tensor


class Positions(NamedTuple):
    """The N positions of a pass: live beams, then what is verified ahead.

    Args:
        recent: [S, N, 3] int64, the last tokens, the own one first.
        places: [S, N] int64, where the guide goes on.
        parents: [S, N] int64, the position that each continues; -1: none of this pass.
        is_there: [S, N] bool, others fill up.
        depths: [S, N] int64.
        slots: [S, N, P] int32, their paths.
    """

    recent: Tensor
    places: Tensor
    parents: Tensor
    is_there: Tensor
    depths: Tensor
    slots: Tensor

    def find(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Return which position continues a position [S, b] with a token [S, b]; -1 where none does."""
        same = self.parents[:, None].eq(parents[..., None]) & self.recent[:, None, :, 0].eq(tokens[..., None])
        same &= self.is_there[:, None] & parents.ge(0)[..., None]  # [S, b, N]
        return torch.where(same.any(2), same.to(torch.int8).argmax(2), -1)


class AheadState(BeamState):
    """Beams of a batch, each sentence at a step of its own.

    Args:
        limits, first, beam, trace, finished: see `BeamState`; without a prefix.
        ahead: A, positions of a pass beside the live beams.
        guesses: of the sentences.
    """

    def __init__(
        self,
        limits: Limits,
        first: Tensor,
        beam: int,
        ahead: int,
        guesses: Guesses,
        trace: list[Step] | None = None,
        finished: Tensor | None = None,
    ) -> None:
        super().__init__(limits, first, beam, trace, finished)
        self.ahead, self.depth, self._guesses = ahead, 1 + ahead // beam, guesses
        self._used = torch.zeros_like(first)  # slots
        self._n_used = 0
        size = first.size(0), self.capacity
        self._places_at = first.new_zeros(size)  # of what lies in each slot: where the guide goes on
        self._tokens_at = first.new_zeros(size if limits.no_repeat_ngram else (size[0], 0))
        self._positions: Positions
        self._counts: list[Tensor] = []

    @property
    def capacity(self) -> int:
        """Slots of the cache that a sentence can need: a pass makes a step at least."""
        return (self.beam + self.ahead) * (self.limits.max_len + 1)

    @property
    def n_slots(self) -> int:
        """Slots of a sentence in use."""
        return self._n_used

    def _extent(self, extent: int | None) -> int:
        return min(self.step + 1 + self.depth, self.limits.max_len + 1) if extent is None else extent

    def block(self, extent: int | None = None) -> tuple[Tensor, Paths]:
        """Return what to score, [S, N] int64, N = 1 + A at first, then b + A, and the paths; see `BeamState.block`."""
        live = self._live(self._extent(extent))
        made = self._positions = self._look_ahead(live)
        own = self._used[:, None] + torch.arange(made.depths.size(1), device=self.at.device)  # [S, N]
        self._places_at.scatter_(1, own, made.places)
        if self.limits.no_repeat_ngram:
            self._tokens_at.scatter_(1, own, made.recent[..., 0])
        return made.recent[..., 0].contiguous(), Paths(made.slots, made.depths)

    def _live(self, extent: int) -> Prefixes:
        """Return the live beams."""
        width = 1 if self.step == 0 else self.beam
        index = self.at[:, None] - torch.arange(MAX_SUFFIX, device=self.at.device)  # [S, 3]
        wide = index.clamp(min=0)[:, None].expand(-1, width, -1)
        recent = self._tokens[:, :width].gather(2, wide).masked_fill(index[:, None] < 0, -2)
        columns = torch.arange(width, device=self.at.device).expand(self.at.numel(), -1)
        totals, places = torch.zeros_like(columns, dtype=torch.float32), torch.zeros_like(columns)
        if self.step > 0:
            before = self._column((self.at - 1).clamp(min=0))
            totals = self._totals.gather(2, before).squeeze(2)
            parents = self._slots.gather(2, before).squeeze(2)  # their slots
            places = self._guesses.follow(self._places_at.gather(1, parents.long()), recent)
        return Prefixes(totals, recent, places, columns, self._slots[:, :width, :extent].contiguous())

    def _expect(self, prefixes: Prefixes) -> Candidates:
        """Return which beams [S, b] a step would come to by the guesses."""
        scores, tokens = self._guesses.lists(prefixes.recent, prefixes.places)
        totals = (prefixes.totals[..., None] + scores).flatten(1)
        best, index = torch.topk(totals, 2 * self.beam)
        beams = torch.div(index, scores.size(2), rounding_mode="floor")
        return Candidates(best, tokens.flatten(1).gather(1, index), beams).going_on(self.limits.eos)

    def _behind(self, prefixes: Prefixes, going: Candidates) -> Prefixes:
        """Return prefixes continued; their columns are those of what they continue."""
        scores, tokens, beams = going
        before = prefixes.recent.gather(1, beams[..., None].expand(-1, -1, MAX_SUFFIX))[..., :-1]
        recent = torch.cat([tokens[..., None], before], dim=2)
        places = self._guesses.follow(prefixes.places.gather(1, beams), recent)
        slots = prefixes.slots.gather(1, beams[..., None].expand(-1, -1, prefixes.slots.size(2)))
        return Prefixes(scores, recent, places, prefixes.columns.gather(1, beams), slots)

    def _look_ahead(self, live: Prefixes) -> Positions:
        """Return the positions of a pass: behind the live beams what guesses lead to, as long as there is room.

        Beams are left out that by the guesses give no continuation which is good enough, and what stands behind them.
        """
        made = self._filled(live)
        room = torch.full_like(self.at, live.columns.size(1))[:, None]  # [S, 1], the next position
        ahead, going = live, self._expect(live)
        for layer in range(1, self.depth + 1):
            ahead, depth = self._behind(ahead, going), self.at + layer
            following = self._expect(ahead)
            wanted = (ahead.totals > following.scores[:, -1:]) & (ahead.columns >= 0)
            wanted &= ((depth <= self.limits.last_step) & ~self.finished)[:, None]
            column = room + wanted.cumsum(1) - 1
            wanted &= column < made.depths.size(1) - 1
            column = torch.where(wanted, column, made.depths.size(1) - 1)  # the last position takes what is left out
            self._place(made, ahead, column, depth)
            made.is_there.scatter_(1, column, wanted)
            room = room + wanted.sum(1, keepdim=True)
            ahead, going = ahead._replace(columns=torch.where(wanted, column, -1)), following
        return Positions(*(part[:, :-1].contiguous() for part in made))

    def _filled(self, live: Prefixes) -> Positions:
        """Return positions of which only the live beams are there, one more than the pass has."""
        n, width, extent = self.at.numel(), *live.slots.shape[1:]
        size = n, width + self.ahead + 1
        made = Positions(
            self.at.new_full((*size, MAX_SUFFIX), self.limits.eos),
            self.at.new_zeros(size),
            self.at.new_full(size, -1),
            self.finished.new_zeros(size),
            self.at.new_zeros(size),
            self._slots.new_zeros(*size, extent),
        )
        made.recent[:, :width], made.places[:, :width], made.slots[:, :width] = live.recent, live.places, live.slots
        made.is_there[:, :width] = (live.totals > -math.inf) & ~self.finished[:, None]
        made.depths[:, :width] = self.at.clamp(max=extent - 1)[:, None]  # finished sentences may be farther
        return made

    def _place(self, made: Positions, ahead: Prefixes, column: Tensor, depth: Tensor) -> None:
        """Put prefixes at positions column [S, b]; depth: [S] int64."""
        own = (self._used[:, None] + column).to(ahead.slots)[..., None]
        ahead.slots.scatter_(2, self._column(depth.clamp(max=ahead.slots.size(2) - 1)), own)
        for into, part in zip(made, (ahead.recent, ahead.places, ahead.columns), strict=False):
            into.scatter_(1, column if part.dim() == 2 else column[..., None].expand_as(part), part)
        made.depths.scatter_(1, column, depth[:, None].expand_as(column))
        made.slots.scatter_(1, column[..., None].expand_as(ahead.slots), ahead.slots)

    def take(self, lprobs: Tensor, extent: int | None = None, reach: Reach | None = None) -> list[Decision]:
        """Make as many steps as the pass decides; arguments as of `BeamState.rank`."""
        made, width = self._positions, 1 if self.step == 0 else self.beam
        reach = self.reach(self.limits) if reach is None else reach
        constrain(lprobs, made.depths, self.limits, reach, lambda: self._history(made.slots))
        goes, candidates = ~self.finished, self._rank(lprobs[:, :width].contiguous())
        lists = Lists(*torch.topk(lprobs, min(2 * self.beam + 1, lprobs.size(2))))
        self._guesses.learn(made.recent, lists, made.is_there)
        self._used += made.depths.size(1)
        decisions = [Decision(goes, candidates)]
        columns = torch.arange(self.beam, device=self.at.device).expand(self.at.numel(), -1)
        for _ in range(self.depth):
            going = self.settle(candidates, goes)
            columns = made.find(columns.gather(1, going.beams), going.tokens)
            candidates, is_decided = self._candidates(lists, columns)
            goes = goes & is_decided & ~self.finished
            self._stand_on(columns, goes)
            decisions.append(Decision(goes, candidates))
        self.settle(candidates, goes)
        return decisions

    def _history(self, slots: Tensor) -> Tensor:
        """Return the tokens of paths, [S, N, P] int64."""
        return self._tokens_at.gather(1, slots.long().flatten(1)).view(slots.shape)

    def _candidates(self, lists: Lists, columns: Tensor) -> tuple[Candidates, Tensor]:
        """Find the best continuations by the lists of positions.

        Args:
            lists: of all positions.
            columns: [S, b] int64, the positions that are the beams; -1 where a beam was not verified.

        Returns:
            the best, and in which sentences [S] bool these are what the plain search finds: all that matter are better
            than a beam that was not verified, and no two that matter are equal (which comes first of those is for
            fairseq's own call to say, on all scores).
        """
        n, size = 2 * self.beam, lists.scores.size(2)
        totals = self._totals.gather(2, self._column((self.at - 1).clamp(min=0)))  # [S, b, 1]
        is_known = columns.ge(0)[..., None]
        index = columns.clamp(min=0)[..., None].expand(-1, -1, size)
        scores = torch.where(is_known, totals + lists.scores.gather(1, index), -math.inf)
        bound = totals.masked_fill(is_known, -math.inf).amax(1) + ROUNDING + max(0.0, -self.limits.unk_penalty)
        best, where = torch.topk(scores.flatten(1), n + 1)
        tokens = lists.tokens.gather(1, index).flatten(1).gather(1, where)
        beams = torch.div(where, size, rounding_mode="floor")
        found = Candidates(best[:, :n], tokens[:, :n], beams[:, :n])
        goes_on = ~found.ends(self.limits.eos)
        matters = goes_on.cumsum(1) - goes_on.long() < self.beam
        is_open = (best[:, :n] <= bound) & (bound > -math.inf)
        is_tied = best[:, :n].eq(best[:, 1:]) & best[:, :n].gt(-math.inf)
        return found, ~(matters & (is_open | is_tied)).any(1)

    def _stand_on(self, columns: Tensor, goes: Tensor) -> None:
        """Let beams of sentences that go on [S] bool lie where positions [S, b] of this pass were written."""
        here = self._column(self.at)
        first = (self._used - self._positions.depths.size(1))[:, None]
        own = torch.where(goes[:, None] & columns.ge(0), first + columns, self._slots.gather(2, here).squeeze(2))
        self._slots.scatter_(2, here, own.to(self._slots)[..., None])

    def _next_slots(self) -> Tensor:
        return self._used[:, None] + torch.arange(self.beam, device=self.at.device)

    def go_on(self, lprobs: Tensor) -> None:
        """Make the steps that scores [S, N, V] decide."""
        decisions = self.take(lprobs)
        self._counts.append(self.count(decisions))
        if self._trace is not None:
            self._trace += [decision.step(self._rows) for decision in decisions]
        self.look()

    def look(self) -> list[int]:
        """Read what the host has to know after a pass; return the sentences that are unfinished."""
        self._n_used += (1 if self._n_used == 0 else self.beam) + self.ahead
        return super().look()

    def begin_again(self) -> None:
        """Set what the host knows to what it was at first."""
        super().begin_again()
        self._n_used = 0

    def tally(self) -> Tally:
        """Count what was done: a round is a pass for a sentence."""
        tally = Tally(self.ahead)
        for counts in self._counts:
            tally.add_round(counts)
        return tally

    def count(self, decisions: list[Decision]) -> Tensor:
        """Return what the last pass brought, as of `Tally.add_round`."""
        kept = torch.stack([decision.goes for decision in decisions]).sum(0)
        drafted = self._positions.is_there[:, -self.ahead :].sum(1)
        return torch.stack([kept, drafted, (kept - 1).clamp(min=0)])

    def tensors(self) -> list[Tensor]:
        """Return all that sentences have, each tensor with a row for every one."""
        return [*super().tensors(), *self._guesses.tensors(), self._used, self._places_at, self._tokens_at]

    def catch_up(self, other: BeamState) -> None:
        """Take what the host knows of another state from which sentences were taken."""
        super().catch_up(other)
        self._n_used = other.n_slots

    def select_rows(self, rows: Tensor) -> None:
        """Go on with these sentences only; set the others aside. rows: [S'] int64."""
        super().select_rows(rows)
        self._guesses.select_rows(rows)
        self._used, self._places_at, self._tokens_at = (
            part.index_select(0, rows) for part in (self._used, self._places_at, self._tokens_at)
        )
