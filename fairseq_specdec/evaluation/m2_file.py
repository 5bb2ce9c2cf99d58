"""M2 files: tokenised sentences and, for each annotator, the edits that correct them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.text import read_lines

NOOP = "noop"
_NONE = "-NONE-"
_FIELDS = 6
_OTHER_LINE = re.compile(r"I |T\d+")  # identifiers; corrected sentences, in Chinese files
_ALTERNATIVE = re.compile(r"T\d+-A[1-9]")  # below it the correction before is cut into other edits once more


@dataclass(frozen=True)
class Edit:
    """Replace the source tokens ``start`` to ``end`` (exclusive) by a correction.

    Args:
        start: first token, counted from 0; equal to ``end`` for an insertion before it.
        end: token after the last.
        corrections: texts of equal right, tokens separated by spaces; the first is the annotator's own. An empty text
            is a deletion.
        kind: type of error, in the file's own words.
        required: the fourth field of the line.
        comment: the fifth.
    """

    start: int
    end: int
    corrections: tuple[str, ...]
    kind: str = "UNK"
    required: str = "REQUIRED"
    comment: str = _NONE


@dataclass(frozen=True)
class M2Sentence:
    """A source sentence and the annotators' edits.

    Args:
        source: the tokens.
        edits: edits by annotator, in the order of the file. An annotator who says that nothing is to be corrected (a
            ``noop`` line) has an empty tuple; one without any line is absent.
    """

    source: tuple[str, ...]
    edits: dict[int, tuple[Edit, ...]] = field(default_factory=dict)

    def corrected(self, annotator: int = 0) -> list[str]:
        """Return the tokens as an annotator corrected them; the source's for one who changed nothing.

        Raises:
            ValueError: two edits of the annotator overlap.
        """
        return apply_edits(self.source, self.edits.get(annotator, ()))


def apply_edits(source_tokens: Sequence[str], edits: Iterable[Edit]) -> list[str]:
    """Correct a sentence by the first correction of every edit.

    Args:
        source_tokens: the tokens to correct.
        edits: one annotator's, in any order; none leaves the sentence as it is. An insertion comes before what
            replaces the token it stands at, insertions at one place keep their order.

    Returns:
        The corrected tokens.

    Raises:
        ValueError: two edits overlap, or one reaches past the sentence.
    """
    tokens: list[str] = []
    done = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if not done <= edit.start <= edit.end <= len(source_tokens):
            raise ValueError(
                f"edits must not overlap and must lie within the {len(source_tokens)} tokens, got one of tokens "
                f"{edit.start} to {edit.end} after token {done}: {edit}"
            )
        tokens += source_tokens[done : edit.start]
        tokens += edit.corrections[0].split()
        done = edit.end
    return tokens + list(source_tokens[done:])


def read_m2(path: str | Path, option: str = "--ref") -> list[M2Sentence]:
    """Read an M2 file: blocks of an S line and its A lines, with an empty line between.

    The T lines of Chinese files repeat corrected sentences and are left out; of several ways to cut one correction into
    edits (``T0-A0``, ``T0-A1`` ...) the first is kept, together they would be applied twice.

    Args:
        path: the file.
        option: the option that named it, for messages.

    Returns:
        The sentences, in the order of the file.

    Raises:
        OptionError: the file cannot be read, holds no sentence, or has lines that are not M2; the first such line is
            named with its number.
    """
    sentences: list[M2Sentence] = []
    open_block = skipping = False
    for number, line in enumerate(read_lines(option, path), start=1):
        try:
            if not line.strip():
                open_block = False
            elif line == "S" or line.startswith("S "):
                if open_block:
                    raise ValueError("must have an empty line before each S line, got none: add it")
                sentences.append(M2Sentence(tuple(line[2:].split())))
                open_block, skipping = True, False
            elif not open_block:
                raise ValueError(f"must be the S line of a sentence, got {line[:40]!r}: give an M2 file")
            elif line.startswith("A "):
                if not skipping:
                    _add_edit(sentences[-1], line)
            elif _OTHER_LINE.match(line):
                skipping = bool(_ALTERNATIVE.match(line))
            else:
                raise ValueError(f"must begin with S or A and a space, got {line[:40]!r}: give an M2 file")
        except ValueError as error:
            raise OptionError([f"{option} {path} line {number} {error}."]) from error
    if not sentences:
        raise OptionError([f"{option} must hold at least one sentence, got {path} without an S line: give an M2 file."])
    return sentences


def write_m2(path: str | Path, sentences: Iterable[M2Sentence]) -> None:
    """Write an M2 file that :func:`read_m2` reads back unchanged, annotators in ascending order."""
    lines = [line for sentence in sentences for line in _lines(sentence)]
    Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")


def _add_edit(sentence: M2Sentence, line: str) -> None:
    """Add an A line to its sentence. Raises ValueError with the rule, the value and the remedy."""
    fields = line[2:].split("|||")
    if len(fields) != _FIELDS:
        raise ValueError(f"must have {_FIELDS} fields between |||, got {len(fields)} in {line[:60]!r}: mend the line")
    offsets, kind, text, required, comment, annotator = fields
    if not annotator.strip().isdecimal():
        raise ValueError(f"must end with the number of the annotator, got {annotator!r}: write 0 for the first")
    edits = sentence.edits.setdefault(int(annotator), ())
    if kind == NOOP:
        return
    numbers = re.fullmatch(r"\s*(\d+)\s+(\d+)\s*", offsets)
    if numbers is None:
        raise ValueError(f"must begin with two token offsets, got {offsets!r}: write -1 -1 for {NOOP} lines only")
    start, end = map(int, numbers.groups())
    if not start <= end <= len(sentence.source):
        raise ValueError(
            f"must lie within the sentence, got tokens {start} to {end} of {len(sentence.source)}: mend the offsets"
        )
    corrections = tuple("" if part == _NONE else " ".join(part.split()) for part in text.split("||"))
    edit = Edit(start, end, corrections, kind, required, comment)
    sentence.edits[int(annotator)] = (*edits, edit)


def _lines(sentence: M2Sentence) -> list[str]:
    """Return the block of a sentence, the empty line after it too."""
    lines = [" ".join(["S", *sentence.source])]
    for annotator, edits in sorted(sentence.edits.items()):
        if not edits:
            lines.append(f"A -1 -1|||{NOOP}|||{_NONE}|||REQUIRED|||{_NONE}|||{annotator}")
        for edit in edits:
            text = "||".join(edit.corrections)
            lines.append(
                f"A {edit.start} {edit.end}|||{edit.kind}|||{text}|||{edit.required}|||{edit.comment}|||{annotator}"
            )
    return [*lines, ""]
