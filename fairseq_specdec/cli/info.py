"""Say what a checkpoint is, and whether it can be used as verifier or as drafter and if not every reason.

Exit status 0 when it can be used, 1 when not, 2 for a file that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from torch import Tensor, nn

from fairseq_specdec.cli.info_task import EACH, describe_languages, describe_task, task_of_pairs, weights_of_pair
from fairseq_specdec.compat import CheckpointError, load_checkpoint
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import why_model_unsupported
from fairseq_specdec.models.architecture import why_not_architecture
from fairseq_specdec.models.autoregressive import build_model
from fairseq_specdec.models.checkpoint import model_options, task_options
from fairseq_specdec.models.load import check_shared_encoder, is_drafter, options_by_weights
from fairseq_specdec.models.spec_drafter import SpecDrafterModel
from fairseq_specdec.models.vocabulary import vocabularies, why_other_vocabulary

_NO_PARAMETER = re.compile(r"(^|\.)(version|_float_tensor)$")
_STACKS = ("encoder", "decoder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``specdec info``."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a file that fairseq-train saved")
    parser.add_argument(
        "--drafts-for", metavar="VERIFIER", help="tell, too, whether it can draft for this checkpoint (--drafter-path)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Describe a checkpoint.

    Returns:
        0 when it can be used, 1 when not, 2 when it cannot be read.
    """
    try:
        found = describe(args.checkpoint, args.drafts_for)
    except CheckpointError as error:
        print(f"specdec info: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found) if args.json else as_text(found))
    return 0 if found["usable_as"] and not (found["drafts_for"] or {}).get("reasons") else 1


def describe(path: str, verifier: str | None = None) -> dict[str, Any]:
    """Read a checkpoint and try what it can be used for.

    Args:
        path: the file.
        verifier: another one, for which it may draft.

    Returns:
        path, bytes, arch, task, criterion, source_lang, target_lang, languages and lang_pairs (empty for a model of one
        direction), decode_with (the options for it), does (what becomes of languages, or None), encoder and decoder
        (layers, width, ffn, heads, vocabulary; None for a stack that it has not), parameters, dtype, updates,
        options_in ("args", "cfg" or None), keys, is_drafter, block_size, shares_encoder, usable_as ("verifier",
        "drafter" or None), reasons (empty when usable), drafts_for (None without another checkpoint; else its path, the
        drafter's name, the reasons why not, and whether the symbols were compared or only their number).

    Raises:
        CheckpointError: the file is missing, damaged or unsafe.
    """
    checkpoint = load_checkpoint(path)
    weights, options, task = checkpoint["model"], model_options(checkpoint), task_options(checkpoint)
    drafter, told = is_drafter(options), describe_task(task, weights)
    model, reasons = _try_drafter(checkpoint) if drafter else _try_verifier(path, checkpoint)
    history = checkpoint.get("optimizer_history") or [{}]
    return {
        "path": path,
        "bytes": os.path.getsize(path),
        "arch": options.arch,
        "task": getattr(task, "_name", None) or getattr(task, "task", None),
        "criterion": history[-1].get("criterion_name"),
        "source_lang": getattr(task, "source_lang", None),
        "target_lang": getattr(task, "target_lang", None),
        "languages": told.languages,
        "lang_pairs": told.pairs,
        "decode_with": told.command(),
        "does": told.does,
        **{stack: _stack(stack, options, weights_of_pair(weights)) for stack in _STACKS},
        "parameters": _count_parameters(model, weights),
        "dtype": _dtype(weights),
        "updates": history[-1].get("num_updates"),
        "options_in": next((key for key in ("args", "cfg") if checkpoint.get(key) is not None), None),
        "keys": sorted(key for key, value in checkpoint.items() if value is not None),
        "is_drafter": drafter,
        "block_size": getattr(task, "block_size", None) if drafter else None,
        "shares_encoder": drafter and not any(name.startswith("encoder.") for name in weights),
        "usable_as": None if reasons else "drafter" if drafter else "verifier",
        "reasons": reasons,
        "drafts_for": None if verifier is None else _fit(checkpoint, path, verifier, reasons),
    }


def _fit(checkpoint: Mapping[str, Any], path: str, verifier: str, reasons: list[str]) -> dict[str, Any]:
    """Say whether a checkpoint can draft for another one; reasons: why it cannot be used at all."""
    other, drafter = load_checkpoint(verifier), is_drafter(model_options(checkpoint))
    own, wanted = vocabularies(checkpoint, path), vocabularies(other, verifier)
    model, unusable = None, [f"{verifier} is a Spec-Drafter and no verifier"]
    if not is_drafter(model_options(other)):
        model, unusable = _try_verifier(verifier, other)
    reasons = [*reasons, *unusable, *why_other_vocabulary(own, wanted, path)]
    if drafter and model is not None and not any(name.startswith("encoder.") for name in checkpoint["model"]):
        try:
            check_shared_encoder(checkpoint, path, model.encoder)
        except OptionError as error:
            reasons += error.reasons
    return {
        "path": verifier,
        "drafter": "nat" if drafter else "ar",
        "reasons": reasons,
        "symbols_compared": None not in (own["target"].digest, wanted["target"].digest),
    }


def as_text(found: Mapping[str, Any]) -> str:
    """Lay the description out for reading."""
    languages = f" {found['source_lang']}-{found['target_lang']}" if found["source_lang"] else ""
    lines = [
        f"checkpoint  {found['path']} ({found['bytes'] / 1e6:.1f} MB; {', '.join(found['keys'])})",
        f"model       arch {found['arch']}, task {found['task']}{languages}, criterion {found['criterion']}",
        f"weights     {found['parameters']:,} parameters, {found['dtype']}, after {found['updates']} updates",
    ]
    lines += describe_languages(found)
    for name in _STACKS:
        stack = found[name]
        if stack:
            lines.append(
                f"{name:<11} {stack['layers']} layers, width {stack['width']}, feed-forward {stack['ffn']}, "
                f"{stack['heads']} heads, vocabulary {stack['vocabulary']}"
            )
    if found["shares_encoder"]:
        lines.append("encoder     the verifier's (--share-encoder): decode with the one it was trained with")
    if found["is_drafter"]:
        lines.append(f"drafter     Spec-Drafter, block size {found['block_size']}")
    if found["usable_as"]:
        options = {"verifier": f"{found['decode_with']} --path", "drafter": "--drafter nat --drafter-path"}
        lines.append(f"usable as   {found['usable_as']}: {options[found['usable_as']]} {found['path']}")
    else:
        lines += ["not usable, because", *(f"  - {reason}" for reason in found["reasons"])]
    fit = found["drafts_for"]
    if fit and fit["reasons"]:
        lines += [f"does not draft for {fit['path']}, because", *(f"  - {reason}" for reason in fit["reasons"])]
    elif fit:
        known = "the same symbols" if fit["symbols_compared"] else "as many symbols; which they are was not found"
        lines.append(f"drafts for  {fit['path']} ({known}): --drafter {fit['drafter']} --drafter-path {found['path']}")
    return "\n".join(lines)


def _try_verifier(path: str, checkpoint: Mapping[str, Any]) -> tuple[nn.Module | None, list[str]]:
    """Load the model as fairseq-generate does; return it, and what keeps the engine from running it."""
    options, task, weights = model_options(checkpoint), task_options(checkpoint), checkpoint["model"]
    told = describe_task(task, weights)
    if told.sibling == EACH:
        return _try_pairs(path, task, weights)
    reasons = why_not_architecture(options.arch)
    if reasons:
        return None, reasons
    sizes = [_vocabulary(stack, weights) for stack in _STACKS]
    if None in sizes:
        return None, [
            f"its {stack} has no table of embeddings: it must be an encoder-decoder with both"
            for stack, size in zip(_STACKS, sizes, strict=True)
            if size is None
        ]
    try:
        model = build_model(path, *map(_dictionary, sizes))
    except Exception as error:  # building fails in the ways of each architecture
        return None, [f"fairseq cannot build it from its own options: {_shorten(error)}"]
    return model, why_model_unsupported(model)


def _try_pairs(path: str, task: Namespace, weights: Mapping[str, Tensor]) -> tuple[nn.Module | None, list[str]]:
    """Likewise, of a model for each pair of languages."""
    try:
        built = task_of_pairs(task, describe_task(task, weights), _dictionary, weights)
        (model,), _ = checkpoint_utils.load_model_ensemble([path], task=built)
    except Exception as error:  # as above
        return None, [f"fairseq cannot build it from its own options: {_shorten(error)}"]
    return model, list(dict.fromkeys(reason for one in model.models.values() for reason in why_model_unsupported(one)))


def _try_drafter(checkpoint: Mapping[str, Any]) -> tuple[nn.Module | None, list[str]]:
    """Build the drafter; return it, and what keeps it from being used."""
    options, weights = model_options(checkpoint), checkpoint["model"]
    reasons = []
    if getattr(task_options(checkpoint), "block_size", None) is None:
        reasons.append("it does not say its block size (block_size among the options of its task)")
    try:
        target = _dictionary(_vocabulary("decoder", weights))
        source = _dictionary(_vocabulary("encoder", weights) or len(target))  # without an encoder nothing depends on it
        dictionaries = SimpleNamespace(source_dictionary=source, target_dictionary=target)
        model = SpecDrafterModel.build_model(options_by_weights(options, weights, source == target), dictionaries)
        model.load_state_dict(weights)
    except Exception as error:  # weights that contradict the options, or are not there
        return None, [*reasons, f"its weights contradict its options: {_shorten(error)}"]
    return model, reasons


def _dictionary(size: int) -> Dictionary:
    """Return a dictionary of this size; those of one size are equal, as tables that are shared need them."""
    dictionary = Dictionary()
    for i in range(size - len(dictionary)):
        dictionary.add_symbol(f"w{i}")
    return dictionary


def _stack(stack: str, options: Namespace, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Describe the encoder or the decoder by its weights; the number of heads is an option."""
    numbers = {match[1] for name in weights if (match := re.match(rf"{stack}\.layers\.(\d+)\.", name))}
    vocabulary = _vocabulary(stack, weights)
    if not numbers and vocabulary is None:
        return None
    feed_forward = weights.get(f"{stack}.layers.0.fc1.weight")  # [F, C]
    nested = getattr(options, stack, None)  # in the newer form of the options each stack has a section
    heads = getattr(options, f"{stack}_attention_heads", None) or getattr(nested, "attention_heads", None)
    return {
        "layers": len(numbers),
        "width": None if feed_forward is None else feed_forward.size(1),
        "ffn": None if feed_forward is None else feed_forward.size(0),
        "heads": heads,
        "vocabulary": vocabulary,
    }


def _vocabulary(stack: str, weights: Mapping[str, Tensor]) -> int | None:
    table = weights.get(f"{stack}.embed_tokens.weight")
    return None if table is None else table.size(0)


def _count_parameters(model: nn.Module | None, weights: Mapping[str, Tensor]) -> int:
    """Count parameters, shared ones once."""
    if model is not None:
        return sum(parameter.numel() for parameter in model.parameters())
    stored = [value for name, value in weights.items() if not _NO_PARAMETER.search(name)]
    return sum({value.data_ptr(): value.numel() for value in stored}.values())


def _dtype(weights: Mapping[str, Tensor]) -> str:
    """Name the precision of the weights; several are listed."""
    stored = [value for name, value in weights.items() if not _NO_PARAMETER.search(name)]
    names = {str(value.dtype).removeprefix("torch.") for value in stored if value.is_floating_point()}
    return ", ".join(sorted(names))


def _shorten(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
