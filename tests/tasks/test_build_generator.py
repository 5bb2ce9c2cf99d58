"""What the task makes of its options when it builds a generator."""

from argparse import Namespace

import pytest
from fairseq import checkpoint_utils

from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask


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
