import pytest
import torch
from torch import nn

from fairseq_specdec.engine.linear import convert_all, read_linear
from fairseq_specdec.engine.native import NativeLinear
from fairseq_specdec.engine.reduced import Bf16Linear, Int8Linear, converter
from fairseq_specdec.engine.weights import read_decoder
from tests import tiny


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize(("kind", "error"), [(Bf16Linear, 0.01), (Int8Linear, 0.03)])
def test_a_reduced_map_is_nearly_the_plain_one(kind, error, rows, bias):
    torch.manual_seed(0)
    module = nn.Linear(96, 130, bias=bias)
    x = torch.randn(2, rows, 96)
    with torch.no_grad():
        found, expected = kind(read_linear(module))(x), module(x)
    assert found.dtype == torch.float32 and found.shape == expected.shape
    assert 0 < (found - expected).norm() / expected.norm() < error


def test_an_output_of_zeros_does_not_divide_by_them():
    module = nn.Linear(8, 4)
    nn.init.zeros_(module.weight)
    with torch.no_grad():
        torch.testing.assert_close(Int8Linear(read_linear(module))(torch.ones(1, 8)), module.bias[None])


@pytest.mark.parametrize(
    ("dtype", "layers", "output"),
    [(None, NativeLinear, NativeLinear), ("bf16", Bf16Linear, NativeLinear), ("int8", Int8Linear, Int8Linear)],
)
def test_every_map_of_a_decoder_is_converted_but_bfloat16_keeps_the_output(data_bin, dtype, layers, output):
    decoder = convert_all(read_decoder(tiny.build_model(data_bin)[0].decoder), converter(dtype))
    assert {type(layer.fc1) for layer in decoder.layers} == {layers}
    assert type(decoder.cross_kv) is layers
    assert type(decoder.output) is output
