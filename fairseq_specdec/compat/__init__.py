"""What a current Python, torch and numpy need in order to run stock fairseq; only this package patches fairseq.

``apply`` runs when the user-dir is imported, before fairseq reads a checkpoint or makes a batch:

- ``allow_checkpoint_classes``: safe unpickling knows the few classes that fairseq checkpoints hold;
- ``explain_checkpoint_errors``: fairseq reads checkpoints through ``read_checkpoint``, which never unpickles freely,
  drops the weights that 0.12.2 stored twice, and says what is wrong with a file and what to do;
- ``read_options_as_literals``: options stored in a checkpoint are values, not code to run, in every module of fairseq;
- ``honour_shards``: fairseq-generate decodes one shard with ``--num-shards`` and ``--shard-id``;
- ``keep_last_batch``: as many sentences come out of a data set as went in;
- ``leave_encoder_fast_path``: the encoder of 0.12.2 does not call what torch has changed;
- ``block_repeated_ngrams``: --no-repeat-ngram-size works without fairseq's CUDA extension;
- ``give_pretrained_bart_its_options``: the task for mBART reads data.

It imports fairseq itself if nobody did, without what that prints (``quiet_import``). Each repair leaves alone what is
not broken in the fairseq and torch at hand, and may be applied twice.
"""

from fairseq_specdec.compat.allow_list import allow_checkpoint_classes
from fairseq_specdec.compat.checkpoints import (
    CheckpointError,
    drop_fast_path_keys,
    explain_checkpoint_errors,
    load_checkpoint,
)
from fairseq_specdec.compat.literals import read_options_as_literals
from fairseq_specdec.compat.ngrams import block_repeated_ngrams
from fairseq_specdec.compat.quiet import quiet_import
from fairseq_specdec.compat.repairs import (
    honour_shards,
    keep_last_batch,
    leave_encoder_fast_path,
)
from fairseq_specdec.compat.tasks import give_pretrained_bart_its_options

__all__ = [
    "CheckpointError",
    "allow_checkpoint_classes",
    "apply",
    "block_repeated_ngrams",
    "drop_fast_path_keys",
    "explain_checkpoint_errors",
    "give_pretrained_bart_its_options",
    "honour_shards",
    "keep_last_batch",
    "leave_encoder_fast_path",
    "load_checkpoint",
    "quiet_import",
    "read_options_as_literals",
]


def apply() -> None:
    """Apply every repair to the running process; a second call changes nothing."""
    with quiet_import():
        import fairseq  # noqa: F401
    allow_checkpoint_classes()
    explain_checkpoint_errors()
    read_options_as_literals()
    keep_last_batch()
    honour_shards()
    leave_encoder_fast_path()
    block_repeated_ngrams()
    give_pretrained_bart_its_options()
