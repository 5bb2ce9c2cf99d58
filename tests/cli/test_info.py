import json
from pathlib import Path

import pytest
import torch

from fairseq_specdec.cli.info import describe
from fairseq_specdec.cli.main import main
from fairseq_specdec.engine.support import why_unsupported
from tests import tiny
from tests.vectors import VECTORS, with_vectors


@pytest.fixture(scope="module")
def drafter(data_bin, tmp_path_factory):
    path = tmp_path_factory.mktemp("drafter") / "drafter.pt"
    return tiny.save_random(path, data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=7)


@pytest.fixture
def info(capsys):
    """Run the command with --json; returns the status and the object, or the status and the error."""

    def run(path):
        capsys.readouterr()
        status = main(["info", str(path), "--json"])
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if status < 2 else printed.err

    return run


def rewritten(path, folder, change):
    """Save a copy of a checkpoint after changing the dict."""
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, folder / "changed.pt")
    return folder / "changed.pt"


def test_transformer_can_be_the_verifier(info, verifier, data_bin):
    status, found = info(verifier)
    source, target = tiny.read_dictionaries(data_bin)
    stack = {"layers": 2, "width": 32, "ffn": 48, "heads": 2}
    assert status == 0
    assert found["usable_as"] == "verifier"
    assert found["reasons"] == []
    assert (found["arch"], found["task"], found["options_in"]) == ("transformer", "translation", "cfg")
    assert found["encoder"] == {**stack, "vocabulary": len(source)}
    assert found["decoder"] == {**stack, "vocabulary": len(target)}
    assert found["dtype"] == "float32"
    assert found["updates"] == 100
    assert found["criterion"] == "LabelSmoothedCrossEntropyCriterion"
    assert not found["is_drafter"] and not found["shares_encoder"]
    assert found["block_size"] is None
    assert found["bytes"] == Path(verifier).stat().st_size
    assert "optimizer_history" in found["keys"]


