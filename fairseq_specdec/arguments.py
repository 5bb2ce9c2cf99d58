"""What `load` and `generate` may be given: checked before anything is loaded or decoded."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from fairseq import registry
from fairseq.data import data_utils
from fairseq.dataclass.configs import GenerationConfig
from omegaconf import MISSING
from torch import Tensor

from fairseq_specdec.config import OptionError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def sort_options(
    options: dict[str, Any], generation: Namespace, text: Namespace, task_options: Collection[str] = ()
) -> dict[str, Any]:
    """Put each option of `load` where it belongs, in place; return those of the task.

    Raises:
        OptionError: lists options that are unknown, have no meaning here, or are missing.
    """
    names = {option.name for option in fields(GenerationConfig)} - {"_name", "prefix_size", "score_reference"}
    text_options = _text_options("bpe", text.bpe) | _text_options("tokenizer", text.tokenizer)
    reasons, of_task = [], {name: value for name, value in options.items() if name in task_options}
    for name, value in options.items():
        if name in of_task:
            continue
        if name in names:
            setattr(generation, name, value)
        elif name in text_options:
            setattr(text, name, value)
        else:
            near = difflib.get_close_matches(name, [*names, *text_options, *task_options], n=1)
            hint = f"did you mean {near[0]}?" if near else "leave it out."
            reasons.append(f"{name} must be an option of generation, bpe or tokenizer, got {name}={value!r}: {hint}")
    reasons += [
        f"{name} is required by the bpe or tokenizer, got nothing: pass {name}=..."
        for name, is_required in text_options.items()
        if is_required and not hasattr(text, name)
    ]
    if reasons:
        raise OptionError(reasons)
    return of_task


def _text_options(kind: str, choice: str | None) -> dict[str, bool]:
    """Return the options of a bpe or tokenizer of fairseq, and whether each is required.

    Raises:
        OptionError: fairseq knows no such bpe or tokenizer.
    """
    if choice is None:
        return {}
    known = registry.REGISTRIES[kind]
    if choice not in known["registry"]:
        raise OptionError([f"{kind} must be one of {', '.join(sorted(known['registry']))}, got {choice}: choose one."])
    config = known["dataclass_registry"].get(choice)
    return {} if config is None else {option.name: option.default == MISSING for option in fields(config)}


def check_place(data: str | Path, device: str, dtype: str) -> None:
    """Refuse a folder, a precision or a device that is not there."""
    reasons = []
    if not Path(data).is_dir():
        reasons.append(f"data must be the folder that fairseq-preprocess wrote, got {data}: check the path.")
    if dtype not in DTYPES:
        reasons.append(f"dtype must be one of {', '.join(DTYPES)}, got {dtype}: choose one.")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        reasons.append(f"device must exist, got {device} where torch finds no CUDA device: pass device='cpu'.")
    if reasons:
        raise OptionError(reasons)


def check_languages(data: str | Path, source_lang: str | None, target_lang: str | None) -> None:
    """Refuse languages that the data has no dictionary of."""
    known = sorted(path.name[len("dict.") : -len(".txt")] for path in Path(data).glob("dict.*.txt"))
    asked = {"source_lang": source_lang, "target_lang": target_lang}
    reasons = [
        f"{name} must be one of {', '.join(known) or 'none'} (the dictionaries in {data}), got {lang}: choose one."
        for name, lang in asked.items()
        if lang is not None and lang not in known
    ]
    if not reasons and None in asked.values() and None in data_utils.infer_language_pair(str(data)):
        reasons.append(
            f"source_lang and target_lang must be given where {data} does not tell them, got {source_lang} and "
            f"{target_lang}: pass two of {', '.join(known) or 'none'}."
        )
    if reasons:
        raise OptionError(reasons)


def check_ids(sources: Sequence[str | Tensor], dictionary: Any) -> None:
    """Refuse tensors that are not the ids of a sentence; all of them are named."""
    reasons = []
    for number, ids in enumerate(sources, start=1):
        if isinstance(ids, Tensor) and (broken := _why_no_ids(ids, dictionary)):
            reasons.append(f"sentence {number} must {broken}: pass what .encode(sentence) gives.")
    if reasons:
        raise OptionError(reasons)


def _why_no_ids(ids: Tensor, dictionary: Any) -> str:
    """Return the rule that ids of a sentence break, and how; an empty string where they are sound."""
    if ids.dim() != 1:
        return f"be one row of ids [n], got a tensor of shape {list(ids.shape)}"
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        return f"hold integers, got {ids.dtype}"
    if not ids.ne(dictionary.pad()).any():
        return f"hold at least one token (eos) that is no padding, got {ids.numel()} ids of padding"
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= len(dictionary):
        return f"hold ids of the source dictionary, 0 to {len(dictionary) - 1}, got {lowest} to {highest}"
    return ""


def one_for_each(name: str, value: str | Sequence[str] | None, n_sentences: int, usual: str) -> list[str]:
    """Return a language for each sentence.

    Args:
        name: of the argument.
        value: one language for all, one for each, or None for the usual.
        n_sentences: how many there are.
        usual: the language that the model was loaded with.

    Raises:
        OptionError: their number is another.
    """
    each = [usual if value is None else value] * n_sentences if value is None or isinstance(value, str) else list(value)
    if len(each) != n_sentences:
        raise OptionError([
            f"{name} must be one language, or one for each of the {n_sentences} sentences, got {len(each)}: "
            "give as many."
        ])  # fmt: skip
    return each
