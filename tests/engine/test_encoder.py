"""The engine's encoder against fairseq's."""

import pytest
import torch

from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.support import why_not_encoder
from tests import tiny

BATCHES = {
    "left": [[1, 1, 5, 6, 2], [4, 9, 8, 7, 2]],
    "right": [[5, 6, 2, 1, 1], [4, 9, 8, 7, 2]],
    "none": [[3, 9, 5, 6, 2], [4, 9, 8, 7, 2]],
    "one": [[2]],
}


def net_input(rows):
    tokens = torch.tensor(rows)
    return {"src_tokens": tokens, "src_lengths": tokens.ne(1).sum(1)}


def assert_same(module, encoded, batch):
    expected = module.forward_torchscript(batch)
    real = batch["src_tokens"].ne(1)
    memory = expected["encoder_out"][0].transpose(0, 1)
    torch.testing.assert_close(encoded.memory[real], memory[real], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoded.embedding, expected["encoder_embedding"][0])
    if real.all():
        assert encoded.padding is None
    else:
        assert encoded.padding.equal(~real)
    return expected


@pytest.mark.parametrize("rows", BATCHES.values(), ids=BATCHES.keys())
@torch.no_grad()
def test_every_encoder_is_run_by_its_weights_and_says_what_fairseqs_module_says(model, rows):
    assert why_not_encoder(model.encoder) == []
    batch = net_input(rows)
    assert_same(model.encoder, FastEncoder(model.encoder).forward(batch), batch)


@pytest.mark.parametrize("rows", BATCHES.values(), ids=BATCHES.keys())
@torch.no_grad()
def test_the_drafters_encoder_also_gives_its_positions(data_bin, rows):
    drafter, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter")
    batch = net_input(rows)
    encoded = FastEncoder(drafter.encoder).forward(batch)
    expected = assert_same(drafter.encoder, encoded, batch)
    torch.testing.assert_close(encoded.positions, expected["encoder_pos"][0])


@torch.no_grad()
def test_an_encoder_of_another_kind_runs_itself(data_bin):
    model, _ = tiny.build_model(data_bin)
    encoder = model.encoder

    class Louder(type(encoder)):
        def forward(self, *args, **kwargs):
            out = super().forward(*args, **kwargs)
            return {**out, "encoder_out": [2 * out["encoder_out"][0]]}

    encoder.__class__ = Louder
    assert why_not_encoder(encoder) == ["its encoder Louder replaces forward (in Louder)"]
    batch = net_input(BATCHES["left"])
    assert_same(encoder, FastEncoder(encoder).forward(batch), batch)


@torch.no_grad()
def test_a_source_longer_than_the_table_of_positions_is_left_to_fairseq(data_bin):
    model, _ = tiny.build_model(data_bin, max_source_positions=8)
    batch = net_input([[5] * 30 + [2]])  # fairseq's sinusoids grow with the source
    assert_same(model.encoder, FastEncoder(model.encoder).forward(batch), batch)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_follows_fairseq(data_bin, dtype):
    encoder = tiny.build_model(data_bin)[0].to(dtype).encoder
    batch = net_input(BATCHES["none"])
    expected = encoder.forward_torchscript(batch)["encoder_out"][0].transpose(0, 1)
    torch.testing.assert_close(FastEncoder(encoder).forward(batch).memory, expected, rtol=3e-2, atol=6e-2)
