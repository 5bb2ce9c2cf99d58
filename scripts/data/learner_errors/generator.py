"""Draw how many errors a sentence gets, of which types, and where."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path
from random import Random

import yaml

from . import grammar, layout, spelling
from .words import join, split

ERRORS = spelling.ERRORS | grammar.ERRORS | layout.ERRORS
DRAWS = 6  # types tried for one error before it is given up: few sentences can show every type


@dataclass(frozen=True)
class ErrorConfig:
    """How many errors, and how often each type is drawn.

    Attributes:
        clean_share: share of sentences left as they are.
        errors_per_token: mean number of errors for a token of the other sentences (at least one a sentence).
        spread: 0 gives each sentence the mean rate; 1 makes the rate vary from sentence to sentence as much as an
            exponential distribution does.
        most: no sentence has errors in more than this share of its tokens.
        types: weight of each type of error.
    """

    clean_share: float = 0.15
    errors_per_token: float = 0.12
    spread: float = 0.5
    most: float = 0.4
    types: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ERRORS, 1.0))

    def validate(self) -> None:
        """Raise a ValueError that says which rule is broken, and by what."""
        for name, low, high in (("clean_share", 0, 1), ("errors_per_token", 0, 1), ("spread", 0, 2), ("most", 0, 1)):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise ValueError(
                    f"{name} must be a number from {low} to {high}, got {value!r}: change it in the config."
                )
        for name, weight in self.types.items():
            if name not in ERRORS:
                near = get_close_matches(name, ERRORS, 1)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                raise ValueError(f"Unknown error type {name!r}. {hint}Known: {', '.join(sorted(ERRORS))}.")
            if not isinstance(weight, (int, float)) or weight < 0:
                raise ValueError(f"The weight of {name!r} must be 0 or more, got {weight!r}: change it in the config.")
        if not sum(self.types.values()) > 0:
            raise ValueError("types must give a weight above 0 to some type of error, got none: add one to the config.")


def load_config(path: Path, changes: Sequence[str] = ()) -> ErrorConfig:
    """Read an ErrorConfig from YAML; ``types`` may group its weights under headings.

    Args:
        path: the file.
        changes: numbers to set otherwise, each as NAME=VALUE.
    """
    if not path.is_file():
        raise ValueError(f"--config must be a YAML file, but {path} is not there: pass learner_errors.yaml.")
    given = yaml.safe_load(path.read_text("utf-8"))
    known = set(ErrorConfig.__dataclass_fields__)
    if not isinstance(given, dict) or not set(given) <= known:
        wrong = sorted(set(given) - known) if isinstance(given, dict) else given
        raise ValueError(f"{path} may set {', '.join(sorted(known))}, got {wrong}: remove the rest.")
    types: dict[str, float] = {}
    for name, value in (given.pop("types", None) or {}).items():
        types.update(value if isinstance(value, dict) else {name: value})
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known - {"types"} or not value.replace(".", "", 1).isdigit():
            raise ValueError(f"--set must be NAME=VALUE with {', '.join(sorted(known - {'types'}))}, got {change}.")
        given[name] = float(value)
    config = ErrorConfig(**given, types=types) if types else ErrorConfig(**given)
    config.validate()
    return config


class ErrorGenerator:
    """Put learners' errors into sentences; the same seed and key always give the same errors."""

    def __init__(self, config: ErrorConfig, seed: int) -> None:
        config.validate()
        self.config = config
        self.seed = seed
        self.names = [name for name, weight in config.types.items() if weight > 0]
        self._heights = list(accumulate(config.types[name] for name in self.names))
        self._rng = Random()

    def corrupt(self, line: str, key: str) -> tuple[str, list[str]]:
        """Return the line with errors, and the types of these errors.

        Args:
            line: a clean sentence, raw or tokenised.
            key: names the sentence, as its line number does; errors depend on seed, key and line alone.
        """
        rng = self._rng
        rng.seed(f"{self.seed} {key}")
        words = split(line)
        if not words or rng.random() < self.config.clean_share:
            return line, []
        done = []
        for _ in range(self._count(len(words))):
            name = self._one_error(words, rng)
            if name is not None:
                done.append(name)
        return (join(words), done) if done else (line, [])

    def _count(self, length: int) -> int:
        """Draw the number of errors for a sentence of this many tokens."""
        rng, config = self._rng, self.config
        rate = config.errors_per_token
        if config.spread > 0:
            shape = 1 / config.spread**2
            rate *= rng.gammavariate(shape, 1 / shape)
        wanted = int(min(rate, config.most) * length + rng.random())  # rounds up as often as the fraction says
        return max(1, wanted)

    def _one_error(self, words: list, rng: Random) -> str | None:
        """Draw a type until one finds a place; places are tried from a random one on."""
        for _ in range(DRAWS):
            name = self.names[bisect(self._heights, rng.random() * self._heights[-1])]
            error = ERRORS[name]
            start = rng.randrange(len(words))
            for i in (*range(start, len(words)), *range(start)):
                if not words[i].touched and error(words, i, rng):
                    return name
        return None
