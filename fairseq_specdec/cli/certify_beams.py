"""The certificate of a log of beam search: the search is made again, and its lists are held against the log's.

Of the run only its lists are known, not its steps. So this package searches again, with every step checked by stock
modules (`beam_certificate`), and stock modules score each hypothesis of the log by teacher forcing: its numbers are
checked even where the run's search went another way at a near tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from fairseq.data import Dictionary, data_utils
from torch import Tensor, nn

from fairseq_specdec.beam_certificate import certify_beams
from fairseq_specdec.certificate import NEAR_TIE, Certificate, chunks, rescore, rescore_one
from fairseq_specdec.cli.certify_log import Twins, read_scores, settle_twins
from fairseq_specdec.cli.certify_verdict import Finding, Listed, Printed, SearchMade, judge, match_places
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.evaluation.generate_log import GeneratedSentence
from fairseq_specdec.generator import EOS_NOT_MATCHED
from fairseq_specdec.hypotheses import Hypothesis, rank_hypotheses
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.search.beam import BeamDecoder
from fairseq_specdec.search.candidates import Candidates, Step
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.ties import totals_before

_MAX_SENTENCES = 64  # searched at a time: bounds memory, not the result


@dataclass
class BeamVerdict:
    """What was found about the lists of a log.

    Args:
        certificate: counts of hypotheses, and of the decisions of the search made again.
        search: of these decisions alone.
        hypotheses: how many the log has.
        near_ties: sentences (places in the data) with near ties and nothing wrong, and the first of them.
        wrong: sentences with anything wrong, and what it is first.
    """

    certificate: Certificate = field(default_factory=Certificate)
    search: Certificate = field(default_factory=Certificate)
    hypotheses: int = 0
    near_ties: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)

    def add_search(self, certificate: Certificate) -> None:
        """Count what certifies the search of a batch."""
        self.search.add(certificate)
        self.certificate.add(certificate)

    def add_sentence(self, sentence: GeneratedSentence, findings: list[Finding]) -> None:
        """Count what was found about a sentence."""
        self.hypotheses += 1 + len(sentence.further)
        for finding in findings:
            self.certificate.add(finding.counted())
        reasons = {kind: [one.reason for one in findings if one.kind == kind] for kind in ("wrong", "near_tie")}
        for kind, named in (("wrong", self.wrong), ("near_tie", self.near_ties)):
            if reasons[kind]:
                more = f", and {len(reasons[kind]) - 1} more" if len(reasons[kind]) > 1 else ""
                named[sentence.id] = reasons[kind][0] + more
                break


class BeamCertifier:
    """Holds a log against the search that is made again.

    Args:
        models: the verifier, which the engine can run.
        dictionary: the target dictionary.
        options: of the run.
        n_best: hypotheses that it printed for a sentence, at most.
        twins: see `read_twins`.

    Attributes:
        verdict: on what was seen so far.
    """

    def __init__(
        self, models: list[nn.Module], dictionary: Dictionary, options: GenerationOptions, n_best: int, twins: Twins
    ) -> None:
        encoders, weights = [FastEncoder(m.encoder) for m in models], [read_verifier(m.decoder) for m in models]
        self._decoder = BeamDecoder(Verifier(encoders, weights, options.temperature), options.beam)
        self._models, self._options, self._n_best, self._twins = models, options, n_best, twins
        self._bound = NEAR_TIE[models[0].decoder.embed_tokens.weight.dtype]
        self._printed = [twins.get(i, [i])[0] for i in range(len(dictionary))]
        self.verdict = BeamVerdict()

    @torch.no_grad()
    def certify(self, batch: Batch, sentences: list[GeneratedSentence], outputs: list[list[Tensor]]) -> None:
        """Judge the sentences of a batch.

        Args:
            batch: as in the run, without the sentences that the log lacks.
            sentences: of the log, in its order.
            outputs: the hypotheses of each, [n] int64, eos at the end.
        """
        device = batch.first.device
        for begin in range(0, batch.n_rows, _MAX_SENTENCES):
            part = slice(begin, begin + _MAX_SENTENCES)
            rows = torch.arange(batch.n_rows, device=device)[part]
            given = [[one.to(device) for one in ones] for ones in outputs[part]]
            self._certify(batch.select_rows(rows), sentences[part], given)

    def _certify(self, batch: Batch, sentences: list[GeneratedSentence], outputs: list[list[Tensor]]) -> None:
        trace: list[Step] = []
        nbest, _ = self._decoder.decode(batch, trace)
        self.verdict.add_search(certify_beams(self._models, batch, trace, nbest, self._options))
        found = rank_hypotheses(nbest, self._options, (batch.source.lengths - EOS_NOT_MATCHED).tolist())
        encoded = [model.encoder.forward_torchscript(batch.net_input) for model in self._models]
        if self._twins:
            outputs = [
                self._settle(batch, encoded, row, *pair) for row, pair in enumerate(zip(outputs, found, strict=True))
            ]
        stock = self._score(batch, encoded, outputs)
        for row, sentence in enumerate(sentences):
            log = [
                Listed(real.ids, *read_scores(one))
                for real, one in zip(stock[row], (sentence, *sentence.further), strict=True)
            ]
            made = [Listed(self._told(one["tokens"]), float(one["score"])) for one in found[row]]
            search = SearchMade(made, partial(_steps_of, trace, row), batch.limits.eos, self._printed)
            self.verdict.add_sentence(sentence, judge(log, stock[row], search, self._n_best, self._bound))

    def _told(self, ids: Tensor) -> Printed:
        """Return a hypothesis's ids [n] as a log tells them apart."""
        return tuple(self._printed[i] for i in ids.tolist())

    def _settle(
        self, batch: Batch, encoded: list[Any], row: int, outputs: list[Tensor], found: list[Hypothesis]
    ) -> list[Tensor]:
        """Say which of ids that are printed alike is meant: what the search found, else what the verifier prefers."""
        places = match_places([self._told(one) for one in outputs], [self._told(one["tokens"]) for one in found])
        settled = []
        for output, place in zip(outputs, places, strict=True):
            if place is None:
                score = partial(rescore_one, self._models, encoded, batch.limits, self._options.temperature, row)
                output = settle_twins(torch.cat([batch.first[row, None], output]), self._twins, score)[1:]
            settled.append(output if place is None else found[place]["tokens"])
        return settled

    def _score(self, batch: Batch, encoded: list[Any], outputs: list[list[Tensor]]) -> list[list[Listed]]:
        """Score all hypotheses by teacher forcing, and add up as fairseq does."""
        every = [(row, one) for row, ones in enumerate(outputs) for one in ones]
        rows = torch.tensor([row for row, _ in every], device=batch.first.device)
        following = data_utils.collate_tokens([one for _, one in every], batch.limits.pad)  # [H, T]
        tokens = torch.cat([batch.first[rows, None], following], dim=1)
        lengths = (batch.source.lengths - EOS_NOT_MATCHED).tolist()
        listed: list[list[Listed]] = [[] for _ in outputs]
        for part in chunks(tokens, self._models[0]):
            own, target = rows[part], following[part]
            chosen = [m.encoder.reorder_encoder_out(out, own) for m, out in zip(self._models, encoded, strict=True)]
            limits, each = batch.limits.select_rows(own), torch.arange(own.numel(), device=own.device)
            lprobs = rescore(self._models, chosen, tokens[part], each, limits, self._options.temperature)
            totals = totals_before(lprobs.new_zeros(own.numel()), target[:, :-1], lprobs)  # [H', T]
            totals = totals + lprobs.gather(-1, target[..., None]).squeeze(-1)
            for i, row, sums in zip(part.tolist(), own.tolist(), totals.tolist(), strict=True):
                sums = sums[: len(every[i][1])]
                single = [b - a for a, b in pairwise([0.0, *sums])]
                listed[row].append(Listed(self._told(every[i][1]), self._normalized(sums, lengths[row]), single))
        return listed

    def _normalized(self, sums: list[float], source_length: int) -> float:
        """Return what hypotheses are ordered by; as `rank_hypotheses` does."""
        n, options = len(sums), self._options
        if options.match_source_len and n - 1 > source_length:
            return -math.inf
        return sums[-1] / n**options.lenpen if options.normalize else sums[-1]


def _steps_of(trace: list[Step], row: int) -> Iterator[Candidates]:
    """Yield the candidates [1, 2b] of one sentence in each step that it took part in."""
    for step in trace:
        own = step.rows.eq(row)
        if not own.any():
            return
        yield Candidates(*(part[own] for part in step.candidates))
