"""Random models, options, drafters, beams and batches: is what comes out what fairseq gives?

    python -m tests.fuzz [--count 1000] [--first SEED]        # or: make fuzz

Each seed is one configuration. It passes if every hypothesis of every sentence is fairseq's and stands in its place,
with scores to 1e-4. Where one is not, the certificate says whether only near ties lie between them; such seeds are
named.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from tests import oracle, tiny
from tests.kinds import KINDS, OF_A_VERIFIER, drafter_for

ARCHITECTURES: list[dict[str, Any]] = [
    {},
    {"encoder_normalize_before": True, "decoder_normalize_before": True, "decoder_learned_pos": True},
    {"decoder_layers": 1, "share_decoder_input_output_embed": True, "no_scale_embedding": True},
    {"layernorm_embedding": True, "activation_fn": "gelu", "no_token_positional_embeddings": True},
]
OPTIONS: dict[str, list[Any]] = {
    "max_len_a": [0.0, 0.0, 0.5, 1.5],
    "max_len_b": [0, 3, 9, 20],
    "min_len": [0, 1, 1, 3],
    "lenpen": [1.0, 1.0, 0.0, 2.0, -0.5],
    "unnormalized": [False, False, False, True],
    "unkpen": [0.0, 0.0, 2.0, -3.0],
    "temperature": [1.0, 1.0, 0.5, 3.0],
    "no_repeat_ngram_size": [0, 0, 0, 2, 3],
    "match_source_len": [False, False, False, False, True],
}


@dataclass(frozen=True)
class Configuration:
    """What a seed stands for.

    Args:
        architecture: its number in ARCHITECTURES.
        n_models: 2 is an ensemble.
        tied: how many symbols share the output row of another one.
        drafter: one of KINDS or OF_A_VERIFIER; with beams "none" or one that they look ahead by.
        sources: ids of each sentence.
        prefix: forced first tokens of each sentence, or None.
        options: of generation.
    """

    architecture: int
    n_models: int
    tied: int
    drafter: str
    sources: list[list[int]]
    left_pad: bool
    prefix: list[list[int]] | None
    options: dict[str, Any] = field(default_factory=dict)


def configuration(seed: int) -> Configuration:
    """Draw a configuration."""
    rng = random.Random(seed)
    beam = rng.choice([1, 1, 2, 3, 5, 8])
    n_sources = rng.choice([1, 1, 2, 3, 4, 5, 6])  # beams look ahead in a sentence that comes alone
    sources = [[rng.randrange(3, 30) for _ in range(rng.randrange(13))] + [oracle.EOS] for _ in range(n_sources)]
    options = {"beam": beam, **{name: rng.choice(values) for name, values in OPTIONS.items()}}
    options["max_len_b"] += 0 if options["max_len_a"] else 1
    options["min_len"] = min(options["min_len"], options["max_len_b"])
    if options["match_source_len"]:  # its maximum is the longest source
        options["min_len"] = min(options["min_len"], max(map(len, sources)) - 1)
    prefix = None
    if rng.random() < 0.2:
        options["prefix_size"] = rng.randrange(1, 4)
        prefix = [[rng.randrange(4, 30) for _ in range(rng.randrange(1, 6))] for _ in sources]
    return Configuration(
        architecture=rng.randrange(len(ARCHITECTURES)),
        n_models=1 if rng.random() < 0.85 else 2,
        tied=rng.choice([0, 0, 0, 6]),
        drafter=rng.choice([*KINDS, *OF_A_VERIFIER] if beam == 1 else ["none", "input", "file"]),
        sources=sources,
        left_pad=rng.random() < 0.7,
        prefix=prefix,
        options=options,
    )


class Fuzz:
    """Makes models once, and runs configurations.

    Args:
        folder: for the data of the tiny models.
    """

    def __init__(self, folder: Path) -> None:
        self._data = tiny.make_data_bin(folder / "data-bin")
        self._task = oracle.load(tiny.save_verifier(folder / "verifier.pt", self._data), self._data)[1]
        self._models: dict[tuple[int, int, int], nn.Module] = {}

    def _model(self, architecture: int, seed: int, tied: int) -> nn.Module:
        key = architecture, seed, tied
        if key not in self._models:
            model, _ = tiny.build_model(self._data, seed, **ARCHITECTURES[architecture])
            tiny.liven(model, self._task.source_dictionary, seed)
            with torch.no_grad():
                table = model.decoder.output_projection.weight
                table[10 : 10 + tied] = table[20 : 20 + tied]
            self._models[key] = model
        return self._models[key]

    def run(self, seed: int) -> str | None:
        """Run a configuration; return None if all is the same, or what is not.

        Raises:
            AssertionError: something differs by more than near ties.
        """
        c = configuration(seed)
        models = [self._model(c.architecture, 1 + i, c.tied) for i in range(c.n_models)]
        setting, options = (models, self._task), c.options
        sample = oracle.sample_of(c.sources, left_pad=c.left_pad, prefix=c.prefix)
        (expected,) = oracle.stock(setting, [sample], **options)
        generator = oracle.ours(setting, drafter_for(self._data, c.drafter, models[0]), **options)
        found = generator.generate(models, sample, prefix_tokens=oracle.prefix_of(sample, options))
        certificate = generator.stats.certificate
        assert certificate["wrong"] == 0, f"seed {seed}: {certificate}; {c}"
        try:
            oracle.assert_same(expected, found)
        except AssertionError as error:
            assert certificate["near_tie"] > 0, f"seed {seed}: {error}; {c}"
            return f"seed {seed}: {certificate['near_tie']} near ties, largest gap {certificate['largest_gap']:.1e}"
        return None


def main() -> int:
    """Run many configurations; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="configurations (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed (default: 0)")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    near, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(folder))
        for seed in tqdm(range(args.first, args.first + args.count), unit="configuration"):
            try:
                near += filter(None, [fuzz.run(seed)])
            except Exception as error:  # the others still run
                wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
    for line in (*near, *wrong):
        print(line)
    print(f"{args.count} configurations: {len(wrong)} differ, {len(near)} by near ties alone")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
