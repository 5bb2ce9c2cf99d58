"""The drafter: its engine against its module, and whole decodes against the reference implementation's."""

import logging
from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary

from fairseq_specdec.blocks import EncoderOutput, Source
from fairseq_specdec.config import OptionError, SpecConfig
from fairseq_specdec.drafters.base import DrafterSetting
from fairseq_specdec.drafters.nat import NatDrafter
from fairseq_specdec.engine.block_decoder import BlockDecoder, read_block_decoder
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.models.load import load_drafter
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.budget import BlockBudget
from fairseq_specdec.search.state import DecodeState
from fairseq_specdec.stats import SpecStats
from tests import tiny
from tests.vectors import VECTORS, with_vectors

PAD, EOS, UNK = 1, 2, 3


def tiny_drafter(data_bin, **options):
    model, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter", **options)
    return model


def source_batch():
    return torch.tensor([[PAD, PAD, 5, 6, EOS], [4, 9, 8, 7, EOS]]), torch.tensor([3, 5])


def encoder_output(out, tokens):
    memory = out["encoder_out"][0].transpose(0, 1)
    return EncoderOutput(memory, tokens.eq(PAD), out["encoder_embedding"][0], out["encoder_pos"][0])


def start(model):
    tokens, lengths = source_batch()
    out = model.encoder(tokens, src_lengths=lengths)
    decoder = BlockDecoder(read_block_decoder(model.decoder))
    decoder.start(encoder_output(out, tokens), 40)
    return decoder, out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_src_embedding_copy": True},
        {"no_src_embedding_copy": True, "encoder_embed_dim": 16, "decoder_embed_dim": 32, "decoder_layers": 1},
        {"layernorm_embedding": True, "activation_fn": "relu"},
        {"no_decoder_learned_pos": True},
        {"decoder_normalize_before": True},
        {"decoder_layers": 1},
        {"decoder_layers": 1, "decoder_normalize_before": True, "layernorm_embedding": True},
        {"decoder_layers": 3},
        {"causal_prefix": True},
        {"causal_prefix": True, "decoder_layers": 3, "decoder_normalize_before": True},
    ],
    ids=str,
)
@torch.no_grad()
def test_the_engine_gives_the_modules_logits_for_ragged_prefixes(data_bin, options, layers_by):
    model = tiny_drafter(data_bin, **options)
    decoder, out = start(model)
    lengths, block = torch.tensor([1, 4]), 3
    prefix = torch.tensor([[9, 0, 0, 0], [8, UNK, 6, 7]])  # behind row 0's one token lies stale rubbish
    tokens = torch.full((2, 4 + block), PAD)
    tokens[0, :1], tokens[0, 1:4] = 9, UNK
    tokens[1, :4], tokens[1, 4:] = prefix[1], UNK
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[0, 1:4] = mask[1, 4:] = True
    expected = model.decoder(tokens, encoder_out=out, block_mask=mask)[0]
    torch.testing.assert_close(decoder.forward(prefix, lengths, block), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layers", "causal"), [(1, False), (2, False), (1, True), (3, True)])
@torch.no_grad()
def test_what_is_cached_equals_the_module_as_prefixes_grow_and_rows_leave(data_bin, layers, causal, layers_by):
    model = tiny_drafter(data_bin, decoder_layers=layers, causal_prefix=causal)
    decoder, out = start(model)
    tokens = torch.tensor([[9, 5, UNK, 8, 4, 7, 6, 5, 4], [8, 6, 7, 5, UNK, 9, 4, 4, 6]])
    rows, memory = torch.tensor([0, 1]), out
    for lengths in ([0, 0], [1, 4], [1, 5], [6, 5], [6, 9]):
        lengths = torch.tensor(lengths)[rows]
        longest = int(lengths.max())
        fed = torch.nn.functional.pad(tokens[rows, :longest], (0, 3), value=UNK)
        place = torch.arange(longest + 3)
        fed = fed.masked_fill(place >= lengths[:, None], UNK).masked_fill(place >= lengths[:, None] + 3, PAD)
        block = (place >= lengths[:, None]) & (place < lengths[:, None] + 3)
        expected = model.decoder(fed, encoder_out=memory, block_mask=block)[0]
        found = decoder.forward(tokens[rows, :longest], lengths, 3)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        if longest == 5 and len(rows) == 2:
            rows = torch.tensor([1])
            memory = model.encoder.reorder_encoder_out(out, rows)
            decoder.select_rows(rows)


@torch.no_grad()
def test_selected_rows_draft_as_before(data_bin):
    model = tiny_drafter(data_bin)
    decoder, _ = start(model)
    prefix, lengths = torch.tensor([[9, 5], [8, 6]]), torch.tensor([2, 2])
    expected = decoder.forward(prefix, lengths, 3)
    decoder.select_rows(torch.tensor([1]))
    torch.testing.assert_close(decoder.forward(prefix[1:], lengths[1:], 3), expected[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("option", [None, "no_token_positional_embeddings", "encoder_learned_pos"])
@torch.no_grad()
def test_on_the_verifiers_encoder_the_engine_gives_the_modules_logits(data_bin, tmp_path, option, layers_by):
    path = tiny.save_verifier(tmp_path / "verifier.pt", data_bin, **({option: True} if option else {}))
    model = tiny_drafter(data_bin, share_encoder=True, verifier=path)
    tokens, lengths = source_batch()
    limits = Limits(PAD, UNK, EOS, 20)
    state = DecodeState(limits, torch.full((2,), EOS), 3)
    state.tokens[:, 1:4], state.lengths = torch.tensor([[9, 0, 0], [8, 7, 6]]), torch.tensor([2, 4])
    state.max_length = 4
    drafter = NatDrafter(model, 3)
    drafter.to(torch.device("cpu"), torch.float32)
    encoded = FastEncoder(model.encoder.encoder).forward({"src_tokens": tokens})
    drafter.start(Source(tokens, lengths, PAD, encoded=(encoded,)), state)
    fed = torch.tensor([[9, UNK, UNK, UNK, PAD, PAD], [8, 7, 6, UNK, UNK, UNK]])
    expected, _ = model(tokens, lengths, fed, block_mask=fed.eq(UNK))
    assert drafter.propose(state).tokens.equal(expected.argmax(-1))
    found = drafter._decoder.forward(state.tokens[:, 1:4], state.lengths - 1, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_rows_dropped_before_the_first_draft_take_their_encoding_along(data_bin, verifier):
    model = tiny_drafter(data_bin, share_encoder=True, verifier=verifier)
    tokens, lengths = source_batch()
    drafts = []
    for rows in (torch.tensor([1]), torch.tensor([0, 1])):
        drafter = NatDrafter(model, 4)
        drafter.to(torch.device("cpu"), torch.float32)
        encoded = FastEncoder(model.encoder.encoder).forward({"src_tokens": tokens})
        state = DecodeState(Limits(PAD, UNK, EOS, 20), torch.full((len(rows),), EOS), 4)
        drafter.start(Source(tokens, lengths, PAD, encoded=(encoded,)), state)
        drafter.select_rows(rows)
        drafts.append(drafter.propose(state).tokens)
    assert drafts[0].equal(drafts[1][1:])


@pytest.mark.parametrize("size", [1, 6])
def test_drafts_cut_where_the_drafter_is_unsure_change_no_output(data_bin, verifier, monkeypatch, size):
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(verifier)], {"data": str(data_bin)})
    task.load_dataset("test")
    data = task.dataset("test")
    generator = generator_for(models, task.target_dictionary, NatDrafter(tiny_drafter(data_bin), 8))
    generator.adaptive, widths = True, []

    def cut(self, draft, limit, finished):
        widths.append(int((draft.chances().sum(0) >= 10.0 ** -(len(widths) % 12)).sum()))
        return widths[-1]

    monkeypatch.setattr(BlockBudget, "cut", cut)
    monkeypatch.setattr(BlockBudget, "limit", lambda self, rows, can_step: 8)
    for begin in range(0, 24, size):
        sample = data.collater([data[i] for i in range(begin, begin + size)])
        stock = task.build_generator(models, Namespace(beam=1)).generate(models, sample)
        ours = generator.generate(models, sample)
        assert [a[0]["tokens"].tolist() for a in ours] == [b[0]["tokens"].tolist() for b in stock]
    assert min(widths) == 0 and max(widths) > 4


def test_a_block_larger_than_the_trained_one_is_refused(data_bin):
    setting = DrafterSetting(9, PAD, UNK, model=tiny_drafter(data_bin), trained_block_size=8)
    with pytest.raises(OptionError, match=r"--block-size must not exceed the block .* trained for \(8\), got 9"):
        NatDrafter.build(setting)


def test_without_a_block_size_the_trained_one_is_used(data_bin):
    model = tiny_drafter(data_bin)
    assert NatDrafter.build(DrafterSetting(None, PAD, UNK, model=model, trained_block_size=8)).block_size == 8
    assert NatDrafter.build(DrafterSetting(3, PAD, UNK, model=model, trained_block_size=8)).block_size == 3


def generator_for(models, dictionary, drafter, beta=1, tau=0.0, **options):
    stats = SpecStats(SpecConfig("nat", beta=beta, tau=tau), drafter.block_size)
    return SpecGenerator(models, dictionary, drafter, GenerationOptions(**options), stats)


@pytest.mark.parametrize("limit", ["max_source_positions", "max_target_positions"])
def test_beyond_the_drafters_positions_decoding_goes_on_without_drafts(data_bin, verifier, limit, caplog):
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(verifier)], {"data": str(data_bin)})
    task.load_dataset("test")
    data = task.dataset("test")
    sample = data.collater([data[i] for i in range(6)])
    drafter = tiny_drafter(data_bin, **{limit: 4})
    stock = task.build_generator(models, Namespace(beam=1)).generate(models, sample)
    with caplog.at_level(logging.WARNING):
        ours = generator_for(models, task.target_dictionary, NatDrafter(drafter, 5)).generate(models, sample)
    assert [a[0]["tokens"].tolist() for a in ours] == [b[0]["tokens"].tolist() for b in stock]
    assert ("exceeds the drafter's 4 positions" in caplog.text) == (limit == "max_source_positions")


