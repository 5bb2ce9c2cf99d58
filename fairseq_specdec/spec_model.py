"""A model that turns sentences into sentences; `load` makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from fairseq import utils
from fairseq.data import LanguagePairDataset, ListDataset
from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.arguments import check_ids, one_for_each
from fairseq_specdec.config import OptionError
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.stats import SpecStats
from fairseq_specdec.tasks.speculative import Direction, SpeculativeTask, Start
from fairseq_specdec.wording import for_python, worded

TextStep = Callable[[str], str]
Languages = str | Sequence[str] | None


@dataclass(frozen=True)
class Hypothesis:
    """One output of a sentence.

    Args:
        text: as `SpecModel.generate` returns it.
        tokens: [n] int64, ending in eos, on the CPU.
        score: as fairseq's: the sum of the log-probabilities over length ** lenpen.
        positional_scores: [n] float32, log-probability of each token.
        further: of the best hypothesis those behind it, best first, with ``beam`` and ``nbest``; else none.
    """

    text: str
    tokens: Tensor
    score: float
    positional_scores: Tensor
    further: tuple[Hypothesis, ...] = ()


@dataclass(frozen=True)
class Generated:
    """What one call decoded, in the order of its input.

    Args:
        best: of each sentence the best hypothesis, which has the others.
        stats: counts of this call, under the names of the statistics file; of the seconds only the total.
    """

    best: list[Hypothesis]
    stats: dict[str, Any]

    @property
    def tokens(self) -> list[Tensor]:
        """Of each sentence [n] int64, ending in eos, on the CPU."""
        return [hypothesis.tokens for hypothesis in self.best]

    @property
    def scores(self) -> list[float]:
        """Of each sentence."""
        return [hypothesis.score for hypothesis in self.best]

    @property
    def positional_scores(self) -> list[Tensor]:
        """Of each sentence [n] float32."""
        return [hypothesis.positional_scores for hypothesis in self.best]


class SpecModel:
    """A verifier with its drafter, dictionaries and text processing; made by `load`.

    Args:
        task: holds the dictionaries.
        generator: decodes.
        encode, decode: steps of text processing, in the order in which they are applied.
        nbest: hypotheses of each sentence to give, at most.
        bos: begin each source, and force each output to begin, with bos, as fairseq's interface to BART does.
        truncate: cut sources that are longer than the model's positions.

    Attributes:
        max_source_tokens: longest source, eos counted.
    """

    def __init__(
        self,
        task: SpeculativeTask,
        generator: SpecGenerator,
        encode: Sequence[TextStep] = (),
        decode: Sequence[TextStep] = (),
        nbest: int = 1,
        bos: bool = False,
        truncate: bool = False,
    ) -> None:
        self.task = task
        self.generator = generator
        self._encode = encode
        self._decode = decode
        self._nbest = nbest
        self._bos = bos
        self._truncate = truncate
        own = task.max_positions()  # of each pair of languages in some tasks
        limits = [own if isinstance(own, tuple) else next(iter(own.values()))]
        limits += [model.max_positions() for model in generator.models]
        self.max_source_tokens = int(utils.resolve_max_positions(*limits)[0])

    def generate(
        self,
        sentences: Sequence[str],
        batch_size: int = 32,
        *,
        source_lang: Languages = None,
        target_lang: Languages = None,
    ) -> list[str]:
        """Decode sentences.

        Args:
            sentences: source text, one sentence each; an empty one is a source of eos alone.
            batch_size: most sentences decoded together; those of similar length are.
            source_lang: of a model of many languages, for all sentences or one for each; None for that which it was
                loaded with.
            target_lang: likewise. Sentences of several directions are decoded together.

        Returns:
            one output for each sentence, in their order.

        Raises:
            OptionError: a sentence is longer than the model's positions (the message gives its number, from 1), or the
                model does not know a language.
            TypeError: sentences is one string.
        """
        found = self.generate_tokens(sentences, batch_size, source_lang=source_lang, target_lang=target_lang)
        return [hypothesis.text for hypothesis in found.best]

    @worded(for_python)
    def generate_tokens(
        self,
        sources: Sequence[str | Tensor],
        batch_size: int = 32,
        *,
        source_lang: Languages = None,
        target_lang: Languages = None,
    ) -> Generated:
        """Decode sentences, given as text or as ids [n] int64 that end in eos; otherwise like `generate`.

        Returns:
            of each sentence the best hypothesis and, with ``beam`` and ``nbest``, others; the statistics of this call.

        Raises:
            OptionError: as `generate`, or ids that are not one row of the source dictionary's integers.
        """
        if isinstance(sources, str):
            raise TypeError("generate needs a list of sentences, got one string: pass [sentence].")
        if batch_size < 1:
            raise OptionError([f"batch_size must be at least 1, got {batch_size}: leave it out for 32."])
        check_ids(sources, self.task.source_dictionary)
        tokens = [source.cpu().long() if isinstance(source, Tensor) else self.encode(source) for source in sources]
        starts = None
        if source_lang is not None or target_lang is not None:
            tokens, starts = self._begin(tokens, source_lang, target_lang)
        elif self._bos:
            starts = [Start(prefix=self.task.target_dictionary.bos())] * len(tokens)
        self._check_lengths(tokens)
        started, old = clock.now(), self.generator.stats
        stats = SpecStats(old.config, old.block_size, old.device, old.dtype)
        self.generator.stats = stats
        found = dict(self._decode_batches(tokens, batch_size, starts))
        stats.seconds["total"] = clock.since(started)
        return Generated([found[i] for i in range(len(tokens))], stats.as_dict())

    def encode(self, sentence: str) -> Tensor:
        """Turn text into ids [n] int64 of the source dictionary, eos at the end; unknown words become unk."""
        text, dictionary = _apply(self._encode, sentence), self.task.source_dictionary
        ids = dictionary.encode_line(text, add_if_not_exist=False).long()
        ids = torch.cat([ids.new_tensor([dictionary.bos()]), ids]) if self._bos else ids
        if self._truncate and len(ids) > self.max_source_tokens:
            ids = torch.cat([ids[: self.max_source_tokens - 1], ids[-1:]])
        return ids

    def _check_lengths(self, tokens: list[Tensor]) -> None:
        reasons = [
            f"sentence {number} must have at most {self.max_source_tokens} tokens, eos counted (the positions of the "
            f"model), got {len(ids)}: split it."
            for number, ids in enumerate(tokens, start=1)
            if len(ids) > self.max_source_tokens
        ]
        if reasons:
            raise OptionError(reasons)

    def _begin(
        self, tokens: list[Tensor], source_lang: Languages, target_lang: Languages
    ) -> tuple[list[Tensor], list[Start]]:
        """Put sentences into the model's terms, each for its direction."""
        usual = self.task.asked
        asked = [("source_lang", source_lang, usual.source_lang), ("target_lang", target_lang, usual.target_lang)]
        each = zip(*(one_for_each(name, value, len(tokens), own) for name, value, own in asked), strict=True)
        directions = [Direction(*pair) for pair in each]
        begun: dict[int, tuple[Tensor, Start]] = {}
        for direction in dict.fromkeys(directions):
            places = [i for i, other in enumerate(directions) if other == direction]
            sources, start = self.task.begin([tokens[i] for i in places], direction)
            begun |= {i: (source, start) for i, source in zip(places, sources, strict=True)}
        return [begun[i][0] for i in range(len(tokens))], [begun[i][1] for i in range(len(tokens))]

    def _decode_batches(
        self, tokens: list[Tensor], batch_size: int, starts: list[Start] | None
    ) -> Iterable[tuple[int, Hypothesis]]:
        """Yield (place in the input, its hypotheses), batches of similar lengths first to last."""
        if not tokens:
            return
        device = self.generator.models[0].decoder.embed_tokens.weight.device
        lengths = torch.tensor([len(ids) for ids in tokens])
        if starts is None:
            data = self.task.build_dataset_for_inference(tokens, lengths)
        else:  # the sentences are as the encoder reads them
            data = LanguagePairDataset(ListDataset(tokens, lengths), lengths, self.task.source_dictionary)
        batches = self.task.get_batch_iterator(
            data,
            max_sentences=batch_size,
            disable_iterator_cache=True,
        ).next_epoch_itr(shuffle=False)
        for batch in batches:
            sample = utils.apply_to_sample(lambda tensor: tensor.to(device), batch)
            if starts is None:
                hypotheses = self.task.inference_step(self.generator, self.generator.models, sample)
            else:
                told = _told([starts[i] for i in batch["id"].tolist()], device)
                hypotheses = self.generator.generate(self.generator.models, sample, **told)
            for place, found in zip(batch["id"].tolist(), hypotheses, strict=True):
                start = None if starts is None else starts[place]
                best, *further = (self._read(one, start) for one in found[: self._nbest])
                yield place, replace(best, further=tuple(further))

    def _read(self, hypothesis: dict[str, Tensor], start: Start | None) -> Hypothesis:
        """Turn a hypothesis of fairseq's into one of ours; what names its language is no text."""
        tokens = hypothesis["tokens"].cpu()
        strip = self.generator.symbols_to_strip_from_output
        if start is not None:
            strip = {self.generator.eos, *start} - {None}
        text = _apply(self._decode, self.task.target_dictionary.string(tokens, extra_symbols_to_ignore=strip))
        return Hypothesis(text, tokens, float(hypothesis["score"]), hypothesis["positional_scores"].cpu())


def _apply(steps: Sequence[TextStep], text: str) -> str:
    for step in steps:
        text = step(text)
    return text


def _told(starts: list[Start], device: torch.device) -> dict[str, Tensor]:
    """Return what the generator is told of the sentences of a batch; all begin in the same way, or none does."""
    told = {}
    if starts[0].prefix is not None:
        told["prefix_tokens"] = torch.tensor([[start.prefix] for start in starts], device=device)
    if starts[0].first is not None:
        told["bos_token"] = torch.tensor([start.first for start in starts], device=device)
    return told
