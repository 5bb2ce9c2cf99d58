"""What the task makes of its options when it builds a generator."""

import gc
import json
import sys
from argparse import Namespace

import pytest
from fairseq import checkpoint_utils

from fairseq_specdec.config import OptionError
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask
from tests import tiny


@pytest.mark.parametrize(
    ("options", "adaptive"),
    [({}, True), ({"block_size": 4}, False), ({"beta": 3, "tau": 1.0}, False)],
    ids=["default", "block size", "relaxed"],
)
def test_the_clock_chooses_the_block_only_where_no_output_depends_on_it(data_bin, verifier, options, adaptive):
    cfg = TranslationSpecDecConfig(
        data=str(data_bin), drafter="ngram", dataset_impl=None, required_seq_len_multiple=1, **options
    )
    task = TranslationSpecDecTask.setup_task(cfg)
    models, _ = checkpoint_utils.load_model_ensemble([str(verifier)], task=task)
    assert task.build_spec_generator(models, Namespace(beam=1)).adaptive is adaptive


def test_eval_bleu_is_told_to_use_its_own_arguments(data_bin):
    cfg = TranslationSpecDecConfig(data=str(data_bin), drafter="ngram", eval_bleu=True)
    task = TranslationSpecDecTask.setup_task(cfg)
    with pytest.raises(OptionError) as error:
        task.build_model(tiny.build_model(data_bin)[1].model)
    (reason,) = error.value.reasons
    assert reason.startswith("beam in --eval-bleu-args must be 1 with")
    assert "pass --eval-bleu-args '{\"beam\": 1}'" in reason
    cfg.eval_bleu_args = '{"beam": 1}'
    assert task.build_model(tiny.build_model(data_bin)[1].model) is not None


def test_an_error_that_ends_the_program_is_not_followed_by_the_summary(
    data_bin, verifier, tmp_path, monkeypatch, caplog
):
    statistics = tmp_path / "stats.json"
    cfg = TranslationSpecDecConfig(data=str(data_bin), spec_stats=str(statistics))
    for error, said in ((None, True), (OptionError(["wrong"]), False)):
        monkeypatch.setattr(sys, "last_value", error, raising=False)
        caplog.clear()
        task = TranslationSpecDecTask.setup_task(cfg)
        models, _ = checkpoint_utils.load_model_ensemble([str(verifier)], task=task)
        generator = task.build_generator(models, Namespace(beam=1))
        with caplog.at_level("INFO"):
            del generator
            gc.collect()
        assert ("speculative decoding: 0 sentences" in caplog.text) == said
        assert json.loads(statistics.read_text("utf-8"))["sentences"] == 0
        statistics.unlink()
