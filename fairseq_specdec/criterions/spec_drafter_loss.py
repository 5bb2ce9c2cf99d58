"""Label-smoothed cross-entropy on the masked positions of a block, with glancing in training."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask
from omegaconf import II
from torch import Tensor, nn

from fairseq_specdec.training.masking import Glance, glance_ratio, loss_positions


@dataclass
class SpecDrafterLossConfig(FairseqDataclass):
    """Options of ``spec_drafter_loss``."""

    label_smoothing: float = field(default=0.1, metadata={"help": "share of the uniform distribution in the loss"})
    glance_start: float = field(
        default=0.5, metadata={"help": "share of the wrongly predicted tokens that is revealed at the first update"}
    )
    glance_end: float = field(default=0.3, metadata={"help": "the same at the last update; linear between"})
    glance_updates: int = field(
        default=0, metadata={"help": "updates after which --glance-end is reached (default: --max-update)"}
    )
    max_update: int = II("optimization.max_update")


def smoothed_loss(logits: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return label-smoothed and plain negative log-likelihood, averaged over N tokens, as float32 scalars.

    Args:
        logits: [N, V], any floating type.
        target: [N] int64.
        smoothing: share of the uniform distribution over all V tokens.

    With N = 0 both are zero and keep their gradient, so that a batch with nothing left to predict is a step like any.
    """
    log_probs = F.log_softmax(logits, dim=-1, dtype=torch.float32)
    count = max(target.numel(), 1)
    nll = -log_probs.gather(1, target[:, None]).sum() / count
    uniform = -log_probs.sum() / (count * log_probs.size(1))
    return (1 - smoothing) * nll + smoothing * uniform, nll.detach()


@register_criterion("spec_drafter_loss", dataclass=SpecDrafterLossConfig)
class SpecDrafterLoss(FairseqCriterion):
    """Criterion of the Spec-Drafter. Validation counts masked positions only and does not glance."""

    def __init__(
        self,
        task: FairseqTask,
        label_smoothing: float,
        glance_start: float,
        glance_end: float,
        glance_updates: int,
        max_update: int,
    ) -> None:
        """Check the options.

        Raises:
            ValueError: the task gives no masked blocks, a ratio is out of range, or the schedule has no end.
        """
        super().__init__(task)
        if not hasattr(task, "block_size"):
            raise ValueError(
                f"--criterion spec_drafter_loss needs the masked blocks of --task spec_drafter, got "
                f"{type(task).__name__}: pass --task spec_drafter."
            )
        _check_options(label_smoothing, glance_start, glance_end, glance_updates or max_update)
        self.mask_idx = task.target_dictionary.unk()
        self.label_smoothing = label_smoothing
        self.glance_start, self.glance_end = glance_start, glance_end
        self.glance_updates = glance_updates or max_update

    def forward(
        self, model: nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the mean loss over the masked tokens, the sample size 1 and what is logged.

        Args:
            model: a SpecDrafterModel, possibly wrapped.
            sample: batch of task ``spec_drafter``: masked input, ``target`` [B, W] and, to glance, ``update_num``.
            reduce: part of fairseq's signature; the loss is always one number.
        """
        target = sample["target"]
        tokens = sample["net_input"]["prev_output_tokens"]
        masked = loss_positions(tokens, target, self.padding_idx, self.mask_idx)
        glance = self._glance(target, sample["update_num"]) if model.training and "update_num" in sample else None
        logits, extra = model(**sample["net_input"], loss_mask=masked, glance=glance)
        wanted = target[extra["loss_mask"]]
        loss, nll = smoothed_loss(logits, wanted, self.label_smoothing)
        correct = extra["correct"].sum() if glance is not None else logits.argmax(dim=-1).eq(wanted).sum()
        log = {
            "loss": loss.detach() * wanted.numel(),
            "nll_loss": nll * wanted.numel(),
            "loss_tokens": wanted.numel(),
            "correct": correct,
            "masked": masked.sum(),
            "ntokens": sample["ntokens"],
            "nsentences": target.size(0),
            "sample_size": 1,
        }
        return loss, 1, log

    def _glance(self, target: Tensor, update: int) -> Glance:
        ratio = glance_ratio(self.glance_start, self.glance_end, update, self.glance_updates)
        return Glance(target, torch.rand(target.shape, device=target.device), ratio)

    @staticmethod
    def reduce_metrics(logging_outputs: list[dict[str, Any]]) -> None:
        """Log loss and perplexity a token, in base 2, and the accuracy of one-pass predictions at the masks."""
        total = {
            key: utils.item(sum(log.get(key, 0) for log in logging_outputs))
            for key in ("loss", "nll_loss", "loss_tokens", "correct", "masked")
        }
        tokens = max(total["loss_tokens"], 1)
        metrics.log_scalar("loss", total["loss"] / tokens / math.log(2), tokens, round=3)
        metrics.log_scalar("nll_loss", total["nll_loss"] / tokens / math.log(2), tokens, round=3)
        metrics.log_derived("ppl", lambda meters: utils.get_perplexity(meters["nll_loss"].avg))
        masked = max(total["masked"], 1)
        metrics.log_scalar("mask_accuracy", 100 * total["correct"] / masked, masked, round=2)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Tell fairseq that logging outputs are plain sums over batches."""
        return True


def _check_options(label_smoothing: float, glance_start: float, glance_end: float, updates: int) -> None:
    for option, value in (
        ("--label-smoothing", label_smoothing),
        ("--glance-start", glance_start),
        ("--glance-end", glance_end),
    ):
        if not 0 <= value <= 1:
            raise ValueError(f"{option} must lie between 0 and 1, got {value}: pass a share such as 0.3.")
    if glance_start != glance_end and updates <= 0:
        raise ValueError(
            "--glance-start and --glance-end differ, so the run needs a known length, got --max-update 0: "
            "pass --max-update or --glance-updates."
        )
