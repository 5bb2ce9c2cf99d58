#!/usr/bin/env python3
"""Simulate speculation in the beam ("mirror")."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fairseq_specdec
from fairseq_specdec.blocks import Paths
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.generator import batch_of
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.beam import BeamDecoder

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import quickstart  # noqa: E402
from mirror_replay import Count, Guesses, Guide, List, Policy, Prefix, Rules, Search, replay  # noqa: E402

BEAM = 5
MAX_LEN = {"max_len_a": 1.5, "max_len_b": 20}


class Recorder:
    """A verifier of one sentence that keeps the best 2b of every position."""

    def __init__(self, verifier: Verifier, limits: Limits, beam: int) -> None:
        self._verifier, self._limits, self._beam = verifier, limits, beam
        self._tokens: list[int] = []  # of each slot
        self.lists: dict[Prefix, List] = {}
        self.start, self.commit = verifier.start, verifier.commit

    def score(self, tokens: Tensor, longest: int, paths: Paths) -> Tensor:
        """Score a block and keep what is best of each position."""
        lprobs = self._verifier.score(tokens, longest, paths)
        self._tokens += tokens[0].tolist()
        edited = constrain(lprobs.clone(), paths.depths, self._limits)
        best = edited[0].topk(2 * self._beam)
        for slots, depth, scores, ids in zip(
            paths.slots[0].tolist(), paths.depths[0].tolist(), best.values.tolist(), best.indices.tolist(), strict=True
        ):
            prefix = tuple(self._tokens[slot] for slot in slots[: depth + 1])
            pairs = zip(ids, scores, strict=True)
            self.lists[prefix] = [(token, score) for token, score in pairs if score > float("-inf")]
        return lprobs


@dataclass
class Recorded:
    source: list[int]
    first: int
    rules: Rules
    lists: dict[Prefix, List]
    outputs: list[Prefix]
    greedy: list[int] = field(default_factory=list)


def record(job, sentences, folder):
    args = Namespace(sentences=sentences, models=quickstart.ROOT / "checkpoints/quickstart", text=quickstart.ROOT / "data/quickstart")
    quickstart.binarise(job, folder, args)
    def load(**kw):
        return fairseq_specdec.load(args.models / f"{job.model}.pt", folder, source_lang=job.langs[0], target_lang=job.langs[1], **MAX_LEN, **kw)
    model = load(beam=BEAM, nbest=BEAM)
    greedy = load()
    lines = (folder / f"pieces.{job.langs[0]}").read_text("utf-8").splitlines()
    tokens = [model.encode(line) for line in lines]
    outs = greedy.generate_tokens(tokens).tokens
    generator = model.generator
    decoder = generator._ready_decoder()
    found = []
    for ids, out in zip(tokens, outs):
        sample = {"net_input": {"src_tokens": ids[None], "src_lengths": torch.tensor([len(ids)])}}
        batch = batch_of(generator.options, generator.dictionary, generator.models, sample)
        rec = Recorder(decoder.verifier, batch.limits, BEAM)
        nbest, _ = BeamDecoder(rec, BEAM).decode(batch)
        outputs = [tuple(nbest.tokens[0, i, : nbest.lengths[0, i]].tolist()) for i in range(int(nbest.n[0]))]
        first = int(batch.first[0])
        found.append(Recorded(ids.tolist(), first, Rules(BEAM, batch.limits.eos, batch.limits.max_len), rec.lists, outputs, out.tolist()))
    return found
