"""Beams that look ahead, for whole batches: what a pass takes, and as many steps as what is verified decides.

A pass takes each sentence's live beams and, behind them, prefixes that the same search would visit if guesses were
right. Then the step of the plain search is made on the live beams, and further ones on the lists of what was verified
ahead, in each sentence as far as they reach; others wait. Everything has a fixed shape, and the host reads nothing.

A beam that was verified ahead is scored once more when it is live, since which of equal scores comes first can only be
said by fairseq's own call on all of them; for what stands behind it, it stays where it was verified.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits, Reach
from fairseq_specdec.search.beam_state import BeamState
from fairseq_specdec.search.candidates import Candidates, Decision, Step
from fairseq_specdec.search.guesses import MAX_SUFFIX, Guesses, Lists
from fairseq_specdec.search.positions import WINDOW, Positions, Prefixes, Verified
from fairseq_specdec.search.state import Tally

DEPTH = 1  # layers ahead at least; each takes many small operations
ROUNDING = 1e-5  # a continuation is no better than its beam, but for this


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
        self.ahead, self.depth, self._guesses = ahead, DEPTH + ahead // beam, guesses
        self._used = torch.zeros_like(first)  # slots
        self._n_used = 0
        self._verified = Verified((first.size(0), self.capacity, 2 * beam + 1), first)
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
        self._look_back()
        made = self._positions = self._look_ahead(*self._live(self._extent(extent)))
        self._verified.put(self._own(made.depths.size(1)), made)
        return made.recent[..., 0].contiguous(), Paths(made.slots, made.depths)

    def _own(self, n: int) -> Tensor:
        """Return the slots that n positions take, [S, n]."""
        return self._used[:, None] + torch.arange(n, device=self.at.device)

    def _look_back(self) -> None:
        self._verified.look_back(self._used, WINDOW * (self.beam + self.ahead))

    def _live(self, extent: int) -> tuple[Prefixes, Tensor]:
        """Return the live beams, and the slots of the prefixes that they continue [S, W]; -1 at the root."""
        width = 1 if self.step == 0 else self.beam
        index = self.at[:, None] - torch.arange(MAX_SUFFIX, device=self.at.device)  # [S, 3]
        wide = index.clamp(min=0)[:, None].expand(-1, width, -1)
        recent = self._tokens[:, :width].gather(2, wide).masked_fill(index[:, None] < 0, -2)
        nodes, before = self._nodes()[:, :width], self._column((self.at - 1).clamp(min=0))
        totals, places = torch.zeros_like(nodes, dtype=torch.float32), torch.zeros_like(nodes)
        parents = torch.full_like(nodes, -1)
        if self.step > 0:
            totals = self._totals.gather(2, before).squeeze(2)
            parents = self._slots.gather(2, before).squeeze(2).long()
            places = self._guesses.follow(self._verified.places(parents), recent)
        return Prefixes(totals, recent, places, nodes, self._slots[:, :width, :extent].contiguous()), parents

    def _nodes(self) -> Tensor:
        """Return the slots of the live beams, [S, b] int64."""
        return self._slots.gather(2, self._column(self.at)).squeeze(2).long()

    def _expect(self, prefixes: Prefixes) -> Candidates:
        """Return which beams [S, b] a step would come to, by the lists that are known and guesses of the others."""
        guessed, known = self._guesses.lists(prefixes.recent, prefixes.places), self._verified.lists(prefixes.nodes)
        is_known = (prefixes.nodes.ge(0) & (prefixes.nodes < self._used[:, None]))[..., None]
        scores = torch.where(is_known, torch.nn.functional.pad(known.scores, (0, 1), value=-math.inf), guessed.scores)
        tokens = torch.where(is_known, torch.nn.functional.pad(known.tokens, (0, 1)), guessed.tokens)
        best, index = torch.topk((prefixes.totals[..., None] + scores).flatten(1), 2 * self.beam)
        beams = torch.div(index, scores.size(2), rounding_mode="floor")
        expected = Candidates(best, tokens.flatten(1).gather(1, index), beams)
        return expected.going_on(expected.ends(self.limits.eos))

    def _behind(self, prefixes: Prefixes, going: Candidates) -> tuple[Prefixes, Tensor]:
        """Return prefixes continued, and the slots of what they continue [S, b]."""
        scores, tokens, beams = going
        before = prefixes.recent.gather(1, beams[..., None].expand(-1, -1, MAX_SUFFIX))[..., :-1]
        recent = torch.cat([tokens[..., None], before], dim=2)
        places = prefixes.places.gather(1, beams) + 1  # looked up again when they are live
        slots = prefixes.slots.gather(1, beams[..., None].expand(-1, -1, prefixes.slots.size(2)))
        parents = prefixes.nodes.gather(1, beams)
        return Prefixes(scores, recent, places, self._verified.find(parents, tokens), slots), parents

    def _look_ahead(self, live: Prefixes, parents: Tensor) -> Positions:
        """Return the positions of a pass: behind the live beams what guesses lead to, as long as there is room.

        Beams are left out that by the guesses give no continuation which is good enough, and what stands behind them.
        """
        made = self._filled(live, parents)
        room = torch.full_like(self.at, live.nodes.size(1))[:, None]  # [S, 1], the next position
        last = made.depths.size(1) - 1  # takes what is left out
        ahead, going = live, self._expect(live)
        for layer in range(1, self.depth + 1):
            (ahead, parents), depth = self._behind(ahead, going), self.at + layer
            going = self._expect(ahead)
            wanted = (ahead.totals > going.scores[:, -1:]) & (ahead.nodes < 0) & (parents >= 0)
            wanted &= ((depth <= self.limits.last_step) & ~self.finished)[:, None]
            column = room + wanted.cumsum(1) - 1
            wanted &= column < last
            column = torch.where(wanted, column, last)
            room = room + wanted.sum(1, keepdim=True)
            ahead = ahead._replace(nodes=torch.where(wanted, self._used[:, None] + column, ahead.nodes))
            self._stand(ahead.slots, depth, ahead.nodes)
            self._place(made, Positions(ahead.recent, ahead.places, parents, wanted, depth, ahead.slots), column)
        return Positions(*(part[:, :-1].contiguous() for part in made))

    def _filled(self, live: Prefixes, parents: Tensor) -> Positions:
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
        is_new = live.nodes >= self._used[:, None]  # others have been verified ahead
        is_there = (live.totals > -math.inf) & is_new & ~self.finished[:, None]
        depths = self.at.clamp(max=extent - 1)[:, None].expand_as(parents)  # finished sentences may be farther
        given = Positions(live.recent, live.places, parents, is_there, depths, live.slots)
        for into, part in zip(made, given, strict=True):
            into[:, :width] = part
        return made

    def _place(self, made: Positions, given: Positions, column: Tensor) -> None:
        """Put prefixes, all as deep (depths [S]), at positions column [S, b]."""
        for into, part in zip(made, given._replace(depths=given.depths[:, None].expand_as(column)), strict=True):
            into.scatter_(1, column if part.dim() == 2 else column[..., None].expand_as(part), part)

    def _stand(self, slots: Tensor, depth: Tensor, nodes: Tensor) -> None:
        """Write the slots of prefixes [S, b] into their paths [S, b, P]; -1 is none. depth: [S] int64."""
        here = self._column(depth.clamp(max=slots.size(2) - 1))
        current = slots.gather(2, here).squeeze(2)
        slots.scatter_(2, here, torch.where(nodes >= 0, nodes.to(slots), current)[..., None])

    def take(self, lprobs: Tensor, extent: int | None = None, reach: Reach | None = None) -> list[Decision]:
        """Make as many steps as the pass decides; arguments as of `BeamState.rank`."""
        made, width = self._positions, 1 if self.step == 0 else self.beam
        reach = self.reach(self.limits) if reach is None else reach
        constrain(lprobs, made.depths, self.limits, reach, lambda: self._history(made.slots))
        goes, candidates = ~self.finished, self._rank(lprobs[:, :width].contiguous())
        lists = Lists(*torch.topk(lprobs, 2 * self.beam + 1))
        self._verified.learn(self._own(lprobs.size(1)), lists)
        self._guesses.learn(made.recent, lists, made.is_there)
        self._used += lprobs.size(1)
        self._look_back()
        decisions, nodes = [Decision(goes, candidates)], self._nodes()
        for _ in range(self.depth):
            nodes = self._settle_on(decisions[-1], nodes)
            candidates, is_decided = self._candidates(nodes)
            goes = goes & is_decided & ~self.finished
            decisions.append(Decision(goes, candidates))
        self._settle_on(decisions[-1], nodes)
        return decisions

    def _settle_on(self, decision: Decision, nodes: Tensor) -> Tensor:
        """Make a step, and let beams that were verified ahead stand there.

        Args:
            decision: the step.
            nodes: [S, b] int64, the slots of the beams before it.

        Returns:
            [S, b] int64, those of the beams; -1 where one was not verified, or did not make the step.
        """
        goes = decision.goes[:, None]
        going = self.settle(decision.candidates, decision.goes)
        nodes = torch.where(goes, self._verified.find(nodes.gather(1, going.beams), going.tokens), -1)
        self._stand(self._slots, self.at, nodes)
        return nodes

    def _history(self, slots: Tensor) -> Tensor:
        """Return the tokens of paths, [S, N, P] int64."""
        return self._verified.tokens.gather(1, slots.long().flatten(1)).view(slots.shape)

    def _candidates(self, nodes: Tensor) -> tuple[Candidates, Tensor]:
        """Find the best continuations by the lists of what was verified.

        Args:
            nodes: [S, b] int64, the slots of the beams; -1 where one was not verified.

        Returns:
            the best, and in which sentences [S] bool these are what the plain search finds: all that matter are better
            than a beam that was not verified, and no two that matter are equal.
        """
        n, lists, is_known = 2 * self.beam, self._verified.lists(nodes), nodes.ge(0)[..., None]
        totals = self._totals.gather(2, self._column((self.at - 1).clamp(min=0)))  # [S, b, 1]
        scores = torch.where(is_known, totals + lists.scores, -math.inf)
        bound = totals.masked_fill(is_known, -math.inf).amax(1) + ROUNDING + max(0.0, -self.limits.unk_penalty)
        best, where = torch.topk(scores.flatten(1), n + 1)
        tokens = lists.tokens.flatten(1).gather(1, where)
        beams = torch.div(where, lists.tokens.size(2), rounding_mode="floor")
        found = Candidates(best[:, :n], tokens[:, :n], beams[:, :n])
        goes_on = ~found.ends(self.limits.eos)
        matters = goes_on.cumsum(1) - goes_on.long() < self.beam
        is_open = (best[:, :n] <= bound) & (bound > -math.inf)
        is_tied = best[:, :n].eq(best[:, 1:]) & best[:, :n].gt(-math.inf)
        return found, ~(matters & (is_open | is_tied)).any(1)

    def _next_slots(self) -> Tensor:
        return self._own(self.beam)

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
        return [*super().tensors(), *self._guesses.tensors(), *self._verified.tensors(), self._used]

    def catch_up(self, other: BeamState) -> None:
        """Take what the host knows of another state from which sentences were taken."""
        super().catch_up(other)
        self._n_used = other.n_slots

    def select_rows(self, rows: Tensor) -> None:
        """Go on with these sentences only; set the others aside. rows: [S'] int64."""
        super().select_rows(rows)
        self._guesses.select_rows(rows)
        self._verified.select_rows(rows)
        self._used = self._used.index_select(0, rows)
