import pytest
import torch
from torch import nn

from fairseq_specdec.engine.linear import Linear, convert_all, read_linear
from fairseq_specdec.engine.native.library import NativeLinear
from fairseq_specdec.engine.packed import PackedLinear, pack
from fairseq_specdec.engine.weights import read_decoder
from tests import tiny

KIND = {"native": NativeLinear, "torch": PackedLinear}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 7, 300])
def test_a_packed_map_gives_what_the_plain_one_gives_for_few_rows_and_many(rows, bias, layers_by):
    torch.manual_seed(0)
    module = nn.Linear(96, 130, bias=bias)
    packed = pack(read_linear(module))
    assert isinstance(packed, KIND[layers_by])
    x = torch.randn(1, rows, 96)
    torch.testing.assert_close(packed(x), module(x), rtol=1e-5, atol=1e-5)


def test_other_precisions_stay_plain(layers_by):
    assert isinstance(pack(read_linear(nn.Linear(4, 4).bfloat16())), Linear)


def test_all_maps_of_a_decoder_are_packed(data_bin, layers_by):
    decoder = read_decoder(tiny.build_model(data_bin, decoder_output_dim=40)[0].decoder)
    packed = convert_all(decoder, lambda name, linear: pack(linear))
    found = [
        packed.output,
        packed.project_out,
        packed.cross_kv,
        *(getattr(layer, n) for layer in packed.layers for n in vars(layer)),
    ]
    maps = [m for m in found if isinstance(m, Linear | NativeLinear | PackedLinear)]
    assert {type(m) for m in maps} == {KIND[layers_by]} and len(maps) == 3 + 6 * 2
