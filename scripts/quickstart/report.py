#!/usr/bin/env python3
"""Compare the decoded test sets of the quickstart, a table each.

    report.py --table TITLE bleu|gleu LOGS OUT.json [--table ...]

LOGS is a folder that holds one fairseq-generate log for each system, NAME.log, and for the systems of this package
the statistics NAME.json that --spec-stats wrote. Systems that are not there are left out, except fairseq-greedy: it is
the measure.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
logging.getLogger("fairseq").setLevel(logging.WARNING)  # its import names optional packages that nobody needs here

from fairseq_specdec.config import OptionError  # noqa: E402
from fairseq_specdec.evaluation.generate_log import GeneratedSentence, read_generate_log  # noqa: E402
from fairseq_specdec.evaluation.metrics import METRICS  # noqa: E402

BASELINE = "fairseq-greedy"
# name of the log: what the table says, whether the output must be that of greedy decoding
SYSTEMS = {
    "fairseq-beam5": ("fairseq, beam 5", False),
    BASELINE: ("fairseq, greedy", True),
    "none": ("this package, no drafter", True),
    "nat": ("this package, nat", True),
    "nat-beta3-tau1": ("nat, beta 3, tau 1 *", False),
    "input": ("this package, input", True),
}
NOTE = "* relaxed acceptance: another system than greedy decoding, its output may differ."
_SECONDS = re.compile(r"Translated [\d,]+ sentences \([\d,]+ tokens\) in (-?[\d.]+)s")


@dataclass(frozen=True)
class Row:
    """One system; ``metric`` is what specdec score prints, ``identical`` and ``speedup`` are against fairseq's greedy.

    ``acceptance_length`` is tokens a verifier pass, the correction or bonus token counted; None for beam search.
    ``speedup`` is None where the clock saw no time go by.
    """

    system: str
    metric: dict[str, float | str]
    acceptance_length: float | None
    seconds: float
    speedup: float | None
    identical: float
    exact: bool


@dataclass(frozen=True)
class Run:
    """What one log says: the sentences, the seconds fairseq spent generating, tokens a round."""

    sentences: list[GeneratedSentence]
    seconds: float
    acceptance_length: float | None


def join_pieces(text: str) -> str:
    """Turn SentencePiece pieces into text."""
    return text.replace(" ", "").replace("\u2581", " ").strip()


def read_run(folder: Path, name: str) -> Run:
    """Read the log and the statistics of one system.

    Raises:
        OptionError: the log is cut short or does not say how long generation took.
    """
    path = folder / f"{name}.log"
    sentences = read_generate_log([path], "--table").sentences
    found = _SECONDS.search(path.read_text("utf-8"))
    if found is None:
        raise OptionError([f"--table needs whole logs, got {path} without its 'Translated ...' line: decode again."])
    stats = folder / f"{name}.json"
    if stats.exists():
        length = json.loads(stats.read_text("utf-8"))["acceptance_length"]
    else:
        length = 1.0 if name == BASELINE else None
    return Run(sentences, float(found[1]), length)


def compare(runs: dict[str, Run], metric: str = "bleu") -> list[Row]:
    """Score each run by a metric of specdec score and compare it with the run ``BASELINE``."""
    greedy = runs[BASELINE]
    rows = []
    for name, run in runs.items():
        hypotheses = [join_pieces(sentence.hypothesis or "") for sentence in run.sentences]
        references = [join_pieces(sentence.target or "") for sentence in run.sentences]
        sources = [[join_pieces(sentence.source or "") for sentence in run.sentences]]
        score = METRICS[metric].compute(hypotheses, [references], *sources[: METRICS[metric].needs_source])
        pairs = zip(run.sentences, greedy.sentences, strict=True)
        same = sum(ours.hypothesis == theirs.hypothesis for ours, theirs in pairs)
        rows.append(
            Row(
                system=name,
                metric=score,
                acceptance_length=run.acceptance_length,
                seconds=run.seconds,
                speedup=greedy.seconds / run.seconds if run.seconds > 0 else None,
                identical=same / len(run.sentences),
                exact=SYSTEMS[name][1],
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """Lay the rows out as text."""
    name = next(iter(rows[0].metric))
    head = f"{'system':<26}{name.upper():>7}{'tokens/round':>14}{'seconds':>9}{'speed-up':>10}{'identical':>11}"
    lines = [head, "-" * len(head)]
    for row in rows:
        label = SYSTEMS[row.system][0]
        length = "-" if row.acceptance_length is None else f"{row.acceptance_length:.2f}"
        speedup = "-" if row.speedup is None else f"{row.speedup:.2f}x"
        lines.append(
            f"{label:<26}{row.metric[name]:>7.1f}{length:>14}{row.seconds:>9.1f}"
            f"{speedup:>10}{100 * row.identical:>10.1f}%"
        )
    return "\n".join([*lines, NOTE] if any(row.system == "nat-beta3-tau1" for row in rows) else lines)


def report(title: str, metric: str, logs: Path, out: Path) -> None:
    """Print the table of a folder's runs and write it as JSON.

    Raises:
        OptionError: a log or its statistics are missing or hold no sentences.
    """
    names = [name for name in SYSTEMS if name == BASELINE or (logs / f"{name}.log").exists()]
    runs = {name: read_run(logs, name) for name in names}
    rows, sentences = compare(runs, metric), len(runs[BASELINE].sentences)
    part = out.with_name(out.name + ".part")
    found = {"sentences": sentences, "cpus": os.cpu_count(), "rows": [asdict(row) for row in rows]}
    part.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    part.rename(out)
    print(f"\n{title}: {sentences} test sentences, one at a time, {os.cpu_count()} CPU threads; seconds of ", end="")
    print(f"generation alone\n\n{table(rows)}")


def main() -> None:
    """Parse the command line, print the tables, write the JSON files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("TITLE", "METRIC", "LOGS", "OUT")
    parser.add_argument("--table", nargs=4, action="append", required=True, metavar=names, help="METRIC: bleu or gleu")
    tables = parser.parse_args().table
    for _, metric, *_ in tables:  # before anything is read
        if metric not in ("bleu", "gleu"):
            parser.error(f"--table needs METRIC bleu or gleu, got {metric}")
    for title, metric, logs, out in tables:
        try:
            report(title, metric, Path(logs), Path(out))
        except OptionError as error:
            sys.exit("\n".join(f"report.py: error: {reason}" for reason in error.reasons))


if __name__ == "__main__":
    main()
