"""What the output has to be: that of fairseq's generator, and for drafters alone that of a verifier that knows it."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.data import data_utils
from torch import Tensor, nn

from fairseq_specdec.blocks import Source
from fairseq_specdec.config import SpecConfig
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.generator import Hypotheses, SpecGenerator
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.acceptance import accept_exact
from fairseq_specdec.search.decode import Batch, SpecDecoder
from fairseq_specdec.search.state import DecodeState
from fairseq_specdec.stats import SpecStats

PAD, EOS, UNK = 1, 2, 3
FIRST_WORD = 4
# ids of sources that drafters of all kinds could stumble over
HARD_SOURCES = {
    "an empty line": [[EOS]],
    "one token": [[7, EOS]],
    "only unknown tokens": [[UNK] * 6 + [EOS]],
    "unknown tokens among others": [[7, UNK, 9, UNK, UNK, 4, EOS]],
    "the same token over and over": [[9] * 30 + [EOS]],
    "no word of the target": [list(range(4, 20)) + [EOS]],
    "special tokens inside": [[7, EOS, 9, 0, 11, EOS, EOS]],
    "a thousand tokens": [[7, 9, 12] * 333 + [EOS]],
    "all of them in one batch": [[EOS], [7, EOS], [UNK] * 3 + [EOS], [9] * 50 + [EOS], list(range(4, 20)) + [EOS]],
}

Setting = tuple[list[nn.Module], Any]  # the verifier's models, their task
Sample = dict[str, Any]


# Against fairseq


def load(checkpoint: Path, data: Path, *splits: str) -> Setting:
    """Return the models of a checkpoint and their task with the test split, and others, loaded."""
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], {"data": str(data)})
    for split in ("test", *splits):
        task.load_dataset(split)
    return models, task


def batches(task: Any, size: int, count: int = 24, split: str = "test") -> Iterator[Sample]:
    """Give the first ``count`` sentences of a split in batches, as fairseq collates them."""
    data = task.dataset(split)
    for begin in range(0, count, size):
        yield data.collater([data[i] for i in range(begin, min(begin + size, count))])


def sample_of(sources: list[list[int]], *, left_pad: bool = True, prefix: list[list[int]] | None = None) -> Sample:
    """Return a batch of sources, each ending in eos; ``prefix`` goes where fairseq has the target."""
    tokens = data_utils.collate_tokens([torch.tensor(source) for source in sources], PAD, EOS, left_pad=left_pad)
    lengths = torch.tensor([len(source) for source in sources])
    sample = {"id": torch.arange(len(sources)), "net_input": {"src_tokens": tokens, "src_lengths": lengths}}
    if prefix is not None:
        sample["target"] = data_utils.collate_tokens([torch.tensor(row) for row in prefix], PAD)
    return sample


def load_again(setting: Setting) -> Setting:
    """Return the same with models of its own, whose weights may be changed."""
    return copy.deepcopy(setting[0]), setting[1]


def ours(
    setting: Setting, drafter: Drafter, adaptive: bool = False, certify: bool = True, **options: Any
) -> SpecGenerator:
    """Return our generator, with the certificate; generation options by fairseq's names."""
    models, task = setting
    stats = SpecStats(SpecConfig(certify=certify), drafter.block_size)
    args = Namespace(**{"beam": 1, **options})
    dictionary = task.target_dictionary
    return SpecGenerator(models, dictionary, drafter, GenerationOptions.from_args(args), stats, adaptive)


def stock(setting: Setting, samples: Iterable[Sample], **options: Any) -> list[Hypotheses]:
    """Return what fairseq's generator makes of each batch, with beam 1 unless the options say otherwise."""
    models, task = setting
    generator = task.build_generator(models, Namespace(**{"beam": 1, **options}))
    return [generator.generate(models, sample, prefix_tokens=prefix_of(sample, options)) for sample in samples]


def verifier_of(models: list[nn.Module]) -> Verifier:
    """Return the engine over models."""
    return Verifier([FastEncoder(m.encoder) for m in models], [read_verifier(m.decoder) for m in models])


def tokens_of(hypotheses: Iterable[Hypotheses]) -> list[list[int]]:
    """Return the tokens of every sentence of some batches."""
    return [row[0]["tokens"].tolist() for batch in hypotheses for row in batch]


def assert_same(expected: Hypotheses, found: Hypotheses) -> None:
    """All hypotheses of every sentence and their order: tokens are equal, scores to 1e-4.

    Of a sum above 10 (--lenpen 0 and below) float32 holds less: there a hundred thousandth of it is allowed.
    """
    for sentence, ours_ in zip(expected, found, strict=True):
        for a, b in zip(sentence, ours_, strict=True):
            assert a["tokens"].tolist() == b["tokens"].tolist()
            torch.testing.assert_close(a["score"], b["score"], rtol=0, atol=1e-5 * max(10.0, abs(float(a["score"]))))
            torch.testing.assert_close(a["positional_scores"], b["positional_scores"], rtol=0, atol=1e-4)


