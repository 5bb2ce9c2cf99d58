"""Reading trained drafters: formats, and what is refused."""

from argparse import Namespace

import pytest
import torch
from fairseq.data import Dictionary
from omegaconf import OmegaConf

from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.models.load import load_drafter
from fairseq_specdec.models.vocabulary import digest
from tests import tiny
from tests.vectors import VECTORS, with_vectors


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    splits = {"train": 4}
    return tiny.make_data_bin(tmp_path_factory.mktemp("joined") / "bin", joined=True, splits=splits)


def save(path, data, **options):
    chosen = {"arch": "spec_drafter_tiny", "task": "spec_drafter", "block_size": 7, **options}
    model, cfg = tiny.build_model(data, **chosen)
    tiny.save_checkpoint(path, model, cfg)
    return model, str(path)


def reference_format(path, model, target, as_cfg):
    """Rewrite a checkpoint as the published implementation does; options that were not given are absent or False."""
    args = Namespace(
        arch="block", task="translation_lev_modified", criterion="glat_loss", block_size=7, share_all_embeddings=True,
        encoder_layers=2, encoder_embed_dim=32, encoder_ffn_embed_dim=64, encoder_attention_heads=2, decoder_layers=2,
        decoder_embed_dim=32, decoder_ffn_embed_dim=64, decoder_attention_heads=2, encoder_learned_pos=True,
        decoder_learned_pos=True, src_embedding_copy=True, apply_bert_init=True, activation_fn="gelu",
    )  # fmt: skip
    cfg = None
    if as_cfg:
        args._name = "block"
        cfg = OmegaConf.create(
            {"task": {"_name": "translation_lev_modified", "block_size": 7}}, flags={"allow_objects": True}
        )
        cfg.model, args = args, None
    torch.save({"args": args, "cfg": cfg, "model": model.state_dict(), "extra_state": {}}, target)
    return str(target)


def logits(model):
    source = torch.tensor([[5, 6, 7, 2]])
    with torch.no_grad():
        return model(source, torch.tensor([4]), torch.tensor([[8, 3, 3, 3]]))[0]


@with_vectors
@pytest.mark.parametrize("name", ["drafter.pt", "drafter_cfg.pt"])
def test_reference_checkpoints_load_as_they_are(name):
    dictionary = Dictionary.load(str(VECTORS / "dict.txt"))
    model, block_size = load_drafter(str(VECTORS / name), dictionary)
    case = torch.load(VECTORS / "drafter_vectors.pt", weights_only=True)["cases"][4]
    with torch.no_grad():
        found, _ = model(case["src_tokens"], case["src_lengths"], case["prev_output_tokens"], case["block_mask"])
    torch.testing.assert_close(found, case["logits"], rtol=0, atol=1e-5)
    assert (block_size, model.training, model.max_positions()) == (5, False, (300, 280))


@pytest.mark.parametrize("as_cfg", [False, True], ids=["args", "cfg"])
def test_names_of_the_published_implementation_are_mapped(joined, tmp_path, as_cfg):
    model, _ = save(tmp_path / "ours.pt", joined)
    path = reference_format(tmp_path / "ours.pt", model, tmp_path / "theirs.pt", as_cfg)
    source, target = tiny.read_dictionaries(joined)
    loaded, block_size = load_drafter(path, target, source)
    assert block_size == 7
    assert logits(loaded).equal(logits(model))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_src_embedding_copy": True, "no_encoder_learned_pos": True},
        {"no_share_all_embeddings": True, "no_share_decoder_input_output_embed": True, "layernorm_embedding": True},
        {"max_source_positions": 40, "max_target_positions": 50, "activation_fn": "relu"},
    ],
    ids=str,
)
def test_our_checkpoints_give_back_the_model_and_its_block_size(joined, tmp_path, options):
    model, path = save(tmp_path / "drafter.pt", joined, **options)
    source, target = tiny.read_dictionaries(joined)
    loaded, block_size = load_drafter(path, target, source)
    assert block_size == 7 and not loaded.training
    assert logits(loaded).equal(logits(model))
    assert loaded.max_positions() == model.max_positions()
    assert sum(p.numel() for p in loaded.parameters()) == sum(p.numel() for p in model.parameters())


def test_separate_dictionaries_are_each_compared(data_bin, tmp_path):
    _, path = save(tmp_path / "drafter.pt", data_bin)
    source, target = tiny.read_dictionaries(data_bin)
    assert load_drafter(path, target, source)[1] == 7
    longer = tiny.make_dictionary("s", "t")
    with pytest.raises(OptionError) as error:
        load_drafter(path, longer, longer)
    assert [reason.split(",")[0] for reason in error.value.reasons] == [
        "--drafter-path needs the verifier's source dictionary",
        "--drafter-path needs the verifier's target dictionary",
    ]
    assert f"got {len(target)} and {len(longer)} types" in str(error.value) and "fairseq-preprocess" in str(error.value)


def test_dictionaries_of_equal_size_and_other_words_are_told_apart(joined, tmp_path):
    _, path = save(tmp_path / "drafter.pt", joined)
    state = torch.load(path, weights_only=False)
    _, target = tiny.read_dictionaries(joined)
    state["task_state"] = {"dictionaries": {"source": digest(target), "target": digest(target)}}
    torch.save(state, path)
    other = tiny.make_dictionary("s", "u")
    assert len(other) == len(target)
    assert load_drafter(path, target)[1] == 7
    with pytest.raises(OptionError, match="types each, but other words"):
        load_drafter(path, other)


def test_a_checkpoint_that_is_no_drafter_is_refused(verifier, data_bin):
    source, target = tiny.read_dictionaries(data_bin)
    with pytest.raises(
        OptionError, match="--drafter-path must be a Spec-Drafter, got .* with arch 'transformer': train"
    ):
        load_drafter(str(verifier), target, source)


def test_a_missing_file_is_refused(data_bin):
    with pytest.raises(CheckpointError, match="missing.pt"):
        load_drafter("missing.pt", tiny.read_dictionaries(data_bin)[1])


def test_weights_that_contradict_their_options_are_refused(joined, tmp_path):
    _, path = save(tmp_path / "drafter.pt", joined)
    state = torch.load(path, weights_only=False)
    del state["model"]["decoder.layers.1.fc1.weight"]
    torch.save(state, path)
    with pytest.raises(OptionError, match="contradict its options: (.|\n)*decoder.layers.1.fc1.weight"):
        load_drafter(path, tiny.read_dictionaries(joined)[1])


def test_a_checkpoint_without_a_block_size_is_refused(joined, tmp_path):
    _, path = save(tmp_path / "drafter.pt", joined)
    state = torch.load(path, weights_only=False)
    del state["cfg"]["task"]["block_size"]
    torch.save(state, path)
    with pytest.raises(OptionError, match="does not say its block size"):
        load_drafter(path, tiny.read_dictionaries(joined)[1])
