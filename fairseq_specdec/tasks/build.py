"""Tasks of this package from options by their Python names, as a command would make them."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from fairseq import options
from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY

from fairseq_specdec.config import OptionError
from fairseq_specdec.tasks.speculative import SpeculativeTask


def task_class(name: str) -> type[SpeculativeTask]:
    """Return a task that this package can decode with.

    Raises:
        OptionError: there is none of this name.
    """
    known = sorted(task for task, cls in TASK_REGISTRY.items() if issubclass(cls, SpeculativeTask))
    if name not in known:
        raise OptionError([f"task must be one of {', '.join(known)}, got {name}: choose one."])
    return TASK_REGISTRY[name]


def sibling_of(name: str) -> str:
    """Return the name of this package's task for one of fairseq's, or for itself.

    Raises:
        OptionError: fairseq's task has no sibling here.
    """
    own = [task for task, cls in TASK_REGISTRY.items() if issubclass(cls, SpeculativeTask)]
    stock = {stock_of(task): task for task in own}
    if name not in (*own, *stock):
        known = ", ".join(sorted({*own, *stock}))
        raise OptionError([f"--task must be one that this package decodes, {known}, got {name}: choose one."])
    return stock.get(name, name)


def stock_of(name: str) -> str:
    """Return the name of fairseq's task that a task of this package extends."""
    names = {cls: task for task, cls in TASK_REGISTRY.items() if not issubclass(cls, SpeculativeTask)}
    return next(names[cls] for cls in task_class(name).__mro__ if cls in names)


def own_options(name: str) -> set[str]:
    """Return the options of a task of fairseq's that is sibling to this one; none where a dataclass has them."""
    cls, parser = task_class(name), argparse.ArgumentParser()
    if name in TASK_DATACLASS_REGISTRY:
        return set()
    cls.add_args(parser)
    return {action.dest for action in parser._actions} - {"help", "data"}


def options_on(name: str, words: Sequence[str], command: str) -> dict[str, Any]:
    """Return the options of a task that a command line gives, by their Python names; end the command if it has others.

    Args:
        name: of the task.
        words: of the command line.
        command: its name, for messages.
    """
    parser = argparse.ArgumentParser(command, allow_abbrev=False)
    task_class(name).add_args(parser)
    found = vars(parser.parse_args(["", *words]))  # the data comes first
    del found["data"]
    return {option: value for option, value in found.items() if value != parser.get_default(option)}


def build_task(name: str, asked: Mapping[str, Any], words: Sequence[str] = ()) -> SpeculativeTask:
    """Make a task.

    Args:
        name: registered.
        asked: its options; a list stands for its elements with commas between.
        words: further ones, as on a command line.

    Raises:
        OptionError, ValueError: some cannot be honoured.
    """
    cls = task_class(name)
    if name in TASK_DATACLASS_REGISTRY:
        return cls.setup_task(TASK_DATACLASS_REGISTRY[name](**{**asked, **options_on(name, words, name)}))
    argv = [str(asked["data"]), "--task", name]
    for option, value in asked.items():
        if option == "data" or value is None or value is False:
            continue
        text = ",".join(value) if isinstance(value, list | tuple) else str(value)
        argv += [f"--{option.replace('_', '-')}"] + ([] if value is True else [text])
    return cls.setup_task(options.parse_args_and_arch(options.get_interactive_generation_parser(), [*argv, *words]))
