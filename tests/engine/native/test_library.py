"""The compiled layers, of every instruction set that this machine runs, against torch's."""

import math
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.fast_decoder import FastDecoder
from fairseq_specdec.engine.linear import Linear, Norm
from fairseq_specdec.engine.native import decoder as native_decoder
from fairseq_specdec.engine.native import library as native
from fairseq_specdec.engine.native.layer import native_layers
from fairseq_specdec.engine.native.library import NativeLinear
from fairseq_specdec.engine.weights import read_encoder, read_verifier
from tests import tiny


@pytest.fixture
def threads():
    """Set the number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_outputs", [1, 16, 30, 100, 272])
@pytest.mark.parametrize("n_inputs", [1, 24, 96])
def test_a_map_of_any_size_gives_torchs_numbers(library, n_inputs, n_outputs, bias):
    torch.manual_seed(0)
    linear = Linear(torch.randn(n_outputs, n_inputs), torch.randn(n_outputs) if bias else None)
    ours = NativeLinear(linear)
    for rows in (1, 2, 3, 5, 6, 11, 12, 13, 25, 40):
        x = torch.randn(rows, n_inputs)
        torch.testing.assert_close(ours(x), F.linear(x, *linear), rtol=1e-5, atol=1e-5)


def test_an_input_with_strides_is_read_as_it_looks(library):
    linear = Linear(torch.randn(40, 24), None)
    x = torch.randn(24, 3, 2).transpose(0, 2)
    torch.testing.assert_close(NativeLinear(linear)(x), F.linear(x, *linear), rtol=1e-5, atol=1e-5)


def test_an_output_has_the_same_bits_alone_in_a_block_and_with_more_threads(library, threads):
    torch.manual_seed(0)
    ours = NativeLinear(Linear(torch.randn(150, 70), torch.randn(150)))
    x = torch.randn(37, 70)
    alone = torch.cat([ours(row[None]) for row in x])
    for n in (1, 2, 3):
        threads(n)
        assert ours(x).equal(alone)
        assert ours(x[:5]).equal(alone[:5])


def test_no_rows_are_no_work(library):
    assert NativeLinear(Linear(torch.ones(20, 8), None))(torch.ones(0, 8)).shape == (0, 20)


def test_a_team_smaller_than_asked_for_does_all_of_the_work():
    script = """
