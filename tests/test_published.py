"""Checkpoints laid out as the published ones: stock fairseq and this package read them, and decode the same."""

import pytest
import torch

from tests import published, tiny
from tests.compat.test_checkpoints import with_fast_path_copies
from tests.tasks.test_drop_in import lines_of
from tests.tasks.test_translation_specdec import assert_same_lines

# the options of the published commands, beam 5 all of them
BEAM = ("--beam", 5, "--batch-size", 16, "--remove-bpe", "sentencepiece")
DRAFTED = {"M2M-100 418M": "input", "NLLB-200 600M": "ngram", "mBART50": "input", "bart.large.cnn": "ngram"}


@pytest.fixture(scope="module", params=published.MODELS)
def one(request, tmp_path_factory):
    """The name of a model, its data and how it is decoded."""
    folder = tmp_path_factory.mktemp("published")
    data = tiny.make_data_bin(folder / "data-bin", joined=True, splits={"test": 20})
    return request.param, data, published.MODELS[request.param](folder, data)


def test_the_published_command_gives_the_same_lines(one, tmp_path, caplog):
    _, data, model = one
    stock = lines_of(tmp_path / "stock", data, model.path, *model.stock, *BEAM)
    assert_same_lines(stock, lines_of(tmp_path / "ours", data, model.path, *model.ours, *BEAM))
    assert "fairseq's own generator" not in caplog.text
    assert len({line.split("\t")[1] for label, line in stock.items() if label[0] == "H"}) > 12


def test_drafts_and_the_extra_weights_of_0_12_2_change_no_line(one, tmp_path):
    name, data, model = one
    stock = lines_of(tmp_path / "stock", data, model.path, *model.stock, "--beam", 1)
    state = torch.load(model.path, weights_only=False)
    doubled = with_fast_path_copies(state["model"])
    kept = {key for key in doubled if key in state["model"] or not key.endswith("_float_tensor")}  # of sinusoids alone
    state["model"] = {key: doubled[key] for key in doubled if key in kept}
    torch.save(state, tmp_path / "doubled.pt")
    drafted = ("--beam", 1, "--drafter", DRAFTED[name], "--block-size", 5, "--certify")
    assert_same_lines(stock, lines_of(tmp_path / "ours", data, tmp_path / "doubled.pt", *model.ours, *drafted))


def test_weights_on_disk_are_half_precise_and_shared_as_published(one):
    name, _, model = one
    weights = torch.load(model.path, weights_only=False)["model"]
    floats = [value for key, value in weights.items() if value.is_floating_point() and "version" not in key]
    assert {value.dtype for value in floats} == {torch.float16}
    assert ("decoder.output_projection.weight" in weights) == (name != "bart.large.cnn")
    assert ("encoder.layernorm_embedding.weight" in weights) == (name in ("mBART50", "bart.large.cnn"))
    assert ("encoder.embed_positions.weight" in weights) == (name in ("mBART50", "bart.large.cnn"))
    assert ("encoder.layer_norm.weight" in weights) == (name != "bart.large.cnn")
    assert torch.equal(weights["encoder.embed_tokens.weight"], weights["decoder.embed_tokens.weight"])
