"""Reads what a benchmark decodes, with fairseq's options, and scores what comes back."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from fairseq import utils
from fairseq.data import RoundRobinZipDatasets, data_utils
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from fairseq_specdec.bench.measure import Batch
from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.metrics import METRICS
from fairseq_specdec.evaluation.text import check_same_length, read_lines


class BenchData:
    """The sentences of a split, as fairseq-generate would batch and print them.

    Args:
        cfg: fairseq's configuration.
        task: with the split loaded.
        models: bound the lengths.
        limit: take the first so many sentences of the split; None takes all.

    Raises:
        OptionError: nothing to decode, or a sentence is too long.
    """

    def __init__(self, cfg: Any, task: FairseqTask, models: Sequence[nn.Module], limit: int | None = None) -> None:
        self.cfg, self.task = cfg, task
        self.dataset = task.dataset(cfg.dataset.gen_subset)
        limits = utils.resolve_max_positions(task.max_positions(), *[model.max_positions() for model in models])
        if isinstance(self.dataset, RoundRobinZipDatasets):  # for each pair of languages, of which one is read
            pair = self.dataset.eval_key
            self.dataset, limits = self.dataset.datasets[pair], limits[pair]
        with data_utils.numpy_seed(cfg.common.seed + 1):  # the order of fairseq-generate's only epoch
            indices = self.dataset.ordered_indices()
        indices = indices[indices < limit] if limit else indices
        indices, too_long = self.dataset.filter_indices_by_size(indices, limits)
        if len(too_long) and not cfg.dataset.skip_invalid_size_inputs_valid_test:
            raise OptionError([
                f"--gen-subset must hold sentences of at most {limits} tokens (the positions of --path), got longer "
                f"ones (sentence {too_long[0]}, counted from 0): pass --skip-invalid-size-inputs-valid-test."
            ])  # fmt: skip
        if not len(indices):
            raise OptionError(
                [f"--gen-subset must hold sentences to decode, got none in {cfg.dataset.gen_subset}: check it."]
            )
        self._indices = np.asarray(indices)
        self.ids = sorted(map(int, indices))

    def batches(self, size: int) -> list[Batch]:
        """Return the batches of at most ``size`` sentences, on the CPU, the shortest sentences first."""
        dictionary, options = self.task.source_dictionary, self.cfg.dataset
        groups = self.dataset.batch_by_size(
            self._indices,
            max_tokens=options.max_tokens,
            max_sentences=size,
            required_batch_size_multiple=options.required_batch_size_multiple,
        )
        batches = []
        for group in groups:
            sample = self.dataset.collater([self.dataset[i] for i in group])
            no_symbols = {dictionary.eos(), dictionary.pad()}
            sources = sample["net_input"]["src_tokens"].tolist()
            symbols = [[dictionary[token] for token in source if token not in no_symbols] for source in sources]
            batches.append(Batch(sample["id"].tolist(), sample, symbols))
        return batches

    def sentence(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return source and target of a sentence as the model reads them, each [n] int64; the latter may be None."""
        sample, pad = self.dataset.collater([self.dataset[index]]), self.task.source_dictionary.pad()
        target = sample.get("target")
        source = utils.strip_pad(sample["net_input"]["src_tokens"][0], pad)
        return source, None if target is None else utils.strip_pad(target[0], pad)


class Scorer:
    """Scores outputs as text: subwords joined and detokenised as fairseq-generate's options say.

    Args:
        data: the sentences.
        metric: a name of METRICS, of one that is computed from text.
        files: references, one line a sentence of the split; without them the data's target is the reference.
        no_text: symbols that are left out; the dictionary's eos is in any case.

    Raises:
        OptionError: a file has too few lines.
    """

    def __init__(self, data: BenchData, metric: str, files: Sequence[str] = (), no_text: Collection[int] = ()) -> None:
        self._no_text, self.ids, self.metric = no_text, data.ids, metric
        self._dictionary = data.task.target_dictionary
        self._joined = data.cfg.common_eval.post_process
        steps = [data.task.build_bpe(data.cfg.bpe), data.task.build_tokenizer(data.cfg.tokenizer)]
        self._steps = [step for step in steps if step is not None]
        self.references = self._read(files, len(data.dataset)) if files else self._targets(data)
        self._sources = [self._source_text(data, i) for i in self.ids] if METRICS[metric].needs_source else None

    def score(self, outputs: dict[int, list[int]]) -> dict[str, Any] | None:
        """Return the metric's object, or None without references."""
        if not self.references:
            return None
        hyps = [self.text(outputs[i]) for i in self.ids]
        sources = () if self._sources is None else (self._sources,)
        return METRICS[self.metric].compute(hyps, self.references, *sources)

    def text(self, tokens: Sequence[int], *, escape_unk: bool = False) -> str:
        """Return tokens as text."""
        text = self._dictionary.string(tokens, self._joined, escape_unk, extra_symbols_to_ignore=self._no_text)
        return self._decode(text)

    def _decode(self, text: str) -> str:
        for step in self._steps:
            text = step.decode(text)
        return text

    def _source_text(self, data: BenchData, index: int) -> str:
        return self._decode(data.task.source_dictionary.string(data.sentence(index)[0], self._joined))

    def _targets(self, data: BenchData) -> list[list[str]]:
        targets = [data.sentence(i)[1] for i in self.ids]
        if any(target is None for target in targets):
            return []
        # as in fairseq-generate's T lines, an unknown word of the reference cannot be matched
        return [[self.text(target.tolist(), escape_unk=True) for target in targets]]

    def _read(self, files: Sequence[str], sentences: int) -> list[list[str]]:
        lines = {f"--ref {path}": read_lines("--ref", path) for path in files}
        check_same_length({"--gen-subset": list(itertools.repeat("", sentences)), **lines})
        return [[own[i] for i in self.ids] for own in lines.values()]
