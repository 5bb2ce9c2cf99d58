#!/usr/bin/env python3
"""Simulate speculation in the beam: what a pass would bring, and what it costs here; writes JSON and a page's table.

    simulate_mirror.py --out docs/mirror.json [--page docs/performance.md] [--threads N]

The shipped models decode the test text of the quickstart by the plain beam search, and the best 2b of every prefix are
kept. fairseq's search is then replayed on these lists with speculation (`mirror_replay`), which gives the same
hypotheses in fewer passes of more positions. What passes cost is measured on random weights of several sizes, the best
2b of each position included. Measure with nothing else running.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fairseq_specdec
from fairseq_specdec.api import SpecModel
from fairseq_specdec.blocks import Paths, Source
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.native import beam as native_beam
from fairseq_specdec.engine.native.library import layers_by
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.generator import batch_of
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.beam import BeamDecoder
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.search.state import DecodeState

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import measured  # noqa: E402
import profile_engine  # noqa: E402
import quickstart  # noqa: E402
from card import origin, table  # noqa: E402
from mirror_replay import Count, Guesses, Guide, List, Policy, Prefix, Rules, replay  # noqa: E402

BEAM, SENTENCES = 5, 120
EXTRA = (0, 4, 7, 8, 13, 16, 25)
MAX_LEN = {"max_len_a": 1.5, "max_len_b": 20}
SIZES = {  # width, feed-forward width, heads, layers of the decoder, symbols
    "translation": (192, 768, 4, 3, 3992),
    "correction": (192, 512, 4, 1, 1632),
    **profile_engine.SIZES,
}
POSITIONS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 18, 19, 21, 24, 25, 30)
CHAINS = {  # of each job: what the drafter says, and in words
    "translation": {"none": "no drafter", "nat": "`nat`, drafts free", "file": "`file`, greedy output"},
    "correction": {"none": "no drafter", "input": "`input`", "file": "`file`, greedy output"},
}
ALL = "every guess right"  # no drafter: the bound
SOURCE, DEPTH, STEPS, REPEATS = 20, 15, 28, 21

GuideOf = Callable[[Prefix], Guide | None]


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
        best = constrain(lprobs.clone(), paths.depths, self._limits)[0].topk(2 * self._beam)
        ends = zip(paths.slots[0].tolist(), paths.depths[0].tolist(), strict=True)
        for (slots, depth), scores, ids in zip(ends, best.values.tolist(), best.indices.tolist(), strict=True):
            prefix = tuple(self._tokens[slot] for slot in slots[: depth + 1])
            pairs = zip(ids, scores, strict=True)
            self.lists[prefix] = [(token, score) for token, score in pairs if score > float("-inf")]
        return lprobs


@dataclass
class Sentence:
    """A sentence that the plain search has decoded: its lists, its hypotheses, and what drafters say."""

    first: int
    rules: Rules
    lists: dict[Prefix, List]
    outputs: list[Prefix]
    guides: dict[str, GuideOf]


@torch.no_grad()
def record(job: quickstart.Job, folder: Path, sentences: int) -> list[Sentence]:
    """Decode the first sentences of a job's text."""
    args = Namespace(
        sentences=sentences,
        models=quickstart.ROOT / "checkpoints" / "quickstart",
        text=quickstart.ROOT / "data" / "quickstart",
    )
    quickstart.binarise(job, folder, args)

    def load(*drafter: Any, **options: Any) -> SpecModel:
        return fairseq_specdec.load(args.models / f"{job.model}.pt", folder, *drafter, **MAX_LEN, **options)

    model = load(beam=BEAM, nbest=BEAM)
    nat = load("nat", args.models / f"{job.drafter}.pt", block_size=6) if job.drafter else None
    lines = (folder / f"pieces.{job.langs[0]}").read_text("utf-8").splitlines()
    sources = [model.encode(line) for line in lines]
    decoder, found = model.generator._ready_decoder(), []
    for source, greedy in zip(sources, load().generate_tokens(sources).tokens, strict=True):
        sample = {"net_input": {"src_tokens": source[None], "src_lengths": torch.tensor([len(source)])}}
        batch = batch_of(model.generator.options, model.generator.dictionary, model.generator.models, sample)
        recorder = Recorder(decoder.verifier, batch.limits, BEAM)
        nbest, _ = BeamDecoder(recorder, BEAM).decode(batch)
        tokens, lengths = nbest.tokens[0].tolist(), nbest.lengths[0].tolist()
        outputs = [tuple(tokens[i][: lengths[i]]) for i in range(int(nbest.n[0]))]
        texts = {"input": Guide(source.tolist()), "file": Guide(greedy.tolist()), "none": None}
        guides: dict[str, GuideOf] = {name: lambda _, text=text: text for name, text in texts.items()}
        if nat is not None:
            guides["nat"] = drafts_of(nat, batch)
        rules = Rules(BEAM, batch.limits.eos, batch.limits.max_len)
        found.append(Sentence(int(batch.first[0]), rules, recorder.lists, outputs, guides))
    return found