@pytest.fixture(scope="module")
def reference():
    """The reference's verifier, drafter, dictionary and decodes."""
    dictionary = Dictionary.load(str(VECTORS / "dict.txt"))
    models, _ = checkpoint_utils.load_model_ensemble(
        [str(VECTORS / "verifier.pt")], {"data": str(VECTORS), "source_lang": "src", "target_lang": "tgt"}
    )
    drafter, block_size = load_drafter(str(VECTORS / "drafter.pt"), dictionary, dictionary)
    decodes = torch.load(VECTORS / "decodes.pt", weights_only=True)
    assert block_size == decodes["block_size"] == 5
    return models, drafter, dictionary, decodes


def reference_batches(decodes, size):
    rows = [torch.tensor(row) for row in decodes["source_tokens"]]
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        tokens = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=PAD)
        yield {"net_input": {"src_tokens": tokens, "src_lengths": torch.tensor([len(row) for row in part])}}


@with_vectors
@torch.no_grad()
def test_drafter_logits_equal_the_references(reference, layers_by):
    _, drafter, _, decodes = reference
    cases = torch.load(VECTORS / "drafter_vectors.pt", weights_only=True)["cases"]
    checked = 0
    for case in cases:
        if "block_mask" not in case:
            continue
        out = drafter.encoder(case["src_tokens"], src_lengths=case["src_lengths"])
        decoder = BlockDecoder(read_block_decoder(drafter.decoder))
        decoder.start(encoder_output(out, case["src_tokens"]), 60)
        lengths = case["block_mask"].int().argmax(1)
        width = int(lengths.max())
        logits = decoder.forward(case["prev_output_tokens"][:, :width], lengths, case["block_mask"].sum(1)[0].item())
        block = case["prev_output_tokens"][case["block_mask"]].view(len(lengths), -1)
        open_rows = block.ne(PAD).all(1)  # the reference also computes rows that have ended; ours drops them
        torch.testing.assert_close(logits[open_rows], case["logits"][open_rows], rtol=0, atol=1e-5)
        checked += 1
    assert checked > 0


