import pytest

from fairseq_specdec.bench.measure import Batch, Measured, identical, measure, percentile, rows, speedup
from fairseq_specdec.bench.report import table
from fairseq_specdec.config import OptionError
from tests.clocks import HOSTILE


class Clock:
    """Time that passes only where a system says so."""

    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time

    def reset_peak(self):
        pass

    def peak_mb(self, system):
        return 7.0


class Fake:
    """Takes the next of some times for each batch and says a token for each sentence."""

    dtype, note, acceptance_length, beam = "float32", None, None, 1

    def __init__(self, name, clock, *times, token=5, diary=None, fail=None):
        self.name, self.clock, self.times, self.token, self.fail = name, clock, list(times), token, fail
        self.diary = [] if diary is None else diary

    def start(self, batches):
        self.diary.append(self.name)

    def decode(self, batch):
        if self.fail:
            raise self.fail
        self.clock.time += self.times.pop(0)
        return [[self.token, 2] for _ in batch.ids]


@pytest.fixture
def clock():
    return Clock()


BATCHES = [Batch([1], None, []), Batch([0], None, [])]


def test_every_repeat_takes_every_system_and_another_one_begins(clock):
    diary = []
    systems = [Fake(name, clock, *[1] * 8, diary=diary) for name in "abc"]
    measure(systems, BATCHES[:1], clock, repeats=3)
    assert "".join(diary) == "cab" + "abc" + "bca" + "cab"


def test_warm_up_is_not_timed(clock):
    (found,) = measure([Fake("a", clock, 100, 100, 1, 2, 3, 4)], BATCHES, clock, repeats=2)
    assert found.seconds == [[1, 2], [3, 4]]
    assert found.outputs == {0: [5, 2], 1: [5, 2]}
    assert found.peak_mb == 7.0


def test_loading_between_batches_is_not_timed(clock):
    def tick():
        clock.time += 1000

    (found,) = measure([Fake("a", clock, 1, 2)], BATCHES, clock, repeats=1, warmup=0, tick=tick)
    assert found.seconds == [[1, 2]]


def test_failing_system_leaves_the_others_alone(clock):
    broken = Fake("b", clock, fail=RuntimeError("CUDA error:\n out of memory"))
    good, bad = measure([Fake("a", clock, *[1] * 6), broken], BATCHES, clock, repeats=2)
    assert good.seconds == [[1, 1], [1, 1]]
    assert (bad.error, bad.seconds, broken.diary) == ("out of memory", [], ["b"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (ValueError("two\nlines"), "ValueError: two lines"),
    ],
)
def test_failure_is_said_in_one_line(clock, error, said):
    assert measure([Fake("a", clock, fail=error)], BATCHES, clock, repeats=1)[0].error == said


@pytest.mark.parametrize("error", [OptionError(["--min-len"]), KeyboardInterrupt()])
def test_refusals_and_interrupts_end_the_measurement(clock, error):
    with pytest.raises(type(error)):
        measure([Fake("a", clock, fail=error)], BATCHES, clock, repeats=1)


def test_row_has_counts_median_spread_and_latencies(clock):
    systems = [
        Fake("fairseq", clock, 1, 3, 2, 4, 3, 8),
        Fake("none", clock, 1, 1, 1, 1, 1, 1),
        Fake("nat", clock, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5, token=6),
    ]
    results = measure(systems, BATCHES, clock, repeats=3, warmup=0)
    first, _, last = rows(systems, results, 1, "cpu", lambda outputs: {"bleu": float(len(outputs))})
    assert first == {
        "system": "fairseq",
        "beam": 1,
        "batch_size": 1,
        "sentences": 2,
        "tokens": 4,
        "seconds": 6,
        "spread": [4, 11],
        "tokens_per_second": 4 / 6,
        "p50_ms": 3000.0,
        "p95_ms": 3900.0,
        "speedup_vs_fairseq": 1.0,
        "speedup_vs_none": 2 / 6,
        "speedup_vs_same_beam": None,
        "acceptance_length": None,
        "metric": {"bleu": 2.0},
        "identical": 1.0,
        "identical_same_beam": None,
        "peak_memory_mb": 7.0,
        "device": "cpu",
        "dtype": "float32",
        "note": None,
    }
    assert last["speedup_vs_fairseq"] == 11  # of 4 / 1, 6 / 0.5 and 11 / 1
    assert last["speedup_vs_none"] == 2
    assert last["identical"] == 0.0


def test_latency_is_only_said_at_batch_size_1(clock):
    systems = [Fake("fairseq", clock, 1, 1)]
    (row,) = rows(systems, measure(systems, BATCHES, clock, repeats=1, warmup=0), 8, "cpu", lambda outputs: None)
    assert (row["p50_ms"], row["p95_ms"]) == (None, None)


def test_row_of_a_failure_has_the_error_and_no_numbers(clock):
    systems = [Fake("fairseq", clock, fail=MemoryError()), Fake("none", clock, *[1] * 4)]
    bad, good = rows(systems, measure(systems, BATCHES, clock, repeats=1), 1, "cpu", lambda outputs: None)
    assert bad["error"] == "out of memory"
    assert (bad["seconds"], bad["spread"], bad["identical"], bad["metric"]) == (None, None, None, None)
    assert "error" not in good
    assert (good["speedup_vs_fairseq"], good["speedup_vs_none"], good["identical"]) == (None, 1.0, None)


def test_ratios_are_taken_repeat_by_repeat():
    assert speedup(Measured(seconds=[[2], [20], [9]]), Measured(seconds=[[1], [10], [3]])) == 2


def test_identical_is_a_share_of_sentences():
    base = Measured(outputs={i: [i, 2] for i in range(4)})
    assert identical(base, Measured(outputs={**base.outputs, 3: [9, 2]})) == 0.75


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 2.5), (0.95, 3.85), (1, 4)])
def test_percentiles_are_interpolated(share, value):
    assert percentile([4, 1, 3, 2], share) == pytest.approx(value)
    assert percentile([5], share) == 5


def test_nothing_has_no_percentile():
    assert percentile([], 0.95) is None


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("batch_size", [1, 8])
def test_rows_and_their_table_can_be_made_whatever_the_clock_says(name, batch_size):
    time = Clock()
    time.now = HOSTILE[name]()
    systems = [Fake("fairseq", time, *[0] * 6), Fake("none", time, *[0] * 6)]
    found = rows(systems, measure(systems, BATCHES, time, repeats=2), batch_size, "cpu", lambda outputs: None)
    assert all(row["seconds"] >= 0 and row["spread"][0] >= 0 for row in found)
    assert [row["identical"] for row in found] == [1.0, 1.0]
    if name == "still":
        assert [row["tokens_per_second"] for row in found] == [row["speedup_vs_none"] for row in found] == [None, None]
    assert len(table(found, "bleu").splitlines()) == 4
