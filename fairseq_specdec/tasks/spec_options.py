"""The options that every task of this package adds to those of fairseq's task."""

import argparse
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from fairseq.dataclass.utils import gen_parser_from_dataclass

from fairseq_specdec.config import DRAFT_RULES, ENGINE_DTYPES, OptionError, SpecConfig
from fairseq_specdec.drafters.base import DRAFTERS
from fairseq_specdec.tasks.user_dirs import UserDirOption, take_several


@dataclass
class SpecOptions(UserDirOption):
    """What they are; ``docs/design.md`` says what they promise."""

    drafter: str = field(
        default="none",
        metadata={
            "help": f"who guesses the next tokens: {', '.join(DRAFTERS)} "
            "(none = no drafts; none, input and file go with any beam; input,self: asked in turn)"
        },
    )
    drafter_path: Optional[str] = field(default=None, metadata={"help": "checkpoint of a trained drafter"})
    draft_file: Optional[str] = field(
        default=None, metadata={"help": "one guess a line, split into symbols as the data is (drafter file)"}
    )
    ngram_corpus: Optional[str] = field(
        default=None, metadata={"help": "target text, split as the data is, that fills the table (drafter ngram)"}
    )
    draft_rule: Optional[str] = field(
        default=None,
        metadata={"help": f"how a copy goes on after a miss: {', '.join(DRAFT_RULES)} (drafters input and file)"},
    )
    draft_dtype: Optional[str] = field(
        default=None,
        metadata={"help": f"weights of a drafter on a CPU: {', '.join(ENGINE_DTYPES)} (self and ar; default: int8)"},
    )
    block_size: Optional[int] = field(
        default=None,
        metadata={"help": "draft tokens a round, 1..64 (default: what pays, up to the drafter's own)"},
    )
    beta: int = field(
        default=1, metadata={"help": "accept a draft token ranked in the verifier's top BETA; 1 is exact"}
    )
    tau: float = field(default=0.0, metadata={"help": "and at most TAU below the verifier's best log-probability"})
    engine_dtype: Optional[str] = field(
        default=None,
        metadata={"help": f"reduced precision on a CPU: {', '.join(ENGINE_DTYPES)}; not the checkpoint's own output"},
    )
    spec_stats: Optional[str] = field(default=None, metadata={"help": "write statistics to this JSON file"})
    certify: bool = field(
        default=False, metadata={"help": "re-score every output with stock modules; exit status 1 if a token is wrong"}
    )
    cuda_graphs: bool = field(
        default=False,
        metadata={"help": "on a GPU record each round once and launch it as a whole (experimental; else plain torch)"},
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a command line, which need not lack them."""
    gen_parser_from_dataclass(parser, SpecOptions())
    take_several(parser)


def spec_config(cfg: Any) -> SpecConfig:
    """Gather the options of the task."""
    return SpecConfig(**{option.name: getattr(cfg, option.name) for option in fields(SpecConfig)})


def engine_options(cfg: Any) -> list[str]:
    """List the options that were given and mean nothing without this package's engine."""
    given = {
        f"--drafter {cfg.drafter}": cfg.drafter != "none",
        f"--beta {cfg.beta}": cfg.beta > 1,
        "--certify": cfg.certify,
        f"--engine-dtype {cfg.engine_dtype}": cfg.engine_dtype is not None,
        f"--spec-stats {cfg.spec_stats}": cfg.spec_stats is not None,
    }
    return [option for option, is_given in given.items() if is_given]


def not_by_engine(asked: list[str], reasons: list[str]) -> OptionError:
    """Say why the engine cannot do what was asked of it alone."""
    what = f"{' '.join(asked)} needs this package's engine, which cannot do this"
    return OptionError([f"{what}: {reason}. Leave one of the two out." for reason in reasons])
