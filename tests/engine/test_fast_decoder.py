"""The engine against the stock decoder, for every kind of Transformer it claims to run."""

import pytest
import torch

from fairseq_specdec.engine.fast_decoder import FastDecoder
from fairseq_specdec.engine.weights import read_verifier
from tests import tiny


@torch.no_grad()
def source_of(model):
    src_tokens = torch.tensor([[1, 1, 5, 6, 2], [4, 9, 8, 7, 2]])  # padded on the left, as fairseq does
    return model.encoder(src_tokens, src_lengths=torch.tensor([3, 5]))


def start(model, out, capacity=24):
    decoder = FastDecoder(read_verifier(model.decoder))
    decoder.start(out["encoder_out"][0].transpose(0, 1), out["encoder_padding_mask"][0], capacity)
    return decoder


@torch.no_grad()
def feed(decoder, tokens, width):
    """Feed tokens [B, T] in blocks of ``width``; return all log-probabilities."""
    scores = []
    for begin in range(0, tokens.size(1), width):
        part = tokens[:, begin : begin + width]
        scores.append(decoder.score(part, begin)[0])
        decoder.commit(torch.full((tokens.size(0),), part.size(1)))
    return torch.cat(scores, dim=1)


def stock(model, tokens, out):
    return torch.log_softmax(model.decoder(tokens, encoder_out=out)[0], dim=-1, dtype=torch.float32)


@torch.no_grad()
def test_blocks_of_any_width_give_the_stock_decoders_scores(model):
    out = source_of(model)
    torch.manual_seed(0)
    tokens = torch.cat([torch.full((2, 1), 2), torch.randint(4, 20, (2, 11))], dim=1)
    expected = stock(model, tokens, out)
    for width in (12, 5, 1):
        torch.testing.assert_close(feed(start(model, out), tokens, width), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_rows_at_different_offsets_and_rejected_tails_do_not_mix(model):
    out = source_of(model)
    torch.manual_seed(1)
    tokens = torch.cat([torch.full((2, 1), 2), torch.randint(4, 20, (2, 9))], dim=1)
    expected = stock(model, tokens, out)
    decoder = start(model, out)
    wrong = tokens.clone()
    wrong[0, 2:], wrong[1, 5:] = 7, 8  # what is rejected: row 0 keeps 2 positions, row 1 keeps 5
    decoder.score(wrong[:, :7], 0)
    decoder.commit(torch.tensor([2, 5]))
    block = torch.stack([tokens[0, 2:6], tokens[1, 5:9]])
    scores, _ = decoder.score(block, 5)
    torch.testing.assert_close(scores, torch.stack([expected[0, 2:6], expected[1, 5:9]]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_dropping_a_row_leaves_the_other_as_it_was(model):
    out = source_of(model)
    tokens = torch.tensor([[2, 9, 4, 5], [2, 8, 6, 7]])
    expected = stock(model, tokens, out)
    decoder = start(model, out)
    feed(decoder, tokens[:, :2], 2)
    decoder.select_rows(torch.tensor([1]))
    torch.testing.assert_close(decoder.score(tokens[1:, 2:], 2)[0], expected[1:, 2:], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_positions_past_the_models_table_do_not_fail(data_bin):
    model, _ = tiny.build_model(data_bin, decoder_learned_pos=True, max_target_positions=10)
    out = source_of(model)
    decoder = start(model, out)
    feed(decoder, torch.full((2, 9), 5), 9)
    assert decoder.score(torch.full((2, 6), 5), 9)[0].isfinite().all()


@torch.no_grad()
def test_a_temperature_divides_the_logits(model):
    out = source_of(model)
    tokens = torch.tensor([[2, 9, 4, 5], [2, 8, 6, 7]])
    expected = torch.log_softmax(model.decoder(tokens, encoder_out=out)[0] / 0.3, dim=-1)
    torch.testing.assert_close(start(model, out).score(tokens, 0, 0.3)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_follows_the_stock_decoder(data_bin, dtype):
    model = tiny.build_model(data_bin)[0].to(dtype)
    out = source_of(model)
    tokens = torch.tensor([[2, 9, 4, 5], [2, 8, 6, 7]])
    expected = stock(model, tokens, out)
    scores = feed(start(model, out), tokens, 2)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, expected, rtol=3e-2, atol=6e-2)
