#!/usr/bin/env python3
"""Measure look-ups: what a draft of --drafter ngram takes, and what a corpus of ten million tokens takes to be ready.

The text is made up: first words by their frequency in language (Zipf), each followed by one of few others, so that
n-grams come back.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.blocks import Source
from fairseq_specdec.drafters.corpus import Corpus
from fairseq_specdec.drafters.corpus_file import SUFFIX, read_corpus, write_corpus
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "train")]
import measured  # noqa: E402
from card import origin, table  # noqa: E402

SIZES = (0, 100_000, 10_000_000)  # tokens of the corpus
SYMBOLS, FOLLOWERS, LENGTH = 32_000, 16, 28
SENTENCES = 200  # that are drafted for, a token at a time


def text_of(n_tokens: int, seed: int) -> Tensor:
    """Return [n] int32, sentences of LENGTH tokens that end in eos."""
    generator = torch.Generator().manual_seed(seed)
    n = n_tokens // LENGTH
    weights = 1 / torch.arange(1, FOLLOWERS + 1)
    choices = torch.multinomial(weights.expand(LENGTH - 1, -1), n, replacement=True, generator=generator)  # [T, n]
    first = torch.multinomial(1 / torch.arange(1, SYMBOLS - 3), n, replacement=True, generator=generator)
    tokens = [first]
    for choice in choices[1:]:
        tokens.append((tokens[-1] * 31 + choice * choice * 7919) % (SYMBOLS - 4))  # one of FOLLOWERS behind each
    sentences = torch.stack([*(token + 4 for token in tokens), torch.full((n,), 2)], dim=1)
    return sentences.flatten().int()


def prepare(n_tokens: int, dictionary: Dictionary, folder: Path) -> tuple[Corpus | None, dict[str, Any]]:
    """Sort a corpus, write it and read it again; return it with what that took."""
    if n_tokens == 0:
        return None, {"tokens": 0}
    tokens, path = text_of(n_tokens, 1), folder / f"corpus{SUFFIX}"
    began = clock.now()
    corpus = Corpus.of(tokens, SYMBOLS, 2)
    sorted_in = clock.since(began)
    write_corpus(corpus, dictionary, str(path))
    began = clock.now()
    corpus = read_corpus(dictionary, str(path))
    loaded_in = clock.since(began)
    return corpus, {
        "tokens": corpus.n_places,
        "sort_seconds": sorted_in,
        "load_seconds": loaded_in,
        "file_mb": path.stat().st_size / 1e6,
    }


def drafts(corpus: Corpus | None) -> dict[str, Any]:
    """Draft at every token of some sentences, of which a batch has one; return what a draft took."""
    drafter = NgramDrafter(8, 2, corpus=corpus)
    drafter.to(torch.device("cpu"), torch.float32)
    outputs = text_of(SENTENCES * LENGTH, 2).long().view(-1, LENGTH)
    took, looked_at, n_drafted = [], [], 0
    for output in outputs:
        state = DecodeState(Limits(1, 3, 2, LENGTH), torch.tensor([2]), 8)
        state.tokens[0, 1 : LENGTH + 1] = output
        drafter.start(Source(output.flip(0)[None], torch.tensor([LENGTH]), 1), state)
        for length in range(1, LENGTH + 1):
            state.lengths.fill_(length)
            state.max_length = length
            began = clock.now()
            draft = drafter.propose(state)
            drafter.advance(torch.ones(1, dtype=torch.int64))
            took.append(clock.since(began) * 1000)
            looked_at.append(drafter.compiled().looked_at)
            n_drafted += int(draft.lengths)
        drafter.finish(state.tokens, state.lengths)
    return {
        "drafts": len(took),
        "draft_tokens": n_drafted,
        "ms_median": statistics.median(took),
        "ms_p95": statistics.quantiles(took, n=20)[-1],
        "places_looked_at": statistics.mean(looked_at),
        "most_places_looked_at": max(looked_at),
    }


def measure() -> dict[str, Any]:
    """Measure each size of corpus."""
    dictionary = Dictionary()
    for i in range(SYMBOLS - len(dictionary)):
        dictionary.add_symbol(f"s{i}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_tokens in SIZES:
            corpus, told = prepare(n_tokens, dictionary, Path(folder))
            rows.append({**told, **drafts(corpus)})
    return {"rows": rows}


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the table."""
    cells = [
        [
            f"{row['tokens']:,}" if row["tokens"] else "none",
            *(f"{row[name]:.{digits}f}" if name in row else "" for name, digits in (
                ("sort_seconds", 1), ("file_mb", 0), ("load_seconds", 2)
            )),
            f"{row['ms_median']:.3f}",
            f"{row['ms_p95']:.3f}",
            f"{row['places_looked_at']:.0f} (at most {row['most_places_looked_at']})",
        ]
        for row in results["rows"]
    ]  # fmt: skip
    heads = ["tokens of the corpus", "sorted in s", "MB", "loaded in s", "ms a draft", "95th percentile",
             "places read"]  # fmt: skip
    return f"{table(heads, cells)}\n\n{origin(results, path)}"


def main() -> None:
    """Measure, write."""
    measured.run(__doc__, "scripts/ngram_lookup.py", "lookups", measure, page_of)


if __name__ == "__main__":
    main()
