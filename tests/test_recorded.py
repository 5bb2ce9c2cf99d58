"""Recorded rounds give what rounds give, for every drafter; on a CPU that is treated as a GPU is (`tests.tape`)."""

import pytest
import torch

from fairseq_specdec import device
from fairseq_specdec.ahead import AheadDecoder
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.engine import native
from fairseq_specdec.recorded import RecordedDecoder
from fairseq_specdec.sessions import step_up
from tests import oracle, tiny
from tests.kinds import KINDS, drafter_for
from tests.oracle import assert_same, batches, ours
from tests.tape import HostReadError, NoHostReads, TapeRecorder

EOS = 2


@pytest.fixture(autouse=True)
def like_a_gpu(monkeypatch):
    monkeypatch.setattr(device, "reads_freely", lambda tensor: False)
    monkeypatch.setenv(native.DISABLE, "1")  # compiled code is not seen by a tape
    native.library.cache_clear()
    yield
    native.library.cache_clear()


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


def recorded(setting, drafter, **options):
    """Return a generator by recorded rounds, and its recorder."""
    made, recorder = ours(setting, drafter, **options), TapeRecorder()
    ready = made._ready_decoder

    def decoder():
        if not isinstance(made._decoder, AheadDecoder):
            made._decoder = made._ahead(RecordedDecoder(ready(), recorder))
        return made._decoder

    made._ready_decoder = decoder
    return made, recorder


def sessions(made):
    return made._decoder._decoder._sessions


OPTIONS = [{"max_len_a": 0.5, "max_len_b": 1}, {"min_len": 9, "unkpen": -3.0}]
CASES = [(kind, {}) for kind in KINDS] + [(kind, options) for kind in ("none", "nat, causal") for options in OPTIONS]


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_recorded_rounds_give_the_same_output_in_the_same_rounds(setting, data_bin, kind, options):
    models, task = setting
    options = {"max_len_b": 20, **options}
    plain = ours(setting, drafter_for(data_bin, kind), **options)
    fast, recorder = recorded(setting, drafter_for(data_bin, kind), **options)
    for size in (1, 7):
        for sample in batches(task, size, count=14):
            assert_same(plain.generate(models, sample), fast.generate(models, sample))
    counts = [(s.rounds, s.drafted, s.accepted) for s in (plain.stats, fast.stats)]
    if kind == "ngram":  # what it knows about its copies is older by the rounds that were made to warm up
        assert counts[1][0] == pytest.approx(counts[0][0], rel=0.05)
    else:
        assert counts[0] == counts[1]
        assert fast.stats.histogram == plain.stats.histogram
    assert recorder.n_recorded < fast.stats.rounds / 2, "most rounds are replayed"


def test_rows_that_end_make_place(setting, data_bin):
    models, task = setting
    fast, _ = recorded(setting, drafter_for(data_bin, "input"))
    sample = next(batches(task, 20))
    expected = ours(setting, NoDrafter()).generate(models, sample)
    assert_same(expected, fast.generate(models, sample))
    rows = {shape.rows for shape in sessions(fast)}
    assert max(rows) == 24
    assert min(rows) <= 6, "the last rows go on in a smaller session"


def test_an_ensemble_is_recorded(setting, data_bin, tmp_path):
    models, task = setting
    second, _ = tiny.build_model(data_bin, seed=2)
    both = [*models, second]
    fast, recorder = recorded((both, task), drafter_for(data_bin, "input"), temperature=0.7)
    plain = ours((both, task), NoDrafter(), temperature=0.7)
    for sample in batches(task, 8):
        assert_same(plain.generate(both, sample), fast.generate(both, sample))
    assert recorder.n_recorded > 0


