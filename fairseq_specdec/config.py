"""The options of speculative decoding as one frozen object, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from fairseq_specdec.files import why_not_file

MAX_BLOCK_SIZE = 64
DRAFT_RULES = ("edit-aware", "published")
ENGINE_DTYPES = ("bf16", "int8")
_CHOICES = {"draft_rule": DRAFT_RULES, "draft_dtype": ENGINE_DTYPES}
# options that only some drafters have a use for, and what each is
DRAFTER_OPTIONS = {
    "drafter_path": "the drafter's checkpoint",
    "draft_file": "a file with one guess for each sentence",
    "ngram_corpus": "a file with text in the target language, or what specdec index made of it",
    "draft_rule": f"one of {', '.join(DRAFT_RULES)}",
    "draft_dtype": "a precision of its weights",
}


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
        draft_file: a guess for each sentence, for drafters that take some.
        ngram_corpus: text in the target language, likewise.
        draft_rule: how drafts that copy a text go on after a bifurcation, one of DRAFT_RULES.
        draft_dtype: what the weights of drafters that write one token at a time are rounded to, one of ENGINE_DTYPES.
        block_size: draft tokens a round (K); None means the drafter's own.
        beta: a draft token must be ranked in the verifier's top ``beta``; 1 is exact.
        tau: and at most this far (in log-probability) below the verifier's best.
        engine_dtype: precision of the linear maps on a CPU, one of ENGINE_DTYPES; None is that of the checkpoint.
        spec_stats: file for the statistics, or None; asking for it also turns the timers on.
        certify: re-score every output with stock modules.
        cuda_graphs: on a GPU record rounds and launch each as a whole; not with spec_stats, whose timers look between
            the parts of a round. Off unless asked for: no recorded round has run on a GPU yet.
    """

    drafter: str = "none"
    drafter_path: str | None = None
    draft_file: str | None = None
    ngram_corpus: str | None = None
    draft_rule: str | None = None
    draft_dtype: str | None = None
    block_size: int | None = None
    beta: int = 1
    tau: float = 0.0
    engine_dtype: str | None = None
    spec_stats: str | None = None
    certify: bool = False
    cuda_graphs: bool = False

    def validate(self, *, required: frozenset[str] = frozenset(), accepted: frozenset[str] = frozenset()) -> None:
        """Check every field and every rule between fields.

        Args:
            required: options, by their names here, that the chosen drafter cannot do without.
            accepted: further options that it takes.

        Raises:
            OptionError: lists every broken rule with the option, the rule, the value and the remedy.
        """
        reasons = [*self._bad_numbers(), *self._bad_drafter_options(required, accepted)]
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in (None, *choices):
                option = f"--{name.replace('_', '-')}"
                reasons.append(f"{option} must be one of {', '.join(choices)}, got {value}: choose one.")
        if self.engine_dtype not in (None, *ENGINE_DTYPES):
            known = ", ".join(ENGINE_DTYPES)
            reasons.append(
                f"--engine-dtype must be one of {known}, got {self.engine_dtype}: leave it out for exact decoding."
            )
        why_not = why_not_file(self.spec_stats) if self.spec_stats else None
        if why_not:
            reasons.append(f"--spec-stats must be a file that can be written, got {self.spec_stats}, which {why_not}.")
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

    def _bad_drafter_options(self, required: frozenset[str], accepted: frozenset[str]) -> list[str]:
        reasons = []
        for name, what in DRAFTER_OPTIONS.items():
            option, value = f"--{name.replace('_', '-')}", getattr(self, name)
            if value is None:
                if name in required:
                    reasons.append(f"{option} is required by --drafter {self.drafter}: pass {what}.")
            elif name not in required | accepted:
                reasons.append(
                    f"{option} is refused by --drafter {self.drafter}, which has no use for {what}, got {value}: leave "
                    f"it out or choose another --drafter."
                )
            elif name not in _CHOICES and not Path(value).is_file():
                reasons.append(f"{option} must be an existing file, got {value}: check the path.")
        return reasons
