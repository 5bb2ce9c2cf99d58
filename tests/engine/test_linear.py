import torch
from torch import nn

from fairseq_specdec.engine.linear import join


def test_maps_of_one_input_are_stacked():
    maps = [nn.Linear(4, n) for n in (2, 3)]
    x = torch.randn(5, 4)
    torch.testing.assert_close(join(*maps)(x), torch.cat([m(x) for m in maps], dim=-1))
