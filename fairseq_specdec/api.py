"""Decoding from Python: ``fairseq_specdec.load(...)`` gives a model that turns sentences into sentences."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils, utils

from fairseq_specdec.arguments import DTYPES, check_languages, check_place, sort_options
from fairseq_specdec.config import OptionError
from fairseq_specdec.options import StockNeeded
from fairseq_specdec.spec_model import SpecModel
from fairseq_specdec.tasks.build import build_task, own_options
from fairseq_specdec.wording import for_python, worded


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
    task: str = "translation_specdec",
    bos: bool = False,
    truncate_source: bool = False,
    **options: Any,
) -> SpecModel:
    """Load a model for decoding.

    Args:
        verifier: checkpoint, or several for an ensemble.
        data: data-bin folder; only its dictionaries are read.
        drafter: name of the drafter ("none", "nat", "self", "ar", "input", "ngram", "file"); several with commas
            between are asked in turn ("input,self").
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
        target_lang: likewise; of a model of many languages those of sentences for which no other is asked.
        task: name of the task: "translation_multi_specdec" for models of many languages (M2M-100, NLLB, mBART50),
            "translation_from_pretrained_bart_specdec", "multilingual_translation_specdec".
        bos: begin each source, and force each output to begin, with bos, as ``BARTModel.from_pretrained(...).sample``
            does.
        truncate_source: cut sources that are longer than the model's positions, instead of refusing them.
        **options: generation options by fairseq's names (``beam=5, nbest=3``; without, decoding is greedy), and options
            of ``bpe``, ``tokenizer`` and ``task`` (``lang_pairs``, ``fixed_dictionary`` ...).

    Raises:
        OptionError: lists options that cannot be honoured.
        CheckpointError: a checkpoint is missing, damaged or unsafe.
        UnsupportedModelError: the engine cannot run the verifier.
    """
    text = Namespace(bpe=bpe, tokenizer=tokenizer)
    generation = Namespace(beam=1)
    of_task = sort_options(options, generation, text, own_options(task))
    check_place(data, device, dtype)
    if "fixed_dictionary" not in of_task:
        check_languages(data, source_lang, target_lang)
    asked = dict(
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
    made = build_task(task, {**asked, **of_task})
    made.engine_only = True
    paths = utils.split_paths(str(verifier)) if isinstance(verifier, str | Path) else [str(path) for path in verifier]
    models, _ = checkpoint_utils.load_model_ensemble(paths, task=made)
    models = [model.to(device=device, dtype=DTYPES[dtype]) for model in models]
    text.source_lang, text.target_lang = made.asked.source_lang, made.asked.target_lang  # a tokenizer may go by them
    steps = [step for step in (made.build_tokenizer(text), made.build_bpe(text)) if step is not None]
    try:
        generator = made.build_spec_generator(models, generation)
    except StockNeeded as error:
        raise OptionError(
            [f"{reason}: that is done by fairseq's own generator alone, leave it out." for reason in error.reasons]
        ) from error
    encode, decode = [step.encode for step in steps], [step.decode for step in reversed(steps)]
    return SpecModel(made, generator, encode, decode, getattr(generation, "nbest", 1), bos, truncate_source)
