import pytest
import torch
from torch import nn

from fairseq_specdec.engine.linear import Linear, convert_all, read_linear
from fairseq_specdec.engine.native.library import NativeLinear
from fairseq_specdec.engine.packed import PackedLinear
from fairseq_specdec.engine.reduced import converter, reduce, rounded
from fairseq_specdec.engine.weights import read_decoder
from tests import tiny

KIND = {"native": NativeLinear, "torch": PackedLinear}


def dequantized(weight, dtype):
    numbers, scales = rounded(weight, dtype)
    return numbers.float() if scales is None else numbers.float() * scales[:, None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_a_reduced_map_multiplies_by_the_rounded_weight(dtype, rows, bias, layers_by):
    torch.manual_seed(0)
    linear = read_linear(nn.Linear(96, 130, bias=bias))
    x = torch.randn(2, rows, 96)
    ours = reduce(linear, dtype)
    assert type(ours) is KIND[layers_by]
    expected = nn.functional.linear(x, dequantized(linear.weight, dtype), linear.bias)
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("dtype", "error"), [("bf16", 0.003), ("int8", 0.01)])
def test_rounding_moves_a_weight_a_little(dtype, error):
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    assert 0 < (dequantized(weight, dtype) - weight).norm() / weight.norm() < error


def test_a_position_has_the_same_bits_alone_and_in_a_block(library):
    for dtype in ("bf16", "int8"):
        linear = Linear(torch.randn(150, 70), torch.randn(150))
        ours = reduce(linear, dtype)
        x = torch.randn(37, 70)
        assert ours(x).equal(torch.cat([ours(row[None]) for row in x]))
        expected = nn.functional.linear(x, dequantized(linear.weight, dtype), linear.bias)
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


def test_an_output_of_zeros_does_not_divide_by_them():
    module = nn.Linear(8, 4)
    nn.init.zeros_(module.weight)
    torch.testing.assert_close(reduce(read_linear(module), "int8")(torch.ones(1, 8)), module.bias.detach()[None])


@pytest.mark.parametrize("dtype", [None, "bf16", "int8"])
def test_every_map_of_a_decoder_is_converted(data_bin, dtype):
    decoder = convert_all(read_decoder(tiny.build_model(data_bin)[0].decoder), converter(dtype))
    maps = [decoder.output, decoder.cross_kv, *(layer.fc1 for layer in decoder.layers)]
    assert {m.struct.kind for m in maps} == {{None: 0, "bf16": 1, "int8": 2}[dtype]}
