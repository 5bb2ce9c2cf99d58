"""The certificate of a beam search: stock modules score every hypothesis that was visited, and each step is checked.

fairseq's own decoder goes through the beams that the search went through, a step at a time. What the search decided
(which continuations come first, in which order) is held against what these scores say.
"""

from __future__ import annotations

import torch
from fairseq.sequence_generator import EnsembleModel
from torch import Tensor, nn

from fairseq_specdec.certificate import LARGEST, NEAR_TIE, Certificate
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.rules.constrain import constrain, drop_nan, join_beams_at_end_of_prefix
from fairseq_specdec.search.candidates import Step
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.nbest import NBest


@torch.no_grad()
def certify_beams(
    models: list[nn.Module], batch: Batch, trace: list[Step], found: NBest, options: GenerationOptions
) -> Certificate:
    """Check every step of every sentence, and the order of its hypotheses.

    Args:
        models: the verifier (an ensemble averages probabilities), in evaluation mode.
        batch: as it was decoded.
        trace: the steps of the search.
        found: what came out.
        options: how scores come about.

    Returns:
        counts of decisions: exact where all that matters of the candidates is in the order of the stock scores; a near
        tie where no score differs from that of its place by the bound or more; wrong otherwise.
    """
    replay = _Replay(models, batch, options)
    gaps = [replay.step(step) for step in trace]
    gaps.append(torch.tensor([_disorder(stock, found, row, options) for row, stock in enumerate(replay.ended)]))
    gap = torch.cat([each.cpu() for each in gaps])
    bound = NEAR_TIE[models[0].decoder.embed_tokens.weight.dtype]
    exact, near = int(gap.eq(0).sum()), int((gap.gt(0) & gap.lt(bound)).sum())
    largest = float(gap.nan_to_num(nan=LARGEST, posinf=LARGEST).amax())
    return Certificate(gap.numel(), exact, near, gap.numel() - exact - near, largest)


def _disorder(stock: list[float], found: NBest, row: int, options: GenerationOptions) -> float:
    """Return by how much a hypothesis of a sentence exceeds one before it, by the stock totals; 0 in perfect order."""
    n = min(int(found.n[row]), len(stock))
    lengths = found.lengths[row, :n].cpu().double()
    divisor = lengths**options.lenpen if options.normalize else torch.ones_like(lengths)
    order = (found.totals[row, :n].cpu() / divisor).sort(descending=True, stable=True).indices
    scores = (torch.tensor(stock[:n], dtype=torch.float64) / divisor)[order]
    return float(scores.diff().clamp(min=0.0).amax()) if n > 1 else 0.0


class _Replay:
    """Goes through a search again with stock modules.

    Attributes:
        ended: of each sentence the totals of the hypotheses that have ended, in their order.
    """

    def __init__(self, models: list[nn.Module], batch: Batch, options: GenerationOptions) -> None:
        self._model, self._temperature, beam = EnsembleModel(models), options.temperature, options.beam
        self._encoded = self._model.forward_encoder(batch.net_input)
        self._caches: list[dict[str, dict[str, Tensor | None]]] = [{} for _ in models]
        self._limits, self._beam, self._step = batch.limits, beam, 0
        self._rows = torch.arange(batch.n_rows, device=batch.first.device)
        self._tokens = batch.first[:, None, None].expand(-1, beam, 1).clone()  # [S, b, step + 1]
        self._totals = torch.zeros(batch.n_rows, beam, dtype=torch.float32, device=batch.first.device)
        self.ended: list[list[float]] = [[] for _ in range(batch.n_rows)]
        self._reorder(self._rows.repeat_interleave(beam))

    def step(self, step: Step) -> Tensor:
        """Score the beams, and go on as the search did.

        Returns:
            [S] float32, the greatest difference between the score of a candidate that matters and the score that is
            best at its place.
        """
        self._keep(step.rows)
        scores = self._score()  # [S, N, V]
        candidates, symbols = step.candidates, scores.size(2)
        flat = scores.flatten(1)
        own = flat.gather(1, candidates.beams * symbols + candidates.tokens)  # [S, 2b]
        best = torch.topk(flat, own.size(1)).values
        ends = candidates.ends(self._limits.eos)
        may_end = torch.arange(own.size(1), device=own.device) < self._beam
        matters = may_end | (~ends & (~ends).cumsum(1).le(self._beam))
        gap = torch.where(own.eq(best), 0.0, (best - own).abs()).masked_fill(~matters, 0.0).amax(1)
        for row, totals, is_end in zip(self._rows.tolist(), own.tolist(), (ends & may_end).tolist(), strict=True):
            self.ended[row] += [total for total, at_end in zip(totals, is_end, strict=True) if at_end]
        scored = candidates._replace(scores=own)
        going = scored.going_on(scored.ends(self._limits.eos))
        self._go_on(going.tokens, going.beams, going.scores)
        return gap

    def _score(self) -> Tensor:
        """Return the totals [S, N, V] of all continuations, N = 1 in the first step."""
        n, beam, step = *self._tokens.shape[:2], self._step
        lprobs, _ = self._model.forward_decoder(
            self._tokens.flatten(0, 1), self._encoded, self._caches, self._temperature
        )
        lprobs = lprobs.float().view(n, beam, -1)
        drop_nan(lprobs)
        steps = torch.full((n, beam), step, dtype=torch.int64, device=lprobs.device)
        reach = self._limits.reach(step, step)
        constrain(lprobs, steps, self._limits, reach, lambda: self._tokens)
        if step == 0:
            return lprobs[:, :1]
        join_beams_at_end_of_prefix(self._limits, step, [self._tokens, self._totals[..., None], lprobs])
        return lprobs + self._totals[..., None]

    def _go_on(self, tokens: Tensor, beams: Tensor, totals: Tensor) -> None:
        """Continue beams [S, b] with tokens [S, b]."""
        old = self._tokens.gather(1, beams[..., None].expand(-1, -1, self._tokens.size(2)))
        self._tokens, self._totals = torch.cat([old, tokens[..., None]], dim=2), totals
        first = torch.arange(beams.size(0), device=beams.device)[:, None] * self._beam
        self._reorder((first + beams).flatten(), self._caches)
        self._step += 1

    def _keep(self, rows: Tensor) -> None:
        """Go on with these sentences."""
        if rows.numel() == self._rows.numel():
            return
        kept = torch.searchsorted(self._rows, rows)
        self._rows, self._limits = rows, self._limits.select_rows(kept)
        self._tokens, self._totals = self._tokens[kept], self._totals[kept]
        columns = torch.arange(self._beam, device=rows.device)
        self._reorder((kept[:, None] * self._beam + columns).flatten(), self._caches)

    def _reorder(self, order: Tensor, caches: list | None = None) -> None:
        """Take rows of what stock modules hold. order: [S * b] int64."""
        self._encoded = self._model.reorder_encoder_out(self._encoded, order)
        if caches is not None:
            self._model.reorder_incremental_state(caches, order)
