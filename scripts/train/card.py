"""Write tables into Markdown pages, between markers, so that no number is ever typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_table(path: Path, name: str, text: str) -> None:
    """Replace what stands between the two markers of a table.

    Args:
        path: the page.
        name: of the table: it begins at ``<!-- table NAME: written by a script -->`` and ends at ``<!-- end NAME -->``.
        text: Markdown.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = f"<!-- table {name}: written by a script -->", f"<!-- end {name} -->"
    page = path.read_text("utf-8")
    if begin not in page or end not in page:
        raise ValueError(f"{path} must hold the lines '{begin}' and '{end}': put them where the table belongs.")
    head, rest = page.split(begin)
    path.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}", "utf-8")


def write_table_at(where: str, text: str) -> None:
    """Replace a table that is given as PAGE.md:TABLE; see `write_table`."""
    page, _, name = where.rpartition(":")
    write_table(Path(page), name, text)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def origin(results: dict[str, Any], path: Path) -> str:
    """Say where the numbers of a results file come from: its ``command`` made them."""
    versions = results["versions"]
    path = path.with_suffix("") if path.suffix == ".part" else path  # a recipe's step moves it when it is whole
    layers = f", {versions['layers']} layers" if "layers" in versions else ""
    return (
        f"Measured {results['date']} by `{results['command']}` on {results['device_name']}, "
        f"{results['threads']} threads, {results['dtype']}{layers}, torch {versions['torch']}, "
        f"Python {versions['python']}; from `{path}`."
    )


def counts(certificate: dict[str, Any] | None) -> str:
    """Return a certificate's counts in words; nothing without one."""
    c = certificate
    return f"{c['exact']} exact, {c['near_tie']} near ties, {c['wrong']} wrong" if c else ""
