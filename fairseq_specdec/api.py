"""Decoding from Python: ``fairseq_specdec.load(...)`` gives a model that turns sentences into sentences."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from torch import Tensor

from fairseq_specdec import clock
from fairseq_specdec.arguments import DTYPES, check_ids, check_languages, check_place, sort_options
from fairseq_specdec.config import OptionError
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.options import StockNeeded
from fairseq_specdec.stats import SpecStats
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask
from fairseq_specdec.wording import for_python, worded

TextStep = Callable[[str], str]


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

    Attributes:
        max_source_tokens: longest source, eos counted.
    """

    def __init__(
        self,
        task: TranslationSpecDecTask,
        generator: SpecGenerator,
        encode: Sequence[TextStep] = (),
        decode: Sequence[TextStep] = (),
        nbest: int = 1,
    ) -> None:
        self.task = task
        self.generator = generator
        self._encode = encode
        self._decode = decode
        self._nbest = nbest
        limits = [model.max_positions() for model in generator.models]
        self.max_source_tokens = int(utils.resolve_max_positions(task.max_positions(), *limits)[0])

    def generate(self, sentences: Sequence[str], batch_size: int = 32) -> list[str]:
        """Decode sentences.

        Args:
            sentences: source text, one sentence each; an empty one is a source of eos alone.
            batch_size: most sentences decoded together; those of similar length are.

        Returns:
            one output for each sentence, in their order.

        Raises:
            OptionError: a sentence is longer than the model's positions (the message gives its number, from 1).
            TypeError: sentences is one string.
        """
        return [hypothesis.text for hypothesis in self.generate_tokens(sentences, batch_size).best]

    @worded(for_python)
    def generate_tokens(self, sources: Sequence[str | Tensor], batch_size: int = 32) -> Generated:
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
        self._check_lengths(tokens)
        started, old = clock.now(), self.generator.stats
        stats = SpecStats(old.config, old.block_size, old.device, old.dtype)
        self.generator.stats = stats
        found = dict(self._decode_batches(tokens, batch_size))
        stats.seconds["total"] = clock.since(started)
        return Generated([found[i] for i in range(len(tokens))], stats.as_dict())

    def encode(self, sentence: str) -> Tensor:
        """Turn text into ids [n] int64 of the source dictionary, eos at the end; unknown words become unk."""
        text = _apply(self._encode, sentence)
        return self.task.source_dictionary.encode_line(text, add_if_not_exist=False).long()

    def _check_lengths(self, tokens: list[Tensor]) -> None:
        reasons = [
            f"sentence {number} must have at most {self.max_source_tokens} tokens, eos counted (the positions of the "
            f"model), got {len(ids)}: split it."
            for number, ids in enumerate(tokens, start=1)
            if len(ids) > self.max_source_tokens
        ]
        if reasons:
            raise OptionError(reasons)

    def _decode_batches(self, tokens: list[Tensor], batch_size: int) -> Iterable[tuple[int, Hypothesis]]:
        """Yield (place in the input, its hypotheses), batches of similar lengths first to last."""
        if not tokens:
            return
        device = self.generator.models[0].decoder.embed_tokens.weight.device
        lengths = torch.tensor([len(ids) for ids in tokens])
        batches = self.task.get_batch_iterator(
            self.task.build_dataset_for_inference(tokens, lengths),
            max_sentences=batch_size,
            disable_iterator_cache=True,
        ).next_epoch_itr(shuffle=False)
        for batch in batches:
            sample = utils.apply_to_sample(lambda tensor: tensor.to(device), batch)
            hypotheses = self.task.inference_step(self.generator, self.generator.models, sample)
            for place, found in zip(batch["id"].tolist(), hypotheses, strict=True):
                best, *further = map(self._read, found[: self._nbest])
                yield place, replace(best, further=tuple(further))

    def _read(self, hypothesis: dict[str, Tensor]) -> Hypothesis:
        """Turn a hypothesis of fairseq's into one of ours."""
        tokens = hypothesis["tokens"].cpu()
        text = _apply(self._decode, self.task.target_dictionary.string(tokens))
        return Hypothesis(text, tokens, float(hypothesis["score"]), hypothesis["positional_scores"].cpu())


