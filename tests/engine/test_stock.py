"""Modules that are not fairseq's own are refused by name, or run themselves; none is read as if it were fairseq's."""

import functools
import warnings

import pytest
import torch
from fairseq.modules import FairseqDropout, MultiheadAttention
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from fairseq.modules.quant_noise import quant_noise
from torch import nn

from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.engine.support import (
    UnsupportedModelError,
    why_model_unsupported,
    why_not_encoder,
    why_unsupported,
)
from tests import oracle, tiny
from tests.oracle import assert_same, batches, compare, ours, stock


class SharperAttention(MultiheadAttention):
    def forward(self, query, key, value, **options):
        return super().forward(2 * query, key, value, **options)


class Adapted(nn.Linear):
    """A linear map with a low-rank adapter."""

    def forward(self, x):
        return super().forward(x) + 0.5 * x.mean(-1, keepdim=True)


class Shifted(nn.Embedding):
    def forward(self, tokens):
        return super().forward(tokens) + 0.3


class Noisy(FairseqDropout):
    def forward(self, x, inplace=False):
        return 1.1 * x


class ScaledNorm(nn.LayerNorm):
    def forward(self, x):
        return 1.2 * super().forward(x)


@pytest.fixture(scope="module")
def stock_setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


@pytest.fixture
def setting(stock_setting):
    return oracle.load_again(stock_setting)


def turn_into(module, cls):
    module.__class__ = cls
    return module


def double(module, *args):
    return (args[0][0] * 2, *args[0][1:]) if len(args) == 1 else args[1] * 2


def set_forward(module):
    inner = module.forward
    module.forward = lambda *args, **options: 2 * inner(*args, **options)


CHANGES = {
    "attention": (lambda s: turn_into(s.layers[0].self_attn, SharperAttention), "SharperAttention replaces forward"),
    "projection": (lambda s: turn_into(s.layers[1].self_attn.v_proj, Adapted), "self_attn.v_proj Adapted replaces"),
    "fc1": (lambda s: turn_into(s.layers[0].fc1, Adapted), "its fc1 Adapted replaces forward (in Adapted)"),
    "fc2 of another class": (
        lambda s: setattr(s.layers[0], "fc2", nn.Sequential(s.layers[0].fc2, nn.Tanh())),
        "its fc2 must be torch's Linear, but is Sequential",
    ),
    "norm": (lambda s: turn_into(s.layers[0].final_layer_norm, ScaledNorm), "ScaledNorm replaces forward"),
    "embedding": (lambda s: turn_into(s.embed_tokens, Shifted), "its embed_tokens Shifted replaces forward"),
    "bounded embedding": (lambda s: setattr(s.embed_tokens, "max_norm", 0.5), "max_norm"),
    "dropout": (lambda s: turn_into(s.layers[0].dropout_module, Noisy), "its dropout_module Noisy replaces forward"),
    "dropout kept": (lambda s: setattr(s.dropout_module, "apply_during_inference", True), "--retain-dropout"),
    "positions": (
        lambda s: turn_into(
            s.embed_positions, type("Far", (type(s.embed_positions),), {"forward": lambda self, *a, **o: 0.5})
        ),
        "its embed_positions Far replaces forward",
    ),
    "scale of products": (lambda s: setattr(s.layers[0].self_attn, "scaling", 1.0), "scales products by 1.0"),
    "forward of an instance": (lambda s: set_forward(s.layers[0].fc1), "an attribute of the instance"),
    "hook": (lambda s: s.layers[0].fc1.register_forward_hook(double), "its fc1 has a hook (double)"),
    "hook before": (lambda s: s.layers[0].fc2.register_forward_pre_hook(double), "its fc2 has a hook (double)"),
    "call": (
        lambda s: turn_into(
            s.layers[0], type("Called", (type(s.layers[0]),), {"__call__": lambda self, x, *a, **o: x})
        ),
        "its layer Called replaces __call__",
    ),
    "layer": (
        lambda s: turn_into(
            s.layers[0], type("Own", (type(s.layers[0]),), {"residual_connection": lambda self, x, y: x - y})
        ),
        "its layer Own replaces residual_connection",
    ),
    "list": (
        lambda s: turn_into(s.layers, type("Twice", (nn.ModuleList,), {"__iter__": lambda self: iter([self[0]] * 2)})),
        "its layers Twice replaces __iter__",
    ),
    "weight norm by hooks": (lambda s: old_weight_norm(s.layers[0].fc1), "its fc1 has a hook (WeightNorm)"),
}


