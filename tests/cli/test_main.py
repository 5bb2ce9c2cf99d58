import sys
import types

import pytest

from fairseq_specdec.cli.main import COMMANDS, main
from fairseq_specdec.config import OptionError


@pytest.fixture
def toy(monkeypatch):
    """A subcommand that returns the status it is given, or refuses it."""

    def add_arguments(parser):
        parser.add_argument("--status", type=int)

    def run(args):
        if args.status < 0:
            raise OptionError(["--status must not be negative, got -1: pass 0.", "another reason"])
        return args.status

    module = types.ModuleType("fairseq_specdec.cli.toy", "A toy.")
    module.add_arguments, module.run = add_arguments, run
    monkeypatch.setitem(sys.modules, "fairseq_specdec.cli.toy", module)
    monkeypatch.setitem(COMMANDS, "toy", "a toy")


def test_help_names_every_command_without_importing_one(capsys, monkeypatch):
    modules = {f"fairseq_specdec.cli.{name.replace('-', '_')}" for name in COMMANDS}
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    assert not modules & set(sys.modules)


def test_no_command_prints_the_usage_and_fails(capsys):
    assert main([]) == 2
    assert "usage: specdec COMMAND" in capsys.readouterr().out


def test_unknown_command_names_the_nearest_and_all(capsys):
    assert main(["scores"]) == 2
    error = capsys.readouterr().err
    assert (
        error == "specdec: error: Unknown command 'scores'. Did you mean 'score'? "
        "Known: bench, certify, distill, index, info, score, user-dir.\n"
    )


@pytest.mark.parametrize("status", [0, 1])
def test_status_of_the_command_is_returned(toy, status):
    assert main(["toy", "--status", str(status)]) == status


def test_reasons_are_printed_one_a_line_with_status_2(toy, capsys):
    assert main(["toy", "--status", "-1"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "specdec toy: error: --status must not be negative, got -1: pass 0.",
        "specdec toy: error: another reason",
    ]


def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(toy, monkeypatch, capsys):
    def run(args):
        import rouge_score.rouge_scorer  # noqa: F401

    monkeypatch.setitem(sys.modules, "rouge_score", None)
    monkeypatch.setattr(sys.modules["fairseq_specdec.cli.toy"], "run", run)
    assert main(["toy"]) == 2
    told = f"the package rouge-score is not installed: {sys.executable} -m pip install rouge-score"
    assert capsys.readouterr().err == f"specdec toy: error: {told}\n"


def test_arguments_of_the_process_are_the_default(toy, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["specdec", "toy", "--status", "3"])
    assert main() == 3
