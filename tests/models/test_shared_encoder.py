"""A drafter on its verifier's encoder: what it reads, what its checkpoint holds, and with whom it works."""

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_specdec.config import OptionError
from fairseq_specdec.models.load import load_drafter
from fairseq_specdec.models.shared_encoder import SharedEncoder, encoder_digests, is_digest_of
from fairseq_specdec.training.init import init_from_verifier
from tests import tiny

PAD, UNK = 1, 3
SOURCE = torch.tensor([[PAD, PAD, 5, 6, 2], [4, 9, 8, 7, 2]])
SHARING = {"arch": "spec_drafter_tiny", "task": "spec_drafter", "share_encoder": True}


@pytest.fixture(scope="module")
def drafter(data_bin, verifier, tmp_path_factory):
    return tiny.save_sharing(tmp_path_factory.mktemp("sharing") / "drafter.pt", data_bin, verifier, block_size=7)


@pytest.fixture
def encoder(data_bin, verifier):
    (model,), _ = checkpoint_utils.load_model_ensemble([str(verifier)], {"data": str(data_bin)})
    return model.encoder


@torch.no_grad()
def test_it_gives_the_verifiers_memory_and_the_embeddings_of_its_table(data_bin, drafter, encoder):
    source, target = tiny.read_dictionaries(data_bin)
    model, block_size = load_drafter(str(drafter), target, source, encoder)
    out, theirs = model.encoder(SOURCE), encoder(SOURCE)
    assert out["encoder_out"][0].equal(theirs["encoder_out"][0]) and block_size == 7
    torch.testing.assert_close(out["encoder_embedding"][0], encoder.embed_tokens(SOURCE))
    torch.testing.assert_close(out["encoder_pos"][0] * 32**0.5, encoder.embed_positions(SOURCE))


@torch.no_grad()
def test_it_copies_from_the_source_as_a_drafter_whose_own_encoder_started_from_the_verifiers(data_bin, verifier):
    sharing, _ = tiny.build_model(data_bin, **SHARING, init_from_verifier=verifier)
    own, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter", encoder_ffn_embed_dim=48)
    init_from_verifier(own, str(verifier))
    positions = own.decoder.embed_positions(torch.full((2, 4), 9))
    copied = [model.decoder.copy_source(positions, model.encoder(SOURCE, SOURCE)) for model in (sharing, own)]
    assert copied[1].std() > 0.01
    torch.testing.assert_close(copied[0], copied[1], rtol=1e-3, atol=1e-5)


def test_the_encoder_is_neither_trained_nor_stored(data_bin, verifier, drafter):
    model, _ = tiny.build_model(data_bin, **SHARING, verifier=verifier)
    before = model.encoder.encoder.layers[0].fc1.weight.clone()
    model.train()
    logits, _ = model(SOURCE, None, torch.full((2, 3), UNK))
    logits.logsumexp(-1).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert model.encoder.encoder.layers[0].fc1.weight.equal(before)
    assert not model.encoder.encoder.training and not any(p.requires_grad for p in model.encoder.encoder.parameters())
    stored = torch.load(drafter, weights_only=False)["model"]
    assert all(name.startswith("decoder.") for name in stored)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in model.decoder.parameters())


def test_the_encoder_goes_where_the_drafter_goes(data_bin, verifier):
    model, _ = tiny.build_model(data_bin, **SHARING, verifier=verifier)
    out = model.half().encoder(SOURCE)
    assert {out[name][0].dtype for name in ("encoder_out", "encoder_embedding", "encoder_pos")} == {torch.float16}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_digests_know_the_encoder_in_every_precision_and_no_other(encoder, dtype):
    digests = encoder_digests(encoder)
    assert is_digest_of(digests, encoder.to(dtype))
    encoder.layers[1].fc2.bias.data[3] += 0.1
    assert not is_digest_of(digests, encoder)


def test_another_verifier_is_refused_with_the_remedy(data_bin, drafter, tmp_path):
    path = tiny.save_verifier(tmp_path / "other.pt", data_bin, seed=2)
    (other,), _ = checkpoint_utils.load_model_ensemble([str(path)], {"data": str(data_bin)})
    source, target = tiny.read_dictionaries(data_bin)
    with pytest.raises(OptionError, match="(?s)--share-encoder.* another one .*--path"):
        load_drafter(str(drafter), target, source, other.encoder)
    with pytest.raises(OptionError, match="got none"):
        load_drafter(str(drafter), target, source)


def test_a_checkpoint_that_does_not_say_whose_encoder_it_shares_is_refused(data_bin, drafter, encoder, tmp_path):
    state = torch.load(drafter, weights_only=False)
    del state["task_state"]["encoder"]
    torch.save(state, tmp_path / "drafter.pt")
    source, target = tiny.read_dictionaries(data_bin)
    with pytest.raises(OptionError, match=r"--share-encoder; unknown\), got another one"):
        load_drafter(str(tmp_path / "drafter.pt"), target, source, encoder)


def test_without_a_verifier_or_with_one_of_another_width_training_does_not_start(data_bin, verifier):
    with pytest.raises(ValueError, match="--share-encoder needs a verifier, got none: pass --init-from-verifier"):
        tiny.build_model(data_bin, **SHARING)
    with pytest.raises(ValueError, match="--encoder-embed-dim must be the verifier's .* got 16 for 32: pass .* 32"):
        tiny.build_model(data_bin, **SHARING, verifier=verifier, encoder_embed_dim=16)


def test_an_encoder_of_another_kind_is_refused(data_bin):
    waiting = SharedEncoder(tiny.read_dictionaries(data_bin)[0], 32, 1024)
    with pytest.raises(ValueError, match="fairseq's TransformerEncoder, got one where its encoder must be"):
        waiting.attach(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="needs a verifier, got none"):
        waiting(SOURCE)
