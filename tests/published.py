"""Checkpoints with random weights and few of them, otherwise as the published ones are laid out on disk."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq import tasks
from fairseq.data import Dictionary
from omegaconf import OmegaConf
from torch import Tensor

from tests import tiny

SIZE = {"embed_dim": 32, "ffn_embed_dim": 48, "attention_heads": 2, "layers": 2}
SIZES = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in SIZE.items()}
PRE_NORM = {"encoder_normalize_before": True, "decoder_normalize_before": True}
LEARNED = {"encoder_learned_pos": True, "decoder_learned_pos": True}
M2M = ["af", "am", "de", "en", "fr", "zu"]
NLLB = ["ace_Arab", "deu_Latn", "eng_Latn", "zul_Latn"]
MBART50 = ["ar_AR", "de_DE", "en_XX", "sl_SI"]
TAGS = ["<MINED_DATA>", "<MMT_BT_DATA>", "<SMT_BT_DATA>"]


class Published(NamedTuple):
    """A published checkpoint, made small.

    Args:
        path: the checkpoint.
        stock: task and options with which fairseq decodes it.
        ours: likewise, this package.
    """

    path: Path
    stock: list[str]
    ours: list[str]


def words_of(data: Path) -> Path:
    """Write the dictionary without languages that comes with a model, beside the data; return its path."""
    path = data.parent / "model_dict.txt"
    Dictionary.load(str(data / f"dict.{tiny.SOURCE}.txt")).save(str(path))
    return path


def m2m_100(folder: Path, data: Path) -> Published:
    """M2M-100 418M: options as args of 2020, every embedding one, pre-norm, sinusoids, layer drop, half precision."""
    names = ["-s", tiny.SOURCE, "-t", tiny.TARGET]
    pairs = folder / "language_pairs_small_models.txt"
    pairs.write_text(",".join(f"{a}-{b}" for a in M2M for b in M2M if a != b) + "\n", "utf-8")
    options = {
        "fixed_dictionary": words_of(data),
        "lang_pairs": pairs,
        "encoder_langtok": "src",
        "decoder_langtok": True,
    }
    arch = {"arch": "transformer_wmt_en_de_big", "share_all_embeddings": True, "share_decoder_input_output_embed": True}
    arch |= {**SIZES, **PRE_NORM, "encoder_layerdrop": 0.05, "decoder_layerdrop": 0.05}
    path = _save(folder / "418M_last_checkpoint.pt", data, "translation_multi_simple_epoch", options, arch, _as_args)
    asked = [*names, *_arguments(options)]
    return Published(
        path,
        ["--task", "translation_multi_simple_epoch", *asked],
        ["--task", "translation_multi_specdec", *asked],
    )


def nllb_200(folder: Path, data: Path) -> Published:
    """NLLB-200 distilled 600M: options as cfg, with some that only its branch has, an architecture of that branch."""
    source, target = "deu_Latn", "eng_Latn"
    dictionary = words_of(data)
    full = folder / "with_tags.txt"  # for a fairseq that does not know of the tags
    words = Dictionary.load(str(dictionary))
    for symbol in [*(f"__{language}__" for language in NLLB), *TAGS]:
        words.add_symbol(symbol)
    words.save(str(full))
    _rename(data, {tiny.SOURCE: source, tiny.TARGET: target})
    options = {"langs": ",".join(NLLB), "lang_pairs": f"{source}-{target}", "encoder_langtok": "src"}
    options["decoder_langtok"] = True
    arch = {"arch": "transformer_12_12", "share_all_embeddings": True, **SIZES, **PRE_NORM}
    asked = ["-s", source, "-t", target, *_arguments(options)]
    built = {"source_lang": source, "target_lang": target, "fixed_dictionary": full, **options}
    path = _save(folder / "checkpoint.pt", data, "translation_multi_simple_epoch", built, arch, _as_branch)
    return Published(
        path,
        ["--task", "translation_multi_simple_epoch", *asked, "--fixed-dictionary", str(full)],
        ["--task", "translation_multi_specdec", *asked, "--fixed-dictionary", str(dictionary), TAG_OPTION],
    )


TAG_OPTION = "--add-data-source-prefix-tags"


def mbart50(folder: Path, data: Path) -> Published:
    """mBART50: learned positions, norm of embeddings, pre-norm, languages in brackets and a mask in the dictionary."""
    source, target = "de_DE", "en_XX"
    _rename(data, {tiny.SOURCE: source, tiny.TARGET: target})
    languages = folder / "ML50_langs.txt"
    languages.write_text("\n".join(MBART50) + "\n", "utf-8")
    options = {"lang_dict": languages, "lang_pairs": f"{source}-{target},{target}-{source}", "encoder_langtok": "src"}
    options |= {"decoder_langtok": True, "lang_tok_style": "mbart"}
    arch = {"arch": "mbart_large", "share_all_embeddings": True, "share_decoder_input_output_embed": True}
    arch |= {"layernorm_embedding": True, "activation_fn": "relu", **SIZES, **PRE_NORM, **LEARNED}
    built = {"source_lang": source, "target_lang": target, **options}
    path = _save(folder / "model.pt", data, "translation_multi_simple_epoch", built, arch, _as_args)
    asked = ["-s", source, "-t", target, *_arguments(options)]
    return Published(
        path, ["--task", "translation_multi_simple_epoch", *asked], ["--task", "translation_multi_specdec", *asked]
    )


def bart_large_cnn(folder: Path, data: Path) -> Published:
    """bart.large.cnn: args of 2019, no projection of its own, one row more for a mask that the dictionary lacks."""
    _rename(data, {tiny.SOURCE: "source", tiny.TARGET: "target"})
    built = {"source_lang": "source", "target_lang": "target"}
    path = _save(folder / "model.pt", data, "translation", built, {**tiny.BART, "arch": "bart_large"}, _as_bart)
    asked = ["-s", "source", "-t", "target", "--truncate-source"]
    return Published(path, ["--task", "translation", *asked], ["--task", "translation_specdec", *asked])


MODELS: dict[str, Callable[[Path, Path], Published]] = {
    "M2M-100 418M": m2m_100,
    "NLLB-200 600M": nllb_200,
    "mBART50": mbart50,
    "bart.large.cnn": bart_large_cnn,
}


def _arguments(options: dict[str, Any]) -> list[str]:
    named = [(f"--{name.replace('_', '-')}", value) for name, value in options.items()]
    return [text for name, value in named for text in ([name] if value is True else [name, str(value)])]


def _rename(data: Path, languages: dict[str, str]) -> None:
    """Call the languages of a data-bin folder otherwise."""
    for path in list(data.iterdir()):
        name = path.name
        for old, new in languages.items():
            name = ".".join(new if part == old else part for part in name.split("."))
        name = name.replace(f".{tiny.SOURCE}-{tiny.TARGET}.", f".{'-'.join(languages.values())}.")
        path.rename(path.with_name(name))


def _save(
    path: Path, data: Path, task: str, options: dict[str, Any], arch: dict[str, Any], layout: Callable[..., dict]
) -> Path:
    """Write a lively random model: what of its options and weights is on disk, the layout says."""
    model, cfg = tiny.build_model(data, task=task, **{**options, **arch})
    tiny.liven(model, tasks.setup_task(cfg.task).source_dictionary)
    weights = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    extra = {"train_iterator": {"epoch": 5, "iterations_in_epoch": 0}, "val_loss": 3.1}
    history = {"criterion_name": "LabelSmoothedCrossEntropyCriterion", "optimizer_name": "MemoryEfficientFP16Optimizer"}
    history |= {"lr_scheduler_state": {"best": None}, "num_updates": 100}
    state = {"optimizer_history": [history], "extra_state": extra, "last_optimizer_state": None}
    torch.save({**state, **layout(cfg, weights)}, path)
    return path


def _as_args(cfg: Any, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return options as fairseq wrote them until 2020: one Namespace of the model's, the task's and all others."""
    container = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    parts = [container["common"], container["dataset"], container["task"], container["model"]]
    flat = {key: value for part in parts for key, value in dict(getattr(part, "__dict__", part)).items()}
    flat = {key: value for key, value in flat.items() if key != "_name"}
    return {"args": Namespace(**flat), "model": weights}


def _as_branch(cfg: Any, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return options as the branch of NLLB writes them, which knows some that no other fairseq does."""
    container = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    for part in (container["task"], container["model"]):
        vars(part).update(add_data_source_prefix_tags=True, add_ssl_task_tokens=False, finetune_dict_specs=None)
        vars(part).update(
            moe_freq=0, moe_expert_count=0, enable_m2m_validation=True, pass_tokens_transformer_layer=False
        )
    return {"args": None, "cfg": container, "model": weights}


def _as_bart(cfg: Any, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return what fairseq wrote in 2019, after training with a mask."""
    state = _as_args(cfg, weights)
    del weights["decoder.output_projection.weight"]
    for side in ("encoder", "decoder"):
        table = weights[f"{side}.embed_tokens.weight"]
        weights[f"{side}.embed_tokens.weight"] = torch.cat([table, table[-1:]])
        weights[f"{side}.version"] = torch.tensor([3.0])
    return state
