"""Options of the model ``spec_drafter``, its named architectures, and their translation for fairseq's modules."""

import argparse
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from fairseq import utils
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models.transformer import TransformerConfig
from omegaconf import II

# Options left at None are filled from here; a named architecture overrides some of them.
BASE: dict[str, Any] = {
    "encoder_embed_dim": 512,
    "encoder_ffn_embed_dim": 2048,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_learned_pos": True,
    "decoder_layers": 6,
    "decoder_learned_pos": True,
    "layernorm_embedding": False,
    "src_embedding_copy": True,
    "apply_bert_init": True,
    "share_decoder_input_output_embed": True,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "spec_drafter_big": {
        "encoder_embed_dim": 1024,
        "encoder_ffn_embed_dim": 4096,
        "encoder_attention_heads": 16,
    },
    "spec_drafter_iwslt_de_en": {"encoder_ffn_embed_dim": 1024, "encoder_attention_heads": 4},
    "spec_drafter_bart_base": {
        "encoder_embed_dim": 768,
        "encoder_ffn_embed_dim": 3072,
        "encoder_attention_heads": 12,
        "layernorm_embedding": True,
    },
    "spec_drafter_tiny": {
        "encoder_embed_dim": 32,
        "encoder_ffn_embed_dim": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_layers": 2,
    },
}
# Without a value of its own the decoder takes the encoder's.
_DECODER_FOLLOWS = ("embed_dim", "ffn_embed_dim", "attention_heads")


def _option(text: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class SpecDrafterConfig(FairseqDataclass):
    """Options of ``spec_drafter``, flat as on the command line; None means: as the architecture says."""

    encoder_embed_dim: Optional[int] = _option("width of the encoder")
    encoder_ffn_embed_dim: Optional[int] = _option("width of the encoder's feed-forward layers")
    encoder_layers: Optional[int] = _option("number of encoder layers")
    encoder_attention_heads: Optional[int] = _option("number of attention heads in the encoder")
    encoder_normalize_before: bool = _option("layer norm before each encoder block and not after it", False)
    encoder_learned_pos: Optional[bool] = _option("learned positions in the encoder, else sinusoidal")
    encoder_layerdrop: float = _option("probability of skipping an encoder layer in training", 0.0)
    encoder_embed_path: Optional[str] = _option("file of trained source embeddings")
    decoder_embed_dim: Optional[int] = _option("width of the decoder (default: the encoder's)")
    decoder_ffn_embed_dim: Optional[int] = _option("width of its feed-forward layers (default: the encoder's)")
    decoder_layers: Optional[int] = _option("number of decoder layers")
    decoder_attention_heads: Optional[int] = _option("number of its attention heads (default: the encoder's)")
    decoder_normalize_before: bool = _option("layer norm before each decoder block and not after it", False)
    decoder_learned_pos: Optional[bool] = _option("learned positions in the decoder, else sinusoidal")
    decoder_layerdrop: float = _option("probability of skipping a decoder layer in training", 0.0)
    decoder_embed_path: Optional[str] = _option("file of trained target embeddings")
    activation_fn: ChoiceEnum(utils.get_available_activation_fns()) = _option("activation function", "gelu")
    dropout: float = _option("dropout probability", 0.1)
    attention_dropout: float = _option("dropout probability of attention weights", 0.0)
    activation_dropout: float = _option("dropout probability after the activation function", 0.0)
    layernorm_embedding: Optional[bool] = _option("layer norm after the embeddings")
    share_all_embeddings: Optional[bool] = _option(
        "one table for source, target and output embeddings (default: where the dictionaries are joined)"
    )
    share_decoder_input_output_embed: Optional[bool] = _option("one table for target and output embeddings")
    src_embedding_copy: Optional[bool] = _option("masks start from a soft copy of the source embeddings")
    share_encoder: bool = _option(
        "take the verifier's encoder, frozen, instead of one of its own; the encoder options must be the verifier's",
        False,
    )
    causal_prefix: bool = _option(
        "committed tokens attend to those before them alone, so that their keys and values can be kept", False
    )
    apply_bert_init: Optional[bool] = _option("draw the initial weights as BERT does")
    quant_noise_pq: float = _option("rate of quantization noise in training", 0.0)
    quant_noise_pq_block_size: int = _option("block size of quantization noise", 8)
    checkpoint_activations: bool = _option("recompute activations in the backward pass to save memory", False)
    offload_activations: bool = _option("keep checkpointed activations in host memory", False)
    max_source_positions: int = II("task.max_source_positions")
    max_target_positions: int = II("task.max_target_positions")


def add_switches(parser: ArgumentParser) -> None:
    """Add ``--x`` and ``--no-x`` for each option that an architecture may turn on.

    fairseq would make them plain ``store_true`` flags, with which a default of True cannot be turned off.
    """
    for option in fields(SpecDrafterConfig):
        if option.type == Optional[bool]:
            name = "--" + option.name.replace("_", "-")
            parser.add_argument(
                name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=option.metadata["help"]
            )


def apply_architecture(args: Any, name: str) -> None:
    """Fill in place the options of ``args`` (Namespace or DictConfig) that are missing or None.

    Args:
        args: options as attributes.
        name: an architecture; any name without an entry of its own stands for the published size.
    """
    for key, value in {**BASE, **ARCHITECTURES.get(name, {})}.items():
        if getattr(args, key, None) is None:
            setattr(args, key, value)
    for key in _DECODER_FOLLOWS:
        if getattr(args, f"decoder_{key}", None) is None:
            setattr(args, f"decoder_{key}", getattr(args, f"encoder_{key}"))


def complete_options(args: Any) -> Namespace:
    """Return the options of ``args`` (Namespace, DictConfig or SpecDrafterConfig) with no architecture default open."""
    defaults = SpecDrafterConfig()
    names = [option.name for option in fields(SpecDrafterConfig) if not option.name.startswith("_")]
    options = Namespace(**{name: getattr(args, name, getattr(defaults, name)) for name in names})
    apply_architecture(options, "spec_drafter")
    if options.offload_activations:
        options.checkpoint_activations = True
    _check(options)
    return options


def _check(options: Namespace) -> None:
    widths = f"{options.encoder_embed_dim} and {options.decoder_embed_dim}"
    if options.src_embedding_copy and options.encoder_embed_dim != options.decoder_embed_dim:
        raise ValueError(
            "--src-embedding-copy needs --encoder-embed-dim and --decoder-embed-dim equal, got "
            f"{widths}: make them equal or pass --no-src-embedding-copy."
        )
    for side in ("encoder", "decoder"):
        width, heads = getattr(options, f"{side}_embed_dim"), getattr(options, f"{side}_attention_heads")
        if width % heads:
            raise ValueError(
                f"--{side}-attention-heads must divide --{side}-embed-dim, got {heads} for {width}: pass a divisor."
            )


def transformer_config(options: Namespace) -> TransformerConfig:
    """Return the nested configuration that fairseq's Transformer modules read."""
    return TransformerConfig.from_namespace(
        Namespace(
            **vars(options),
            no_scale_embedding=True,  # as published: token and position embeddings are of one scale
            decoder_input_dim=options.decoder_embed_dim,
            decoder_output_dim=options.decoder_embed_dim,
        )
    )
