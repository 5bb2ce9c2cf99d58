"""Parallel text files, plain or compressed: reading with errors that name the remedy, and writing."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def find(folder: Path, name: str, option: str = "--from") -> Path:
    """Find ``name`` or ``name.gz`` in a folder."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"{option} must hold {name} or {name}.gz, but {folder} has neither: add the file to it.")


def read(path: Path) -> list[str]:
    """Read the lines of a UTF-8 file, plain or .gz, without blanks at their ends."""
    if not path.is_file():
        raise ValueError(f"CLEAN must be a readable file, got {path} (no such file): check the path.")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    # not splitlines(): it also splits at rare characters that stand inside sentences
    lines = data.decode("utf-8").split("\n")
    return [line.strip() for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_parallel(folder: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Read files whose lines belong together."""
    texts = [read(find(folder, name)) for name in names]
    for name, text in zip(names[1:], texts[1:], strict=True):
        if len(text) != len(texts[0]):
            raise ValueError(
                f"Parallel files must have as many lines as each other, but in {folder} {names[0]} has {len(texts[0])} "
                f"and {name} has {len(text)}: take both from one release of the data set."
            )
    return list(zip(*texts, strict=True))


def write(path: Path, lines: Iterable[str]) -> None:
    """Write one line for each string."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def write_pairs(prefix: Path, pairs: Iterable[tuple[str, str]]) -> int:
    """Write prefix.src and prefix.tgt without pairs that have an empty side; return the number written."""
    given = list(pairs)
    kept = [(source, target) for source, target in given if source.strip() and target.strip()]
    write(Path(f"{prefix}.src"), (source for source, _ in kept))
    write(Path(f"{prefix}.tgt"), (target for _, target in kept))
    dropped = f", {len(given) - len(kept)} with an empty side left out" if len(given) > len(kept) else ""
    print(f"{prefix}: {len(kept)} pairs{dropped}", file=sys.stderr)
    return len(kept)


def write_references(prefix: Path, rows: Sequence[tuple[str, ...]]) -> None:
    """Write prefix.src and prefix.ref0, ref1, ...: a source and its references in each row."""
    columns = list(zip(*rows, strict=True))
    for name, column in zip(["src", *(f"ref{n}" for n in range(len(columns) - 1))], columns, strict=True):
        write(Path(f"{prefix}.{name}"), column)
    print(f"{prefix}: {len(rows)} lines, {len(columns) - 1} references", file=sys.stderr)
