"""BART as people run it: summaries of long texts by the published options, GPT-2 subwords, a folder with a model."""

import json

import pytest
import torch
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode
from fairseq.models.bart import BARTModel

import fairseq_specdec
from tests import kinds, oracle, tiny
from tests.tasks.test_drop_in import lines_of
from tests.tasks.test_translation_specdec import assert_same_lines

# as the pages of the published models have them, but for beam 1
CNN = {"beam": 4, "lenpen": 2.0, "max_len_b": 140, "min_len": 55, "no_repeat_ngram_size": 3}
XSUM = {"beam": 6, "lenpen": 1.0, "max_len_b": 60, "min_len": 10, "no_repeat_ngram_size": 3}
SETTINGS = {"CNN/DM": CNN, "XSum": XSUM}


def arguments(options):
    return [str(word) for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]


@pytest.fixture(scope="module")
def articles(tmp_path_factory):
    """Long sources, one dictionary."""
    folder = tmp_path_factory.mktemp("articles") / "data-bin"
    return tiny.make_data_bin(folder, joined=True, longest=240, splits={"test": 10})


@pytest.fixture(scope="module")
def bart(articles):
    return tiny.save_verifier(articles.parent / "bart.pt", articles, **tiny.BART)


@pytest.fixture(scope="module")
def setting(articles, bart):
    return oracle.load(bart, articles)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_published_decoding_of_summaries_is_fairseqs(setting, name, size):
    samples = list(oracle.batches(setting[1], size, 10))
    generator, lengths = oracle.ours(setting, kinds.NoDrafter(), **SETTINGS[name]), []
    for sample, expected in zip(samples, oracle.stock(setting, samples, **SETTINGS[name]), strict=True):
        oracle.assert_same(expected, generator.generate(setting[0], sample))
        lengths += [len(best["tokens"]) for best, *_ in expected]
    assert generator.stats.certificate["wrong"] == 0
    assert min(lengths) > SETTINGS[name]["min_len"]
    assert len(set(lengths)) > 3


@pytest.fixture(scope="module")
def alone(articles, bart):
    """The same, of which no beam search has been asked, which fairseq's modules keep in mind."""
    return oracle.load(bart, articles)


@pytest.mark.parametrize("kind", ["nat", "input", "ngram", "file"])
@pytest.mark.parametrize("name", SETTINGS)
def test_drafters_keep_the_greedy_summary(alone, articles, name, kind):
    options = {**SETTINGS[name], "beam": 1}
    found = oracle.compare(alone, kinds.drafter_for(articles, kind), oracle.batches(alone[1], 4, 10), **options)
    assert found.drafted > 0


def test_truncated_sources_give_fairseqs_lines(articles, bart, tmp_path):
    cut = ("--truncate-source", "--max-source-positions", 60, *arguments({**XSUM, "beam": 2}))
    stock = lines_of(tmp_path / "stock", articles, bart, "--task", "translation", *cut)
    assert max(len(line.split()) for label, line in stock.items() if label[0] == "S") == 59
    assert_same_lines(stock, lines_of(tmp_path / "ours", articles, bart, "--task", "translation_specdec", *cut))


@pytest.mark.parametrize("arch", ["bart_base", "bart_large"])
def test_logits_of_the_full_width_are_fairseqs_at_many_positions_as_at_one(articles, arch):
    torch.manual_seed(1)
    shallow = {"encoder_layers": 2, "decoder_layers": 2}  # of 6 or 12, which are all alike
    model, cfg = tiny.build_model(articles, arch=arch, **shallow)
    assert model.decoder.embed_tokens.embedding_dim == {"bart_base": 768, "bart_large": 1024}[arch]
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where mistakes do not show
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    sample = oracle.sample_of([[5, 9, 12, 7, 2], [4, 6, 2]])
    tokens = torch.randint(4, len(model.decoder.dictionary), (2, 20))
    tokens[:, 0] = 2
    expected, _ = model(**sample["net_input"], prev_output_tokens=tokens)
    at_once, one_by_one = (logits_of(model, sample, tokens, width) for width in (20, 1))
    torch.testing.assert_close(at_once, expected.log_softmax(-1), rtol=0, atol=1e-4)
    torch.testing.assert_close(one_by_one, expected.log_softmax(-1), rtol=0, atol=1e-4)


@torch.no_grad()
def logits_of(model, sample, tokens, width):
    """Return the engine's log-probabilities for tokens [B, T], ``width`` positions a pass."""
    verifier = oracle.verifier_of([model])
    verifier.start(sample["net_input"], tokens.size(1) + 1)
    found = []
    for begin in range(0, tokens.size(1), width):
        block = tokens[:, begin : begin + width].contiguous()
        found.append(verifier.score(block, begin).clone())
        verifier.commit(torch.full((tokens.size(0),), block.size(1)))
    return torch.cat(found, dim=1)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder as the published ones are, with GPT-2's files: subwords, dictionaries, model.pt."""
    folder = tmp_path_factory.mktemp("bart.tiny")
    symbols = [*bytes_to_unicode().values(), "th", "Ġth", "Ġthe"]
    (folder / "encoder.json").write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}), "utf-8")
    (folder / "vocab.bpe").write_text("#version: 0.2\nt h\nĠ th\nĠth e\n", "utf-8")
    for language in ("source", "target"):
        lines = [f"{i} {1000 - i}" for i in range(len(symbols))]
        (folder / f"dict.{language}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    languages = {"source_lang": "source", "target_lang": "target"}
    model, cfg = tiny.build_model(folder, **tiny.BART, **languages, max_source_positions=90)
    tiny.sharpen(model)
    model.decoder.output_projection.weight.data[:4] = 0  # special symbols are no numbers, which the subwords need
    tiny.save_checkpoint(folder / "model.pt", model, cfg)
    return folder


TEXTS = ["The cat sat on the mat.", "the thing, then", "Über " + "the long way home " * 8]


@pytest.mark.parametrize("options", [{"beam": 1, "max_len_b": 20}, {**XSUM, "beam": 4, "max_len_b": 30}], ids=str)
def test_a_published_folder_is_read_and_gives_what_fairseqs_interface_gives(published, options):
    subwords = {f"gpt2_{name}": str(published / file) for name, file in FILES.items()}
    hub = BARTModel.from_pretrained(str(published), "model.pt", str(published), bpe="gpt2", **subwords).eval()
    expected = hub.sample(TEXTS, **options)
    languages = {"source_lang": "source", "target_lang": "target"}
    model = fairseq_specdec.load(
        published / "model.pt",
        published,
        bpe="gpt2",
        bos=True,
        truncate_source=True,
        **languages,
        **subwords,
        **options,
    )
    assert model.generate(TEXTS) == expected
    assert len(set(expected)) == len(TEXTS)


FILES = {"encoder_json": "encoder.json", "vocab_bpe": "vocab.bpe"}
