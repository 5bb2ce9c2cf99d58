"""fairseq's generation options: the ones this package honours, and the ones it refuses with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairseq_specdec.config import OptionError


@dataclass(frozen=True)
class GenerationOptions:
    """The options of fairseq-generate that shape greedy decoding; names and defaults are fairseq's."""

    max_len_a: float = 0.0
    max_len_b: int = 200
    min_len: int = 1
    normalize: bool = True
    lenpen: float = 1.0
    unkpen: float = 0.0
    temperature: float = 1.0
    match_source_len: bool = False

    @classmethod
    def from_args(cls, args: Any) -> GenerationOptions:
        """Read them from fairseq's GenerationConfig, or from a Namespace that holds some of them (--eval-bleu-args)."""
        names = ("max_len_a", "max_len_b", "min_len", "lenpen", "unkpen", "temperature", "match_source_len")
        given = {name: getattr(args, name) for name in names if hasattr(args, name)}
        return cls(normalize=not getattr(args, "unnormalized", False), **given)

    def max_len(self, source_width: int, longest_source: int, model_max: int) -> int:
        """Return the step at which eos is forced, for one batch.

        Args:
            source_width: S, the padded length.
            longest_source: greatest source length of the batch.
            model_max: positions the models' decoders have.

        Raises:
            OptionError: the minimum length cannot be met.
        """
        if self.match_source_len:
            max_len = longest_source
        else:
            max_len = min(int(self.max_len_a * source_width + self.max_len_b), model_max - 1)
        if self.min_len > max_len:
            raise OptionError(
                [f"--min-len must not exceed the maximum length of the batch ({max_len}), got {self.min_len}: lower it "
                 "or raise --max-len-a, --max-len-b."]
            )  # fmt: skip
        return max_len


# (option, whether it is on, what the rule and the remedy are)
_REFUSED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("sampling", bool, "--sampling is not supported: speculative decoding here is greedy; leave it out"),
    ("diverse_beam_groups", lambda v: v > 0, "--diverse-beam-groups is not supported: leave it out"),
    ("diversity_rate", lambda v: v > -1, "--diversity-rate is not supported: leave it out"),
    ("constraints", bool, "--constraints (lexical constraints) is not supported: leave it out"),
    ("prefix_allowed_tokens_fn", bool, "prefix_allowed_tokens_fn is not supported: leave it out"),
    ("lm_path", bool, "--lm-path (language model fusion) is not supported: leave it out"),
    ("retain_dropout", bool, "--retain-dropout is not supported: random scores verify nothing; leave it out"),
    ("no_repeat_ngram_size", lambda v: v > 0, "--no-repeat-ngram-size is not supported yet: leave it out"),
    ("print_alignment", bool, "--print-alignment is not supported yet: leave it out"),
    ("replace_unk", lambda v: v is not None, "--replace-unk needs alignments, not supported yet: leave it out"),
    ("print_step", bool, "--print-step is for iterative refinement models: leave it out"),
    ("retain_iter_history", bool, "--retain-iter-history is for iterative refinement models: leave it out"),
)  # fmt: skip


def refuse_unsupported(args: Any, *, fused_lm: bool = False, restricted: bool = False) -> None:
    """Refuse every option that speculative decoding cannot honour, all at once.

    Args:
        args: fairseq's GenerationConfig or a Namespace.
        fused_lm: whether a language model was given to the generator.
        restricted: whether a function that restricts the tokens was given to it.

    Raises:
        OptionError: a line for each option with the rule, the value and the remedy.
    """
    reasons = []
    beam = getattr(args, "beam", 5)
    if beam != 1:
        default = " (fairseq's default)" if beam == 5 else ""
        reasons.append(f"--beam must be 1 with --task translation_specdec, got {beam}{default}: pass --beam 1.")
    nbest = getattr(args, "nbest", 1)
    if nbest != 1:
        reasons.append(f"--nbest must be 1 with --task translation_specdec, got {nbest}: pass --nbest 1.")
    for name, is_on, rule in _REFUSED:
        value = getattr(args, name, None)
        if value is not None and is_on(value):
            reasons.append(f"{rule}, or use --task translation (got {value}).")
    if fused_lm and not getattr(args, "lm_path", None):
        reasons.append("--lm-path (language model fusion) is not supported: leave it out, or use --task translation.")
    if restricted:
        reasons.append("prefix_allowed_tokens_fn is not supported: leave it out, or use --task translation.")
    temperature = getattr(args, "temperature", 1.0)
    if not temperature > 0:
        reasons.append(f"--temperature must be greater than 0, got {temperature}: leave it out for 1.")
    if reasons:
        raise OptionError(reasons)