def compare(setting: Setting, drafter: Drafter, samples: Iterable[Sample], **options: Any) -> SpecStats:
    """Decode batches with both and compare, the certificate included; return our statistics."""
    generator = ours(setting, drafter, **options)
    for sample in samples:
        (expected,) = stock(setting, [sample], **options)
        if hasattr(drafter, "expected"):  # a drafter that is told the output
            rows = [row[0]["tokens"] for row in expected]
            drafter.expected = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
        assert_same(expected, generator.generate(setting[0], sample, prefix_tokens=prefix_of(sample, options)))
    certificate = generator.stats.certificate
    assert certificate is not None
    assert certificate["wrong"] == 0
    assert certificate["tokens"] == generator.stats.tokens
    return generator.stats


def prefix_of(sample: Sample, options: dict[str, Any]) -> Tensor | None:
    """Return the forced first tokens of a batch, if the options ask for some."""
    return sample["target"][:, : options["prefix_size"]] if "prefix_size" in options else None


# Without a model


class Words:
    """Ids of words, given as they come; a number in angle brackets is an id: ``<3>`` is unk."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def encode(self, text: str) -> list[int]:
        """Return the ids of the words, eos at the end."""
        return [*map(self._id, text.split()), EOS]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words; eos is a full stop in brackets: ``[.]``."""
        return " ".join("[.]" if i == EOS else self.words[i - FIRST_WORD] if i >= FIRST_WORD else f"<{i}>" for i in ids)

    def _id(self, word: str) -> int:
        if word.startswith("<"):
            return int(word[1:-1])
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word) + FIRST_WORD


class PerfectVerifier:
    """In the place of a `Verifier`: scores so that the outputs are the ones that it is given.

    Args:
        outputs: ids of each row, ending in eos.
        n_types: V.
    """

    takes_steps = False

    def __init__(self, outputs: list[list[int]], n_types: int) -> None:
        rows = [torch.tensor(output) for output in outputs]
        self.outputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=EOS)
        self.n_types = n_types

    def start(self, net_input: Any, capacity: int) -> list[Any]:
        self.lengths = torch.zeros(len(self.outputs), dtype=torch.int64)
        return []

    def score(self, tokens: Tensor, longest: int) -> Tensor:
        steps = self.lengths[:, None] + torch.arange(tokens.size(1))
        wanted = self.outputs.gather(1, steps.clamp(max=self.outputs.size(1) - 1))
        return torch.full((*steps.shape, self.n_types), -9.0).scatter_(2, wanted[..., None], -0.1)

    def commit(self, kept: Tensor) -> None:
        self.lengths += kept

    def select_rows(self, rows: Tensor) -> None:
        self.outputs, self.lengths = self.outputs[rows], self.lengths[rows]


def fresh_state(n_rows: int = 1, block_size: int = 4) -> DecodeState:
    """Return rows in which nothing is decoded yet."""
    return DecodeState(Limits(PAD, UNK, EOS, 40), torch.full((n_rows,), EOS), block_size)


class Recorder:
    """In the place of a drafter: passes everything on, and writes down what is drafted for the first row."""

    def __init__(self, drafter: Drafter) -> None:
        self.drafter = drafter
        self.drafts: list[list[int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.drafter, name)

    def propose(self, state: DecodeState, ask: Any = None) -> Any:
        draft = self.drafter.propose(state, ask)
        assert draft.tokens.shape[0] == state.lengths.numel()
        assert draft.tokens.shape[1] <= self.drafter.block_size
        assert ((draft.lengths >= 0) & (draft.lengths <= draft.tokens.size(1))).all()
        assert ((draft.tokens >= 0) | ~draft.mask).all()
        self.drafts.append(draft.tokens[0, : draft.lengths[0]].tolist())
        return draft


@dataclass
class Simulation:
    """What a drafter did with a perfect verifier.

    Args:
        rounds: rounds of all rows.
        drafts: text of each draft for the first row of the batch, ``[.]`` for eos.
    """

    rounds: int
    drafts: list[str]


def simulate(
    drafter: Drafter,
    *pairs: tuple[str, str],
    words: Words | None = None,
    left_pad: bool = True,
    max_len: int = 1200,
    with_ids: bool = True,
) -> Simulation:
    """Have a verifier that knows the outputs decode one batch; assert that they come out.

    Args:
        drafter: in place.
        pairs: source and output of each row.
        words: their ids, to be the same over several calls.
        left_pad: how the sources are padded.
        max_len: longest output, eos not counted.
        with_ids: whether the batch says which sentences it holds.
    """
    words = words or Words()
    sources, outputs = ([words.encode(pair[side]) for pair in pairs] for side in (0, 1))
    sample = sample_of(sources, left_pad=left_pad)
    source = Source(*sample["net_input"].values(), PAD, sample["id"] if with_ids else None)
    limits = Limits(PAD, UNK, EOS, max_len, min_len=0)
    recorder = Recorder(drafter)
    verifier = PerfectVerifier(outputs, n_types=len(words.words) + FIRST_WORD + 100)
    first = torch.full((len(pairs),), EOS)
    decoder = SpecDecoder(verifier, recorder, accept_exact)
    tokens, _, lengths, tally = decoder.decode(Batch(source, sample["net_input"], limits, first))
    assert [row[1:n].tolist() for row, n in zip(tokens, lengths.tolist(), strict=True)] == outputs
    return Simulation(sum(tally.counts()[0]), [words.decode(draft) for draft in recorder.drafts])
