"""Messages about options in the words of who called: from Python, or from ``--eval-bleu``.

Messages are written for the command line, where most people meet them. The same rules are broken by callers that have
no command line, or that reach an option through another one; for them names and remedies are put into their own terms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from fairseq_specdec.config import OptionError

_OPTION = re.compile(r"(?<![\w/.-])--([a-z][a-z0-9-]*)")
_REMEDY = re.compile(r"\bpass --([a-z][a-z0-9-]*) ([\w.]*\w)")
_NO_REMEDY = re.compile(r",? or use --task translation\b(?!_)| with --task translation_specdec\b")
# what options of fairseq's commands are called by `load`
_IN_PYTHON = {
    "path": "verifier",
    "fp16": "dtype='float16'",
    "bf16": "dtype='bfloat16'",
    "cpu": "device='cpu'",
    "max-tokens": "batch_size",
    "batch-size": "batch_size",
}


@contextmanager
def worded(change: Callable[[str], str]) -> Iterator[None]:
    """Change the message of an error that passes, not its type.

    Args:
        change: `for_python` or `for_eval_bleu`; applied to each reason of an OptionError, to the text of others.
    """
    try:
        yield
    except OptionError as error:
        error.reasons = [change(reason) for reason in error.reasons]
        error.args = ("\n".join(error.reasons),)
        raise
    except (ValueError, RuntimeError) as error:
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (change(error.args[0]),)
        raise


def for_python(message: str) -> str:
    """Put a message for a caller of `load`: options are arguments, ``pass --beam 1`` is ``pass beam=1``."""
    message = _NO_REMEDY.sub("", message).replace("Use --task translation instead", "Use fairseq's own generator")
    message = _REMEDY.sub(lambda found: f"pass {_argument(found[1])}={_value(found[2])!r}", message)
    return _OPTION.sub(lambda found: _argument(found[1]), message)


def for_eval_bleu(message: str, names: Collection[str]) -> str:
    """Put a message for a training that decodes: options of generation are in ``--eval-bleu-args``.

    Args:
        message: to change.
        names: of the options of generation, as Python has them.
    """

    def remedy(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        inside = json.dumps({name: _value(found[2])})
        return f"pass --eval-bleu-args '{inside}'" if name in names else found[0]

    def option(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        return f"{name} in --eval-bleu-args" if name in names else found[0]

    return _OPTION.sub(option, _REMEDY.sub(remedy, message))


def _argument(option: str) -> str:
    return _IN_PYTHON.get(option, option.replace("-", "_"))


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