def test_description_reads_well(verifier, capsys):
    assert main(["info", str(verifier)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "checkpoint", "model", "weights", "encoder", "decoder", "usable as",
    ]  # fmt: skip
    assert lines[1] == (
        "model       arch transformer, task translation de-en, criterion LabelSmoothedCrossEntropyCriterion"
    )
    assert lines[4] == "decoder     2 layers, width 32, feed-forward 48, 2 heads, vocabulary 32"
    assert lines[-1] == f"usable as   verifier: --task translation_specdec --path {verifier}"


def test_shared_tables_are_counted_once(info, joined_verifier, joined_data_bin):
    model, _ = tiny.build_model(joined_data_bin, share_all_embeddings=True)
    assert info(joined_verifier)[1]["parameters"] == sum(p.numel() for p in model.parameters())


def test_options_in_a_flat_namespace_are_read(info, data_bin, tmp_path):
    model, cfg = tiny.build_model(data_bin, encoder_normalize_before=True)
    status, found = info(tiny.save_checkpoint(tmp_path / "old.pt", model, cfg, as_args=True))
    assert status == 0
    assert (found["usable_as"], found["options_in"], found["task"]) == ("verifier", "args", "translation")


def test_half_precision_is_named(info, verifier, tmp_path):
    def halve(state):
        state["model"] = {name: value.half() for name, value in state["model"].items()}

    assert info(rewritten(verifier, tmp_path, halve))[1]["dtype"] == "float16"


def test_drafter_is_recognised_with_its_block_size(info, drafter, capsys):
    status, found = info(drafter)
    assert status == 0
    assert found["usable_as"] == "drafter"
    assert (found["is_drafter"], found["block_size"], found["task"]) == (True, 7, "spec_drafter")
    assert main(["info", str(drafter)]) == 0
    text = capsys.readouterr().out
    assert "Spec-Drafter, block size 7" in text
    assert f"usable as   drafter: --drafter nat --drafter-path {drafter}" in text


def test_drafter_on_its_verifiers_encoder_says_so(info, data_bin, verifier, tmp_path, capsys):
    path = tiny.save_sharing(tmp_path / "drafter.pt", data_bin, verifier, block_size=7)
    status, found = info(path)
    assert (status, found["usable_as"], found["shares_encoder"], found["encoder"]) == (0, "drafter", True, None)
    assert found["decoder"]["layers"] == 2
    main(["info", str(path)])
    assert "encoder     the verifier's (--share-encoder)" in capsys.readouterr().out


def test_drafter_without_block_size_or_with_other_weights_is_not_usable(info, drafter, tmp_path):
    def spoil(state):
        del state["cfg"]["task"]["block_size"]
        del state["model"]["decoder.layers.1.fc1.weight"]

    status, found = info(rewritten(drafter, tmp_path, spoil))
    assert status == 1
    assert found["usable_as"] is None
    assert [reason.split(":")[0] for reason in found["reasons"]] == [
        "it does not say its block size (block_size among the options of its task)",
        "its weights contradict its options",
    ]
    assert "decoder.layers.1.fc1.weight" in found["reasons"][1]


@with_vectors
@pytest.mark.parametrize("name", ["drafter.pt", "drafter_cfg.pt"])
def test_published_drafter_is_recognised(info, name):
    status, found = info(VECTORS / name)
    assert status == 0
    assert (found["usable_as"], found["arch"], found["block_size"]) == ("drafter", "block", 5)
    assert found["encoder"] == {"layers": 2, "width": 64, "ffn": 128, "heads": 4, "vocabulary": 120}


@with_vectors
def test_verifier_of_the_published_implementation_is_recognised(info):
    status, found = info(VECTORS / "verifier.pt")
    assert (status, found["usable_as"], found["arch"]) == (0, "verifier", "transformer")


def test_every_reason_is_listed_and_is_the_engines(data_bin, tmp_path, capsys):
    options = {"adaptive_softmax_cutoff": "8,16", "cross_self_attention": True}
    path = tiny.save_random(tmp_path / "v.pt", data_bin, **options)
    model, _ = tiny.build_model(data_bin, **options)
    found = describe(str(path))
    assert found["reasons"] == why_unsupported(model.decoder)
    assert len(found["reasons"]) == 2
    assert main(["info", str(path)]) == 1
    text = capsys.readouterr().out
    assert text.splitlines()[-3:] == ["not usable, because", *(f"  - {reason}" for reason in found["reasons"])]


def test_other_decoder_is_named(info, data_bin, tmp_path):
    status, found = info(tiny.save_random(tmp_path / "lstm.pt", data_bin, arch="lstm_wiseman_iwslt_de_en"))
    assert status == 1
    assert found["reasons"] == [
        "its decoder must be fairseq's TransformerDecoder, but architecture lstm_wiseman_iwslt_de_en is LSTMModel"
    ]


def test_checkpoint_that_fairseq_cannot_build_says_why(info, verifier, tmp_path):
    def unknown(state):
        state["cfg"]["model"]._name = "own_architecture"

    status, found = info(rewritten(verifier, tmp_path, unknown))
    assert status == 1
    assert "its architecture 'own_architecture' is not known to this fairseq" in found["reasons"][0]

    def without_options(state):
        state["cfg"] = None

    status, found = info(rewritten(verifier, tmp_path, without_options))
    assert (status, found["options_in"]) == (1, None)
    assert found["reasons"] == ["it holds no options of a model (neither args nor cfg), so fairseq cannot build it"]
    assert found["parameters"] > 0

    def without_layer(state):
        del state["model"]["decoder.layers.1.fc1.weight"]

    status, found = info(rewritten(verifier, tmp_path, without_layer))
    assert status == 1
    assert "decoder.layers.1.fc1.weight" in found["reasons"][0]


def test_model_without_encoder_says_so(info, verifier, tmp_path):
    def drop_encoder(state):
        state["model"] = {name: value for name, value in state["model"].items() if name.startswith("decoder.")}

    status, found = info(rewritten(verifier, tmp_path, drop_encoder))
    assert (status, found["encoder"]) == (1, None)
    assert found["reasons"] == ["its encoder has no table of embeddings: it must be an encoder-decoder with both"]


def test_file_that_cannot_be_read_gives_status_2(info, verifier, tmp_path):
    status, error = info(tmp_path / "none.pt")
    assert status == 2
    assert error.startswith("specdec info: error: ")
    assert "none.pt" in error
    (tmp_path / "cut.pt").write_bytes(Path(verifier).read_bytes()[:5000])
    status, error = info(tmp_path / "cut.pt")
    assert status == 2
    assert "cut.pt" in error


@pytest.fixture
def fits(capsys):
    """Run the command with --drafts-for and --json; returns the status and what is said of the two."""

    def run(path, verifier):
        status = main(["info", str(path), "--drafts-for", str(verifier), "--json"])
        return status, json.loads(capsys.readouterr().out)["drafts_for"]

    return run


def test_a_smaller_model_of_the_same_dictionaries_drafts_for_a_verifier(fits, data_bin, verifier, tmp_path, capsys):
    student = tiny.save_verifier(tmp_path / "student.pt", data_bin, decoder_layers=1)
    status, found = fits(student, verifier)
    assert status == 0
    assert found == {"path": str(verifier), "drafter": "ar", "reasons": [], "symbols_compared": True}
    assert main(["info", str(student), "--drafts-for", str(verifier)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"drafts for  {verifier} (the same symbols): --drafter ar --drafter-path {student}"
    )


def test_two_checkpoints_that_do_not_fit_are_told_with_every_reason(
    fits, data_bin, joined_verifier, verifier, drafter, tmp_path, capsys
):
    status, found = fits(verifier, joined_verifier)
    assert status == 1
    assert [reason.split(":")[0].split(" (")[0] for reason in found["reasons"]] == [
        f"--drafter-path needs the verifier's {side} dictionary, got 32 and 64 types" for side in ("source", "target")
    ]
    status, found = fits(verifier, drafter)
    assert (status, found["reasons"]) == (1, [f"{drafter} is a Spec-Drafter and no verifier"])
    status, found = fits(drafter, verifier)
    assert (status, found["drafter"]) == (0, "nat")
    sharing = tiny.save_sharing(tmp_path / "sharing.pt", data_bin, verifier, block_size=6)
    assert fits(sharing, verifier)[0] == 0
    other = tiny.save_verifier(tmp_path / "other.pt", data_bin, seed=2)
    assert "needs the verifier whose encoder the drafter shares" in fits(sharing, other)[1]["reasons"][0]
    assert main(["info", str(sharing), "--drafts-for", str(other)]) == 1
    assert f"does not draft for {other}, because" in capsys.readouterr().out
