"""Recorded rounds give what rounds give, for every drafter; on a CPU that is treated as a GPU is (`tests.tape`)."""

import itertools

import pytest
import torch

from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.generator import batch_of
from fairseq_specdec.recording.decoder import RecordedDecoder
from tests import oracle, tiny
from tests.kinds import KINDS, STACK, drafter_for
from tests.oracle import assert_same, batches, ours
from tests.tape import HostReadError, NoHostReads, TapeRecorder, record

pytestmark = pytest.mark.usefixtures("like_a_gpu")


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


def recorded(setting, drafter, **options):
    """Return a generator by recorded rounds, and its recorder."""
    made = ours(setting, drafter, **options)
    return made, record(made)


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
    for size, count in ((1, 4), (7, 14)):
        for sample in batches(task, size, count=count):
            assert_same(plain.generate(models, sample), fast.generate(models, sample))
    counts = [(s.rounds, s.drafted, s.accepted) for s in (plain.stats, fast.stats)]
    if kind == "ngram":  # what it knows about its copies is older by the rounds that were made to warm up
        assert counts[1][0] == pytest.approx(counts[0][0], rel=0.05)
    else:
        assert counts[0] == counts[1]
        assert fast.stats.histogram == plain.stats.histogram
    assert recorder.n_recorded < fast.stats.rounds / 2, "most rounds are replayed"


@pytest.mark.parametrize("kind", ["none", "nat, causal", "input"])
def test_every_round_is_made_once_before_it_is_recorded(setting, data_bin, monkeypatch, kind):
    fast, recorder = recorded(setting, drafter_for(data_bin, kind))
    diary = []
    for name in ("warm_up", "record"):
        really = getattr(recorder, name)

        def written_down(work, *keeps, really=really, name=name):
            diary.append((name, work.__name__))
            return really(work, *keeps)

        monkeypatch.setattr(recorder, name, written_down)
    fast.generate(setting[0], next(batches(setting[1], 5)))
    rounds = [i for i, (name, work) in enumerate(diary) if (name, work) == ("record", "_round")]
    assert len(rounds) > 1
    assert all(diary[i - 1] == ("warm_up", "_round") for i in rounds)


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
    said = "decoding without CUDA graphs (leave --cuda-graphs out): recording failed: operation not"
    assert caplog.text.count(said) == 1


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


def wanted_of(made, sample):
    return batch_of(made.options, made.dictionary, made.models, sample)


def sorted_batches(task, *sizes, count=24):
    """Return the first ``count`` sentences by length, as fairseq sorts them, in batches of these sizes by turns."""
    data, samples = task.dataset("test"), []
    rows, turn = data.ordered_indices()[:count].tolist(), itertools.cycle(sizes)
    while rows:
        size = next(turn)
        samples.append(data.collater([data[i] for i in rows[:size]]))
        rows = rows[size:]
    return samples


def run(setting, drafter, samples, while_decoding=None, **options):
    """Decode samples each by itself and in one run, and compare.

    Returns:
        rounds that the batches need alone, and the recorder of the run.
    """
    made, recorder = ours(setting, drafter, **options), TapeRecorder()
    plain = made._ready_decoder()
    plain._can_step = False  # rounds are counted
    batches = [wanted_of(made, sample) for sample in samples]
    expected = [plain.decode(batch) for batch in batches]
    drafter.forget()
    decoder = RecordedDecoder(plain, recorder)
    if while_decoding is not None:
        while_decoding(decoder, recorder)
    found = list(decoder.decode_all(iter(batches)))
    for ours_alone, in_run in zip(expected, found, strict=True):
        assert ours_alone.lengths.tolist() == in_run.lengths.tolist()
        for row, n in enumerate(in_run.lengths.tolist()):
            assert ours_alone.tokens[row, :n].tolist() == in_run.tokens[row, :n].tolist()
            torch.testing.assert_close(ours_alone.scores[row, :n], in_run.scores[row, :n], rtol=0, atol=1e-4)
        if not drafter.learns:
            assert ours_alone.tally.counts() == in_run.tally.counts()
    return sum(len(decoded.tally._rounds) for decoded in expected), recorder


@pytest.mark.parametrize(("kind", "sizes"), [("none", (8,)), *((kind, (5, 1, 7, 2)) for kind in KINDS)], ids=str)
def test_in_a_run_rows_of_the_next_batches_take_free_places(setting, data_bin, kind, sizes):
    drafter = drafter_for(data_bin, kind)
    alone, recorder = run(setting, drafter, sorted_batches(setting[1], *sizes), max_len_b=30)
    if kind in ("file", "ar", STACK):  # their drafts are made between the recordings, for one batch at a time
        assert recorder.n_rounds == alone
    else:
        assert recorder.n_rounds < (0.85 if drafter.learns else 0.7) * alone


