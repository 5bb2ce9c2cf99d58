import pytest
import torch

from fairseq_specdec.bench.build import build_systems
from fairseq_specdec.bench.data import Scorer
from fairseq_specdec.bench.measure import Batch
from fairseq_specdec.bench.names import parse_systems
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.base import DRAFTERS
from fairseq_specdec.evaluation.generate_log import read_generate_log
from tests import tiny

IN_PROCESS = ("--num-workers", "0")  # to start another takes seconds


def build(loaded, names):
    return build_systems(parse_systems(names, DRAFTERS)[0], loaded, 1)


def decode(system, data, size=8):
    """Decode all the data in one pass; tokens by place."""
    batches = list(data.batches(size))
    system.start(batches)
    return {i: tokens for batch in batches for i, tokens in zip(batch.ids, system.decode(batch), strict=True)}


@pytest.fixture(scope="module")
def shared(load):
    return load("--remove-bpe")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("fairseq", ()), ("none", ()), ("fairseq-beam3", ("--beam", "3"))],
)
def test_output_is_that_of_fairseq_generate(load, data_bin, verifier, tmp_path, name, arguments):
    options = ("--max-len-a", "0.5", "--max-len-b", "3", "--prefix-size", "1", "--batch-size", "8")
    log = read_generate_log([tiny.fairseq_generate(data_bin, verifier, tmp_path, *IN_PROCESS, *options, *arguments)])
    loaded, data = load(*options[:-2])
    system = next(system for system in build(loaded, name) if system.name == name)
    found = decode(system, data)
    text = [loaded.task.target_dictionary.string(found[i]) for i in data.ids]
    assert text == [sentence.hypothesis for sentence in log.sentences]


def test_text_and_references_are_those_of_fairseq_generate(shared, data_bin, verifier, tmp_path):
    log = read_generate_log([tiny.fairseq_generate(data_bin, verifier, tmp_path, *IN_PROCESS, "--remove-bpe")])
    loaded, data = shared
    scorer = Scorer(data, "bleu")
    outputs = decode(build(loaded, "fairseq")[0], data)
    assert [scorer.text(outputs[i]) for i in data.ids] == [sentence.detokenized for sentence in log.sentences]
    assert scorer.references == [[sentence.target for sentence in log.sentences]]


def test_references_from_a_file_are_those_of_the_sentences(load, tmp_path):
    _, data = load("--limit", "3")
    path = tmp_path / "ref"
    path.write_text("".join(f"line {i}\n" for i in range(40)))
    assert Scorer(data, "bleu", [str(path)]).references == [["line 0", "line 1", "line 2"]]
    path.write_text("one line\n")
    with pytest.raises(OptionError, match="one line for each of the 40 lines of --gen-subset"):
        Scorer(data, "bleu", [str(path)])


def test_metric_that_looks_at_the_source_is_given_it(shared):
    loaded, data = shared
    outputs = decode(build(loaded, "fairseq")[0], data)
    assert 0 <= Scorer(data, "gleu").score(outputs)["gleu"] <= 100


def test_limit_takes_the_first_sentences(load):
    _, data = load("--limit", "5")
    assert data.ids == [0, 1, 2, 3, 4]
    batches = data.batches(2)
    assert sorted(i for batch in batches for i in batch.ids) == data.ids
    assert isinstance(batches[0], Batch)
    assert len(batches[0].sources[0]) == len(data.dataset[batches[0].ids[0]]["source"]) - 1


def test_options_of_the_name_come_before_those_of_the_command_line(load, data_bin, tmp_path):
    path = tiny.save_random(tmp_path / "nat.pt", data_bin, arch="spec_drafter_tiny", task="spec_drafter", block_size=5)
    loaded, data = load("--drafter-path", str(path), "--limit", "6")
    none, *others = build(loaded, "none,nat,nat:block=2,nat:beta=3:tau=1.5")[1:]
    assert [system.generator.drafter.block_size for system in others] == [5, 2, 5]
    assert [system.note for system in others][:2] == [None, None]
    assert others[2].note == "relaxed acceptance (beta 3, tau 1.5), another system than greedy"
    assert decode(none, data) == decode(others[0], data) == decode(others[1], data)
    assert others[0].acceptance_length >= none.acceptance_length == 1.0


def test_reduced_precision_is_named_in_the_row(load):
    loaded, data = load("--limit", "6")
    system = next(system for system in build(loaded, "none:engine-dtype=int8") if ":" in system.name)
    assert (system.dtype, system.note) == ("int8", "engine in int8")
    assert len(decode(system, data)) == 6


@pytest.mark.parametrize("name", [name for name in DRAFTERS if not DRAFTERS[name].required])
def test_second_pass_knows_nothing_of_the_first(load, joined_data_bin, joined_verifier, name):
    loaded, data = load("--limit", "16", "--max-len-b", "30", path=joined_verifier, data=joined_data_bin)
    name = f"{name}:block=4"  # left to itself the width follows what rounds cost, also those of the pass before
    system = next(system for system in build(loaded, name) if system.name == name)
    first = decode(system, data), system.generator.stats.as_dict()
    assert decode(system, data) == first[0] == decode(build(loaded, "fairseq")[0], data)
    assert system.generator.stats.as_dict() == first[1]
    assert system.acceptance_length == first[1]["acceptance_length"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("nat", r"--systems nat: --drafter-path is required by --drafter nat"),
        (
            "none:drafter_path=x",
            r"unknown option 'drafter_path'. Known: beta, block_size, cuda_graphs, engine_dtype, tau, k",
        ),
        ("none:block=many", r"--systems none:block=many: block_size must be of its option's kind, got 'many'"),
        ("none:beta=0", r"--systems none:beta=0: --beta must be at least 1"),
        ("fairseq:beam=5", r"--systems fairseq:beam=5: unknown option 'beam'. Known: none"),
    ],
)
def test_option_that_cannot_be_honoured_is_refused(shared, names, message):
    with pytest.raises(OptionError, match=message):
        build(shared[0], names)


def test_every_refusal_is_listed(shared):
    with pytest.raises(OptionError) as refused:
        build(shared[0], "nat,none:tau=-1,none:x=1")
    assert len(refused.value.reasons) == 3


def test_option_of_generation_that_the_engine_refuses_is_refused(load):
    with pytest.raises(OptionError, match="--systems none: --diverse-beam-groups, got 2"):
        build(load("--diverse-beam-groups", "2")[0], "none")
    with pytest.raises(OptionError, match="--systems ngram:beam=3: --beam must be 1 with --drafter ngram, got 3"):
        build(load()[0], "ngram:beam=3")


@pytest.mark.parametrize(("option", "dtype"), [("--bf16", torch.bfloat16), ("--fp16", torch.float16)])
def test_the_precision_that_is_asked_for_is_the_one_that_is_measured(load, option, dtype):
    loaded, data = load(option, "--max-len-b", "8", "--limit", "4")
    assert {weight.dtype for model in loaded.models for weight in model.parameters()} == {dtype}
    for system in build(loaded, "fairseq,none"):
        assert system.dtype == str(dtype).removeprefix("torch.")
        assert len(decode(system, data)) == 4
