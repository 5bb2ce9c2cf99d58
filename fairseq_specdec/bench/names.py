"""Names of systems as the user writes them: ``name[:option=value...]``, several with commas between."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from fairseq_specdec.config import OptionError

STOCK, ENGINE = "fairseq", "none"  # what speed-ups refer to
CTRANSLATE2 = "ctranslate2"
_BEAM = re.compile(rf"{STOCK}-beam([1-9]\d*)")


@dataclass(frozen=True)
class Wanted:
    """One system that was asked for.

    Args:
        label: as written; the row's name.
        kind: "fairseq", "ctranslate2" or the name of a drafter.
        beam: of fairseq's search; 1 for the others.
        options: as written behind the name.
    """

    label: str
    kind: str
    beam: int = 1
    options: dict[str, str] = field(default_factory=dict)


def parse_systems(text: str, drafters: Iterable[str]) -> tuple[list[Wanted], list[str]]:
    """Read --systems.

    Args:
        text: the option's value.
        drafters: the names of all drafters.

    Returns:
        the systems in the order written, behind the two that speed-ups refer to where those were left out; and the
        names of these.

    Raises:
        OptionError: lists every name that is unknown or given twice, and options that are not written option=value.
    """
    kinds, reasons, wanted = [STOCK, CTRANSLATE2, *drafters], [], []
    labels = [label.strip() for label in text.split(",") if label.strip()]
    for label in labels:
        kind, *pairs = label.split(":")
        beam = _BEAM.fullmatch(kind)
        options = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if not beam and kind not in kinds:
            near = difflib.get_close_matches(kind, kinds, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join([*sorted(kinds), f"{STOCK}-beamN"])
            reasons.append(f"--systems: unknown system {kind!r}.{hint} Known: {known}.")
        if len(options) < len(pairs):
            reasons.append(f"--systems must be name[:option=value...], got {label}: write it like nat:beta=3:tau=1.")
        wanted.append(Wanted(label, STOCK if beam else kind, int(beam[1]) if beam else 1, options))
    reasons += [f"--systems must not name a system twice, got {x} twice: leave one out." for x in _repeated(labels)]
    if reasons:
        raise OptionError(reasons)
    added = [name for name in (STOCK, ENGINE) if name not in labels]
    return [*(Wanted(name, name) for name in added), *wanted], added


def _repeated(labels: list[str]) -> list[str]:
    return sorted({label for label in labels if labels.count(label) > 1})


def check_options(wanted: Wanted, known: Iterable[str], aliases: dict[str, str] | None = None) -> dict[str, str]:
    """Return a system's options by their Python names.

    Args:
        wanted: the system.
        known: the options that its kind has.
        aliases: other names of these.

    Raises:
        OptionError: an option is unknown, or given twice under two names.
    """
    known, aliases = sorted(known), aliases or {}
    found: dict[str, str] = {}
    reasons = []
    for written, value in wanted.options.items():
        name = aliases.get(written, written.replace("-", "_"))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            names = ", ".join([*known, *(f"{short} (= {long})" for short, long in aliases.items())]) or "none"
            reasons.append(f"--systems {wanted.label}: unknown option {written!r}.{hint} Known: {names}.")
        elif name in found:
            reasons.append(f"--systems {wanted.label}: {name} must be given once, got two: leave one out.")
        found[name] = value
    if reasons:
        raise OptionError(reasons)
    return found
