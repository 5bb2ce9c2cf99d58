import logging
import subprocess
import sys

import pytest

from fairseq_specdec.compat import quiet_import


@pytest.fixture
def root():
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    before = list(root.handlers), root.level, root.manager.disable
    yield root
    root.handlers[:], (root.level, root.manager.disable) = before[0], before[1:]


def test_importing_the_package_prints_nothing_and_leaves_logging_alone():
    code = "import fairseq_specdec, logging; root = logging.getLogger(); assert not root.handlers, root; "
    code += "assert root.level == logging.WARNING and logging.getLogger('fairseq').isEnabledFor(logging.WARNING)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_an_import_logs_and_sets_is_undone(root, capsys):
    handlers, level = list(root.handlers), root.level
    with quiet_import():
        root.addHandler(logging.StreamHandler())
        root.setLevel(logging.DEBUG)
        logging.getLogger("some.module").info("install me")
        logging.getLogger("some.module").warning("mind me")
    assert (root.handlers, root.level, root.manager.disable) == (handlers, level, logging.NOTSET)
    assert capsys.readouterr().err == "mind me\n"


def test_what_a_program_disabled_stays_disabled(root):
    logging.disable(logging.ERROR)
    with pytest.raises(ImportError), quiet_import():
        raise ImportError
    assert root.manager.disable == logging.ERROR
