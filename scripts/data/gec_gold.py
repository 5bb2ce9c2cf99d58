"""Corrected sentences by people, and which of them are kept from training."""

from __future__ import annotations

import gzip
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gec_files import find, read_parallel

if TYPE_CHECKING:
    from fairseq_specdec.evaluation.m2_file import M2Sentence

Row = tuple[str, ...]  # a source and its references
NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Gold:
    """A corpus in three parts that share no line; ``train`` may share sentences with the others until ``without``.

    Attributes:
        name: of the evaluation files.
        rows: all rows in order.
        heldout_every: the rows whose index is a multiple of this are for evaluation.
        m2: the M2 entry of each row, where there are any.
        valid_every: the rows whose index is 1 more than a multiple of this are for validation; 0 for none.
    """

    name: str
    rows: list[Row]
    heldout_every: int
    valid_every: int = 30
    m2: tuple[M2Sentence, ...] = ()

    @property
    def heldout(self) -> list[Row]:
        """Return the rows for evaluation."""
        return self.rows[:: self.heldout_every]

    @property
    def valid(self) -> list[Row]:
        """Return the rows for validation."""
        return [self.rows[i] for i in self._rest() if self._is_valid(i)]

    @property
    def train(self) -> list[Row]:
        """Return the other rows."""
        return [self.rows[i] for i in self._rest() if not self._is_valid(i)]

    def _rest(self) -> list[int]:
        return [i for i in range(len(self.rows)) if i % self.heldout_every]

    def _is_valid(self, i: int) -> bool:
        return self.valid_every > 0 and i % self.valid_every == 1


def read_gold(folder: Path) -> list[Gold]:
    """Read the English corpora with corrections; all are tokenised."""
    jfleg = read_parallel(folder / "jfleg", ["dev.src", *(f"dev.ref{n}" for n in range(4))])
    gmeg = read_parallel(folder / "gmeg_wiki", ["dev.source", *(f"dev.ref{n}" for n in range(4))])
    annotated = [
        ("cweb_g", find(folder / "cweb", "CWEB-G.dev.m2"), 10),
        ("cweb_s", find(folder / "cweb", "CWEB-S.dev.m2"), 10),
        ("conll14", find(folder / "conll14", "official-2014.combined.m2"), 4),
    ]
    return [
        Gold("jfleg", jfleg, 3),
        *(_annotated(name, m2_sentences(path), every) for name, path, every in annotated),
        Gold("gmeg", gmeg, 10, valid_every=0),
    ]


def _annotated(name: str, sentences: list[M2Sentence], heldout_every: int) -> Gold:
    return Gold(name, m2_rows(sentences), heldout_every, m2=tuple(sentences))


def m2_sentences(path: Path) -> list[M2Sentence]:
    """Read an M2 file, plain or .gz."""
    # the import takes seconds, and the other steps do without
    from fairseq_specdec.evaluation.m2_file import read_m2

    if path.suffix != ".gz":
        return read_m2(path, "GOLD.m2")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return read_m2(plain, "GOLD.m2")


def m2_rows(sentences: list[M2Sentence]) -> list[Row]:
    """Correct sentences by each annotator; one without a line for a sentence left it as it is."""
    annotators = sorted({annotator for sentence in sentences for annotator in sentence.edits})
    return [
        (" ".join(sentence.source), *(" ".join(sentence.corrected(annotator)) for annotator in annotators))
        for sentence in sentences
    ]


def write_heldout_m2(path: Path, corpus: Gold) -> None:
    """Write the M2 entries of a corpus' held-out rows, where it has some."""
    from fairseq_specdec.evaluation.m2_file import write_m2

    if corpus.m2:
        write_m2(path, corpus.m2[:: corpus.heldout_every])


def pairs(rows: list[Row]) -> list[tuple[str, str]]:
    """Pair each source with each of its different references."""
    return [(row[0], reference) for row in rows for reference in dict.fromkeys(row[1:])]


def key(line: str) -> str:
    """Reduce a line to its letters and digits: two tokenisations of one sentence have one key."""
    return NOT_LETTERS.sub("", line).lower()


def keys(rows: list[Row]) -> set[str]:
    """Collect the keys of all sources and references."""
    return {key(line) for row in rows for line in row}
