#!/usr/bin/env python3
"""Run a recipe: the steps that make a system of the model zoo, each a few commands with a result.

    run_recipe.py models/NAME [--from DIR] [--step STEP ...] [--work DIR] [--scale tiny] [--dry-run]

models/NAME/recipe.yaml lists the steps in order. Without --step all of them run, and one whose result is there is left
out, so that an interrupted run goes on where it stopped; with it those steps run again. A result appears under its name
only when it is whole: until then it is NAME.part, from which a training goes on. --from is the folder with the data;
--scale tiny takes the recipe's smallest sizes, for trying it; --dry-run prints the commands.

In recipe.yaml: ``values`` are names for parts of commands, ``tiny`` replaces some of them; a step has ``name``,
``about``, ``inputs`` (names of steps, or paths), ``run`` (its commands), ``output`` (a path, if it is not {work}/NAME)
and ``resume: true`` if its commands go on from what an interrupted run left in {out}. Commands are split into words as
a shell does, without being run by one; in braces stand values (one that is a word of its own may be several words),
{from}, {work}, {out} (what the step is to make) and, by its name, the result of another step.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_NAME = re.compile(r"\{([\w-]+)\}")
_TRAINING = re.compile(r"\bloss=([\d.]+).*\bnum_updates=(\d+)")
_VALIDATION = re.compile(r"valid on .*\| loss ([\d.]+)(?:.*\| acceptance_length ([\d.]+))?")
_GENERATION = re.compile(r"progress_bar(?: \| |:):?\s+(\d+) / (\d+)\b")


class RecipeError(Exception):
    """A recipe cannot be read or run; the message says why and what to do."""


@dataclass
class Step:
    """One step of a recipe; see the top of this file."""

    name: str
    about: str
    run: list[str]
    inputs: list[str] = field(default_factory=list)
    output: str = ""
    resume: bool = False


class Recipe:
    """The steps of models/NAME/recipe.yaml with everything in braces known.

    Args:
        folder: models/NAME.
        scale: "full" or "tiny".
        work: where results go; default runs/recipes/NAME, with -tiny behind it at that scale.
        source: the value of --from.
    """

    def __init__(self, folder: Path, scale: str = "full", work: Path | None = None, source: Path | None = None) -> None:
        path = folder / "recipe.yaml"
        if not path.is_file():
            raise RecipeError(
                f"RECIPE must be a folder with a recipe.yaml, got {folder}: pass for example models/NAME."
            )
        content = yaml.safe_load(path.read_text("utf-8"))
        try:
            self.steps = [Step(**step) for step in content["steps"]]
        except (TypeError, KeyError) as error:
            raise RecipeError(f"{path} must hold steps with name, about and run: {error}.") from error
        self.work = work or Path("runs/recipes") / (folder.name + ("-tiny" if scale == "tiny" else ""))
        self.values: dict[str, str] = {"work": str(self.work)} | ({"from": str(source)} if source else {})
        chosen: dict[str, Any] = content.get("values", {}) | (content.get("tiny", {}) if scale == "tiny" else {})
        for name, value in chosen.items():
            self.values[name] = self.fill(str(value))
        for step in self.steps:
            step.output = self.fill(step.output) if step.output else str(self.work / step.name)
            self.values[step.name] = step.output

    def fill(self, text: str, **more: str) -> str:
        """Replace the names in braces.

        Raises:
            RecipeError: one of them is unknown.
        """
        known = self.values | more

        def value(found: re.Match[str]) -> str:
            if found[1] not in known:
                hint = "pass --from DIR" if found[1] == "from" else f"known: {', '.join(sorted(known))}"
                raise RecipeError(f"{{{found[1]}}} in '{text}' has no value: {hint}.")
            return known[found[1]]

        return _NAME.sub(value, text)

    def commands(self, step: Step, out: str) -> list[list[str]]:
        """Return a step's commands, as words, when it is to make ``out``."""
        commands = []
        for line in step.run:
            words: list[str] = []
            for word in shlex.split(line):
                alone = _NAME.fullmatch(word)
                several = alone and alone[1] in self.values and not self._is_path(alone[1])
                filled = self.fill(word, out=out)
                words += shlex.split(filled) if several else [filled]
            commands.append(words)
        return commands

    def _is_path(self, name: str) -> bool:
        return name in {"from", "work", *(step.name for step in self.steps)}

    def select(self, names: list[str]) -> list[Step]:
        """Return the steps of these names.

        Raises:
            RecipeError: there is none of that name.
        """
        known = [step.name for step in self.steps]
        for name in names:
            if name not in known:
                raise RecipeError(f"--step must be a step of the recipe, got {name!r}: known are {', '.join(known)}.")
        return [step for step in self.steps if step.name in names]

    def missing(self, step: Step) -> list[str]:
        """Return what a step needs and does not find."""
        made = {step.name for step in self.steps}
        lacking = []
        for name in step.inputs:
            path = self.values[name] if name in made else self.fill(name)
            if not Path(path).exists():
                lacking.append(f"{path} (step {name})" if name in made else path)
        return lacking


