"""Read a fairseq model that writes one token at a time, to draft for another one."""

from __future__ import annotations

import logging
from argparse import Namespace

from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask
from torch import nn

from fairseq_specdec.compat import load_checkpoint
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import why_model_unsupported
from fairseq_specdec.models.architecture import why_not_architecture
from fairseq_specdec.models.checkpoint import model_options
from fairseq_specdec.models.load import check_dictionaries, is_drafter
from fairseq_specdec.models.vocabulary import vocabularies

logger = logging.getLogger(__name__)


class TaskWithoutData(FairseqTask):
    """Has dictionaries, which is all that building an encoder-decoder takes."""

    def __init__(self, source: Dictionary, target: Dictionary) -> None:
        super().__init__(Namespace())
        self._source, self._target = source, target

    @property
    def source_dictionary(self) -> Dictionary:
        """Return the source dictionary."""
        return self._source

    @property
    def target_dictionary(self) -> Dictionary:
        """Return the target dictionary."""
        return self._target


def build_model(path: str, source: Dictionary, target: Dictionary) -> nn.Module:
    """Load a model as fairseq-generate does."""
    (model,), _ = checkpoint_utils.load_model_ensemble([path], task=TaskWithoutData(source, target))
    return model


def load_autoregressive(path: str, tgt_dict: Dictionary, src_dict: Dictionary) -> nn.Module:
    """Read a model that drafts for another one.

    Args:
        path: checkpoint, the value of --drafter-path.
        tgt_dict: the verifier's target dictionary.
        src_dict: its source dictionary.

    Returns:
        the model, float32 on the CPU in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged or unsafe.
        OptionError: the engine cannot run it, or it has other dictionaries.
    """
    checkpoint = load_checkpoint(path)
    options = model_options(checkpoint)
    if is_drafter(options):
        raise OptionError([
            f"--drafter-path must be a model that writes one token at a time with --drafter ar, got {path}, a "
            "Spec-Drafter: pass --drafter nat."
        ])  # fmt: skip
    check_dictionaries(checkpoint, path, src_dict, tgt_dict)
    reasons, model = why_not_architecture(options.arch), None
    if not reasons:
        model = build_model(path, src_dict, tgt_dict)
        reasons = why_model_unsupported(model)
    if reasons:
        raise OptionError([
            f"--drafter-path must be a model that the engine can run with --drafter ar, got {path}: {reason}."
            for reason in reasons
        ])  # fmt: skip
    if vocabularies(checkpoint, path)["target"].digest is None:
        logger.warning(
            "the dictionary that %s was trained with was not found (dict.LANG.txt in its data folder or beside it): "
            "only its size was compared; drafts of other words are wrong and cost time, outputs stay the same",
            path,
        )
    return model.eval()
