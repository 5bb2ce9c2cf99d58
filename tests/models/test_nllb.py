from argparse import Namespace

import pytest
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer import TransformerModel

from fairseq_specdec.models import nllb


@pytest.mark.parametrize(
    ("arch", "layers", "width", "inner"),
    [
        ("transformer_12_12", 12, 1024, 4096),
        ("transformer_24_24", 24, 1024, 8192),
        ("transformer_24_24_big", 24, 2048, 8192),
    ],
)
def test_architectures_of_nllb_have_the_published_sizes(arch, layers, width, inner):
    assert ARCH_MODEL_REGISTRY[arch] is TransformerModel
    args = Namespace()
    ARCH_CONFIG_REGISTRY[arch](args)
    assert (args.encoder_layers, args.decoder_layers) == (layers, layers)
    assert (args.encoder_embed_dim, args.decoder_ffn_embed_dim, args.decoder_attention_heads) == (width, inner, 16)
    assert args.encoder_normalize_before
    assert args.decoder_normalize_before
    assert args.share_all_embeddings


def test_what_a_checkpoint_says_goes_before_the_architecture():
    args = Namespace(encoder_layers=2, decoder_embed_dim=32, share_all_embeddings=False)
    ARCH_CONFIG_REGISTRY["transformer_12_12"](args)
    assert (args.encoder_layers, args.decoder_embed_dim, args.share_all_embeddings) == (2, 32, False)


def test_an_architecture_that_is_there_is_left_alone(monkeypatch):
    monkeypatch.setitem(ARCH_MODEL_REGISTRY, "transformer_24_24", "a fork's own")
    nllb.register_missing()
    assert ARCH_MODEL_REGISTRY["transformer_24_24"] == "a fork's own"
