"""Starting a drafter from its verifier."""

import logging
from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from fairseq.models.transformer import TransformerModel, base_architecture

from fairseq_specdec.models.drafter_config import apply_architecture
from fairseq_specdec.models.spec_drafter import SpecDrafterModel
from fairseq_specdec.training.init import chosen_layer, copy_verifier, init_from_verifier
from tests import tiny

SIZES = {
    "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48, "encoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_layers": 2, "activation_fn": "relu", "share_all_embeddings": True,
    "max_source_positions": 40, "max_target_positions": 40,
}  # fmt: skip


def task():
    dictionary = tiny.make_dictionary("s", "t")
    return SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)


def build_verifier(**options):
    torch.manual_seed(1)
    args = Namespace(**{**SIZES, **options})
    base_architecture(args)
    model = TransformerModel.build_model(args, task()).eval()
    for name, weight in model.named_parameters():  # fresh norms and biases are all 1 or 0
        if name.endswith((".bias", "norm.weight")):
            torch.nn.init.normal_(weight, mean=float("norm.weight" in name), std=0.2)
    return model, args


def build_drafter(**options):
    torch.manual_seed(2)
    args = Namespace(**{**SIZES, **options})
    apply_architecture(args, "spec_drafter_tiny")
    return SpecDrafterModel.build_model(args, task()).eval()


def encode(model):
    source = torch.tensor([[1, 5, 6, 7, 2], [8, 9, 10, 11, 2]])
    with torch.no_grad():
        return model.encoder(source, src_lengths=torch.tensor([4, 5]))["encoder_out"][0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoder_normalize_before": True, "decoder_normalize_before": True},
        {"layernorm_embedding": True},
        {"encoder_learned_pos": True, "decoder_learned_pos": True},
        {"no_scale_embedding": True},
    ],
    ids=str,
)
def test_the_encoder_starts_as_the_verifiers_whatever_scale_its_embeddings_have(options):
    verifier, args = build_verifier(**options)
    kept = {name: value for name, value in options.items() if name != "no_scale_embedding"}
    model = build_drafter(**kept)
    before = encode(model)
    copy_verifier(model, verifier.state_dict(), args)
    assert (before - encode(verifier)).abs().max() > 0.5
    torch.testing.assert_close(encode(model), encode(verifier), rtol=0, atol=0.02)  # eps of the layer norms


def test_tied_embeddings_are_copied_without_the_scale_so_that_logits_keep_theirs():
    verifier, args = build_verifier()
    model = build_drafter()
    report = copy_verifier(model, verifier.state_dict(), args)
    assert model.decoder.output_projection.weight.equal(verifier.decoder.output_projection.weight)
    assert {"encoder.embed_tokens.weight", "decoder.output_projection.weight"} <= set(report.copied)
    ratio = model.decoder.embed_positions.weight[2:].norm() / verifier.decoder.embed_positions.weights[2:43].norm()
    assert ratio.item() == pytest.approx(32**-0.5, rel=0.05)


def test_decoder_layers_and_their_cross_attention_are_copied():
    verifier, args = build_verifier()
    model = build_drafter()
    copy_verifier(model, verifier.state_dict(), args)
    for name in ("encoder_attn.k_proj.weight", "fc1.weight", "final_layer_norm.bias", "encoder_attn_layer_norm.weight"):
        for layer in range(2):
            key = f"decoder.layers.{layer}.{name}"
            assert model.state_dict()[key].equal(verifier.state_dict()[key])


@pytest.mark.parametrize(
    ("own", "depth", "chosen"),
    [(1, 6, [0]), (2, 6, [0, 5]), (3, 6, [0, 2, 5]), (6, 6, [0, 1, 2, 3, 4, 5]), (3, 2, [0, 1, None])],
)
def test_a_shallow_drafter_takes_evenly_spaced_layers(own, depth, chosen):
    assert [chosen_layer(index, own, depth) for index in range(own)] == chosen


def test_tensors_of_another_shape_and_missing_layers_stay_fresh_and_are_named():
    verifier, args = build_verifier(encoder_layers=1, decoder_ffn_embed_dim=16)
    model = build_drafter()
    fresh = model.state_dict()["encoder.layers.1.fc1.weight"].clone()
    report = copy_verifier(model, verifier.state_dict(), args)
    assert report.fresh["encoder.layers.1.fc1.weight"] == "not in the verifier"
    assert report.fresh["decoder.layers.0.fc1.weight"] == "of another shape"
    assert model.state_dict()["encoder.layers.1.fc1.weight"].equal(fresh)
    assert "decoder.layers.0.self_attn.q_proj.weight" in report.copied


def test_learned_positions_beyond_the_verifiers_stay_fresh():
    verifier, args = build_verifier(encoder_learned_pos=True, max_source_positions=10)
    model = build_drafter()
    fresh = model.encoder.embed_positions.weight[12:].clone()
    copy_verifier(model, verifier.state_dict(), args)
    table = verifier.encoder.embed_positions.weight / 32**0.5
    torch.testing.assert_close(model.encoder.embed_positions.weight[:12], table)
    assert model.encoder.embed_positions.weight[12:].equal(fresh)


def test_masks_start_by_copying_from_around_their_own_place():
    verifier, args = build_verifier()
    model = build_drafter()
    copy_verifier(model, verifier.state_dict(), args)
    positions = model.encoder.embed_positions.weight[2:22]  # [20, C]
    scores = model.decoder.copy_attn(positions) @ positions.T
    assert scores.argmax(dim=1).equal(torch.arange(20))


def test_a_drafter_started_from_its_verifier_can_be_trained_on():
    verifier, args = build_verifier()
    model = build_drafter()
    copy_verifier(model, verifier.state_dict(), args)
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())


def test_the_log_says_what_was_copied_and_which_settings_differ(data_bin, tmp_path, caplog):
    path = tiny.save_verifier(tmp_path / "verifier.pt", data_bin)
    model, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter", encoder_ffn_embed_dim=48)
    with caplog.at_level(logging.INFO, logger="fairseq_specdec"):
        report = init_from_verifier(model, str(path))
    assert f"initialised {len(report.copied)} tensors" in caplog.text
    assert "decoder.copy_attn.weight" in caplog.text
    assert "activation_fn is relu in the verifier, gelu in the drafter" in caplog.text


def test_sinusoidal_positions_in_the_drafter_are_warned_about(data_bin, tmp_path, caplog):
    path = tiny.save_verifier(tmp_path / "verifier.pt", data_bin)
    options = {"arch": "spec_drafter_tiny", "task": "spec_drafter", "no_decoder_learned_pos": True}
    model, _ = tiny.build_model(data_bin, **options)
    init_from_verifier(model, str(path))
    assert "better pass --decoder-learned-pos" in caplog.text and "--encoder-learned-pos" not in caplog.text


def test_a_verifier_that_fits_nowhere_is_refused(data_bin, tmp_path):
    path = tiny.save_verifier(tmp_path / "verifier.pt", data_bin)
    model, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter", encoder_embed_dim=16)
    with pytest.raises(ValueError, match="--init-from-verifier: no layer of .* fits the drafter"):
        init_from_verifier(model, str(path))
