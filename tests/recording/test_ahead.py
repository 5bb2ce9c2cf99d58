"""Results that are there before they are asked for are those that would have come, whatever is asked for in between."""

import gc
import weakref
from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_specdec.api import SpecModel
from fairseq_specdec.blocks import Source
from fairseq_specdec.config import OptionError
from fairseq_specdec.recording.ahead import AheadDecoder
from fairseq_specdec.recording.decoder import RecordedDecoder
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.decode import Batch
from fairseq_specdec.tasks.look_ahead import PulledSamples
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask
from tests.oracle import EOS, PAD, UNK, assert_same
from tests.tape import TapeRecorder, record

BATCH = 6


def batch_of(sample):
    """Return a batch; sample is a dict with the ids of one sentence."""
    tokens = torch.tensor([sample["net_input"]])
    source = Source(tokens, torch.tensor([tokens.size(1)]), PAD)
    return Batch(source, {}, Limits(PAD, UNK, EOS, sample.get("max_len", 20)), torch.tensor([EOS]))


def samples_of(*rows):
    return [{"net_input": list(row)} for row in rows]


class Eager:
    """In the place of a decoder: takes all batches of a run at once, and gives back their tokens."""

    def __init__(self):
        self.plain = SimpleNamespace(decode=lambda batch: ("plain", batch.source.tokens.tolist()))
        self.n_taken = 0

    def decode_all(self, batches):
        for batch in list(batches):
            self.n_taken += 1
            yield ("run", batch.source.tokens.tolist())


def ahead_of(samples, convert=batch_of):
    """Return a decoder that looks ahead in an iterator, that iterator, and what it decodes with."""
    upcoming, decoder = SimpleNamespace(current=PulledSamples(iter(samples))), Eager()
    return AheadDecoder(decoder, upcoming, convert), upcoming, decoder


def ask(ahead, sample):
    return ahead.decode(batch_of(sample))


ROWS = [(5, EOS), (6, EOS), (7, 8, EOS), (9, EOS)]


def test_a_run_is_what_an_iterator_gives():
    ahead, upcoming, _ = ahead_of(samples_of(*ROWS))
    assert [ask(ahead, sample) for sample in upcoming.current] == [("run", [list(row)]) for row in ROWS]


def test_what_else_is_asked_for_is_decoded_by_itself():
    ahead, upcoming, decoder = ahead_of(samples_of(*ROWS))
    assert ask(ahead, next(upcoming.current))[0] == "run"
    (foreign,) = samples_of((5, 6, EOS))
    assert ask(ahead, foreign)[0] == "plain"
    batch = batch_of(samples_of(ROWS[1])[0])
    with_prefix = batch._replace(limits=Limits(PAD, UNK, EOS, 20, prefix=torch.tensor([[7]])))
    assert ahead.decode(with_prefix)[0] == "plain"
    assert ahead.decode(batch._replace(first=torch.tensor([7])))[0] == "plain"
    assert [ask(ahead, sample)[0] for sample in upcoming.current] == ["run"] * 3
    assert decoder.n_taken == 4


def test_samples_that_nobody_asks_for_are_passed_over():
    ahead, upcoming, _ = ahead_of([{}, *samples_of(*ROWS[:2]), {}, *samples_of(*ROWS[2:])])
    found = [ask(ahead, sample) for i, sample in enumerate(upcoming.current) if sample and i != 2]
    assert found == [("run", [list(row)]) for row in (ROWS[0], ROWS[2], ROWS[3])]


def test_a_batch_that_did_not_come_from_the_iterator_starts_nothing():
    ahead, upcoming, decoder = ahead_of(samples_of(*ROWS))
    assert ask(ahead, samples_of(ROWS[0])[0])[0] == "run"
    next(upcoming.current)
    assert ask(ahead, samples_of((5, 6, EOS))[0])[0] == "run"
    assert decoder.n_taken == 2, "each is a run of its own"


def test_another_iterator_ends_the_run():
    ahead, upcoming, decoder = ahead_of(samples_of(*ROWS))
    ask(ahead, next(upcoming.current))
    upcoming.current = PulledSamples(iter(samples_of(*ROWS[1:])))
    assert [ask(ahead, sample) for sample in upcoming.current] == [("run", [list(row)]) for row in ROWS[1:]]
    assert decoder.n_taken == 4


def test_an_option_that_a_later_batch_refuses_is_told_when_that_is_asked_for():
    def refuse(sample):
        if sample["net_input"][0] == 7:
            raise OptionError(["--min-len"])
        return batch_of(sample)

    ahead, upcoming, decoder = ahead_of(samples_of(*ROWS), refuse)
    assert [ask(ahead, next(upcoming.current))[0] for _ in range(2)] == ["run"] * 2
    assert decoder.n_taken == 2


def test_after_an_error_the_next_batch_begins_a_new_run():
    ahead, upcoming, decoder = ahead_of(samples_of(*ROWS))

    def fail(batches):
        next(batches)
        next(batches)
        raise RuntimeError("out of memory")
        yield

    really, decoder.decode_all = decoder.decode_all, fail
    first = next(upcoming.current)
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(ahead, first)
    decoder.decode_all = really
    found = [ask(ahead, first), *(ask(ahead, sample) for sample in upcoming.current)]
    assert found == [("run", [list(row)]) for row in ROWS], "also what the run that failed had pulled"


# With a model, through the task


