"""Task ``spec_drafter``: trains a drafter on translation data, masking blocks of the target on the fly."""

import logging
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from fairseq import checkpoint_utils
from fairseq.criterions import FairseqCriterion
from fairseq.data import Dictionary
from fairseq.logging import metrics
from fairseq.optim import FairseqOptimizer
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor, nn

from fairseq_specdec.config import MAX_BLOCK_SIZE
from fairseq_specdec.engine.support import check_supported
from fairseq_specdec.models.shared_encoder import encoder_digests
from fairseq_specdec.models.spec_drafter import SpecDrafterModel
from fairseq_specdec.models.vocabulary import digest
from fairseq_specdec.tasks.user_dirs import UserDirOption, import_user_dirs, take_several
from fairseq_specdec.training.init import init_from_verifier
from fairseq_specdec.training.masking import mask_sample, validation_uniform
from fairseq_specdec.training.validation import AcceptanceMeter

logger = logging.getLogger(__name__)


@dataclass
class SpecDrafterTaskConfig(UserDirOption, TranslationConfig):
    """Options of task ``spec_drafter``."""

    block_size: int = field(default=25, metadata={"help": f"K, tokens drafted in one pass, 1 to {MAX_BLOCK_SIZE}"})
    init_from_verifier: Optional[str] = field(
        default=None, metadata={"help": "checkpoint of the verifier whose weights the drafter starts from"}
    )
    verifier: Optional[str] = field(
        default=None,
        metadata={
            "help": "checkpoint of the verifier against which validation measures the acceptance length "
            "(default: that of --init-from-verifier)"
        },
    )


