"""Read what fairseq-generate printed: the S, T, H, D and P lines of its standard output or of ``--results-path``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.text import read_lines

KINDS = "STHDP"
_LINE = re.compile(r"([STHDP])-(\d+)(?:\t(.*))?$")
_INFO = r"(?:\| INFO \| |INFO:)"  # fairseq's own format, or that of logging when a library set it up first
_STARTED = re.compile(_INFO + r"fairseq_cli\.generate(?: \| |:)")
_TRANSLATED = re.compile(_STARTED.pattern + r"Translated ([\d,]+) sentences")
_SHOWN = 10  # missing sentences that a message names
_AGAIN = "wait for fairseq-generate to end, or decode again."
_OPTIONS = re.compile(_STARTED.pattern + r".*?'generation': \{([^{}]*)\}")  # the run's, as fairseq prints them
_OPTION = re.compile(r"'(\w+)': ([^,]+)")
_DICTIONARY = re.compile(_INFO + r"[\w.]+(?: \| |:)\[([^\]]+)\] dictionary: ")


class GenerateLogError(OptionError):
    """A log that cannot be used: cut short, with sentences missing, or with sentences twice."""

    def __init__(self, reason: str) -> None:
        """Keep the one reason."""
        super().__init__([reason])


@dataclass(frozen=True, slots=True)
class GeneratedSentence:
    """One sentence of the log; a kind of line that the log does not have is None.

    Args:
        id: place of the sentence in the data set.
        source: S line.
        target: T line, the reference.
        hypothesis: H line, before detokenisation.
        detokenized: D line.
        score: of the H line (or the D line), base 2.
        positional_scores: P line, base 2.
        further: the hypotheses behind the first (--nbest), best first, each with what its H, D and P lines say.
    """

    id: int
    source: str | None = None
    target: str | None = None
    hypothesis: str | None = None
    detokenized: str | None = None
    score: float | None = None
    positional_scores: tuple[float, ...] | None = None
    further: tuple[GeneratedSentence, ...] = ()


@dataclass
class GenerateLog:
    """The sentences of one run, in the order of the data.

    Args:
        sentences: sorted by id.
        languages: source and target language, empty if the log does not name them (standard output alone may not).
        options: generation options of the run by their names in Python, as text; empty likewise.
    """

    sentences: list[GeneratedSentence]
    languages: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        """Places of the sentences in the data set."""
        return [sentence.id for sentence in self.sentences]

    def missing(self, total: int | None = None) -> list[int]:
        """Return the places that no sentence has, of as many as the data has (None: up to the last one of the log)."""
        present = set(self.ids)
        return [i for i in range(max(present) + 1 if total is None else total) if i not in present]


def read_generate_log(
    paths: Iterable[str | Path], option: str = "--gen", gaps: bool = False, n_best: bool = False
) -> GenerateLog:
    """Read one log, or the logs of all shards of one run.

    Args:
        paths: standard output of fairseq-generate (whole, or only its S, T, H, D, P lines in any order), or the file it
            writes with ``--results-path``.
        option: the option that named the files, for messages.
        gaps: take a log that lacks sentences, as runs with ``--skip-invalid-size-inputs-valid-test`` write it.
        n_best: take a log with several hypotheses a sentence (``--nbest``).

    Returns:
        The sentences in the order of the data; without ``gaps`` all of 0..n-1.

    Raises:
        GenerateLogError: a file is cut short, a sentence is missing or there twice.
        OptionError: a file cannot be read.
    """
    log = GenerateLog([])
    origin: dict[int, str] = {}
    for path in paths:
        name = f"{option} {path}"
        part = _read_file(option, path, n_best)
        for sentence in part.sentences:
            if sentence.id in origin:
                raise GenerateLogError(
                    f"{option} needs each sentence once, got sentence {sentence.id} in {origin[sentence.id]} and in "
                    f"{path}: give each shard of one run once."
                )
            origin[sentence.id] = str(path)
        _check_kinds(name, log.sentences[:1] + part.sentences)
        log.sentences += part.sentences
        log.languages = log.languages or part.languages
        log.options = log.options or part.options
    log.sentences.sort(key=lambda sentence: sentence.id)
    if not gaps:
        _check_complete(option, log)
    return log


def describe_missing(missing: Sequence[int], total: int) -> str:
    """Say how many sentences a log lacks of as many as the data has, and which, for messages."""
    shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
    return (
        f"{len(missing)} of {total} sentences are not in the log ({shown}, counted from 0), because they were skipped "
        f"(--skip-invalid-size-inputs-valid-test), stock fairseq dropped the last batch, or a shard's log was not given"
    )


def parse_generate_log(lines: list[str], name: str, n_best: bool = False) -> GenerateLog:
    """Parse the lines of one log; sentences come out in the order of their ids, and some ids may be missing.

    Args:
        lines: without newlines. Lines of other kinds are passed over.
        name: what to call the log in messages.
        n_best: see `read_generate_log`.

    Returns:
        The sentences, the languages and the options.

    Raises:
        GenerateLogError: a line is cut short or there twice, a sentence lacks a kind of line that others have, or
            fairseq's own count of sentences is another.
    """
    found: dict[int, list[dict[str, str]]] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.match(line)
        if match:
            _store(found, match, f"{name} line {number}", n_best)
    sentences = [_sentence(name, i, found[i]) for i in sorted(found)]
    _check_kinds(name, sentences)
    _check_count(name, lines, len(found))
    options = next((match[1] for line in lines if (match := _OPTIONS.search(line))), "")
    return GenerateLog(sentences, _languages(lines), dict(_OPTION.findall(options)))


def _read_file(option: str, path: str | Path, n_best: bool) -> GenerateLog:
    """Read one file; a file without any sentence is refused."""
    lines = read_lines(option, path)
    log = parse_generate_log(lines, f"{option} {path}", n_best)
    if not log.sentences:
        raise GenerateLogError(
            f"{option} must be the output of fairseq-generate, got {path} without one line that starts with "
            f"S-, T-, H-, D- or P- and a number: decode without --quiet."
        )
    if lines and _LINE.match(lines[-1]) and not _ends_with_newline(path):
        raise GenerateLogError(f"{option} must be a whole log, got {path} whose last line is cut short: {_AGAIN}")
    return log


def _ends_with_newline(path: str | Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _store(found: dict[int, list[dict[str, str]]], match: re.Match[str], where: str, n_best: bool) -> None:
    """Keep one line's text under its sentence, hypothesis and kind; lines of a kind stand best hypothesis first."""
    kind, text = match[1], match[3]
    if text is None or (kind in "HD" and "\t" not in text):
        raise GenerateLogError(
            f"{where} is cut short ({match[0]!r}): wait for fairseq-generate to end, or decode again."
        )
    hypotheses = found.setdefault(int(match[2]), [{}])
    place = sum(kind in texts for texts in hypotheses)
    if place and (kind in "ST" or not n_best):
        raise GenerateLogError(
            f"{where} is the second {kind}-{match[2]}, each sentence may be there once: give the log of one run"
            + ("." if n_best else ", decoded with --nbest 1.")
        )
    if place == len(hypotheses):
        hypotheses.append({})
    hypotheses[place][kind] = text


