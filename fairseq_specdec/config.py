"""The options of speculative decoding as one frozen object, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

MAX_BLOCK_SIZE = 64


class OptionError(ValueError):
    """Options that cannot be honoured; the message lists every reason, one a line."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class SpecConfig:
    """What the user asked of speculative decoding.

    Args:
        drafter: registered name of the drafter.
        drafter_path: weights of the drafter, for drafters that have some.
        block_size: draft tokens a round (K); None means the drafter's own.
        beta: a draft token must be ranked in the verifier's top ``beta``; 1 is exact.
        tau: and at most this far (in log-probability) below the verifier's best.
        spec_stats: file for the statistics, or None; asking for it also turns the timers on.
        certify: re-score every output with stock modules.
    """

    drafter: str = "none"
    drafter_path: str | None = None
    block_size: int | None = None
    beta: int = 1
    tau: float = 0.0
    spec_stats: str | None = None
    certify: bool = False

    def validate(self, *, needs_weights: bool) -> None:
        """Check every field and every rule between fields.

        Args:
            needs_weights: whether the chosen drafter is a trained model.

        Raises:
            OptionError: lists every broken rule with the option, the rule, the value and the remedy.
        """
        reasons = [*self._bad_numbers(), *self._bad_files(needs_weights)]
        if reasons:
            raise OptionError(reasons)

    def _bad_numbers(self) -> list[str]:
        reasons = []
        if self.block_size is not None and not 1 <= self.block_size <= MAX_BLOCK_SIZE:
            reasons.append(
                f"--block-size must be in 1..{MAX_BLOCK_SIZE}, got {self.block_size}: leave it out for the default."
            )
        if self.beta < 1:
            reasons.append(f"--beta must be at least 1, got {self.beta}: pass --beta 1 for exact decoding.")
        if not (math.isfinite(self.tau) and self.tau >= 0):
            reasons.append(f"--tau must be finite and at least 0, got {self.tau}: pass --tau 0 for exact decoding.")
        elif self.beta == 1 and self.tau > 0:
            reasons.append(f"--tau must be 0 with --beta 1 (exact), got {self.tau}: pass --beta 3 or leave --tau out.")
        if self.certify and self.beta > 1:
            reasons.append(f"--certify needs --beta 1 (exact decoding), got {self.beta}: leave one of the two out.")
        return reasons

    def _bad_files(self, needs_weights: bool) -> list[str]:
        reasons = []
        if needs_weights and not self.drafter_path:
            reasons.append(f"--drafter-path is required by --drafter {self.drafter}: pass the drafter's checkpoint.")
        elif needs_weights and not Path(self.drafter_path).is_file():
            reasons.append(f"--drafter-path must be an existing file, got {self.drafter_path}: check the path.")
        elif self.drafter_path and not needs_weights:
            reasons.append(
                f"--drafter-path is refused by --drafter {self.drafter}, which has no weights, "
                f"got {self.drafter_path}: leave it out or pass --drafter nat."
            )
        if self.spec_stats and not Path(self.spec_stats).absolute().parent.is_dir():
            reasons.append(f"--spec-stats must be in an existing folder, got {self.spec_stats}: create it first.")
        return reasons
