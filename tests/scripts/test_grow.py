"""A model that starts from a smaller one: it says what the small one says, and has no part left out."""

import sys
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "train"))

import grow  # noqa: E402

from fairseq_specdec.compat import load_checkpoint  # noqa: E402

SMALL = ROOT / "checkpoints" / "quickstart" / "verifier.pt"
SOURCE = torch.tensor([[25, 300, 41, 77, 1200, 2]])
TARGET = torch.tensor([[2, 40, 500, 61, 9, 700]])


def logits(path: Path) -> torch.Tensor:
    """Return the scores (6, vocabulary) of one sentence, without dropout."""
    words = Dictionary.load(str(SMALL.with_suffix(".dict.txt")))
    task = TranslationTask(TranslationConfig(source_lang="de", target_lang="en"), words, words)
    models, _ = checkpoint_utils.load_model_ensemble([str(path)], task=task)
    with torch.no_grad():
        return models[0].eval()(SOURCE, torch.tensor([SOURCE.shape[1]]), TARGET)[0][0]


@pytest.fixture(scope="module")
def small():
    return logits(SMALL)


def grown(tmp_path: Path, noise: float = 0.0, **sizes: int) -> Path:
    """Write the quickstart's verifier at other sizes."""
    path = tmp_path / "grown.pt"
    torch.save(grow.grown_checkpoint(load_checkpoint(str(SMALL)), sizes, noise), path)
    return path


def test_more_hidden_units_and_heads_change_nothing_but_rounding(tmp_path, small):
    found = logits(grown(tmp_path, ffn_dim=1000, heads=8, embed_dim=192 * 2))
    same_positions = logits(grown(tmp_path, ffn_dim=1000))
    assert torch.allclose(same_positions, small, atol=1e-4)
    assert (found.argmax(-1) == small.argmax(-1)).all()  # sinusoidal positions of another width are near, not equal


def test_new_layers_pass_on_nearly_what_they_are_given(tmp_path, small):
    found = logits(grown(tmp_path, encoder_layers=6, decoder_layers=5))
    assert (found.argmax(-1) == small.argmax(-1)).all()
    assert torch.corrcoef(torch.stack([found.flatten(), small.flatten()]))[0, 1] > 0.98


def test_fewer_layers_are_the_first_of_each_group(tmp_path):
    weights = load_checkpoint(str(grown(tmp_path, decoder_layers=1)))["model"]
    before = load_checkpoint(str(SMALL))["model"]
    assert not any(name.startswith("decoder.layers.1.") for name in weights)
    for part in ("fc1.weight", "self_attn.k_proj.weight"):
        assert torch.equal(weights[f"decoder.layers.0.{part}"], before[f"decoder.layers.0.{part}"].float())
    norm = "final_layer_norm.weight"
    assert torch.equal(weights[f"decoder.layers.0.{norm}"], before[f"decoder.layers.2.{norm}"].float())


def test_noise_tells_copies_apart(tmp_path):
    name = "decoder.layers.0.fc1.weight"
    alike = load_checkpoint(str(grown(tmp_path, ffn_dim=1536)))["model"][name]
    apart = load_checkpoint(str(grown(tmp_path, noise=0.01, ffn_dim=1536)))["model"][name]
    assert torch.equal(alike[0], alike[1]) and not torch.equal(apart[0], apart[1])
    assert torch.allclose(alike, apart, atol=0.1 * float(alike.std()))


@pytest.mark.parametrize(
    ("old", "new", "plan"),
    [
        (3, 6, [(0, 0, False), (1, 0, True), (2, 1, False), (3, 1, True), (4, 2, True), (5, 2, False)]),
        (1, 2, [(0, 0, True), (1, 0, False)]),
        (6, 2, [(0, 0, False), (1, 3, False)]),
        (2, 2, [(0, 0, False), (1, 1, False)]),
    ],
)
def test_old_layers_keep_their_order_and_the_last_its_place(old, new, plan):
    assert grow.arrangement(old, new) == plan


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [({"embed_dim": 96}, "only grow wider"), ({"embed_dim": 512, "heads": 5}, "do not divide")],
)
def test_sizes_that_cannot_be_made_are_refused(tmp_path, sizes, reason):
    with pytest.raises(ValueError, match=reason):
        grown(tmp_path, **sizes)


def test_a_model_of_another_kind_is_refused(tmp_path):
    state = load_checkpoint(str(SMALL.with_name("corrector.pt")))
    with pytest.raises(ValueError, match="encoder_normalize_before=True; only False"):
        grow.grown_checkpoint(state, {}, 0.0)