@pytest.mark.parametrize("options", [{"max_len_a": 0.8, "max_len_b": 1}, {"min_len": 9, "max_len_b": 12}], ids=str)
@pytest.mark.parametrize("kind", ["none", "nat, causal"])
def test_each_row_keeps_the_limits_of_its_batch(setting, data_bin, kind, options):
    alone, recorder = run(setting, drafter_for(data_bin, kind), sorted_batches(setting[1], 6, 3), **options)
    assert recorder.n_rounds < 0.8 * alone


def test_batches_may_get_shorter_and_larger(setting, data_bin):
    samples = sorted_batches(setting[1], 2, 3, 6)[::-1]
    alone, recorder = run(setting, drafter_for(data_bin, "input"), samples, max_len_a=1.0, max_len_b=9)
    assert recorder.n_rounds < alone


def test_a_drafter_that_cannot_read_sources_as_wide_drafts_until_there_are_some(setting, data_bin, monkeypatch):
    drafter = drafter_for(data_bin, "nat, causal")
    monkeypatch.setattr(drafter.model.encoder, "max_positions", lambda: 8)
    monkeypatch.setattr(drafter, "learns", True, raising=False)  # rows have other drafts in a run than alone
    alone, recorder = run(setting, drafter, sorted_batches(setting[1], 6, count=30))
    assert recorder.n_rounds < alone


def test_a_batch_that_cannot_be_recorded_is_decoded_in_its_turn(setting, monkeypatch):
    monkeypatch.setattr("fairseq_specdec.recording.store.MAX_ROWS", 4)
    alone, recorder = run(setting, NoDrafter(), sorted_batches(setting[1], 4, 4, 8))
    assert 0 < recorder.n_rounds < alone


@pytest.mark.parametrize(
    ("error", "nth"), [("out of memory", 2), ("out of memory", 9), ("out of memory", 20), ("not permitted", 9)], ids=str
)
def test_a_run_that_fails_goes_on_with_what_was_under_way(setting, data_bin, caplog, error, nth):
    def fail_once(decoder, recorder):
        really, calls = recorder.record, itertools.count(1)

        def failing(work, keeps=False):
            if next(calls) == nth:
                raise RuntimeError(error)
            return really(work, keeps)

        recorder.record = failing

    run(setting, drafter_for(data_bin, "input"), sorted_batches(setting[1], 4), fail_once)
    assert caplog.text.count("decoding without CUDA graphs") == 1


def test_an_error_when_a_batch_is_given_out_loses_none(setting):
    def fail_once(decoder, recorder):
        calls = itertools.count(1)

        def finish(tokens, lengths):
            if next(calls) == 3:
                raise RuntimeError("out of memory")

        decoder.plain.drafter.finish = finish

    run(setting, NoDrafter(), sorted_batches(setting[1], 4), fail_once)


def test_a_run_in_little_memory_is_the_same_run(setting, monkeypatch):
    monkeypatch.setattr("fairseq_specdec.recording.store.MAX_BYTES", 1)
    run(setting, NoDrafter(), sorted_batches(setting[1], 6, 3))


def test_batches_are_asked_for_when_there_is_room(setting):
    made = ours(setting, NoDrafter())
    decoder = RecordedDecoder(made._ready_decoder(), TapeRecorder())
    asked = []

    def batches():
        for sample in sorted_batches(setting[1], 1, count=3):
            asked.append(len(asked))
            yield wanted_of(made, sample)

    counts = [len(asked) for _ in decoder.decode_all(batches())]
    assert counts == [1, 2, 3]
    assert list(decoder.decode_all(iter([]))) == []


def test_memory_of_sessions_is_bounded(setting, data_bin, monkeypatch):
    models, task = setting
    fast, _ = recorded(setting, NoDrafter())
    one = next(batches(task, 1))
    fast.generate(models, one)
    (session,) = sessions(fast).values()
    monkeypatch.setattr("fairseq_specdec.recording.store.MAX_BYTES", 3 * session.n_bytes)
    for sample in batches(task, 2):
        fast.generate(models, sample)
        assert sum(s.n_bytes for s in sessions(fast).values()) <= 3 * session.n_bytes


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
