"""A Spec-Drafter for BART: learned positions with an offset, a norm of the embeddings, gelu, no scale."""

import pytest
import torch
from fairseq import criterions, tasks

from fairseq_specdec.models.load import load_drafter
from tests import oracle, tiny
from tests.kinds import NatDrafter

SIZES = {
    "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48, "encoder_attention_heads": 2, "encoder_layers": 2,
    "decoder_layers": 2, "share_all_embeddings": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.make_data_bin(tmp_path_factory.mktemp("bart") / "data-bin", joined=True)


@pytest.fixture(scope="module")
def bart(data):
    return tiny.save_verifier(data.parent / "bart.pt", data, **tiny.BART)


def build(data, bart, **more):
    options = {
        "arch": "spec_drafter_bart_base",
        "task": "spec_drafter",
        "criterion": "spec_drafter_loss",
        "block_size": 5,
        "max_update": 10,
        **SIZES,
        **more,
    }
    return tiny.build_model(data, init_from_verifier=bart, **options)


def test_the_drafter_starts_as_the_verifier(data, bart):
    model, _ = build(data, bart)
    (verifier,), task = oracle.load(bart, data)
    own, whole = model.state_dict(), verifier.state_dict()
    shared = [name for name in own if name in whole and not name.endswith("version")]
    assert {name for name in own if name not in whole} == {"decoder.copy_attn.weight"}
    assert all(torch.equal(own[name], whole[name]) for name in shared)
    assert own["encoder.embed_positions.weight"].size(0) == 1024 + 2
    assert model.decoder.cfg.activation_fn == "gelu" and not model.decoder.layers[0].normalize_before
    verifier.eval()
    (sample,) = oracle.batches(task, 6, 6)
    with torch.no_grad():
        found, expected = (one.encoder.forward_torchscript(sample["net_input"]) for one in (model, verifier))
    torch.testing.assert_close(found["encoder_out"][0], expected["encoder_out"][0])


def test_a_published_table_with_a_row_for_the_mask_is_taken_without_it(data, bart, tmp_path):
    state = torch.load(bart, weights_only=False)
    del state["model"]["decoder.output_projection.weight"]
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        state["model"][name] = torch.cat([state["model"][name], torch.full((1, 32), 9.0)])
    torch.save(state, tmp_path / "published.pt")
    own, expected = (build(data, path)[0].state_dict() for path in (tmp_path / "published.pt", bart))
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.output_projection.weight"):
        assert torch.equal(own[name], expected[name])


def test_it_learns_and_drafts_for_bart_without_changing_a_token(data, bart, tmp_path):
    model, cfg = build(data, bart)
    task = tasks.setup_task(cfg.task)
    task.load_dataset("train")
    sample = task.dataset("train").collater([task.dataset("train")[i] for i in range(24)])
    criterion = criterions.build_criterion(cfg.criterion, task)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    losses = []
    for update in range(4):
        torch.manual_seed(1)  # the same masks
        loss, n, _ = task.train_step(sample, model, criterion, _Backward(), update)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss) / float(n))
    assert losses[-1] < losses[0]
    path = tiny.save_checkpoint(tmp_path / "nat.pt", model.eval(), cfg)
    setting = oracle.load(bart, data)
    dictionary = setting[1].target_dictionary
    drafter, block_size = load_drafter(str(path), dictionary, dictionary, setting[0][0].encoder, check_encoder=True)
    found = oracle.compare(setting, NatDrafter(drafter, block_size), oracle.batches(setting[1], 6))
    assert found.drafted > 0
    assert found.certificate["wrong"] == 0


class _Backward:
    """Stands where fairseq has its optimizer."""

    def backward(self, loss):
        loss.backward()
