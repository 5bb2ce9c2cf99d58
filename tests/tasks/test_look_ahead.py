"""Iterators of fairseq that can be looked ahead in are otherwise what they were."""

from argparse import Namespace

import pytest
from fairseq import checkpoint_utils
from fairseq.logging import progress_bar

from fairseq_specdec.tasks.look_ahead import PulledSamples
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask


@pytest.fixture(scope="module")
def task(data_bin):
    cfg = TranslationSpecDecConfig(data=str(data_bin), dataset_impl=None, required_seq_len_multiple=1)
    task = TranslationSpecDecTask.setup_task(cfg)
    task.load_dataset("test")
    return task


def epochs_of(task):
    return task.get_batch_iterator(task.dataset("test"), max_sentences=6, disable_iterator_cache=True)


def ids(samples):
    return [sample["id"].tolist() for sample in samples]


def test_samples_come_in_their_order_whatever_was_pulled():
    samples = PulledSamples(iter([{"net_input": i} for i in range(6)]))
    assert samples.last is None
    assert next(samples) == samples.last == {"net_input": 0}
    assert [samples.look_at(place) for place in (1, 2, 1)] == [{"net_input": place} for place in (1, 2, 1)]
    assert next(samples) == samples.last == {"net_input": 1}
    assert samples.look_at(3) == {"net_input": 3}
    assert samples.look_at(2) == {"net_input": 2}, "what was pulled can be looked at until it is given out"
    assert samples.look_at(6) is None
    assert [sample["net_input"] for sample in samples] == [2, 3, 4, 5]
    assert samples.n_given == 6
    assert samples.look_at(6) is None


def test_an_iterator_of_the_task_counts_as_fairseqs_does(task):
    expected = ids(super(TranslationSpecDecTask, task).get_batch_iterator(task.dataset("test"), max_sentences=6)
                   .next_epoch_itr(shuffle=False))  # fmt: skip
    samples = epochs_of(task).next_epoch_itr(shuffle=False)
    assert (len(samples), samples.n, samples.total) == (len(expected), 0, len(expected))
    found = ids([next(samples)])
    assert task.look_ahead.current.look_at(2)["id"].tolist() == expected[2]
    assert (samples.n, samples.has_next()) == (1, True)
    bar = progress_bar.progress_bar(samples, log_format="simple", log_interval=1)
    assert len(bar) == len(expected)
    assert found + ids(bar) == expected
    assert (samples.n, samples.has_next()) == (len(expected), False)


def test_the_iterator_over_epochs_has_what_fairseqs_has(task):
    epochs = epochs_of(task)
    assert len(epochs) == 7
    assert (epochs.epoch, epochs.next_epoch_idx) == (1, 1)
    assert epochs.first_batch["id"].numel() == 6
    list(epochs.next_epoch_itr(shuffle=False))
    assert epochs.end_of_epoch()
    assert epochs.state_dict()["epoch"] == 2


def test_shuffled_epochs_are_not_followed(task):
    epochs_of(task).next_epoch_itr(shuffle=False)
    before = task.look_ahead.current
    samples = epochs_of(task).next_epoch_itr(shuffle=True)
    assert task.look_ahead.current is before
    assert len(list(samples)) == 7


def test_on_a_cpu_nothing_is_pulled(task, verifier):
    models, _ = checkpoint_utils.load_model_ensemble([str(verifier)], task=task)
    generator = task.build_spec_generator(models, Namespace(beam=1))
    samples = epochs_of(task).next_epoch_itr(shuffle=False)
    task.inference_step(generator, models, next(samples))
    assert not task.look_ahead.current._pulled
    assert next(samples)["id"].numel() == 6
