"""Options that fairseq passes to ``eval`` are read as literals: those of a checkpoint must not run code.

Model classes, optimizers and criterions of fairseq evaluate strings themselves (lists of convolutions, the betas of
Adam), each in its own module, so each module gets an ``eval`` of its own, which hides the builtin.
"""

import ast
import functools
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_PACKAGES = ("fairseq", "fairseq_cli")
_LITERAL_NODES = (
    *(ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Load, ast.UnaryOp, ast.UAdd, ast.USub),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div),
)


def read_options_as_literals() -> None:
    """Make every module of fairseq, loaded or yet to be, read options as literals, such as ``[3] * 2 + [7]``.

    fairseq passes them to ``eval`` when it builds a model, and in generation they come from the checkpoint: reading the
    file safely would be in vain.
    """
    for name, module in list(sys.modules.items()):
        if _is_of_fairseq(name) and module is not None:
            _give_eval(module)
    if not any(isinstance(finder, _LiteralEvalFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LiteralEvalFinder())


def _is_of_fairseq(name: str) -> bool:
    return name.partition(".")[0] in _PACKAGES


def _give_eval(module: ModuleType) -> None:
    vars(module).setdefault("eval", evaluate_literal)


class _LiteralEvalFinder(MetaPathFinder):
    """Finds modules of fairseq where Python does; their ``eval`` is there before they run."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the module's spec, None for a module that is not fairseq's."""
        spec = PathFinder.find_spec(name, path, target) if _is_of_fairseq(name) and "." in name else None
        if spec is None or not hasattr(spec.loader, "exec_module"):
            return None
        spec.loader.exec_module = functools.partial(_run_with_eval, spec.loader.exec_module)  # type: ignore[union-attr]
        return spec


def _run_with_eval(run: Any, module: ModuleType) -> None:
    _give_eval(module)
    run(module)


def evaluate_literal(text: str) -> Any:
    """Return the value of a Python literal, in which + - * / may be used.

    Raises:
        TypeError: not a string (what ``eval`` raises, and ``eval_bool`` expects).
        ValueError: it has names, calls, attributes or anything else that is not a literal.
    """
    if not isinstance(text, str):
        raise TypeError(f"an option to evaluate must be a string, got {type(text).__name__}")
    tree = ast.parse(text.strip(), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _LITERAL_NODES):
            raise ValueError(
                f"Option value {text!r} must be a literal such as [10000, 20000], but has a {type(node).__name__}: "
                "write the value out."
            )
    return eval(compile(tree, "<option>", "eval"), {"__builtins__": {}})