@pytest.mark.parametrize("options", [{"prefix_size": 2}, {"match_source_len": True}], ids=str)
def test_what_is_not_recorded_is_decoded_all_the_same(setting, data_bin, options):
    models, task = setting
    prefix_size = options.pop("prefix_size", 0)
    fast, recorder = recorded(setting, drafter_for(data_bin, "input"), **options)
    plain = ours(setting, NoDrafter(), **options)
    for sample in batches(task, 8):
        prefix = sample["target"][:, :prefix_size] if prefix_size else None
        assert_same(plain.generate(models, sample, prefix), fast.generate(models, sample, prefix))
    assert recorder.n_recorded == 0


def test_where_recording_fails_rounds_are_made_one_by_one(setting, data_bin, caplog):
    models, task = setting
    fast, recorder = recorded(setting, drafter_for(data_bin, "input"))

    def fail(work, keeps=False):
        raise RuntimeError("operation not permitted when stream is capturing")

    recorder.record = fail
    plain = ours(setting, NoDrafter())
    for sample in batches(task, 8):
        assert_same(plain.generate(models, sample), fast.generate(models, sample))
    assert caplog.text.count("decoding without CUDA graphs (--no-cuda-graphs): recording failed: operation not") == 1


def test_out_of_memory_gives_the_sessions_up_and_goes_on(setting, data_bin, caplog):
    models, task = setting
    fast, recorder = recorded(setting, drafter_for(data_bin, "input"))
    sample = next(batches(task, 8))
    expected = ours(setting, NoDrafter()).generate(models, sample)
    record, calls = recorder.record, []

    def fail_once(work, keeps=False):
        calls.append(work)
        if len(calls) == 2:
            raise RuntimeError("CUDA out of memory")
        return record(work, keeps)

    recorder.record = fail_once
    assert_same(expected, fast.generate(models, sample))
    assert "out of memory" in caplog.text
    assert_same(expected, fast.generate(models, sample))
    assert len(calls) > 2, "the next batch is recorded again"


def test_memory_of_sessions_is_bounded(setting, data_bin, monkeypatch):
    models, task = setting
    fast, _ = recorded(setting, NoDrafter())
    one = next(batches(task, 1))
    fast.generate(models, one)
    (session,) = sessions(fast).values()
    monkeypatch.setattr("fairseq_specdec.recorded.MAX_BYTES", 3 * session.n_bytes)
    for sample in batches(task, 2):
        fast.generate(models, sample)
        assert sum(s.n_bytes for s in sessions(fast).values()) <= 3 * session.n_bytes


def test_steps_leave_at_most_a_third_empty():
    steps = [step_up(n) for n in range(1, 200)]
    assert steps[:13] == [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16]
    assert all(n <= step < 1.5 * n for n, step in enumerate(steps, 1) if n > 1)
    assert sorted(steps) == steps


def test_a_tape_sees_host_reads():
    x = torch.ones(3)
    for read in (lambda: x.sum().item(), lambda: x.nonzero(), lambda: x[x > 0], lambda: bool(x.any())):
        with pytest.raises(HostReadError), NoHostReads():
            read()


def test_a_tape_repeats_what_was_done_on_the_same_memory():
    x, total = torch.tensor([1.0, 2.0]), torch.zeros(1)
    recorder = TapeRecorder()
    tape = recorder.record(lambda: total.add_((2 * x).view(2, 1)[1]))
    tape.replay()
    assert total.item() == 4.0
    x += 1
    tape.replay()
    assert total.item() == 10.0


def test_what_a_tape_makes_is_there_once_it_was_done_and_until_the_next_unless_it_is_kept():
    x, recorder, made = torch.tensor([1, 2]), TapeRecorder(), {}
    first, second, kept = (
        recorder.record(lambda name=name: made.update({name: x + 1}), keeps=name == "kept")
        for name in ("first", "second", "kept")
    )
    assert not any(tensor.equal(x + 1) for tensor in made.values())
    for tape in (kept, first, second):
        tape.replay()
    assert [name for name, tensor in made.items() if tensor.equal(x + 1)] == ["second", "kept"]