def _sentence(name: str, index: int, hypotheses: list[dict[str, str]]) -> GeneratedSentence:
    """Build the record of one sentence from the texts of its lines, hypothesis by hypothesis."""
    texts, *behind = hypotheses
    further = tuple(_sentence(name, index, [more]) for more in behind)
    score, hypothesis, detokenized = None, None, None
    try:
        if "D" in texts:
            score, detokenized = _scored(texts["D"])
        if "H" in texts:
            score, hypothesis = _scored(texts["H"])
        positional = tuple(map(float, texts["P"].split())) if "P" in texts else None
    except ValueError as error:
        raise GenerateLogError(
            f"{name} must hold numbers before the text of H, D and in P, got another thing for sentence {index} "
            f"({error}): give fairseq-generate's own output."
        ) from error
    kinds = (texts.get("S"), texts.get("T"), hypothesis, detokenized, score, positional)
    return GeneratedSentence(index, *kinds, further)


def _scored(text: str) -> tuple[float, str]:
    score, _, sentence = text.partition("\t")
    return float(score), sentence


def _languages(lines: list[str]) -> list[str]:
    """Take the languages from the lines about dictionaries: source first, then target."""
    told = [match[1] for line in lines if (match := _DICTIONARY.search(line))]
    return list(dict.fromkeys(told))


def _kinds(sentence: GeneratedSentence) -> set[str]:
    values = (
        sentence.source,
        sentence.target,
        sentence.hypothesis,
        sentence.detokenized,
        sentence.positional_scores,
    )
    return {kind for kind, value in zip(KINDS, values, strict=True) if value is not None}


def _check_kinds(name: str, sentences: list[GeneratedSentence]) -> None:
    """Refuse a log in which a sentence lacks a line of a kind that another sentence has."""
    present: set[str] = set()
    for sentence in sentences:
        present |= _kinds(sentence)
    for sentence in sentences:
        missing = sorted(present - _kinds(sentence))
        missing += sorted({kind for more in sentence.further for kind in present - _kinds(more) - {"S", "T"}})
        if missing:
            raise GenerateLogError(
                f"{name} has no {missing[0]}-{sentence.id} line though other sentences (or hypotheses) have one, so it "
                f"is cut short or mixed with other output: decode again (--results-path keeps the output apart)."
            )


def _check_count(name: str, lines: list[str], count: int) -> None:
    """Compare with the number of sentences that fairseq says it translated; a run that did not get there was cut."""
    told = [match for line in lines if (match := _TRANSLATED.search(line))]
    if told:
        expected = sum(int(match[1].replace(",", "")) for match in told)
        if expected != count:
            raise GenerateLogError(
                f"{name} says that {expected} sentences were translated, but holds {count}: give the whole log."
            )
    elif any(_STARTED.search(line) for line in lines):
        raise GenerateLogError(f"{name} ends before 'Translated ... sentences', after {count} sentences: {_AGAIN}")


def _check_complete(option: str, log: GenerateLog) -> None:
    """Refuse ids that are not 0..n-1."""
    missing, total = log.missing(), max(log.ids) + 1
    if missing:
        raise GenerateLogError(
            f"{option} needs all sentences 0 to {total - 1}, but {describe_missing(missing, total)}: give the logs of "
            f"all shards, or decode again with --user-dir fairseq_specdec and data that fits the model's positions."
        )
