"""Recorded steps give what steps give; on a CPU that is treated as a GPU is (`tests.tape`)."""

import pytest
import torch

from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.generator import batch_of
from fairseq_specdec.recording.beams import RecordedBeamDecoder
from tests import oracle, tiny
from tests.oracle import assert_same, batches, ours
from tests.tape import record

pytestmark = pytest.mark.usefixtures("like_a_gpu")


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


def recorded(setting, drafter=None, **options):
    """Return a generator by recorded steps, and its recorder; beams look ahead by a drafter."""
    made = ours(setting, drafter or NoDrafter(), **options)
    return made, record(made)


def sessions(made):
    return made._decoder._sessions


def compare(setting, samples, drafter=None, **options):
    """Decode batches with fairseq's generator and by recorded steps; return ours and its recorder."""
    options = {"max_len_b": 12, **options}
    made, recorder = recorded(setting, drafter, **options)
    for sample in samples:
        (expected,) = oracle.stock(setting, [sample], **options)
        assert_same(expected, made.generate(setting[0], sample, oracle.prefix_of(sample, options)))
    assert isinstance(made._decoder, RecordedBeamDecoder)
    assert made.stats.certificate["wrong"] == 0
    assert made.stats.certificate["exact"] >= 0.98 * made.stats.certificate["tokens"] > 0
    return made, recorder


OPTIONS = [
    {},
    {"max_len_a": 0.5, "max_len_b": 2},
    {"min_len": 6, "lenpen": 2.0, "unkpen": -3.0},
    {"no_repeat_ngram_size": 2, "max_len_b": 20},
    {"temperature": 0.7, "unnormalized": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("beam", [2, 5])
def test_recorded_steps_give_fairseqs_hypotheses(setting, beam, options):
    made, recorder = compare(setting, batches(setting[1], 6, 18), beam=beam, **options)
    assert recorder.n_rounds > recorder.n_recorded > 0


@pytest.mark.parametrize(("beam", "size"), [(8, 3), (3, 1), (4, 20)])
def test_every_size_of_a_batch_and_beam_gives_the_same(setting, beam, size):
    compare(setting, batches(setting[1], size, 20), beam=beam, max_len_b=20)


def test_steps_are_the_same_steps_with_the_same_certificate(setting):
    plain = ours(setting, NoDrafter(), beam=4)
    made, _ = recorded(setting, beam=4)
    for sample in batches(setting[1], 7, 14):
        assert_same(plain.generate(setting[0], sample), made.generate(setting[0], sample))
    assert made.stats.rounds == plain.stats.rounds > 0
    assert made.stats.certificate == plain.stats.certificate


def test_a_recorded_step_serves_several_steps_and_batches(setting):
    made, recorder = recorded(setting, beam=3, max_len_b=20, min_len=1)
    data = setting[1].dataset("test")
    sample = data.collater([data[i] for i in range(6)])
    made.generate(setting[0], sample)
    n_recorded, n_steps = recorder.n_recorded, recorder.n_rounds
    assert n_recorded < n_steps
    made.generate(setting[0], sample)
    assert (recorder.n_recorded, recorder.n_rounds) == (n_recorded, 2 * n_steps)


def test_sentences_that_are_left_go_on_in_a_smaller_session(setting):
    made, _ = compare(setting, batches(setting[1], 20, 20), beam=2, max_len_b=40)
    rows = {shape.rows for shape in sessions(made)}
    assert max(rows) == 24
    assert min(rows) <= 6


def test_an_ensemble_is_recorded(setting, data_bin):
    second, _ = tiny.build_model(data_bin, seed=2)
    _, recorder = compare(([*setting[0], second], setting[1]), batches(setting[1], 8, 16), beam=3)
    assert recorder.n_recorded > 0


@pytest.mark.parametrize("options", [{"prefix_size": 2}, {"match_source_len": True}], ids=str)
def test_what_is_not_recorded_is_decoded_all_the_same(setting, options):
    _, recorder = compare(setting, batches(setting[1], 8, 8), beam=3, **options)
    assert recorder.n_recorded == 0


def source_drafter(setting, block_size):
    return InputDrafter(torch.arange(len(setting[1].source_dictionary)).roll(-4), block_size)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[2], OPTIONS[3]], ids=str)
def test_recorded_passes_that_look_ahead_give_fairseqs_hypotheses(setting, options):
    options = {**options, "max_len_b": 12}
    made, recorder = compare(setting, batches(setting[1], 6, 12), source_drafter(setting, 7), beam=3, **options)
    assert recorder.n_rounds > recorder.n_recorded > 0
    assert made.stats.drafted > 0


def test_passes_that_look_ahead_are_the_same_passes_with_the_same_certificate(setting):
    drafter = source_drafter(setting, 5)
    plain, (made, _) = ours(setting, drafter, beam=2), recorded(setting, drafter, beam=2)
    plain._ready_decoder()
    plain._decoder = plain._decoder.batches
    for sample in batches(setting[1], 7, 14):
        assert_same(plain.generate(setting[0], sample), made.generate(setting[0], sample))
    assert made.stats.certificate == plain.stats.certificate
    assert made.stats.tokens == plain.stats.tokens
    assert made.stats.rounds < made.stats.tokens
    assert any(shape.rows < 8 for shape in sessions(made))  # the rest of a batch goes on in a smaller session


@pytest.mark.parametrize(
    ("error", "again"), [("CUDA out of memory", True), ("operation not permitted when capturing", False)]
)
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_where_recording_fails_the_batch_is_decoded_without(setting, caplog, error, again, nth):
    made, recorder = recorded(setting, beam=3, max_len_b=15)
    really, calls = recorder.record, []

    def fail_once(work, keeps=False):
        calls.append(work)
        if len(calls) == nth:
            raise RuntimeError(error)
        return really(work, keeps)

    recorder.record = fail_once
    plain = ours(setting, NoDrafter(), beam=3, max_len_b=15)
    for sample in batches(setting[1], 8, 16):
        assert_same(plain.generate(setting[0], sample), made.generate(setting[0], sample))
    assert caplog.text.count("decoding without CUDA graphs (leave --cuda-graphs out): ") == 1
    assert error in caplog.text
    assert (len(calls) > nth) == again
    assert made.stats.certificate == plain.stats.certificate


def test_other_errors_pass(setting):
    made, recorder = recorded(setting, beam=3)

    def fail(work, keeps=False):
        raise ValueError("a fault")

    recorder.record = fail
    with pytest.raises(ValueError, match="a fault"):
        made.generate(setting[0], next(batches(setting[1], 4)))


def test_memory_of_sessions_is_bounded(setting, monkeypatch):
    made, _ = recorded(setting, beam=2)
    made.generate(setting[0], next(batches(setting[1], 1)))
    (session,) = sessions(made).values()
    monkeypatch.setattr("fairseq_specdec.recording.store.MAX_BYTES", 3 * session.n_bytes)
    for sample in batches(setting[1], 2, 12):
        made.generate(setting[0], sample)
        assert sum(s.n_bytes for s in sessions(made).values()) <= 3 * session.n_bytes


def test_halves_of_a_batch_that_are_decoded_in_both_ways_fit_together(setting):
    made, _ = recorded(setting, beam=2, max_len_b=9)
    sample = next(batches(setting[1], 4))
    made._ready_decoder()
    batch = batch_of(made.options, made.dictionary, made.models, sample)
    by_step, _ = made._decoder.decode(batch)
    by_hand, _ = made._decoder.plain.decode(batch)
    for a, b in zip(by_step, by_hand, strict=True):
        assert a.shape == b.shape
    assert torch.equal(by_step.n, by_hand.n)
