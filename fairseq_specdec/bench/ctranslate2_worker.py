"""CTranslate2 in a process of its own; run as a script, it imports nothing of this package, nor torch.

In one process CTranslate2 and torch share libgomp, each with a team of threads. Together they are more threads than
cores, and then libgomp lets waiting threads sleep at once instead of spinning: both lose half of their speed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

# Run by its path the file would find its neighbour of the same name in place of the package ctranslate2. With -c the
# current folder comes first in the path of modules; it goes before anything is imported: a pickle.py there would run.
_RUN = """
import sys
if sys.path[:1] == [""]:
    del sys.path[0]
import runpy
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class Translator:
    """Stands for a ``ctranslate2.Translator`` in another process.

    Args:
        folder: of the converted model; not needed any more once this returns.
        options: of ``ctranslate2.Translator``.

    Raises:
        RuntimeError: CTranslate2 cannot load the model.
    """

    def __init__(self, folder: str, **options: Any) -> None:
        # a session of its own: Ctrl-C ends it by closing its input, without a traceback
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
        self._process = subprocess.Popen([sys.executable, "-c", _RUN, __file__], **pipes)
        self._ask((folder, options))

    def translate_batch(self, sources: Sequence[Sequence[str]], **options: Any) -> list[list[str]]:
        """Return the best hypothesis of each source, in symbols.

        Raises:
            RuntimeError: with what CTranslate2 says.
        """
        return self._ask((sources, options))

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _ask(self, question: tuple[Any, dict[str, Any]]) -> Any:
        try:
            pickle.dump(question, self._process.stdin)
            self._process.stdin.flush()
            answer, error = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError) as end:
            status = self._process.wait()
            raise RuntimeError(f"CTranslate2's process ended with status {status}") from end
        if error is not None:
            raise RuntimeError(error)
        return answer


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end: the first loads the model, the others translate."""
    import ctranslate2

    translator = None
    while True:
        try:
            what, options = pickle.load(requests)
        except EOFError:
            return
        answer, error = None, None
        try:
            if translator is None:
                translator = ctranslate2.Translator(what, **options)
            else:
                answer = [result.hypotheses[0] for result in translator.translate_batch(what, **options)]
        except Exception as problem:  # whatever it is, the other process has to say it
            error = f"{type(problem).__name__}: {problem}"
        pickle.dump((answer, error), answers)
        answers.flush()


def main() -> None:
    """Serve on standard input and output; what else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
