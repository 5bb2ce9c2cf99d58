"""Architectures that checkpoints of NLLB name; fairseq has them in the branch of that project only."""

from argparse import Namespace

from fairseq.models import ARCH_MODEL_REGISTRY, register_model_architecture
from fairseq.models.transformer import base_architecture

# layers of each side, width, width of the feed-forward part, heads: those of the published dense models
SIZES = {
    "transformer_12_12": (12, 1024, 4096, 16),
    "transformer_24_24": (24, 1024, 8192, 16),
    "transformer_24_24_big": (24, 2048, 8192, 16),
}


def register_missing() -> None:
    """Register those that neither this fairseq nor a user-dir has; a checkpoint's own sizes go before these."""
    for name, sizes in SIZES.items():
        if name not in ARCH_MODEL_REGISTRY:
            register_model_architecture("transformer", name)(_architecture(*sizes))


def _architecture(layers: int, width: int, feed_forward: int, heads: int):  # noqa: ANN202 (fairseq's own kind)
    """Return a function that fills in the options of a model that are not given."""
    of_side = {
        "layers": layers,
        "embed_dim": width,
        "ffn_embed_dim": feed_forward,
        "attention_heads": heads,
        "normalize_before": True,
    }

    def fill_in(args: Namespace) -> None:
        for side in ("encoder", "decoder"):
            for option, value in of_side.items():
                setattr(args, f"{side}_{option}", getattr(args, f"{side}_{option}", value))
        args.share_all_embeddings = getattr(args, "share_all_embeddings", True)
        base_architecture(args)

    return fill_in


register_missing()
