"""The systems that decode in this process with the models that fairseq loaded: fairseq's own search, and ours."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any

import torch
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fairseq_specdec.bench.load import Loaded
from fairseq_specdec.bench.measure import Batch
from fairseq_specdec.bench.names import Wanted, check_options
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.stack import drafter_named
from fairseq_specdec.engine.support import UnsupportedModelError
from fairseq_specdec.stats import SpecStats
from fairseq_specdec.tasks.build import task_class
from fairseq_specdec.tasks.spec_options import SpecOptions

EVERY_DRAFTER = {"block_size", "beta", "tau", "engine_dtype", "cuda_graphs"}
ALIASES = {"k": "block_size", "block": "block_size"}
# options of the task that are no drafter's: the system's name, and what a benchmark does itself
_NOT_OPTIONS = {"drafter", "spec_stats", "certify"}


class FairseqSystem:
    """The search of stock fairseq.

    Args:
        name: of its row.
        loaded: task and models.
        beam: 1 is greedy.
    """

    acceptance_length = None

    def __init__(self, name: str, loaded: Loaded, beam: int = 1) -> None:
        self.name, self.dtype, self.loaded, self.beam = name, loaded.dtype, loaded, beam
        self.note = f"beam {beam}" if beam > 1 else None
        if beam > 1 and any(hasattr(model, "set_beam_size") for model in loaded.models):
            self.loaded = replace(loaded, models=copy.deepcopy(loaded.models))  # such models (BART) keep the beam
        self.generator = loaded.task.build_generator(self.loaded.models, loaded.generation(beam))

    def start(self, batches: Sequence[Batch]) -> None:
        """Nothing is left behind."""

    def decode(self, batch: Batch) -> list[list[int]]:
        """See `System`."""
        return _search(self.loaded.task, self.generator, self.loaded, batch.sample)


class SpecSystem:
    """This package's engine with a drafter.

    Args:
        wanted: the drafter and its options.
        loaded: task and models.

    Raises:
        OptionError: lists options that cannot be honoured, and what keeps the engine from running the model.
    """

    def __init__(self, wanted: Wanted, loaded: Loaded) -> None:
        config = _drafter_config(wanted, loaded.cfg.task)
        self.name, self.dtype, self.loaded = wanted.label, config.engine_dtype or loaded.dtype, loaded
        try:
            self.task = task_class(loaded.task_name).setup_task(config)
            self.generator = self.task.build_spec_generator(loaded.models, loaded.generation(wanted.beam))
        except (OptionError, UnsupportedModelError) as error:
            raise OptionError([f"--systems {wanted.label}: {reason}" for reason in error.reasons]) from error
        except ValueError as error:
            raise OptionError([f"--systems {wanted.label}: {error}"]) from error
        self.beam = wanted.beam
        notes = [f"beam {self.beam}"] if self.beam > 1 else []
        notes += [f"engine in {config.engine_dtype}"] if config.engine_dtype else []
        if config.beta > 1:
            notes.append(f"relaxed acceptance (beta {config.beta}, tau {config.tau:g}), another system than greedy")
        self.note = ", ".join(notes) or None

    @property
    def acceptance_length(self) -> float | None:
        """Tokens a verifier pass, since the pass began."""
        return self.generator.stats.acceptance_length

    def start(self, batches: Sequence[Batch]) -> None:
        """Count from nothing, with a drafter that has seen nothing of the data; let the generator look ahead in it."""
        old = self.generator.stats
        self.generator.stats = SpecStats(old.config, old.block_size, old.device, old.dtype)
        self.generator.drafter.forget()
        self._samples = self.task.look_ahead.begin(batch.sample for batch in batches)

    def decode(self, batch: Batch) -> list[list[int]]:
        """See `System`."""
        return _search(self.task, self.generator, self.loaded, next(self._samples))


def _search(task: FairseqTask, generator: Any, loaded: Loaded, sample: dict[str, Any]) -> list[list[int]]:
    """Decode a batch as fairseq-generate does."""
    size = loaded.cfg.generation.prefix_size
    prefix = sample["target"][:, :size] if size > 0 else None
    with torch.no_grad():
        hypotheses = task.inference_step(generator, loaded.models, sample, prefix_tokens=prefix)
    return [best["tokens"].tolist() for best, *_ in hypotheses]


def _options_of(drafter: str) -> set[str]:
    """Return the options of one drafter alone."""
    cls = drafter_named(drafter)
    return set(cls.required | cls.accepted)


def task_options() -> set[str]:
    """Return the options that a task of this package has more than fairseq's."""
    return {option.name for option in fields(SpecOptions)} - {"_name"}


def _drafter_config(wanted: Wanted, cfg: Any) -> Any:
    """Return the task's options for a system: those of the command line that its drafter has, then its own."""
    own = _options_of(wanted.kind)
    given = check_options(wanted, own | EVERY_DRAFTER, ALIASES)
    config = copy.deepcopy(cfg)
    with open_dict(config) if isinstance(config, DictConfig) else nullcontext():
        for name in task_options() - own - EVERY_DRAFTER - _NOT_OPTIONS:
            setattr(config, name, getattr(SpecOptions, name))
        config.drafter = wanted.kind
    kinds = OmegaConf.structured(SpecOptions)  # turns text into what the option holds
    for name, value in given.items():
        try:
            kinds[name] = value
            setattr(config, name, kinds[name])
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0]
            raise OptionError(
                [f"--systems {wanted.label}: {name} must be of its option's kind, got {value!r}: {reason}"]
            ) from error
    return config