@pytest.fixture
def task_of(data_bin, verifier):
    """Give the task with its test split, and the verifier, for options of the task."""

    def make(**options):
        cfg = TranslationSpecDecConfig(data=str(data_bin), dataset_impl=None, required_seq_len_multiple=1, **options)
        task = TranslationSpecDecTask.setup_task(cfg)
        task.load_dataset("test")
        return task, checkpoint_utils.load_model_ensemble([str(verifier)], task=task)[0]

    return make


def samples_in(task):
    return task.get_batch_iterator(task.dataset("test"), max_sentences=BATCH).next_epoch_itr(shuffle=False)


def decoded(task, models, generator):
    return [task.inference_step(generator, models, sample) for sample in samples_in(task)]


@pytest.mark.usefixtures("like_a_gpu")
@pytest.mark.parametrize("drafter", ["none", "ngram"])
def test_the_batches_of_a_task_are_decoded_together(task_of, drafter):
    task, models = task_of(drafter=drafter, certify=True)
    plain, fast, alone = (task.build_spec_generator(models, Namespace(beam=1)) for _ in range(3))
    together, apart = record(fast), record(alone)
    expected = decoded(task, models, plain)
    for _ in range(2):
        for a, b in zip(expected, decoded(task, models, fast), strict=True):
            assert_same(a, b)
    alone._upcoming = None
    for a, b in zip(expected, decoded(task, models, alone), strict=True):
        assert_same(a, b)
    assert fast.stats.sentences == 2 * plain.stats.sentences
    assert fast.stats.tokens == fast.stats.certificate["tokens"] == 2 * plain.stats.tokens
    assert fast.stats.certificate["wrong"] == 0
    if drafter == "none":
        assert fast.stats.histogram == [2 * n for n in plain.stats.histogram]
        assert together.n_rounds < 2 * 0.7 * apart.n_rounds


@pytest.mark.usefixtures("like_a_gpu")
def test_other_sentences_and_new_weights_in_between_do_no_harm(task_of):
    task, models = task_of()
    plain, fast = (task.build_spec_generator(models, Namespace(beam=1)) for _ in range(2))
    record(fast)
    expected = decoded(task, models, plain)
    data = task.dataset("test")
    foreign = data.collater([data[i] for i in (3, 1, 4)])
    prefix = foreign["target"][:, :2]
    for i, sample in enumerate(samples_in(task)):
        assert_same(expected[i], task.inference_step(fast, models, sample))
        if i == 1:
            assert_same(plain.generate(models, foreign), fast.generate(models, foreign))
            assert_same(plain.generate(models, foreign, prefix), fast.generate(models, foreign, prefix))
        if i == 3:
            fast.weights_changed()


@pytest.mark.usefixtures("like_a_gpu")
def test_memory_that_runs_out_everywhere_halves_the_batch(task_of, monkeypatch, caplog):
    task, models = task_of()
    plain, fast = (task.build_spec_generator(models, Namespace(beam=1)) for _ in range(2))
    recorder = record(fast)
    expected = decoded(task, models, plain)
    decode = fast._ready_decoder()._decoder.plain.decode
    tries = iter([1, 1])

    def fail(*_):
        raise RuntimeError("CUDA out of memory")

    def fail_twice(batch):
        return fail() if next(tries, 0) else decode(batch)

    monkeypatch.setattr(fast._ready_decoder()._decoder.plain, "decode", fail_twice)
    really = recorder.record
    for i, sample in enumerate(samples_in(task)):
        recorder.record = fail if i == 2 else really
        if i == 2:
            fast._ready_decoder()._decoder._sessions.clear()
        assert_same(expected[i], task.inference_step(fast, models, sample))
    assert caplog.text.count("in halves") == 2


@pytest.mark.usefixtures("like_a_gpu")
def test_nothing_is_pulled_where_drafts_are_learned_and_outputs_depend_on_them(task_of):
    task, models = task_of(drafter="ngram", beta=3, tau=1.0)
    generator = task.build_spec_generator(models, Namespace(beam=1))
    record(generator)
    samples = samples_in(task)
    task.inference_step(generator, models, next(samples))
    assert not task.look_ahead.current._pulled


@pytest.mark.usefixtures("like_a_gpu")
def test_weights_without_numbers_are_told_when_decoding_begins(task_of):
    task, models = task_of()
    with torch.no_grad():
        models[0].decoder.layers[0].fc1.weight.fill_(float("nan"))
    generator = task.build_spec_generator(models, Namespace(beam=1, max_len_b=9))
    record(generator)
    with pytest.raises(ValueError, match="no finite score"):
        decoded(task, models, generator)


@pytest.mark.usefixtures("like_a_gpu")
def test_sentences_from_python_are_decoded_together(task_of):
    task, models = task_of()
    plain, fast = (task.build_spec_generator(models, Namespace(beam=1)) for _ in range(2))
    recorder = record(fast)
    sources = [task.dataset("test")[i]["source"] for i in range(20)]
    expected, found = (SpecModel(task, made).generate_tokens(sources, batch_size=4) for made in (plain, fast))
    assert [row.tolist() for row in found.tokens] == [row.tolist() for row in expected.tokens]
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)
    assert found.stats["rounds"] == expected.stats["rounds"]
    assert recorder.n_rounds > 0


@pytest.mark.usefixtures("like_a_gpu")
def test_a_generator_ends_with_its_last_user(task_of):
    task, models = task_of()
    generator = task.build_spec_generator(models, Namespace(beam=1))  # what reports when its life ends
    generator._decoder = generator._ahead(RecordedDecoder(generator._ready_decoder(), TapeRecorder()))
    decoder = weakref.ref(generator._decoder)
    decoded(task, models, generator)
    gc.disable()
    del generator
    assert decoder() is None
    gc.enable()
