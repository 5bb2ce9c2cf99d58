"""One small model of every kind of Transformer that the engine claims to run."""

import pytest
import torch

from fairseq_specdec.engine.native import beam, decoder, drafting, layer, ngram, rounds
from fairseq_specdec.engine.native import library as native
from tests import tiny

LIBRARIES = dict.fromkeys([*native.instruction_sets(), *([] if "neon" in native.instruction_sets() else ["portable"])])

ARCHITECTURES = {
    "post-norm, sinusoidal": {},
    "pre-norm": {"encoder_normalize_before": True, "decoder_normalize_before": True},
    "learned positions": {"decoder_learned_pos": True, "encoder_learned_pos": True},
    "no positions": {"no_token_positional_embeddings": True},
    "embedding norm, unscaled": {"layernorm_embedding": True, "no_scale_embedding": True},
    "shared embeddings": {"share_decoder_input_output_embed": True},
    "gelu": {"activation_fn": "gelu"},
    "gelu_accurate": {"activation_fn": "gelu_accurate"},
    "tanh": {"activation_fn": "tanh"},
    "linear": {"activation_fn": "linear"},
    "narrow encoder, deep decoder": {"encoder_embed_dim": 24, "decoder_layers": 3, "encoder_layers": 1},
    "another output width": {"decoder_output_dim": 40},
    "cross attention heads": {"decoder_attention_heads": 4},
    "layer drop": {"decoder_layerdrop": 0.5},
    "transformer_align": {"arch": "transformer_align", "alignment_layer": 0, "alignment_heads": 1},
    "iwslt": {"arch": "transformer_iwslt_de_en"},
}


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch):
    """One compiled library that this machine runs after the other."""
    lib = native.load(request.param)
    assert lib is not None, f"{request.param} is not built: make install"
    for module in (native, layer, decoder, drafting, ngram, rounds, beam):
        monkeypatch.setattr(module, "library", lambda: lib)
    return lib


@pytest.fixture(params=ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def model(request, data_bin, layers_by):
    model, _ = tiny.build_model(data_bin, **request.param)
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where mistakes do not show
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model
