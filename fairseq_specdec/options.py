"""fairseq's generation options: those that the engine honours, and those that need fairseq's own generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from fairseq_specdec.config import OptionError, SpecConfig

FAIRSEQ_BEAM = 5  # its default


@dataclass(frozen=True)
class GenerationOptions:
    """The options of fairseq-generate that shape the search, by fairseq's names.

    Defaults are fairseq's, too, but that of the beam: what is built here without options decodes greedily.
    """

    beam: int = 1
    max_len_a: float = 0.0
    max_len_b: int = 200
    min_len: int = 1
    normalize: bool = True
    lenpen: float = 1.0
    unkpen: float = 0.0
    temperature: float = 1.0
    match_source_len: bool = False
    no_repeat_ngram_size: int = 0
    print_alignment: str | None = None

    @classmethod
    def from_args(cls, args: Any) -> GenerationOptions:
        """Read them from fairseq's GenerationConfig, or from a Namespace that holds some of them (--eval-bleu-args)."""
        names = {option.name for option in fields(cls)} - {"normalize"}
        given = {name: getattr(args, name) for name in names if hasattr(args, name)}
        return cls(normalize=not getattr(args, "unnormalized", False), **{"beam": FAIRSEQ_BEAM, **given})

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


@dataclass(frozen=True)
class Conventions:
    """What a task holds of the output, whatever the options.

    Args:
        eos: id that ends an output, and begins it unless a batch says otherwise; None: the dictionary's.
        strip: further ids that are no text, such as the token that names the language.
        prefix: id that every output is forced to begin with, or None.
    """

    eos: int | None = None
    strip: frozenset[int] = frozenset()
    prefix: int | None = None


class StockNeeded(OptionError):
    """fairseq's own generator has to decode; ``reasons`` lists what for."""


# (option, whether it is on, what fairseq's own generator is needed for)
_STOCK_ONLY: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("sampling", bool, "--sampling (draws tokens at random)"),
    ("diverse_beam_groups", lambda v: v > 0, "--diverse-beam-groups"),
    ("diversity_rate", lambda v: v > -1, "--diversity-rate"),
    ("constraints", bool, "--constraints (lexical constraints)"),
    ("prefix_allowed_tokens_fn", bool, "prefix_allowed_tokens_fn"),
    ("lm_path", bool, "--lm-path (language model fusion)"),
    ("retain_dropout", bool, "--retain-dropout (scores are random)"),
    ("print_step", bool, "--print-step (iterative refinement models)"),
    ("retain_iter_history", bool, "--retain-iter-history (iterative refinement models)"),
)  # fmt: skip


def why_stock(args: Any, n_symbols: int, *, fused_lm: bool = False, restricted: bool = False) -> list[str]:
    """List the generation options that fairseq's own generator has to decode with; empty where the engine can.

    Args:
        args: fairseq's GenerationConfig or a Namespace.
        n_symbols: V, of the target dictionary.
        fused_lm: whether a language model was given to the generator.
        restricted: whether a function that restricts the tokens was given to it.

    Returns:
        for each what it is, with its value.
    """
    reasons = []
    for name, is_on, what in _STOCK_ONLY:
        value = getattr(args, name, None)
        if value is not None and is_on(value):
            reasons.append(f"{what}, got {value}")
    if fused_lm and not getattr(args, "lm_path", None):
        reasons.append("--lm-path (language model fusion)")
    if restricted:
        reasons.append("prefix_allowed_tokens_fn")
    temperature = getattr(args, "temperature", 1.0)
    if not temperature > 0:
        reasons.append(f"--temperature that is not greater than 0, got {temperature}")
    beam = getattr(args, "beam", FAIRSEQ_BEAM)
    if not 1 <= beam <= (n_symbols - 1) // 2:
        reasons.append(f"--beam outside 1..{(n_symbols - 1) // 2}, half the symbols of the dictionary, got {beam}")
    return reasons


def refuse_with_drafts(options: GenerationOptions, config: SpecConfig, has_guide: bool) -> None:
    """Refuse beams where tokens are drafted, but for drafters that beams can look ahead by.

    Args:
        options: of generation.
        config: what was asked of speculative decoding.
        has_guide: whether the drafter is such a one.

    Raises:
        OptionError: with the option, the rule, the value and the remedy.
    """
    default = " (fairseq's default)" if options.beam == FAIRSEQ_BEAM else ""
    asked = [f"--drafter {config.drafter}"] if config.drafter != "none" and not has_guide else []
    asked += [f"--beta {config.beta}"] if config.beta > 1 else []
    asked += [f"--draft-rule {config.draft_rule}"] if has_guide and config.draft_rule == "published" else []
    if options.beam > 1 and asked:
        raise OptionError(
            [f"--beam must be 1 with {option}, got {options.beam}{default}: pass --beam 1 or leave {option} out."
             for option in asked]
        )  # fmt: skip
