"""What a run says when it is over: one line, the statistics file, the exit status."""

import atexit
import logging
import os
import sys
import weakref

from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.stats import SpecStats
from fairseq_specdec.tasks.look_ahead import LookAhead

logger = logging.getLogger(__name__)


def report_when_done(generator: SpecGenerator, look_ahead: LookAhead) -> None:
    """Sum up when fairseq lets go of the generator, which it does at the end of its run, or at exit.

    fairseq calls no hook after the last batch; the end of the generator's life is the earliest moment at which all
    batches are counted while the log is still open.
    """
    stats = generator.stats
    if stats.config.certify or stats.config.spec_stats:
        # registered first, so that it runs after the finalizer below
        atexit.register(_exit_by_result, stats)
    weakref.finalize(generator, _report, stats, look_ahead)


def _report(stats: SpecStats, look_ahead: LookAhead) -> None:
    stats.is_partial |= look_ahead.is_open
    if getattr(sys, "last_value", None) is None:  # else the program died of an error, which is to be its last word
        logger.info(stats.summary())
    if stats.config.spec_stats:
        try:
            stats.write(stats.config.spec_stats)
        except OSError as error:
            stats.write_error = error


def _exit_by_result(stats: SpecStats) -> None:
    """Leave with status 1 if a token was wrong or statistics are lost; at exit nothing gentler changes the status."""
    if stats.write_error is not None:
        print(f"--spec-stats: {stats.config.spec_stats} was not written: {stats.write_error}", file=sys.stderr)
    if stats.write_error is not None or (stats.certificate and stats.certificate["wrong"]):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
