import pytest
import torch
from torch import nn

from fairseq_specdec.engine.linear import Linear, PackedLinear, convert_all, join, pack, read_linear
from fairseq_specdec.engine.weights import read_decoder
from tests import tiny


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 7, 300])
def test_a_packed_map_gives_what_the_plain_one_gives_for_few_rows_and_many(rows, bias):
    torch.manual_seed(0)
    module = nn.Linear(96, 130, bias=bias)
    packed = pack(read_linear(module))
    assert isinstance(packed, PackedLinear)
    x = torch.randn(1, rows, 96)
    torch.testing.assert_close(packed(x), module(x), rtol=1e-5, atol=1e-5)


def test_other_precisions_stay_plain():
    assert isinstance(pack(read_linear(nn.Linear(4, 4).bfloat16())), Linear)


def test_maps_of_one_input_are_stacked():
    maps = [nn.Linear(4, n) for n in (2, 3)]
    x = torch.randn(5, 4)
    torch.testing.assert_close(join(*maps)(x), torch.cat([m(x) for m in maps], dim=-1))


def test_all_maps_of_a_decoder_are_packed(data_bin):
    decoder = read_decoder(tiny.build_model(data_bin, decoder_output_dim=40)[0].decoder)
    packed = convert_all(decoder, lambda name, linear: pack(linear))
    maps = [packed.output, packed.project_out, *(getattr(layer, n) for layer in packed.layers for n in vars(layer))]
    assert all(isinstance(m, PackedLinear) for m in maps if isinstance(m, Linear | PackedLinear))
    assert sum(isinstance(m, PackedLinear) for m in maps) == 2 + 7 * 2