def drafts_of(model: SpecModel, batch: Batch) -> GuideOf:
    """Return what makes a guide of a prefix and the drafter's block behind it."""
    generator = model.generator
    verifier, drafter = generator._ready_decoder().verifier, generator.drafter
    state = DecodeState(batch.limits, batch.first, drafter.block_size)
    encoded = tuple(encoder.forward(batch.net_input) for encoder in verifier.encoders)
    source = replace(batch.source, encoded=encoded)

    def guide(prefix: Prefix) -> Guide:
        drafter.start(source, state)
        state.tokens[0, : len(prefix)] = torch.tensor(prefix)
        state.lengths.fill_(len(prefix))
        state.max_length = len(prefix)
        draft = drafter.propose(state)
        return Guide([*prefix[1:], *draft.tokens[0, : int(draft.lengths[0])].tolist()])

    return guide


def count(sentences: list[Sentence], chain: str, extra: int) -> Count:
    """Replay a job with speculation.

    Raises:
        SystemExit: a hypothesis is not the plain search's.
    """
    counted, guesses, knows = Count(), Guesses(), chain == ALL
    for one in sentences:
        guide_of = one.guides["none" if knows else chain]
        search = replay(one.lists, one.first, one.rules, Policy(extra, knows), guesses, guide_of, counted)
        if [tokens[1:] for _, tokens in search.ended] != one.outputs:
            raise SystemExit(f"{chain}, {extra} nodes: the replay differs from the plain search")
    return counted


@torch.no_grad()
def costs(size: tuple[int, int, int, int, int]) -> dict[str, Any]:
    """Measure passes of one sentence by their positions, and a whole sentence by the plain beam search."""
    width, ffn, heads, layers, symbols = size
    model = profile_engine.build(width, ffn, heads, layers, symbols)
    verifier = Verifier([FastEncoder(model.encoder)], [read_verifier(model.decoder)])
    source = torch.randint(4, symbols, (1, SOURCE))
    lengths = torch.tensor([SOURCE])
    net_input = {"src_tokens": source, "src_lengths": lengths}
    batch = Batch(Source(source, lengths, 1), net_input, Limits(1, 3, 2, STEPS - 1, STEPS - 1), torch.tensor([2]))
    found = in_turn({
        "sentence": lambda: BeamDecoder(verifier, BEAM).decode(batch),
        "start": lambda: verifier.start(net_input, 1 + BEAM * STEPS),
    })  # fmt: skip
    used = 1 + BEAM * (DEPTH - 1)
    verifier.start(net_input, used + max(POSITIONS))
    verifier.score(torch.full((1, used), 5), 0)
    verifier.commit(torch.tensor([used]))
    return {**found, "passes": in_turn({n: a_pass(verifier, used, symbols, n) for n in POSITIONS})}