@worded(for_python)
def load(
    verifier: str | Path | Sequence[str | Path],
    data: str | Path,
    drafter: str = "none",
    drafter_path: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    engine_dtype: str | None = None,
    draft_file: str | Path | None = None,
    ngram_corpus: str | Path | None = None,
    draft_rule: str | None = None,
    draft_dtype: str | None = None,
    block_size: int | None = None,
    beta: int = 1,
    tau: float = 0.0,
    cuda_graphs: bool = False,
    bpe: str | None = None,
    tokenizer: str | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    **options: Any,
) -> SpecModel:
    """Load a model for decoding.

    Args:
        verifier: checkpoint, or several for an ensemble.
        data: data-bin folder; only its dictionaries are read.
        drafter: name of the drafter ("none", "nat", "self", "ar", "input", "ngram", "file").
        drafter_path: its checkpoint, if it has weights.
        device: where to run ("cpu", "cuda", "cuda:1").
        dtype: float32, float16 or bfloat16.
        engine_dtype: "bf16" or "int8" for reduced precision on a CPU; the output is then not the checkpoint's own.
        draft_file: a guess for each sentence of a call, in the dictionary's symbols (drafter "file").
        ngram_corpus: target text in the dictionary's symbols (drafter "ngram").
        draft_rule: "edit-aware" or "published" (drafters "input" and "file").
        draft_dtype: "int8" or "bf16", what the drafter's weights are rounded to on a CPU (drafters "self" and "ar").
        block_size: draft tokens a round; None for the drafter's own.
        beta: accept a draft token in the verifier's top ``beta``; 1 is exact.
        tau: and at most this far below its best log-probability.
        cuda_graphs: on a GPU record each round once and launch it as a whole (experimental).
        bpe: fairseq's name of the subword processing (``bpe="sentencepiece", sentencepiece_model=FILE``); None: the
            text is in the dictionary's symbols, separated by spaces.
        tokenizer: fairseq's name of the tokenizer that comes before it.
        source_lang: where the data folder does not tell.
        target_lang: likewise.
        **options: generation options by fairseq's names (``beam=5, nbest=3``; without, decoding is greedy), and options
            of ``bpe`` and ``tokenizer``.

    Raises:
        OptionError: lists options that cannot be honoured.
        CheckpointError: a checkpoint is missing, damaged or unsafe.
        UnsupportedModelError: the engine cannot run the verifier.
    """
    text = Namespace(bpe=bpe, tokenizer=tokenizer)
    generation = Namespace(beam=1)
    sort_options(options, generation, text)
    check_place(data, device, dtype)
    check_languages(data, source_lang, target_lang)
    cfg = TranslationSpecDecConfig(
        data=str(data),
        source_lang=source_lang,
        target_lang=target_lang,
        drafter=drafter,
        drafter_path=None if drafter_path is None else str(drafter_path),
        draft_file=None if draft_file is None else str(draft_file),
        ngram_corpus=None if ngram_corpus is None else str(ngram_corpus),
        draft_rule=draft_rule,
        draft_dtype=draft_dtype,
        block_size=block_size,
        beta=beta,
        tau=tau,
        cuda_graphs=cuda_graphs,
        engine_dtype=engine_dtype,
    )
    task = TranslationSpecDecTask.setup_task(cfg)
    task.engine_only = True
    paths = utils.split_paths(str(verifier)) if isinstance(verifier, str | Path) else [str(path) for path in verifier]
    models, _ = checkpoint_utils.load_model_ensemble(paths, task=task)
    models = [model.to(device=device, dtype=DTYPES[dtype]) for model in models]
    text.source_lang, text.target_lang = task.cfg.source_lang, task.cfg.target_lang  # a tokenizer may go by them
    steps = [step for step in (task.build_tokenizer(text), task.build_bpe(text)) if step is not None]
    try:
        generator = task.build_spec_generator(models, generation)
    except StockNeeded as error:
        raise OptionError(
            [f"{reason}: that is done by fairseq's own generator alone, leave it out." for reason in error.reasons]
        ) from error
    encode, decode = [step.encode for step in steps], [step.decode for step in reversed(steps)]
    return SpecModel(task, generator, encode, decode, getattr(generation, "nbest", 1))


def _apply(steps: Sequence[TextStep], text: str) -> str:
    for step in steps:
        text = step(text)
    return text
