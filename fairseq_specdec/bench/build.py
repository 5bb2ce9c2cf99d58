"""Makes systems from their names."""

from __future__ import annotations

from collections.abc import Sequence

from fairseq_specdec.bench.ctranslate2 import CTranslate2System
from fairseq_specdec.bench.load import Loaded
from fairseq_specdec.bench.measure import System
from fairseq_specdec.bench.names import CTRANSLATE2, STOCK, Wanted, check_options
from fairseq_specdec.bench.systems import FairseqSystem, SpecSystem
from fairseq_specdec.config import OptionError


def build_systems(wanted: Sequence[Wanted], loaded: Loaded, threads: int) -> list[System]:
    """Make the systems.

    Args:
        wanted: their names and options.
        loaded: task and models.
        threads: of systems that do not compute with torch.

    Raises:
        OptionError: lists all that cannot be made, with every reason.
    """
    systems, reasons = [], []
    for one in wanted:
        try:
            systems.append(_build(one, loaded, threads))
        except OptionError as error:
            reasons += error.reasons
    if reasons:
        raise OptionError(reasons)
    return systems


def _build(wanted: Wanted, loaded: Loaded, threads: int) -> System:
    if wanted.kind == CTRANSLATE2:
        return CTranslate2System(wanted, loaded, threads)
    if wanted.kind == STOCK:
        check_options(wanted, ())
        return FairseqSystem(wanted.label, loaded, wanted.beam)
    return SpecSystem(wanted, loaded)
