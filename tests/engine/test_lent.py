"""Weights that the engine has in place of the modules: whoever asks for them gets them back, bit for bit."""

import copy
import io

import pytest
import torch
from torch import nn

from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.lent import Lending, LentLinear
from fairseq_specdec.engine.native.library import library
from fairseq_specdec.engine.support import check_supported
from fairseq_specdec.engine.weights import read_verifier
from tests import tiny

pytestmark = pytest.mark.skipif(library() is None, reason="weights are lent to compiled code alone")


@pytest.fixture(params=[{}, {"encoder_embed_dim": 24, "decoder_embed_dim": 24}], ids=["width 32", "width 24"])
def model(data_bin, request):
    return tiny.build_model(data_bin, **request.param)[0]


@pytest.fixture
def kept(model):
    """The weights before they are lent."""
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def lend(model):
    lending = Lending(model)
    return read_verifier(model.decoder, None, lending), FastEncoder(model.encoder, None, lending)


def lent(model):
    return [module for module in model.modules() if isinstance(module, LentLinear)]


def numbers(model):
    return sum(weight.numel() for weight in model.parameters())


def test_layers_are_emptied_and_embeddings_stay(model, kept):
    whole = numbers(model)
    engine = lend(model)
    assert len(lent(model)) == 2 * 6 + 2 * 10
    assert numbers(model) == whole - sum(
        kept[name].numel() for name in kept if "layers" in name and kept[name].dim() > 1
    )
    assert engine[0].output.weight.shape == model.decoder.output_projection.weight.shape


@pytest.mark.parametrize("asked", ["state_dict", "parameters", "deepcopy", "saved", "moved"])
def test_numbers_come_back_as_they_were(model, kept, asked):
    lend(model)
    if asked == "deepcopy":
        model = copy.deepcopy(model)
    elif asked == "saved":
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        model = torch.load(file, weights_only=False)
    elif asked == "moved":
        model.double().float()
    elif asked == "parameters":
        for module in lent(model):
            assert module.weight.numel() == module.out_features * module.in_features
    found = model.state_dict()
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], kept[name]) for name in kept)
    assert not lent(model)


def test_the_parameter_is_the_same_one(model):
    before = dict(model.named_parameters())
    lend(model)
    model.load_state_dict(model.state_dict())
    assert all(weight is before[name] for name, weight in model.named_parameters())
    assert {type(module) for module in model.modules() if "Linear" in type(module).__name__} == {nn.Linear}


def test_one_module_that_is_asked_brings_back_no_other(model):
    lend(model)
    n = len(lent(model))
    assert model.decoder.layers[1].fc1.weight.shape == (48, model.decoder.embed_dim)
    assert len(lent(model)) == n - 1


def test_a_lent_model_can_be_read_again(model, kept):
    first = lend(model)
    check_supported(model)
    second = read_verifier(model.decoder)
    assert torch.equal(first[0].cross_kv.panels, second.cross_kv.panels)
    lend(model)
    assert len(lent(model)) == 32
    assert all(torch.equal(model.state_dict()[name], kept[name]) for name in kept)


def test_weights_that_modules_share_are_left_to_them(model, kept):
    layers = model.decoder.layers
    layers[1].fc1.weight = layers[0].fc1.weight
    shared = layers[0].fc1.weight
    lend(model)
    assert shared.numel() == 48 * model.decoder.embed_dim
    assert not isinstance(layers[0].fc1, LentLinear) and not isinstance(layers[1].fc1, LentLinear)
    assert isinstance(layers[0].fc2, LentLinear)


def test_factors_of_heads_are_no_part_of_the_weight(model, kept):
    layer = model.decoder.layers[0]
    layer.c_attn, layer.head_dim = nn.Parameter(torch.tensor([2.0, 3.0])), model.decoder.embed_dim // 2
    lend(model)
    assert not isinstance(layer.self_attn.out_proj, LentLinear)
    name = "decoder.layers.0.self_attn.out_proj.weight"
    assert torch.equal(model.state_dict()[name], kept[name])


def test_rounded_weights_are_not_lent(model):
    lending = Lending(model)
    read_verifier(model.decoder, "int8", lending)
    assert not lent(model)