@register_task("spec_drafter", dataclass=SpecDrafterTaskConfig)
class SpecDrafterTask(TranslationTask):
    """Translation with block-masked targets; decoding goes through task ``translation_specdec``."""

    cfg: SpecDrafterTaskConfig

    def __init__(self, cfg: SpecDrafterTaskConfig, src_dict: Dictionary, tgt_dict: Dictionary) -> None:
        """Check the options.

        Raises:
            ValueError: the block size is out of range, or targets would be padded on the left.
        """
        super().__init__(cfg, src_dict, tgt_dict)
        if not 1 <= cfg.block_size <= MAX_BLOCK_SIZE:
            raise ValueError(
                f"--block-size must lie between 1 and {MAX_BLOCK_SIZE}, got {cfg.block_size}: pass e.g. 25."
            )
        if cfg.left_pad_target:
            raise ValueError(
                "--left-pad-target must be False with --task spec_drafter, got True: blocks are cut from the right."
            )
        self.block_size = cfg.block_size
        self.verifier: Optional[nn.Module] = None
        self.acceptance: Optional[AcceptanceMeter] = None
        self._encoder_digests: dict[str, str] = {}  # of a drafter that shares its verifier's encoder
        # Lets decoding tell a drafter of other dictionaries from one of the verifier's.
        self.dictionaries = {"source": digest(src_dict), "target": digest(tgt_dict)}
        self.state.merge_state_dict({"dictionaries": self.dictionaries})

    @classmethod
    def add_args(cls, parser: Any) -> None:
        """Add the options of the task."""
        super().add_args(parser)
        take_several(parser)

    @classmethod
    def setup_task(cls, cfg: SpecDrafterTaskConfig, **kwargs: Any) -> "SpecDrafterTask":
        """Make the task, once the user-dirs that its verifier needs are imported."""
        import_user_dirs(cfg.also_user_dir or [])
        return super().setup_task(cfg, **kwargs)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of a checkpoint that training goes on from.

        Raises:
            ValueError: it was trained with other dictionaries, or on another verifier's encoder.
        """
        if state_dict.get("dictionaries", self.dictionaries) != self.dictionaries:
            raise ValueError(
                "the checkpoint to go on from must have been trained with the dictionaries of DATA, got others: "
                "pass the data it was trained on, or another --save-dir."
            )
        if "encoder" in state_dict:
            self._agree_on_encoder(state_dict["encoder"])
        super().load_state_dict(state_dict)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> nn.Module:
        """Build the drafter, started from the verifier's weights where that is asked for."""
        model = super().build_model(cfg, from_checkpoint)
        sharing = getattr(model, "shares_encoder", False)  # the verifier is built here, too
        if from_checkpoint and not sharing:
            return model
        if self.cfg.init_from_verifier and not from_checkpoint:
            init_from_verifier(model, self.cfg.init_from_verifier)
        path = self.cfg.verifier or self.cfg.init_from_verifier
        if path:
            (self.verifier,), _ = checkpoint_utils.load_model_ensemble([path], {"data": self.cfg.data}, task=self)
            check_supported(self.verifier)
        if sharing:
            self._share_encoder(model)
        return model

    def _share_encoder(self, model: SpecDrafterModel) -> None:
        """Give the drafter the verifier's encoder, and its checkpoints what tells it from others.

        Raises:
            ValueError: there is no verifier, or its encoder does not fit.
        """
        if self.verifier is None:
            raise ValueError(
                "--share-encoder needs a verifier, got none: pass --init-from-verifier FILE or --verifier FILE."
            )
        model.encoder.attach(self.verifier.encoder)
        self._agree_on_encoder(encoder_digests(self.verifier.encoder))

    def _agree_on_encoder(self, digests: dict[str, str]) -> None:
        """Take down whose encoder the drafter shares; the verifier and a checkpoint to go on from both say it.

        Raises:
            ValueError: they differ.
        """
        if self._encoder_digests not in ({}, digests):
            raise ValueError(
                "the checkpoint to go on from must share the encoder of the verifier (--share-encoder), got another "
                "one's: pass the --verifier it was trained with, or another --save-dir."
            )
        self._encoder_digests = digests
        self.state.merge_state_dict({"encoder": digests})

    def build_generator(self, models: list[nn.Module], args: Any, *others: Any, **extra: Any) -> Any:
        """Refuse: a drafter needs a verifier to decode with.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "--task spec_drafter trains and cannot decode (fairseq-generate, --eval-bleu): decode with --path VERIFIER "
            "--task translation_specdec --drafter nat --drafter-path DRAFTER."
        )

    def train_step(
        self,
        sample: dict[str, Any],
        model: nn.Module,
        criterion: FairseqCriterion,
        optimizer: FairseqOptimizer,
        update_num: int,
        ignore_grad: bool = False,
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Mask the batch with new random cuts and take a step; fairseq seeds the generator at every update."""
        target = sample["target"]
        sample = self.masked(sample, torch.rand(target.size(0), device=target.device))
        sample["update_num"] = update_num
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def valid_step(
        self, sample: dict[str, Any], model: nn.Module, criterion: FairseqCriterion
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Compute the loss on cuts that depend on the sentence's id alone, and count what the verifier accepts."""
        masked = self.masked(sample, validation_uniform(sample["id"]))
        loss, sample_size, log = super().valid_step(masked, model, criterion)
        if self.acceptance is not None:
            log.update(self.acceptance.measure(sample))
        return loss, sample_size, log

    def begin_valid_epoch(self, epoch: int, model: nn.Module) -> None:
        """Take the drafter's weights as they are now for measuring the acceptance length."""
        super().begin_valid_epoch(epoch, model)
        if self.verifier is not None:
            self.acceptance = AcceptanceMeter(self.verifier, model, self.target_dictionary, self.block_size)

    def reduce_metrics(self, logging_outputs: list[dict[str, Any]], criterion: FairseqCriterion) -> None:
        """Add the acceptance length (--best-checkpoint-metric acceptance_length) to what the criterion logs."""
        super().reduce_metrics(logging_outputs, criterion)
        tokens, rounds = (sum(log.get(key, 0) for log in logging_outputs) for key in ("accepted_tokens", "rounds"))
        if rounds > 0:
            metrics.log_scalar("acceptance_length", tokens / rounds, rounds, round=3)

    def masked(self, sample: dict[str, Any], uniform: Tensor) -> dict[str, Any]:
        """Return the batch with masked decoder input; uniform [B] float in [0, 1) says where each row is cut."""
        dictionary = self.target_dictionary
        return mask_sample(
            sample, uniform, self.block_size, self.cfg.max_target_positions, dictionary.pad(), dictionary.unk()
        )
