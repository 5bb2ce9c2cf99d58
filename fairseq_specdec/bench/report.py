"""What ``specdec bench`` shows and keeps: a table, a JSON file, a chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_specdec.config import OptionError
from fairseq_specdec.files import why_not_file, write_text, write_whole

Row = dict[str, Any]


def table(rows: Sequence[Row], metric: str) -> str:
    """Write the rows as a table, with a line below it for every system whose output is not that of fairseq greedy.

    Args:
        rows: of all batch sizes.
        metric: the name of the metric.
    """
    heads = ["system", "batch", "tokens", "seconds (min to max)", "tokens/s", "p50 ms", "p95 ms", "x fairseq", "x none"]
    heads += ["accepted", metric, "identical", "memory MB", "dtype"]
    cells = [heads, *(_cells(row) for row in rows)]
    if any(row["beam"] > 1 for row in rows):
        cells[0] += ["x same beam", "identical"]
        for line, row in zip(cells[1:], rows, strict=True):
            line += [_number(row["speedup_vs_same_beam"], 2), _number(row["identical_same_beam"], 3)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *notes(rows)])


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    return [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]


def _cells(row: Row) -> list[str]:
    name = row["system"] + " *" * is_marked(row)
    if row.get("error") or row["seconds"] is None:
        return [name, str(row["batch_size"]), "-", "failed", *["-"] * 9, row["dtype"]]
    low, high = row["spread"]
    return [
        name,
        str(row["batch_size"]),
        str(row["tokens"]),
        f"{row['seconds']:.3f} ({low:.3f} to {high:.3f})",
        _number(row["tokens_per_second"], 0),
        _number(row["p50_ms"], 1),
        _number(row["p95_ms"], 1),
        _number(row["speedup_vs_fairseq"], 2),
        _number(row["speedup_vs_none"], 2),
        _number(row["acceptance_length"], 2),
        _metric(row["metric"]),
        _number(row["identical"], 3),
        _number(row["peak_memory_mb"], 0),
        row["dtype"],
    ]


def is_marked(row: Row) -> bool:
    """Tell whether a row is of another system than greedy decoding, or its output differs from fairseq's."""
    return bool(row["note"]) or (row["identical"] is not None and row["identical"] < 1)


def notes(rows: Sequence[Row]) -> list[str]:
    """Return a line for every system whose row is marked, and for every failure."""
    lines = []
    for name in dict.fromkeys(row["system"] for row in rows if is_marked(row)):
        own = [row for row in rows if row["system"] == name]
        why = own[0]["note"] or "near-ties that flip, or a fault"
        differing = [
            f"{round((1 - row['identical']) * row['sentences'])} of {row['sentences']} (batch size {row['batch_size']})"
            for row in own
            if row["identical"] is not None and row["identical"] < 1
        ]
        told = f"outputs that differ from fairseq greedy: {', '.join(differing)}" if differing else "no output differs"
        lines.append(f"* {name}: {why}; {told}{_against_same_beam(own)}.")
    failed = [row for row in rows if row.get("error")]
    return lines + [f"failed: {row['system']} at batch size {row['batch_size']}: {row['error']}" for row in failed]


def _against_same_beam(rows: Sequence[Row]) -> str:
    """Say in how many outputs a system differs from fairseq's own search with the same beam."""
    known = [row for row in rows if row["identical_same_beam"] is not None]
    n = sum(round((1 - row["identical_same_beam"]) * row["sentences"]) for row in known)
    return f", from fairseq's beam {known[0]['beam']} {n}" if known else ""


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _metric(result: dict[str, Any] | None) -> str:
    """Write a metric's numbers, as F where it has several kinds."""
    if result is None:
        return "-"
    values = [value["f"] if isinstance(value, dict) else value for value in result.values()]
    return "/".join(f"{value:.2f}" for value in values if isinstance(value, float))


def check_file(option: str, path: str | None) -> None:
    """Refuse a file that could not be written at the end.

    Raises:
        OptionError: its folder does not exist, it is one, or it must not be written.
    """
    why_not = None if path is None else why_not_file(path)
    if why_not:
        raise OptionError([f"{option} must be a file that can be written, got {path}, which {why_not}."])


def check_plot(path: str | None) -> None:
    """Refuse a chart that could not be drawn at the end.

    Raises:
        OptionError: matplotlib is missing or does not know the file's kind; the folder does not exist.
    """
    if path is None:
        return
    check_file("--plot", path)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise OptionError([
            '--plot needs the package matplotlib, which is not installed: pip install "fairseq-specdec[bench]", or '
            "leave --plot out."
        ]) from error  # fmt: skip
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if Path(path).suffix.removeprefix(".").lower() not in kinds:
        raise OptionError([f"--plot must end in one of {', '.join(sorted(kinds))}, got {path}: name it plot.png."])


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write the JSON; see `write_whole`."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def plot(path: str, rows: Sequence[Row]) -> None:
    """Draw the speed-up over fairseq against the batch size, a line a system, and the latencies at batch size 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    systems = list(dict.fromkeys(row["system"] for row in rows))
    rows = [row for row in rows if row["speedup_vs_fairseq"] is not None]
    alone = {row["system"]: row for row in rows if row["p50_ms"] is not None}
    colors = {name: f"C{i}" if i < 10 else str(0.8 * (i - 9) / len(systems)) for i, name in enumerate(systems)}
    figure = Figure(figsize=(15 if alone else 9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    first, *second = figure.subplots(1, 2 if alone else 1, squeeze=False)[0]
    _draw_speedups(first, rows, systems, colors)
    if alone:
        _draw_latencies(second[0], alone, colors)
    kind = Path(path).suffix.removeprefix(".")
    write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=150))


def _draw_speedups(axes: Any, rows: Sequence[Row], systems: list[str], colors: dict[str, str]) -> None:
    for name in systems:
        own = [row for row in rows if row["system"] == name]
        label = name + " *" * any(map(is_marked, own))
        sizes, speedups = [row["batch_size"] for row in own], [row["speedup_vs_fairseq"] for row in own]
        axes.plot(sizes, speedups, marker="o", color=colors[name], label=label)
    sizes = sorted({row["batch_size"] for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, labels=map(str, sizes))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="batch size", ylabel="speed-up over fairseq greedy", title="Speed-up")
    title = "* not the output of greedy" if any(map(is_marked, rows)) else None
    axes.legend(title=title, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)


def _draw_latencies(axes: Any, rows: dict[str, Row], colors: dict[str, str]) -> None:
    names = [name + " *" * is_marked(row) for name, row in rows.items()]
    middle = [row["p50_ms"] for row in rows.values()]
    above = [row["p95_ms"] - row["p50_ms"] for row in rows.values()]
    axes.barh(names, middle, xerr=[[0] * len(above), above], capsize=3, color=[colors[name] for name in rows])
    axes.invert_yaxis()
    axes.set(xlabel="ms a sentence, median; whisker: 95th percentile", title="Latency at batch size 1")
    axes.grid(axis="x", alpha=0.3)
