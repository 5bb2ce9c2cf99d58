"""What the command ``specdec`` imports before a subcommand runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fairseq_specdec
import fairseq_specdec_command
from fairseq_specdec.cli.main import COMMANDS, WITHOUT_FAIRSEQ, needs_fairseq
from tests.test_layers import IMPORTS, inside

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "fairseq", "fairseq_cli"}


def everything_imported_by(module):
    """Return the first names of all that a module and what it imports from the package import, `__init__` apart."""
    seen, left = set(), {module}
    while left:
        seen |= left
        left = set().union(*map(inside, left)) - seen - {"__init__"}
    return {name.split(".")[0] for module in seen for name in IMPORTS[module]}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_subcommand_is_started_without_fairseq_if_it_imports_nothing_of_it(name):
    imported = everything_imported_by(f"cli.{name.replace('-', '_')}") & HEAVY
    assert (name in WITHOUT_FAIRSEQ) == (not imported)
    assert needs_fairseq([name, "--help"]) == bool(imported)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["scores"]])
def test_usage_and_errors_need_no_fairseq(arguments):
    assert not needs_fairseq(arguments)


def specdec(before, *arguments):
    """Run the command after a line of Python; returns the finished process, which lists the heavy modules it has."""
    listing = f"sys.stderr.write('imported ' + ' '.join(sorted({HEAVY} & set(sys.modules))))"
    script = f"import sys, fairseq_specdec_command as c\n{before}\ntry: sys.exit(c.main())\nfinally: {listing}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_text_is_scored_without_importing_torch(tmp_path):
    (tmp_path / "text").write_text("a b c d e\n")
    done = specdec("", "score", "bleu", "--hyp", str(tmp_path / "text"), "--ref", str(tmp_path / "text"))
    assert (done.returncode, done.stderr) == (0, "imported ")
    assert done.stdout.startswith("bleu 100.00")


def test_without_fairseq_a_subcommand_that_needs_it_ends_in_one_line():
    done = specdec("sys.modules['fairseq'] = None", "info", "verifier.pt")
    assert done.returncode == 2
    (line,) = done.stderr.removesuffix("imported fairseq").splitlines()
    assert line.startswith("specdec: error: fairseq_specdec needs fairseq, which is not installed: ")


def test_a_package_that_is_imported_already_stays_what_it_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["specdec", "user-dir"])
    assert fairseq_specdec_command.main() == 0
    assert capsys.readouterr().out.strip() == str(Path(fairseq_specdec.__file__).parent)
    assert sys.modules["fairseq_specdec"] is fairseq_specdec
