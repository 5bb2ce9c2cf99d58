"""Read a trained drafter: checkpoints of task ``spec_drafter`` and of the published implementation."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from torch import Tensor, nn

from fairseq_specdec.compat import load_checkpoint
from fairseq_specdec.config import OptionError
from fairseq_specdec.models.checkpoint import model_options, task_options
from fairseq_specdec.models.shared_encoder import encoder_digest, is_digest_of
from fairseq_specdec.models.spec_drafter import SpecDrafterModel
from fairseq_specdec.models.vocabulary import Vocabulary, vocabularies, why_other_vocabulary

logger = logging.getLogger(__name__)

# The published implementation's name for this model (its task is translation_lev_modified, its criterion glat_loss).
REFERENCE_ARCH = "block"


def load_drafter(
    path: str,
    tgt_dict: Dictionary,
    src_dict: Dictionary | None = None,
    encoder: nn.Module | None = None,
    *,
    check_encoder: bool = True,
) -> tuple[SpecDrafterModel, int]:
    """Read a drafter and the block size it was trained for.

    Args:
        path: checkpoint, the value of --drafter-path.
        tgt_dict: the verifier's target dictionary.
        src_dict: the verifier's source dictionary; may be left out where it is the target dictionary too.
        encoder: the verifier's, for a drafter that shares it; it stays as trainable as it is.
        check_encoder: compare it with the one that the drafter was trained on; not where its weights are yet to come,
            see `warn_of_another_encoder`.

    Returns:
        The model, float32 on the CPU in evaluation mode, and its K.

    Raises:
        CheckpointError: the file is missing, damaged or unsafe.
        OptionError: it is no Spec-Drafter, or was trained with other dictionaries or on another verifier's encoder.
    """
    checkpoint = load_checkpoint(path)
    options, weights = model_options(checkpoint), checkpoint["model"]
    if not is_drafter(options):
        raise OptionError(
            [
                f"--drafter-path must be a Spec-Drafter, got {path} with arch {options.arch!r}: train one with "
                "--task spec_drafter --arch spec_drafter, or pass a drafter without weights such as --drafter input."
            ]
        )
    src_dict = tgt_dict if src_dict is None else src_dict
    check_dictionaries(checkpoint, path, src_dict, tgt_dict)
    block_size = getattr(task_options(checkpoint), "block_size", None)
    if block_size is None:
        raise OptionError(
            [f"--drafter-path: {path} does not say its block size; put block_size into its task options."]
        )
    dictionaries = SimpleNamespace(source_dictionary=src_dict, target_dictionary=tgt_dict)
    model = SpecDrafterModel.build_model(options_by_weights(options, weights, src_dict == tgt_dict), dictionaries)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise OptionError([f"--drafter-path: the weights in {path} contradict its options: {error}"]) from error
    if model.shares_encoder:
        if check_encoder:
            check_shared_encoder(checkpoint, path, encoder)
        model.encoder.attach(encoder, freeze=False)
    return model.eval(), int(block_size)


def is_drafter(options: Namespace) -> bool:
    """Tell whether model options are those of a Spec-Drafter, ours or the published one."""
    arch = options.arch or ""
    return arch == REFERENCE_ARCH or ARCH_MODEL_NAME_REGISTRY.get(arch) == "spec_drafter"


def options_by_weights(options: Namespace, weights: Mapping[str, Tensor], joined: bool) -> Namespace:
    """Return the options with everything that the weights themselves show taken from there.

    The published implementation leaves options out that were not given, where our architectures have other defaults.

    Args:
        options: of the checkpoint's model.
        weights: its state dict.
        joined: whether source and target dictionary are the same.
    """
    source, target = weights.get("encoder.embed_tokens.weight"), weights["decoder.embed_tokens.weight"]
    tied = torch.equal(target, weights.get("decoder.output_projection.weight", target))
    shown: dict[str, Any] = {
        "src_embedding_copy": "decoder.copy_attn.weight" in weights,
        "layernorm_embedding": "decoder.layernorm_embedding.weight" in weights,
        "share_decoder_input_output_embed": tied,
        "share_encoder": source is None,
        "share_all_embeddings": source is not None and joined and tied and torch.equal(source, target),
        "apply_bert_init": False,
        "encoder_embed_path": None,
        "decoder_embed_path": None,
    }
    for side, limit in (("encoder", "max_source_positions"), ("decoder", "max_target_positions")):
        table = weights.get(f"{side}.embed_positions.weight")
        if side == "encoder" and source is None:
            continue
        shown[f"{side}_learned_pos"] = table is not None
        if table is not None:
            shown[limit] = table.size(0) - Dictionary().pad() - 1  # positions start after the padding symbol's row
    return Namespace(**{**vars(options), **shown})


def check_dictionaries(checkpoint: Mapping[str, Any], path: str, src_dict: Dictionary, tgt_dict: Dictionary) -> None:
    """Compare the dictionaries with those a drafter was trained with, by size and, where they are known, by content.

    Raises:
        OptionError: they differ.
    """
    verifier = {"source": Vocabulary.of(src_dict), "target": Vocabulary.of(tgt_dict)}
    reasons = why_other_vocabulary(vocabularies(checkpoint, path), verifier, path)
    if reasons:
        raise OptionError(reasons)


def check_shared_encoder(checkpoint: Mapping[str, Any], path: str, encoder: nn.Module | None) -> None:
    """Compare the verifier's encoder with the one that a drafter was trained on.

    Raises:
        OptionError: it is another one, or there is none.
    """
    stored = (checkpoint.get("task_state") or {}).get("encoder", {})
    if encoder is None or not is_digest_of(stored, encoder):
        known = stored.get("float32", "unknown")[:12]
        found = "none" if encoder is None else f"another one ({encoder_digest(encoder, torch.float32)[:12]})"
        raise OptionError([
            f"--drafter-path needs the verifier whose encoder the drafter shares (--share-encoder; {known}), got "
            f"{found} (drafter {path}): pass that verifier first in --path, or train a drafter with this one."
        ])  # fmt: skip


def warn_of_another_encoder(path: str, encoder: nn.Module) -> None:
    """Say where a drafter shares another encoder than the one at hand, as after training has moved that one."""
    checkpoint = load_checkpoint(path)
    if "encoder.embed_tokens.weight" in checkpoint["model"]:
        return
    try:
        check_shared_encoder(checkpoint, path, encoder)
    except OptionError as error:
        logger.warning("decoding goes on with drafts that may fit less well: %s", error)