def run_step(recipe: Recipe, step: Step, place: str) -> None:
    """Run the commands of a step; move its result to its name.

    Raises:
        RecipeError: an input is missing, or a command failed.
    """
    out, log = Path(step.output), recipe.work / f"{step.name}.log"
    lacking = recipe.missing(step)
    if lacking:
        raise RecipeError(f"step {step.name} needs {', '.join(lacking)}, which is not there: make it first.")
    part = out.with_name(out.name + ".part")
    commands = recipe.commands(step, str(part))
    if not step.resume:
        _remove(part)
    for folder in (recipe.work, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    print(f"{place} {step.name}: {step.about}", file=sys.stderr)
    began = time.monotonic()
    with log.open("a" if step.resume and part.exists() else "w", encoding="utf-8") as file:
        for words in commands:
            code = _follow(words, file)
            if code:
                tail = "".join(log.read_text("utf-8").splitlines(keepends=True)[-20:])
                raise RecipeError(
                    f"step {step.name} failed with status {code} in: {shlex.join(words)}\n{tail}(all of it: {log})"
                )
    if not part.exists():
        raise RecipeError(f"step {step.name} made no {part}: its commands must write {{out}}.")
    _remove(out)
    part.rename(out)
    print(f"      done in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _follow(words: list[str], log: Any) -> int:
    """Run a command with its output in ``log``; now and then say how far it is. Return its exit status."""
    beside = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": beside + os.pathsep + os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    log.write(f"$ {shlex.join(words)}\n")
    log.flush()
    try:
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
    except OSError as error:
        raise RecipeError(f"{words[0]} cannot be run: {error}.") from error
    began = last = time.monotonic()
    with process:
        try:
            for line in process.stdout:
                log.write(line)
                text, now = describe(line), time.monotonic()
                if text and now - last >= 10:
                    last = now
                    log.flush()
                    print(f"      {text}, {now - began:.0f} s", file=sys.stderr)
        except KeyboardInterrupt:
            process.terminate()
            raise
    return process.returncode


def describe(line: str) -> str | None:
    """Return what a line of a fairseq log (``--log-format simple``) says about progress, or None."""
    if found := _TRAINING.search(line):
        return f"update {found[2]}, loss {found[1]}"
    if found := _VALIDATION.search(line):
        return f"validation loss {found[1]}" + (f", acceptance length {found[2]}" if found[2] else "")
    if found := _GENERATION.search(line):
        return f"batch {found[1]} of {found[2]}"
    return None


def run(recipe: Recipe, names: list[str], dry: bool) -> None:
    """Run the named steps, or all that have no result yet."""
    steps = recipe.select(names) if names else recipe.steps
    for number, step in enumerate(steps, start=1):
        place = f"[{number}/{len(steps)}]"
        if dry:
            print(f"# {step.name}: {step.about} -> {step.output}")
            for words in recipe.commands(step, step.output):
                print(shlex.join(words))
        elif Path(step.output).exists() and not names:
            print(f"{place} {step.name}: done before, in {step.output}", file=sys.stderr)
        else:
            run_step(recipe, step, place)


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run; return 0, 1 after a failure, 130 after an interruption."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, metavar="models/NAME")
    parser.add_argument("--from", dest="source", type=Path, metavar="DIR", help="folder with the data")
    parser.add_argument("--step", action="append", default=[], help="run this step alone, again if it was done")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where results go (default: runs/recipes/NAME)")
    parser.add_argument("--scale", choices=["full", "tiny"], default="full")
    parser.add_argument("--dry-run", action="store_true", help="print the commands")
    args = parser.parse_args(argv)
    try:
        run(Recipe(args.recipe, args.scale, args.work, args.source), args.step, args.dry_run)
    except RecipeError as error:
        print(f"run_recipe.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun_recipe.py: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
