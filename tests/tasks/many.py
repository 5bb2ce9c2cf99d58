"""Tiny models of several languages: what a task of fairseq's is asked with, and checkpoints that it made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from fairseq import tasks
from fairseq.models.fairseq_model import FairseqMultiModel

from tests import tiny

LANGUAGES = "de,en,fr"


class Kind(NamedTuple):
    """A kind of model.

    Args:
        stock: fairseq's task.
        ours: its sibling.
        options: of the task, by their Python names.
        arch: options of the model.
    """

    stock: str
    ours: str
    options: dict[str, Any]
    arch: dict[str, Any] = {}  # noqa: RUF012

    @property
    def arguments(self) -> list[str]:
        """The options as fairseq-generate takes them."""
        listed = [(f"--{name.replace('_', '-')}", value) for name, value in self.options.items()]
        return [text for name, value in listed for text in ([name] if value is True else [name, str(value)])]


def _many(**options: Any) -> Kind:
    chosen = {"lang_pairs": "de-en,en-de", "langs": LANGUAGES, **options}
    return Kind("translation_multi_simple_epoch", "translation_multi_specdec", chosen, {"share_all_embeddings": True})


def _each(arch: dict[str, Any], **options: Any) -> Kind:
    arch = {"arch": "multilingual_transformer", **{f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in
            {"embed_dim": 32, "ffn_embed_dim": 48, "attention_heads": 2, "layers": 2}.items()}, **arch}  # fmt: skip
    # no language to translate from: models of all pairs are built
    arch = {"source_lang": None, "target_lang": None, **arch}
    chosen = {"lang_pairs": "de-en,en-de", **options}
    return Kind("multilingual_translation", "multilingual_translation_specdec", chosen, arch)


KINDS = {
    "M2M-100": _many(encoder_langtok="src", decoder_langtok=True),
    "NLLB": _many(langtoks='{"main":("src","tgt")}', langtoks_specs="main"),
    "the target's language in the source": _many(encoder_langtok="tgt"),
    "mBART's names": _many(encoder_langtok="src", decoder_langtok=True, lang_tok_style="mbart"),
    "languages in place of eos": _many(encoder_langtok="src", decoder_langtok=True, lang_tok_replacing_bos_eos=True),
    "a model for each pair": _each({}, encoder_langtok="tgt", decoder_langtok=True),
    "pairs that share": _each({"share_encoders": True, "share_decoders": True}, decoder_langtok=True),
    "mBART": Kind(
        "translation_from_pretrained_bart",
        "translation_from_pretrained_bart_specdec",
        {"langs": LANGUAGES, "prepend_bos": True},
        {"share_all_embeddings": True, "layernorm_embedding": True},
    ),
}


def make_data(folder: Path) -> Path:
    """Write a data-bin folder with one dictionary for de, en and fr."""
    data = tiny.make_data_bin(folder, joined=True)
    shutil.copy(data / "dict.en.txt", data / "dict.fr.txt")
    return data


def save(path: Path, data: Path, kind: Kind, seed: int = 1, **more: Any) -> Path:
    """Write a checkpoint of a lively random model."""
    model, cfg = tiny.build_model(data, seed, task=kind.stock, **{**kind.options, **kind.arch, **more})
    dictionary = tasks.setup_task(cfg.task).source_dictionary
    is_mbart = kind.stock == "translation_from_pretrained_bart"
    every = model.models.values() if isinstance(model, FairseqMultiModel) else [model]
    for one in {one.decoder: one for one in every}.values():  # pairs may share all that they have
        tiny.liven(one, dictionary, seed, eos=dictionary.index(f"[{tiny.TARGET}]") if is_mbart else None)
    return tiny.save_checkpoint(path, model, cfg)