def old_weight_norm(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(module)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_part_of_the_decoder_that_is_not_fairseqs_is_refused_by_name(setting, change):
    apply, reason = change
    apply(setting[0][0].decoder)
    with pytest.raises(UnsupportedModelError) as error:
        ours(setting, NoDrafter())
    assert any(reason in each for each in error.value.reasons), error.value.reasons


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_encoder_with_such_a_part_runs_itself_and_the_output_is_fairseqs(setting, change):
    apply, reason = change
    (model,), task = setting
    apply(model.encoder)
    assert any(reason in each for each in why_not_encoder(model.encoder))
    if "retain" not in reason:  # which is random
        for sample in batches(task, 8, 16):
            (expected,) = stock(setting, [sample])
            assert_same(expected, ours(setting, NoDrafter(), certify=False).generate([model], sample))


DECODERS = {
    "output layer": {"output_layer": lambda self, x: 2 * super(type(self), self).output_layer(x)},
    "normalized probabilities": {
        "get_normalized_probs": lambda self, out, log_probs, sample=None: torch.log_softmax(3 * out[0], -1)
    },
}


@pytest.mark.parametrize("methods", DECODERS.values(), ids=DECODERS.keys())
def test_a_decoder_with_methods_of_its_own_is_refused(setting, methods):
    decoder = setting[0][0].decoder
    turn_into(decoder, type("Own", (type(decoder),), methods))
    assert why_unsupported(decoder) == [f"its decoder Own replaces {next(iter(methods))} (in Own)"]


def test_a_model_with_probabilities_of_its_own_is_refused(setting):
    (model,) = setting[0]
    turn_into(model, type("Own", (type(model),), DECODERS["normalized probabilities"]))
    assert why_model_unsupported(model) == ["its model Own replaces get_normalized_probs (in Own)"]
    with pytest.raises(UnsupportedModelError, match="get_normalized_probs"):
        ours(setting, NoDrafter())


@pytest.mark.parametrize("method", ["forward_torchscript", "forward_embedding", "forward"])
def test_an_encoder_with_methods_of_its_own_runs_itself(setting, method):
    (model,), task = setting
    inner = type(model.encoder)

    def changed(self, *args, **options):
        out = getattr(inner, method)(self, *args, **options)
        return (
            (out[0] * 1.5, out[1])
            if method == "forward_embedding"
            else {**out, "encoder_out": [-out["encoder_out"][0]]}
        )

    turn_into(model.encoder, type("Own", (inner,), {method: changed}))
    assert why_not_encoder(model.encoder) == [f"its encoder Own replaces {method} (in Own)"]
    compare(setting, NoDrafter(), batches(task, 8, 16))


def test_a_class_of_fairseq_that_was_patched_is_no_longer_fairseqs(setting, monkeypatch):
    @functools.wraps(MultiheadAttention.forward)
    def patched(self, query, *args, **options):
        return inner(self, 2 * query, *args, **options)

    inner = MultiheadAttention.forward
    monkeypatch.setattr(MultiheadAttention, "forward", patched)
    assert any("patched in MultiheadAttention" in reason for reason in why_unsupported(setting[0][0].decoder))


def test_a_class_that_is_called_like_fairseqs_is_told_from_it(setting):
    decoder = setting[0][0].decoder
    decoder.layers[0].self_attn = type("MultiheadAttention", (nn.Module,), {})()
    assert "its self_attn must be fairseq's MultiheadAttention, but is MultiheadAttention" in why_unsupported(decoder)


def test_a_hook_on_all_modules_is_seen(setting):
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, out: None)
    try:
        assert any("on all modules" in reason for reason in why_unsupported(setting[0][0].decoder))
    finally:
        handle.remove()


