"""Reading text files, one sentence a line, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from fairseq_specdec.config import OptionError


def read_lines(option: str, path: str | Path) -> list[str]:
    """Read a UTF-8 text file. Only a newline ends a line: other separators of Unicode are text, as for fairseq.

    Args:
        option: the option that named the file, for messages.
        path: the file.

    Returns:
        The lines without their newline (and without the carriage return of files from Windows).

    Raises:
        OptionError: the file cannot be opened or is not UTF-8.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OptionError([f"{option} must be a readable file, got {path} ({reason}): check the path."]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OptionError(
            [
                f"{option} must be UTF-8 text, got {path} with byte 0x{data[error.start]:02x} in line {line}: convert "
                f"it, for example with iconv -f latin1 -t utf-8."
            ]
        ) from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def check_same_length(files: dict[str, list[str]]) -> None:
    """Refuse files of different lengths.

    Args:
        files: what each is called in messages (``--ref de.txt``) and its lines; the first sets the length.

    Raises:
        OptionError: a file is empty or has another number of lines than the first; all of them are named.
    """
    (first, lines), *others = files.items()
    if not lines:
        raise OptionError([f"{first} must hold at least one sentence, got an empty file: give the decoded text."])
    reasons = [
        f"{name} must have one line for each of the {len(lines)} lines of {first}, got {len(other)}: "
        f"give files of the same sentences in the same order."
        for name, other in others
        if len(other) != len(lines)
    ]
    if reasons:
        raise OptionError(reasons)
