import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils, tasks

import fairseq_specdec
from fairseq_specdec.compat import CheckpointError
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import UnsupportedModelError
from tests import tiny


@pytest.fixture(scope="module")
def model(verifier, data_bin):
    return fairseq_specdec.load(verifier, data_bin)


@pytest.fixture(scope="module")
def sentences(data_bin):
    return (data_bin / "test.de").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def greedy(verifier, data_bin):
    """What fairseq's own generator gives for the test split, in its order."""
    models, cfg = checkpoint_utils.load_model_ensemble([str(verifier)])
    task = tasks.setup_task(cfg.task)
    task.load_dataset("test")
    generator = task.build_generator(models, Namespace(beam=1))
    return [hypothesis for _, hypothesis in tiny.read_hypotheses(generator, models, task, 8)]


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory):
    """A data-bin folder in sentencepiece symbols, a verifier for it, and the sentencepiece model."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("spm")
    words = ["dogs", "cats", "run", "sleep", "outside", "inside", "two", "young", "old", "."]
    lines = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    (folder / "text").write_text("\n".join(lines * 10) + "\n", "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    dictionary = tiny.Dictionary()
    for i in range(3, pieces.get_piece_size()):
        dictionary.add_symbol(pieces.id_to_piece(i))
    for lang in (tiny.SOURCE, tiny.TARGET):
        (folder / "bin").mkdir(exist_ok=True)
        dictionary.save(str(folder / "bin" / f"dict.{lang}.txt"))
    verifier = tiny.save_random(folder / "v.pt", folder / "bin", share_all_embeddings=True)
    return folder / "bin", verifier, folder / "spm.model"


def test_outputs_are_fairseqs_greedy_ones_in_the_order_of_the_input(model, sentences, greedy, data_bin):
    _, target = tiny.read_dictionaries(data_bin)
    assert model.generate(sentences, batch_size=7) == [target.string(hypothesis["tokens"]) for hypothesis in greedy]


def test_further_hypotheses_are_fairseqs_too(verifier, data_bin, sentences):
    models, cfg = checkpoint_utils.load_model_ensemble([str(verifier)])
    task = tasks.setup_task(cfg.task)
    task.load_dataset("test")
    generator = task.build_generator(models, Namespace(beam=4, max_len_b=20))
    sample = task.dataset("test").collater([task.dataset("test")[i] for i in range(6)])
    expected = generator.generate(models, sample)
    model = fairseq_specdec.load(verifier, data_bin, beam=4, nbest=3, max_len_b=20)
    found = model.generate_tokens(sentences[:6], batch_size=6).best
    in_order = dict(zip(sample["id"].tolist(), expected, strict=True))
    for i, best in enumerate(found):
        every = [best, *best.further]
        assert [one.tokens.tolist() for one in every] == [one["tokens"].tolist() for one in in_order[i][:3]]
        assert [one.score for one in every] == pytest.approx([float(one["score"]) for one in in_order[i][:3]], abs=1e-4)
    assert model.generate(sentences[:6]) == [best.text for best in found]
    assert found[0].further[1].text == task.target_dictionary.string(found[0].further[1].tokens)


def test_ids_and_scores_are_fairseqs(model, sentences, greedy):
    found = model.generate_tokens(sentences)
    for tokens, score, positional, expected in zip(
        found.tokens, found.scores, found.positional_scores, greedy, strict=True
    ):
        assert tokens.tolist() == expected["tokens"].tolist()
        assert score == pytest.approx(float(expected["score"]), abs=1e-4)
        torch.testing.assert_close(positional, expected["positional_scores"], atol=1e-4, rtol=0)


def test_ids_may_be_given_instead_of_text(model, sentences):
    ids = [model.encode(sentence) for sentence in sentences[:3]]
    assert ids[0][-1] == model.task.source_dictionary.eos()
    by_text, by_ids = model.generate_tokens(sentences[:3]), model.generate_tokens(ids)
    assert [tokens.tolist() for tokens in by_text.tokens] == [tokens.tolist() for tokens in by_ids.tokens]


def test_statistics_are_those_of_the_call(model, sentences):
    for count in (5, 3):
        found = model.generate_tokens(sentences[:count])
        assert found.stats["sentences"] == count
        assert found.stats["tokens"] == sum(map(len, found.tokens)) == found.stats["rounds"]
        assert found.stats["acceptance_length"] == 1.0
        assert found.stats["seconds"]["total"] > 0
        assert (found.stats["device"], found.stats["dtype"]) == ("cpu", "float32")


def test_no_sentences_give_no_outputs(model):
    assert model.generate([]) == []
    assert model.generate_tokens([]).stats["sentences"] == 0


def test_empty_sentence_gives_an_output(model):
    assert len(model.generate(["", "s1 s2", ""])) == 3


def test_nothing_is_reported_when_the_model_goes(verifier, data_bin, caplog):
    model = fairseq_specdec.load(verifier, data_bin)
    model.generate(["s1"])
    with caplog.at_level("INFO"):
        del model
    assert "speculative decoding:" not in caplog.text


def test_generation_options_are_honoured(verifier, data_bin, sentences):
    model = fairseq_specdec.load(verifier, data_bin, max_len_b=3, min_len=2)
    assert {len(tokens) for tokens in model.generate_tokens(sentences).tokens} <= {3, 4}


def test_several_checkpoints_make_an_ensemble(verifier, data_bin, tmp_path, sentences):
    other = tiny.save_verifier(tmp_path / "other.pt", data_bin, seed=2)
    alone = fairseq_specdec.load(verifier, data_bin).generate(sentences)
    by_list = fairseq_specdec.load([verifier, other], data_bin).generate(sentences)
    by_colon = fairseq_specdec.load(f"{verifier}:{other}", data_bin).generate(sentences)
    assert by_list == by_colon != alone


def test_trained_drafter_changes_the_rounds_and_not_the_output(joined_verifier, joined_data_bin, tmp_path):
    drafter = tiny.save_random(
        tmp_path / "drafter.pt", joined_data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=4
    )
    sentences = (joined_data_bin / "test.de").read_text("utf-8").splitlines()
    plain = fairseq_specdec.load(joined_verifier, joined_data_bin).generate(sentences)
    model = fairseq_specdec.load(joined_verifier, joined_data_bin, "nat", drafter, block_size=3)
    assert model.generate(sentences) == plain
    stats = model.generate_tokens(sentences).stats
    assert (stats["drafter"], stats["block_size"]) == ("nat", 3)
    assert stats["drafted"] > 0


@pytest.mark.parametrize("drafter", ["input", "ngram", "file"])
def test_drafters_without_weights_change_the_rounds_and_not_the_output(
    joined_verifier, joined_data_bin, tmp_path, drafter
):
    sentences = (joined_data_bin / "test.de").read_text("utf-8").splitlines()
    plain = fairseq_specdec.load(joined_verifier, joined_data_bin).generate(sentences)
    (tmp_path / "guesses").write_text("".join(f"{line}\n" for line in plain), "utf-8")
    extra = {"draft_file": tmp_path / "guesses"} if drafter == "file" else {}
    model = fairseq_specdec.load(joined_verifier, joined_data_bin, drafter, block_size=5, **extra)
    assert model.generate(sentences) == plain
    stats = model.generate_tokens(sentences).stats
    assert (stats["drafter"], stats["block_size"]) == (drafter, 5)
    assert stats["drafted"] > 0
    if drafter != "input":  # a guess that is right; what was decoded a moment ago
        assert stats["acceptance_length"] > 2


def test_guesses_belong_to_the_sentences_of_a_call(joined_verifier, joined_data_bin, tmp_path):
    (tmp_path / "guesses").write_text("t1\nt2\n", "utf-8")
    model = fairseq_specdec.load(joined_verifier, joined_data_bin, "file", draft_file=tmp_path / "guesses")
    assert len(model.generate(["s1", "s2"], batch_size=1)) == 2
    with pytest.raises(OptionError, match="got 2 lines in .*guesses but sentence 3"):
        model.generate(["s1", "s2", "s3"], batch_size=1)


def test_half_precision_decodes(verifier, data_bin, sentences):
    model = fairseq_specdec.load(verifier, data_bin, dtype="bfloat16")
    assert model.generate_tokens(sentences[:4]).stats["dtype"] == "bfloat16"


def test_sentencepiece_text_goes_in_and_comes_out(sentencepiece):
    data, verifier, pieces = sentencepiece
    model = fairseq_specdec.load(
        verifier, data, source_lang="de", target_lang="en", bpe="sentencepiece", sentencepiece_model=str(pieces)
    )
    ids = model.encode("two young dogs sleep outside .")
    assert model.task.source_dictionary.unk() not in ids.tolist()
    assert model.task.source_dictionary.string(ids, "sentencepiece") == "two young dogs sleep outside ."
    output = model.generate(["two young dogs sleep outside ."])
    assert "\u2581" not in output[0]


def test_bpe_without_its_file_is_refused(verifier, data_bin):
    with pytest.raises(OptionError, match="sentencepiece_model is required"):
        fairseq_specdec.load(verifier, data_bin, bpe="sentencepiece")


def test_too_long_source_is_refused_by_its_number(data_bin, tmp_path):
    short = tiny.save_random(tmp_path / "short.pt", data_bin, max_source_positions=6)
    model = fairseq_specdec.load(short, data_bin)
    assert len(model.generate(["s1 " * 5])) == 1
    with pytest.raises(OptionError) as error:
        model.generate(["s1", "s1 " * 6, "s2"])
    assert error.value.reasons == [
        "sentence 2 must have at most 6 tokens, eos counted (the positions of the model), got 7: split it."
    ]


def test_one_string_is_refused(model):
    with pytest.raises(TypeError, match=r"pass \[sentence\]"):
        model.generate("s1 s2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_len": 3}, "max_len must be an option .* did you mean max_len_"),
        ({"prefix_size": 3}, "prefix_size must be an option"),
        ({"beam": 5, "drafter": "ngram"}, "beam must be 1 with drafter ngram, got 5"),
        (
            {"sampling": True},
            "sampling .draws tokens at random., got True: that is done by fairseq's own",
        ),
        ({"drafter": "nat"}, "drafter_path is required by drafter nat"),
        ({"drafter": "file"}, "draft_file is required by drafter file"),
        ({"drafter": "input"}, "drafter input needs symbols that are in both dictionaries"),
        ({"drafter": "input", "ngram_corpus": "text"}, "ngram_corpus is refused by drafter input"),
        ({"drafter": "ngram", "draft_rule": "published"}, "draft_rule is refused by drafter ngram"),
        ({"drafter": "ngrm"}, "Unknown drafter 'ngrm'"),
        ({"tau": 1.0}, "tau must be 0 with beta 1 .exact., got 1.0: pass beta=3 or leave tau out"),
        ({"dtype": "int8"}, "dtype must be one of float32"),
        ({"bpe": "pieces"}, "bpe must be one of .*sentencepiece"),
        ({"source_lang": "xx"}, "source_lang must be one of de, en .the dictionaries in .*, got xx: choose one"),
        ({"target_lang": "xx"}, "target_lang must be one of de, en .the dictionaries in .*, got xx: choose one"),
        ({"data": Path("no-such-folder")}, "data must be the folder .* got no-such-folder"),
    ],
)
def test_bad_options_are_refused(verifier, data_bin, options, message):
    with pytest.raises(ValueError, match=message):
        fairseq_specdec.load(**{"verifier": verifier, "data": data_bin, **options})


def test_languages_that_the_data_does_not_tell_are_asked_for(verifier, data_bin, tmp_path):
    for lang in (tiny.SOURCE, tiny.TARGET):
        shutil.copy(data_bin / f"dict.{lang}.txt", tmp_path)
    with pytest.raises(OptionError, match="source_lang and target_lang must be given .* pass two of de, en"):
        fairseq_specdec.load(verifier, tmp_path)
    assert fairseq_specdec.load(verifier, tmp_path, source_lang="de", target_lang="en").generate(["s1"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([1, 1, 1]), "sentence 2 must hold at least one token (eos) that is no padding, got 3 ids"),
        (
            torch.tensor([], dtype=torch.int64),
            "sentence 2 must hold at least one token (eos) that is no padding, got 0",
        ),
        (torch.tensor([[5, 2]]), "sentence 2 must be one row of ids [n], got a tensor of shape [1, 2]"),
        (torch.tensor(5), "sentence 2 must be one row of ids [n], got a tensor of shape []"),
        (torch.tensor([5.5, 2.0]), "sentence 2 must hold integers, got torch.float32"),
        (torch.tensor([True, False]), "sentence 2 must hold integers, got torch.bool"),
        (torch.tensor([5, 99, 2]), "sentence 2 must hold ids of the source dictionary, 0 to 31, got 2 to 99"),
        (torch.tensor([-1, 2]), "sentence 2 must hold ids of the source dictionary, 0 to 31, got -1 to 2"),
    ],
)
def test_tensors_that_are_no_ids_are_refused_by_their_number(model, ids, message):
    with pytest.raises(OptionError) as error:
        model.generate_tokens(["s1", ids])
    (reason,) = error.value.reasons
    assert reason.startswith(message)
    assert reason.endswith(": pass what .encode(sentence) gives.")


def test_messages_while_decoding_name_arguments_too(verifier, data_bin):
    model = fairseq_specdec.load(verifier, data_bin, min_len=9, max_len_b=3)
    with pytest.raises(OptionError, match=r"^min_len must not exceed .* raise max_len_a, max_len_b\.$"):
        model.generate(["s1"])


def test_missing_checkpoint_is_named(data_bin):
    with pytest.raises(CheckpointError, match="no-such.pt"):
        fairseq_specdec.load("no-such.pt", data_bin)


def test_model_that_the_engine_cannot_run_is_refused(data_bin, tmp_path):
    lstm = tiny.save_random(tmp_path / "lstm.pt", data_bin, arch="lstm_wiseman_iwslt_de_en")
    with pytest.raises(UnsupportedModelError, match="must be fairseq's TransformerDecoder"):
        fairseq_specdec.load(lstm, data_bin)
