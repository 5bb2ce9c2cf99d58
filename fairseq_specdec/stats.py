"""Statistics of a run: counts, acceptance length, seconds by part."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from fairseq_specdec import clock
from fairseq_specdec.config import SpecConfig
from fairseq_specdec.files import write_text
from fairseq_specdec.search.state import Tally

SECTIONS = ("encode", "draft", "verify", "other", "total")


@dataclass
class SpecStats:
    """Adds up what batches report.

    Args:
        config: the options of the run.
        block_size: K in use.

    Attributes:
        device, dtype: of the verifier; known after the first batch.
        certificate: counts of the certificate, or None.
        is_partial: whether the run ended before its end, so that some of its batches are not counted.
        write_error: why the statistics could not be written, or None.
    """

    config: SpecConfig
    block_size: int
    device: str = "cpu"
    dtype: str = "float32"
    sentences: int = 0
    tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    histogram: list[int] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SECTIONS, 0.0))
    certificate: dict[str, Any] | None = None
    is_partial: bool = False
    write_error: OSError | None = None

    def add(self, tally: Tally, sentences: int) -> None:
        """Count a decoded batch."""
        kept, drafted, accepted = tally.counts()
        # beams look ahead by other numbers of positions in other sentences
        self.histogram = [a + b for a, b in itertools.zip_longest(self.histogram, kept[1:], fillvalue=0)]
        self.sentences += sentences
        self.tokens += sum(n * count for n, count in enumerate(kept))
        self.drafted += drafted
        self.accepted += accepted

    @property
    def rounds(self) -> int:
        """Verifier passes, summed over rows."""
        return sum(self.histogram)

    @property
    def acceptance_length(self) -> float:
        """Tokens a round, the correction or bonus token counted; 0 before the first round."""
        return self.tokens / self.rounds if self.rounds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics under the names of the documented JSON."""
        other = self.seconds["total"] - sum(self.seconds[section] for section in SECTIONS[:3])
        seconds = {**self.seconds, "other": max(other, 0.0)}  # the clock may have jumped
        return {
            "drafter": self.config.drafter,
            "block_size": self.block_size,
            "beta": self.config.beta,
            "tau": self.config.tau,
            "device": self.device,
            "dtype": self.dtype,
            "torch": torch.__version__,
            "sentences": self.sentences,
            "tokens": self.tokens,
            "rounds": self.rounds,
            "acceptance_length": self.acceptance_length,
            "drafted": self.drafted,
            "accepted": self.accepted,
            "acceptance_histogram": self.histogram,
            "seconds": {name: round(value, 6) for name, value in seconds.items()},
            "certificate": self.certificate,
            "partial": self.is_partial,
        }

    def write(self, path: str) -> None:
        """Write the JSON; see `write_whole`."""
        write_text(path, json.dumps(self.as_dict(), indent=2) + "\n")

    def summary(self) -> str:
        """Return one line for the log."""
        system = f"drafter {self.config.drafter}, block size {self.block_size}"
        if self.config.beta > 1:
            system += f", relaxed (beta {self.config.beta}, tau {self.config.tau:g}: not the output of greedy decoding)"
        if self.config.engine_dtype:
            system += f", engine in {self.config.engine_dtype}: not the checkpoint's arithmetic"
        line = (
            f"speculative decoding: {self.sentences} sentences, {self.tokens} tokens in {self.rounds} rounds, "
            f"acceptance length {self.acceptance_length:.2f} ({system})"
        )
        if self.is_partial:
            line += "; partial: the run did not come to its end"
        if self.certificate:
            c = self.certificate
            line += (
                f"; certificate: {c['exact']} exact, {c['near_tie']} near ties, {c['wrong']} wrong, "
                f"largest gap {c['largest_gap']:.2e}"
            )
        return line

    def timed(self, part: Any, **sections: str) -> Any:
        """Return ``part`` with the time of the named methods added to sections: ``timed(drafter, propose="draft")``.

        Timing synchronises the device, so it happens only where statistics were asked for.
        """
        return _Timed(part, self, sections) if self.config.spec_stats else part

    def time(self, section: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` with its seconds added to a section."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self._wait()
            began = clock.now()
            result = function(*args, **kwargs)
            self._wait()
            self.seconds[section] += clock.since(began)
            return result

        return call if self.config.spec_stats else function

    def _wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()  # host sync: only with --spec-stats


class _Timed:
    """Stands for an object and times some of its methods."""

    def __init__(self, inner: Any, stats: SpecStats, sections: dict[str, str]) -> None:
        self._inner = inner
        for method, section in sections.items():
            setattr(self, method, stats.time(section, getattr(inner, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
