"""What a checkpoint says of its task: which languages it translates, and how this package is asked to decode it."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, NamedTuple

from fairseq.tasks.multilingual_translation import MultilingualTranslationTask
from torch import Tensor

from fairseq_specdec.config import OptionError
from fairseq_specdec.models.vocabulary import SIDES
from fairseq_specdec.tasks.build import sibling_of

MANY, EACH, MBART = (
    "translation_multi_specdec",
    "multilingual_translation_specdec",
    "translation_from_pretrained_bart_specdec",
)
# options of training that decoding has to repeat, by task
_REPEATED = {
    MANY: (
        "lang_pairs", "langs", "lang_dict", "lang_tok_style", "langtoks_specs", "encoder_langtok", "decoder_langtok",
        "lang_tok_replacing_bos_eos", "fixed_dictionary", "add_data_source_prefix_tags",
    ),
    EACH: ("lang_pairs", "encoder_langtok", "decoder_langtok"),
    MBART: ("langs", "prepend_bos"),
}  # fmt: skip
_DEFAULTS = {"lang_tok_style": "multilingual", "langtoks_specs": ["main"]}
_OF_PAIR = re.compile(r"models\.([^.]+)\.(.+)")
_LONG = 200  # characters of a list of languages, beyond which a line names the first only


class TaskTold(NamedTuple):
    """A checkpoint's task.

    Args:
        sibling: the task here that decodes it; None where there is none.
        languages: that the model knows; none where it is of one direction.
        pairs: of languages that it was trained for, likewise.
        repeated: options of training that decoding has to repeat, by their Python names.
        does: what becomes of languages.
    """

    sibling: str | None
    languages: list[str]
    pairs: list[str]
    repeated: dict[str, Any]
    does: str | None

    def command(self) -> str:
        """Return the options for decoding on one line."""
        words = ["--task", self.sibling or "translation_specdec"]
        for name, value in self.repeated.items():
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            text = name.upper() if len(text) > _LONG else shlex.quote(text)
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [text])
        return " ".join(words + (["-s", "SOURCE", "-t", "TARGET"] if self.pairs else []))


def describe_task(task: Namespace, weights: Mapping[str, Tensor]) -> TaskTold:
    """Say what the options of a task mean for decoding.

    Args:
        task: options, as stored.
        weights: of the checkpoint.
    """
    name = getattr(task, "_name", None) or getattr(task, "task", None)
    try:
        sibling = sibling_of(name)
    except OptionError:
        return TaskTold(None, [], [], {}, None)
    options = vars(task)
    repeated = {option: options.get(option) for option in _REPEATED.get(sibling, ())}
    main = options.get("encoder_langtok") or None, "tgt" if options.get("decoder_langtok") else None
    if (options.get("langtoks") or {}).get("main", main) != main:  # else fairseq made them of these two
        repeated["langtoks"] = options["langtoks"]
    repeated = {k: v for k, v in repeated.items() if v not in (None, False, "", []) and v != _DEFAULTS.get(k)}
    if not repeated:
        return TaskTold(sibling, [], [], {}, None)
    pairs = _listed(options.get("lang_pairs")) or sorted({match[1] for match in map(_OF_PAIR.match, weights) if match})
    known = _listed(options.get("langs")) or sorted({language for pair in pairs for language in pair.split("-")})
    return TaskTold(sibling, known, pairs, repeated, _does(sibling, options))


def describe_languages(found: Mapping[str, Any]) -> list[str]:
    """Return lines about the languages of a description; none where it is of one direction."""
    if not found["languages"]:
        return []
    pairs = f"; trained for {_shortened(found['lang_pairs'])}" if found["lang_pairs"] else ""
    return [f"languages   {_shortened(found['languages'])}{pairs}", f"decoding    {found['does']}"]


def weights_of_pair(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the weights of the first pair of languages where a model has several for each, else all."""
    first = next((match[1] for match in map(_OF_PAIR.match, weights) if match), None)
    if first is None:
        return weights
    return {name.removeprefix(f"models.{first}."): value for name, value in weights.items() if f".{first}." in name}


def task_of_pairs(task: Namespace, told: TaskTold, dictionary: Any, weights: Mapping[str, Tensor]) -> Any:
    """Return fairseq's task with which a model for each pair of languages is built.

    Args:
        task: options, as stored.
        told: what is known of it.
        dictionary: makes one of a size.
        weights: of the checkpoint.
    """
    dictionaries = {}
    for pair in told.pairs:
        for language, stack in zip(pair.split("-"), SIDES.values(), strict=True):
            dictionaries[language] = dictionary(weights[f"models.{pair}.{stack}.embed_tokens.weight"].size(0))
    return MultilingualTranslationTask(Namespace(**{**vars(task), "lang_pairs": told.pairs}), dictionaries, True)


def _does(sibling: str, options: Mapping[str, Any]) -> str:
    """Say what becomes of languages in a task."""
    if sibling == MBART:
        return "the target language's token ends an output in place of eos, and stands before its first token"
    by_spec = options.get("langtoks") or {}
    source, target = by_spec.get("main") or (options.get("encoder_langtok"), options.get("decoder_langtok"))
    named = {"src": "source", "tgt": "target"}.get(source)
    does = [] if named is None else [f"the {named} language's token marks a source"]
    if target and (sibling == EACH or options.get("lang_tok_replacing_bos_eos")):
        does.append("the target language's token stands before the first token of an output")
    elif target:
        does.append("the target language's token is forced first, costs no round, is no draft, and is no text")
    return "; ".join(does) or "no token names a language"


def _listed(value: Any) -> list[str]:
    """Return a list that may be stored with commas between its elements."""
    if value is None:
        return []
    return [str(one) for one in (value.split(",") if isinstance(value, str) else value)]


def _shortened(names: list[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _LONG else f"{', '.join(names[:8])} ... ({len(names)})"