@with_vectors
@pytest.mark.parametrize(
    ("name", "beta", "tau"), [("beta1_tau0", 1, 0.0), ("beta3_tau1", 3, 1.0), ("beta5_tau3", 5, 3.0)]
)
def test_decodes_and_rounds_equal_the_references_at_batch_size_1(reference, name, beta, tau, layers_by):
    models, drafter, dictionary, decodes = reference
    wanted = decodes["specdec"][name]
    for i, sample in enumerate(reference_batches(decodes, 1)):
        generator = generator_for(models, dictionary, NatDrafter(drafter, 5), beta, tau, min_len=0)
        tokens = generator.generate(models, sample)[0][0]["tokens"].tolist()
        assert tokens == [*wanted["tokens"][i], EOS]
        assert generator.stats.rounds == wanted["iterations"][i].item()
        passed = [kept for kept, n in enumerate(generator.stats.histogram, 1) for _ in range(n)]
        theirs = list(wanted["round_passed"][i])
        theirs[-1] += 1  # the reference leaves the final eos out
        assert passed == sorted(theirs)


@with_vectors
@pytest.mark.parametrize("size", [1, 8, 60])
def test_exact_decodes_equal_the_references_greedy_in_any_batch(reference, size):
    models, drafter, dictionary, decodes = reference
    generator = generator_for(models, dictionary, NatDrafter(drafter, 5), min_len=0)
    found = []
    for sample in reference_batches(decodes, size):
        found += [row[0]["tokens"].tolist() for row in generator.generate(models, sample)]
    assert found == [[*row, EOS] for row in decodes["greedy"]["tokens"]]


@with_vectors
def test_with_the_default_minimum_length_decodes_equal_fairseqs_generator(reference):
    models, drafter, dictionary, decodes = reference
    generator = generator_for(models, dictionary, NatDrafter(drafter, 5))
    found = []
    for sample in reference_batches(decodes, 8):
        found += [row[0]["tokens"].tolist() for row in generator.generate(models, sample)]
    assert found == decodes["generator_beam1"]["tokens"]


@with_vectors
def test_a_low_length_limit_ends_as_in_the_reference(reference):
    models, drafter, dictionary, decodes = reference
    short = decodes["short"]
    generator = generator_for(models, dictionary, NatDrafter(drafter, 5), min_len=0, max_len_b=short["max_len"])
    found = []
    for sample in reference_batches(decodes, 8):
        found += [row[0]["tokens"].tolist() for row in generator.generate(models, sample)]
    assert found == [[*row, EOS] for row in short["greedy"]["tokens"]]