def in_turn(runs: dict[Any, Callable[[], object]]) -> dict[Any, float]:
    """Return the median seconds of things that take turns, after two rounds to warm up."""
    seconds: dict[Any, list[float]] = {name: [] for name in runs}
    for i in range(REPEATS + 2):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if i > 1:
                seconds[name].append(time.perf_counter() - began)
    return {name: sorted(times)[len(times) // 2] for name, times in seconds.items()}


def a_pass(verifier: Verifier, used: int, symbols: int, n: int) -> Callable[[], object]:
    """Return a pass of n positions of a tree of five branches, and the search for the best 2b of each."""
    limits = Limits(1, 3, 2, 1000)
    depths = torch.arange(n)[None] // BEAM + DEPTH  # [1, n]
    slots = torch.zeros(1, n, DEPTH + 1 + n // BEAM, dtype=torch.int32)
    for i in range(n):
        before = [0, *range(1 + i % BEAM, used, BEAM)]
        path = [*before, *range(used + i % BEAM, used + i + 1, BEAM)]
        slots[0, i, : len(path)] = torch.tensor(path)
    tokens = torch.randint(4, symbols, (1, n))
    beams = (torch.full((n, BEAM, 40), 5), torch.zeros(n, BEAM, 40), torch.zeros(n, BEAM, 40, dtype=torch.int32))

    def run() -> object:
        lprobs = verifier.score(tokens, used, Paths(slots, depths))
        return native_beam.rank(limits, beams, DEPTH, lprobs.view(n, 1, symbols))

    return run


def seconds_of(passes: dict[str, int], cost: dict[str, Any], sentences: int) -> float:
    """Return what decoding takes: each sentence's source, each pass and what surrounds it."""
    known = {int(n): seconds for n, seconds in cost["passes"].items()}
    around = max((cost["sentence"] - cost["start"]) / STEPS - known[BEAM], 0.0)
    total = sentences * cost["start"]
    for positions, n in passes.items():
        lower = max(p for p in known if p <= int(positions))
        upper = min(p for p in known if p >= int(positions))
        share = (int(positions) - lower) / max(upper - lower, 1)
        total += n * (around + known[lower] + share * (known[upper] - known[lower]))
    return total


def measure() -> dict[str, Any]:
    """Simulate, measure, put the two together."""
    results: dict[str, Any] = {"sentences": SENTENCES, "beam": BEAM, "jobs": {}, "costs": {}}
    with tempfile.TemporaryDirectory() as folder:
        for job in quickstart.JOBS:
            sentences = record(job, Path(folder) / job.name, SENTENCES)
            chains = results["jobs"][job.name] = {}
            for chain in (*CHAINS[job.name], ALL):
                counted = {extra: count(sentences, chain, extra) for extra in EXTRA}
                chains[chain] = {extra: {"steps": c.steps, "passes": c.passes} for extra, c in counted.items()}
    for name, size in SIZES.items():
        results["costs"][name] = costs(size)
    for job, chains in results["jobs"].items():
        plain = chains["none"][0]["passes"]
        for counted in (each for by_extra in chains.values() for each in by_extra.values()):
            counted["speedup"] = {
                name: seconds_of(plain, cost, SENTENCES) / seconds_of(counted["passes"], cost, SENTENCES)
                for name, cost in results["costs"].items()
                if name not in results["jobs"] or name == job
            }
    return results


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the tables of the page."""
    costs_of = results["costs"]
    shown = [str(n) for n in POSITIONS if n in (1, 5, 6, 9, 12, 18, 21, 30)]
    times = [[label(name), *(f"{1000 * cost['passes'][n]:.2f}" for n in shown)] for name, cost in costs_of.items()]
    rows = []
    for job, chains in results["jobs"].items():
        for chain, by_extra in chains.items():
            what = f"{job}, {CHAINS[job].get(chain, chain)}"
            rows.append([f"{what}: steps a pass (positions)", *map(reach, by_extra.values()), ""])
            for size in by_extra["0"]["speedup"]:
                faster = {extra: each["speedup"][size] for extra, each in by_extra.items()}
                best = max(faster, key=faster.get)
                rows.append([f"- {label(size)}", *(f"{value:.2f}" for value in faster.values()), best])
    return "\n\n".join([
        "Milliseconds of a pass of one sentence by its positions, with the best ten tokens of each:",
        table(["positions", *shown], times),
        f"Speed-up over the plain beam of {results['beam']} at batch size 1, by the most positions N of a pass beside "
        f"one for each beam ({results['sentences']} sentences each):",
        table(["N", *map(str, EXTRA), "best N"], rows),
        origin(results, path),
    ])  # fmt: skip


def label(size: str) -> str:
    """Say which decoder it is."""
    width, ffn, _, layers, symbols = SIZES[size]
    return f"{layers} layers, {width}/{ffn}, {symbols:,} symbols"


def reach(counted: dict[str, Any]) -> str:
    """Return steps a pass and, in brackets, positions a pass."""
    n = sum(counted["passes"].values())
    positions = sum(int(width) * times for width, times in counted["passes"].items())
    return f"{counted['steps'] / n:.2f} ({positions / n:.1f})"


def main() -> None:
    """Measure, write the JSON, then the page."""
    missing = "the compiled library must run here, got torch: build it with a C++ compiler (make install)."
    why_not = missing if layers_by() == "torch" else None
    measured.run(__doc__, "scripts/simulate_mirror.py", "mirror", measure, page_of, why_not)


if __name__ == "__main__":
    main()
