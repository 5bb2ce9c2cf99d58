import pytest
import torch
from torch import nn

from fairseq_specdec.engine.support import UnsupportedModelError, why_unsupported
from fairseq_specdec.engine.weights import read_decoder, read_verifier
from tests import tiny


def test_every_reason_is_listed_at_once(data_bin):
    model, _ = tiny.build_model(data_bin)
    decoder = model.decoder
    decoder.cross_self_attention = True
    decoder.adaptive_softmax = nn.Module()
    decoder.layers[1].encoder_attn = None
    decoder.layers[0].self_attn.add_zero_attn = True
    with pytest.raises(UnsupportedModelError) as error:
        read_verifier(decoder)
    assert error.value.reasons == [
        "it has an adaptive softmax (--adaptive-softmax-cutoff)",
        "it attends to source and target in one attention (--cross-self-attention)",
        "its self_attn adds a bias or zero key (add_bias_kv, add_zero_attn)",
        "its decoder does not attend to an encoder",
    ]
    assert all(reason in str(error.value) for reason in error.value.reasons)
    assert "Use --task translation instead" in str(error.value)


@pytest.mark.parametrize("arch", ["lstm", "fconv_iwslt_de_en"])
def test_a_decoder_that_is_no_transformer_is_refused(data_bin, arch):
    model, _ = tiny.build_model(data_bin, arch=arch)
    (reason,) = why_unsupported(model.decoder)
    assert reason == f"its decoder must be fairseq's TransformerDecoder, but is {type(model.decoder).__name__}"


def test_a_non_autoregressive_decoder_is_refused_though_it_derives_from_the_transformers(data_bin):
    drafter, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter")
    reasons = why_unsupported(drafter.decoder)
    assert any("replaces extract_features" in reason for reason in reasons)


def test_an_adaptive_softmax_from_the_command_line_is_refused(data_bin):
    model, _ = tiny.build_model(data_bin, adaptive_softmax_cutoff="8,16")
    assert why_unsupported(model.decoder) == ["it has an adaptive softmax (--adaptive-softmax-cutoff)"]


def test_scaled_heads_are_folded_into_the_output_projection(data_bin):
    model, _ = tiny.build_model(data_bin)
    layer = model.decoder.layers[0]
    layer.c_attn, layer.head_dim = nn.Parameter(torch.tensor([2.0, 3.0])), 16
    projected = read_decoder(model.decoder).layers[0].self_out
    factor = torch.tensor([2.0] * 16 + [3.0] * 16)
    torch.testing.assert_close(projected.weight, layer.self_attn.out_proj.weight * factor[:, None])
    torch.testing.assert_close(projected.bias, layer.self_attn.out_proj.bias * factor)