def test_decoders_without_layers_and_models_without_a_decoder_are_refused_like_others(setting):
    (model,) = setting[0]
    model.decoder.layers = nn.ModuleList()
    assert why_model_unsupported(model) == ["its decoder has no layers"]
    with pytest.raises(UnsupportedModelError, match="no layers"):
        ours(setting, NoDrafter())
    assert why_model_unsupported(model.encoder) == [
        "it must have an encoder and a decoder, but TransformerEncoderBase has no encoder and no decoder"
    ]


def test_layers_of_different_heads_are_refused(setting):
    attention = setting[0][0].decoder.layers[1].self_attn
    attention.num_heads, attention.head_dim, attention.scaling = (
        4,
        attention.head_dim // 2,
        (attention.head_dim // 2) ** -0.5,
    )
    assert why_unsupported(setting[0][0].decoder) == ["its decoder's layers have different numbers of heads"]


# What changes no result stays in use


def wrap_for_checkpoints(model):
    for stack in (model.encoder, model.decoder):
        for layer in stack.layers:
            checkpoint_wrapper(layer)


def add_training_noise(model):
    for stack in (model.encoder, model.decoder):
        for layer in stack.layers:
            quant_noise(layer.fc1, 0.5, 8)
            quant_noise(layer.self_attn.q_proj, 0.5, 8)


def parametrize(model):
    nn.utils.parametrizations.weight_norm(model.decoder.layers[0].fc1)
    nn.utils.parametrizations.weight_norm(model.encoder.layers[0].fc1)


def rename_classes(model):
    for module in (model, model.decoder, model.encoder, model.decoder.layers[0], model.decoder.layers[0].fc1):
        turn_into(module, type("Same", (type(module),), {"extra": lambda self: 1, "max_source": 5}))


@pytest.mark.parametrize("change", [wrap_for_checkpoints, add_training_noise, parametrize, rename_classes])
def test_what_changes_no_result_is_run_by_the_engine(setting, change):
    (model,), task = setting
    change(model)
    model.eval()
    assert why_model_unsupported(model) == why_not_encoder(model.encoder) == []
    compare(setting, NoDrafter(), batches(task, 8, 16))


def test_layers_that_are_checkpointed_over_another_forward_are_refused(setting):
    layer = setting[0][0].decoder.layers[0]
    inner = layer.forward
    layer.forward = lambda *args, **options: inner(*args, **options)
    checkpoint_wrapper(layer)
    assert any("an attribute of the instance" in reason for reason in why_unsupported(setting[0][0].decoder))


def test_an_activation_that_is_called_like_another_is_run_by_its_own_function(setting):
    def gelu(x):
        return nn.functional.gelu(x, approximate="tanh") * 1.5

    (model,), task = setting
    for stack in (model.encoder, model.decoder):
        for layer in stack.layers:
            layer.activation_fn = gelu
    compare(setting, NoDrafter(), batches(task, 8, 16))


def test_the_certificate_asks_the_model_for_its_probabilities(setting):
    generator = ours(setting, NoDrafter())
    (model,), task = setting
    turn_into(model, type("Own", (type(model),), DECODERS["normalized probabilities"]))  # once it was looked at
    model.get_normalized_probs = lambda out, log_probs, sample=None: torch.log_softmax(-out[0], -1)
    for sample in batches(task, 8, 16):
        generator.generate([model], sample)
    assert generator.stats.certificate["wrong"] > 0


def test_training_options_that_wrap_modules_change_nothing(data_bin):
    model, _ = tiny.build_model(data_bin, checkpoint_activations=True, quant_noise_pq=0.1, quant_noise_pq_block_size=8)
    assert [reason for reason in why_model_unsupported(model) if "quant-noise-pq" not in reason] == []
