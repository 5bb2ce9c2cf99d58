"""The steps of ``gec.py prepare``: training, validation and evaluation files of one language and task."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from gec_english import SEPARATOR, clean_sentences, is_clean
from gec_files import find, read, read_parallel, write, write_pairs, write_references
from gec_gold import Gold, Row, key, keys, pairs, read_gold, write_heldout_m2
from learner_errors import ErrorGenerator
from tqdm import tqdm

ONESTOP = ("ADV-ELE", "ADV-INT", "INT-ELE")


def english(folder: Path, out: Path, generator: ErrorGenerator, repeat: int) -> None:
    """Write real, synthetic and validation pairs and the held-out parts of English error correction."""
    gold = read_gold(folder)
    _write_evaluation(gold, out / "eval")
    heldout = keys([row for corpus in gold for row in corpus.heldout])
    # Wikipedia is no learner's text: its held-out part serves as validation
    valid = _without([row for corpus in gold if corpus.valid_every for row in corpus.valid], heldout)
    valid += [row for corpus in gold if not corpus.valid_every for row in corpus.heldout]
    kept_out = heldout | keys(valid)
    real = _without([row for corpus in gold for row in corpus.train], kept_out)
    write_pairs(out / "valid", pairs(valid))
    write_pairs(out / "real", pairs(real))
    clean = _clean(folder, real, kept_out)
    write(out / "clean.txt", clean)
    write_synthetic(out / "synthetic", clean, generator, repeat)


def _without(rows: list[Row], kept_out: set[str]) -> list[Row]:
    """Drop the rows of which any side is kept out."""
    return [row for row in rows if kept_out.isdisjoint(keys([row]))]


def _write_evaluation(gold: list[Gold], out: Path) -> None:
    """Write held-out rows with all references, and whole development sets for identity and speed checks."""
    for corpus in gold:
        write_references(out / f"{corpus.name}-heldout", corpus.heldout)
        write_heldout_m2(out / f"{corpus.name}-heldout.m2", corpus)
    for name in ("jfleg", "cweb"):
        rows = [row for corpus in gold if corpus.name.startswith(name) for row in corpus.rows]
        write(out / f"{name}_dev.src", (row[0] for row in rows))
        write(out / f"{name}_dev.tgt", (row[1] for row in rows))


def _clean(folder: Path, real: list[Row], kept_out: set[str]) -> list[str]:
    """Collect different clean sentences: references of training pairs, then the clean corpora."""
    found: dict[str, None] = {}
    for sentences in ((reference for row in real for reference in row[1:]), clean_sentences(folder)):
        for sentence in sentences:
            if is_clean(sentence) and key(sentence) not in kept_out:
                found.setdefault(sentence)
    return list(found)


def write_synthetic(prefix: Path, clean: list[str], generator: ErrorGenerator, repeat: int) -> None:
    """Write ``repeat`` pairs of each clean sentence, each with other errors, one whole round after the other."""
    jobs = ((line, f"{turn} {i}") for turn in range(repeat) for i, line in enumerate(clean))
    bar = tqdm(jobs, desc="errors", total=repeat * len(clean), disable=not sys.stderr.isatty())
    write_pairs(prefix, ((generator.corrupt(line, key)[0], line) for line, key in bar))


def ukrainian(folder: Path, out: Path) -> None:
    """Write UA-GEC, grammar only, as it is."""
    for split, name in (("train", "real"), ("dev", "valid")):
        names = [f"gec-only.{split}.{side}" for side in ("src", "tgt")]
        write_pairs(out / name, read_parallel(folder / "ua_gec", names))


def simplification(folder: Path, out: Path) -> None:
    """Write WikiSplit and OneStopEnglish pairs, and ASSET for evaluation alone."""
    real = [pair for part in ("tune", "test") for pair in _wikisplit(folder, part)]
    wikisplit, onestop = _wikisplit(folder, "validation"), []
    for levels in ONESTOP:
        rows = read_parallel(folder / "onestop", [f"{levels}.src", f"{levels}.tgt"])
        cut = len(rows) - len(rows) // 10
        real += rows[:cut]
        onestop += rows[cut:]
    asset = read_parallel(folder / "asset", ["valid.orig", *(f"valid.simp.{n}" for n in range(10))])
    write_references(out / "eval" / "wikisplit", wikisplit)
    write_references(out / "eval" / "onestop", onestop)
    write_references(out / "eval" / "asset", asset)
    kept_out = keys([*wikisplit, *onestop, *asset])
    write_pairs(out / "valid", [*wikisplit, *onestop])
    write_pairs(out / "real", _different(_without(real, kept_out)))


def _different(pairs: Iterable[Row]) -> list[Row]:
    return list(dict.fromkeys(pairs))


def _wikisplit(folder: Path, part: str) -> list[Row]:
    """Read a part of WikiSplit: a sentence, and the two that say the same."""
    rows = []
    for number, line in enumerate(read(find(folder / "wikisplit", f"{part}.tsv")), start=1):
        sides = line.replace(SEPARATOR, " ").split("\t")
        if len(sides) != 2:
            raise ValueError(
                f"wikisplit/{part}.tsv must have 2 columns, line {number} has {len(sides)}: mend the file."
            )
        rows.append(tuple(sides))
    return rows
