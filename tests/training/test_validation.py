"""The acceptance length that validation reports is that of drafts which the verifier has really been given."""

from fairseq import checkpoint_utils

from fairseq_specdec.training.validation import AcceptanceMeter
from tests import tiny


def test_validation_counts_what_the_verifier_keeps_of_blocks(joined_data_bin, joined_verifier):
    overrides = {"data": str(joined_data_bin)}
    (verifier,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(joined_verifier)], overrides)
    drafter, _ = tiny.build_model(joined_data_bin, arch="spec_drafter_tiny", task="spec_drafter")
    task.load_dataset("valid")
    data = task.dataset("valid")
    meter = AcceptanceMeter(verifier.eval(), drafter, task.target_dictionary, 4)
    found = meter.measure(data.collater([data[i] for i in range(len(data))]))
    stats = meter._generator.stats
    assert stats.drafted > 0
    assert found["accepted_tokens"] == found["rounds"] + stats.accepted  # the verifier's own token in every round
