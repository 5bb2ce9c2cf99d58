"""Names of systems as the user writes them: ``name[:option=value...]``, several with commas between.

Drafters that are asked in turn have a plus sign between (``input+self``), where --drafter takes a comma as well.
"""

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
        beam: of its search; 1 is greedy.
        options: as written behind the name, without the beam.
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
        the systems in the order written, behind those that speed-ups and identity refer to where they were left out
        (fairseq and this package's engine without drafts, greedy; fairseq with each beam that is asked for); and the
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
        width = beam[1] if beam else options.pop("beam", "1") if kind != STOCK else "1"
        parts = kind.split("+")  # drafters that are asked in turn
        reasons += [_unknown(part, kinds) for part in parts if not beam and part not in kinds]
        if len(parts) > 1 and not {STOCK, CTRANSLATE2}.isdisjoint(parts):
            reasons.append(
                f"--systems must put + between drafters alone, got {label}: write {label.replace('+', ',')}."
            )
        if not width.isdecimal() or int(width) < 1:
            reasons.append(f"--systems {label}: beam must be at least 1, got {width}: write beam=5.")
            width = "1"
        if any("=" not in pair for pair in pairs):
            reasons.append(f"--systems must be name[:option=value...], got {label}: write it like nat:beta=3:tau=1.")
        wanted.append(Wanted(label, STOCK if beam else kind, int(width), options))
    reasons += [f"--systems must not name a system twice, got {x} twice: leave one out." for x in _repeated(labels)]
    if reasons:
        raise OptionError(reasons)
    beams = sorted({one.beam for one in wanted if one.beam > 1})
    needed = [Wanted(STOCK, STOCK), Wanted(ENGINE, ENGINE), *(Wanted(stock_name(b), STOCK, b) for b in beams)]
    added = [one for one in needed if one.label not in labels]
    return [*added, *wanted], [one.label for one in added]


def _unknown(kind: str, kinds: list[str]) -> str:
    near = difflib.get_close_matches(kind, kinds, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join([*sorted(kinds), f"{STOCK}-beamN"])
    return f"--systems: unknown system {kind!r}.{hint} Known: {known}."


def stock_name(beam: int) -> str:
    """Return the name of fairseq's own search with a beam, what systems with this beam are compared with."""
    return STOCK if beam == 1 else f"{STOCK}-beam{beam}"


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