import torch
import fairseq_specdec
from fairseq_specdec.engine.linear import Linear
from fairseq_specdec.engine.native.library import NativeLinear
torch.set_num_threads(3)
linear, x = Linear(torch.randn(100, 8), None), torch.randn(5, 8)
torch.testing.assert_close(NativeLinear(linear)(x), torch.nn.functional.linear(x, *linear))
"""
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)


def test_what_is_not_a_number_stays_visible(library):
    ours = NativeLinear(Linear(torch.ones(20, 8), None))
    assert ours(torch.full((2, 8), math.nan)).isnan().all()


@torch.no_grad()
def decode(model, tokens, widths):
    """Feed tokens [B, T] in blocks of these widths; return all log-probabilities."""
    padding = torch.tensor([[True, True, False, False, False], [False] * 5, [True] + [False] * 4])
    memory = torch.randn(3, 5, model.encoder.embed_tokens.embedding_dim, generator=torch.Generator().manual_seed(3))
    decoder = FastDecoder(read_verifier(model.decoder))
    decoder.start(memory, padding, 60)
    scores, begin = [], 0
    for width in widths:
        scores.append(decoder.score(tokens[:, begin : begin + width], begin)[0])
        decoder.commit(torch.full((3,), width))
        begin += width
    return torch.cat(scores, dim=1)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_position_has_the_same_bits_whatever_block_it_is_verified_in(library, threads, data_bin, pre_norm):
    model, _ = tiny.build_model(data_bin, decoder_normalize_before=pre_norm, decoder_embed_dim=40)
    tokens = torch.randint(4, 20, (3, 50))
    whole = decode(model, tokens, [50])
    for widths in ([1] * 50, [7, 1, 20, 22]):
        assert decode(model, tokens, widths).equal(whole)
    threads(3)
    assert decode(model, tokens, [33, 17]).equal(whole)


@pytest.mark.parametrize("width", [32, 36, 96])  # heads of 16, 18 and 48: with and without a rest
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layers_give_torchs_numbers(library, data_bin, monkeypatch, width, activation):
    model, _ = tiny.build_model(data_bin, decoder_embed_dim=width, encoder_embed_dim=width, activation_fn=activation)
    tokens = torch.randint(4, 20, (3, 20))
    ours = decode(model, tokens, [3, 17])
    batch = {"src_tokens": torch.tensor([[1, 1, 5, 6, 2], [4, 9, 8, 7, 2]]), "src_lengths": torch.tensor([3, 5])}
    with torch.no_grad():
        encoded = FastEncoder(model.encoder).forward(batch)
        monkeypatch.setattr("fairseq_specdec.engine.encoder.native_layers", lambda layers: None)
        plain = FastEncoder(model.encoder).forward(batch)
    real = ~plain.padding
    torch.testing.assert_close(encoded.memory[real], plain.memory[real], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoded.embedding, plain.embedding)
    used = []
    monkeypatch.setattr("fairseq_specdec.engine.fast_decoder.native_decoder", lambda weights: used.append(weights))
    torch.testing.assert_close(decode(model, tokens, [3, 17]), ours, rtol=1e-5, atol=1e-5)
    assert used, "both ran by compiled code"


@torch.no_grad()
def test_the_encoders_embedding_survives_layers_that_work_in_place(library, data_bin):
    model, _ = tiny.build_model(data_bin, no_token_positional_embeddings=True, no_scale_embedding=True)
    batch = {"src_tokens": torch.tensor([[4, 9, 8, 7, 2]]), "src_lengths": torch.tensor([5])}
    encoded = FastEncoder(model.encoder).forward(batch)
    torch.testing.assert_close(encoded.embedding, model.encoder.embed_tokens(batch["src_tokens"]))


def test_weights_that_are_not_numbers_give_scores_that_are_not(library, data_bin):
    model, _ = tiny.build_model(data_bin)
    model.decoder.layers[0].self_attn.k_proj.weight.data.fill_(math.nan)
    assert decode(model, torch.randint(4, 20, (3, 20)), [20]).isnan().all()


UNUSUAL = {
    "activation": {"activation": torch.tanh},
    "attention_norm": {"attention_norm": Norm(torch.ones(32), torch.zeros(32), 1e-5)},
    "hidden_norm": {"hidden_norm": Norm(torch.ones(48), torch.zeros(48), 1e-5)},
    "residual_scale": {"residual_scale": torch.ones(32)},
    "a map that is not laid out": {"fc1": Linear(torch.ones(48, 32), None)},
}


@pytest.mark.parametrize("unusual", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_layers_with_other_parts_are_left_to_torch(data_bin, unusual):
    usual = read_verifier(tiny.build_model(data_bin)[0].decoder)
    assert native_layers(usual.layers) is not None
    assert native_decoder.native_decoder(usual) is not None
    layers = [usual.layers[0], replace(usual.layers[1], **unusual)]
    assert native_layers(layers) is None
    assert native_decoder.native_decoder(replace(usual, layers=layers)) is None


def test_half_precision_is_left_to_torch(data_bin):
    model = tiny.build_model(data_bin)[0].bfloat16()
    assert native_layers(read_verifier(model.decoder).layers) is None
    assert native_decoder.native_decoder(read_verifier(model.decoder)) is None
    assert native_layers(read_encoder(model.encoder).layers) is None


@pytest.mark.parametrize(
    ("machine", "capability", "names"),
    [
        ("x86_64", "AVX512", ["avx512", "avx2"]),
        ("AMD64", "AVX2", ["avx2"]),
        ("x86_64", "DEFAULT", ["portable"]),
        ("aarch64", "DEFAULT", ["neon"]),
        ("arm64", "SVE256", ["neon"]),
        ("ppc64le", "VSX", []),
    ],
)
def test_a_library_is_for_processors_on_which_torch_is_not_faster(monkeypatch, machine, capability, names):
    monkeypatch.setattr(native.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert native.instruction_sets() == names


def test_no_library_and_an_old_one_mean_torch(monkeypatch):
    assert native.load("of_another_world") is None
    monkeypatch.setattr(native, "INTERFACE", -1)
    assert native.load("portable") is None


def test_a_library_without_a_function_means_torch(monkeypatch):
    old = SimpleNamespace(specdec_interface=lambda: native.INTERFACE)
    monkeypatch.setattr(native.ctypes, "CDLL", lambda path: old)
    assert native.load("portable") is None


def test_no_rows_give_no_rows(library):
    assert NativeLinear(Linear(torch.ones(20, 8), None))(torch.ones(0, 8)).shape == (0, 20)
    assert NativeLinear(Linear(torch.ones(20, 8), None))(torch.ones(3, 0, 8)).shape == (3, 0, 20)


@pytest.mark.parametrize("wrong", [-1, 2**40, "the first behind the table"])
def test_a_token_that_is_none_of_the_tables_raises_as_by_torch(layers_by, data_bin, wrong):
    model, _ = tiny.build_model(data_bin)
    tokens = torch.randint(4, 20, (3, 20))
    tokens[1, 7] = wrong if isinstance(wrong, int) else model.decoder.embed_tokens.num_embeddings
    with pytest.raises(IndexError):
        decode(model, tokens, [20])


def test_the_widest_layer_has_room_wherever_it_stands(library, data_bin, monkeypatch):
    model, _ = tiny.build_model(data_bin)
    for stack in (model.encoder, model.decoder):
        wide = stack.layers[1]
        wide.fc1, wide.fc2 = torch.nn.Linear(32, 4800), torch.nn.Linear(4800, 32)
    tokens = torch.randint(4, 20, (3, 20))
    batch = {"src_tokens": tokens, "src_lengths": torch.full((3,), 20)}
    with torch.no_grad():
        ours = decode(model, tokens, [20]), FastEncoder(model.encoder).forward(batch).memory
        monkeypatch.setattr("fairseq_specdec.engine.encoder.native_layers", lambda layers: None)
        monkeypatch.setattr("fairseq_specdec.engine.fast_decoder.native_decoder", lambda weights: None)
        plain = decode(model, tokens, [20]), FastEncoder(model.encoder).forward(batch).memory
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_laid_out_is_not_kept_a_second_time(library):
    weight = torch.randn(32, 8)
    ours, alive = NativeLinear(Linear(weight, None)), weakref.ref(weight)
    del weight
    assert alive() is None
    assert (ours.weight.shape, ours.weight.device.type) == ((32, 8), "meta")
    assert ours(torch.ones(2, 8)).shape == (2, 32)
