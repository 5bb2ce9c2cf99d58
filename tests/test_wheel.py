"""The wheel, installed in an environment of its own from which no compiler is seen; no network is needed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fairseq_specdec.engine.native import library as native
from tests import tiny

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "fairseq_specdec_command.py")
STOCK = ("--task", "translation", "--beam", "1", "--cpu", "--no-progress-bar")
DECODE = """
import sys
from fairseq_cli.generate import cli_main
cli_main()
import fairseq_specdec
from fairseq_specdec.engine.native.library import layers_by
print("ran", fairseq_specdec.__file__, layers_by())
"""


def run(*command, cwd, **environment):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def build(folder, **environment):
    """Build a wheel from a copy of the sources; libraries that lie in ``folder / "lib"`` are not compiled again."""
    source = folder / "source"
    shutil.copytree(
        ROOT / "fairseq_specdec", source / "fairseq_specdec", ignore=shutil.ignore_patterns("*.so", "_*.txt")
    )
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    building = ("build", "--build-lib", folder / "lib", "bdist_wheel", "--dist-dir", folder / "dist")
    run(sys.executable, "setup.py", "-q", *building, cwd=source, **{**os.environ, **environment})
    (wheel,) = (folder / "dist").iterdir()
    return wheel


def install(wheel, folder):
    """Make an environment with nothing of ours but the wheel; what fairseq and torch need is what runs these tests."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent, **os.environ)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", wheel, cwd=folder, **os.environ)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return site


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, with the libraries that are here; it would take half a minute to compile them again."""
    folder = tmp_path_factory.mktemp("wheel")
    here = Path(native.__file__).parent
    there = folder / "lib" / here.relative_to(ROOT)
    there.mkdir(parents=True)
    for library in here.glob("_native_*.so"):
        shutil.copyfile(library, there / library.name)  # as new, so newer than the sources
    return build(folder)


def test_the_wheel_is_for_every_python_of_the_platform(wheel):
    machine = os.uname().machine
    assert re.fullmatch(rf"fairseq_specdec-[\d.]+-py3-none-(manylinux_2_28|linux)_{machine}\.whl", wheel.name)


def test_installed_without_a_compiler_it_decodes_by_compiled_layers_from_anywhere(wheel, verifier, data_bin, tmp_path):
    site = install(wheel, tmp_path / "env")
    environment = {"PATH": str(site.parents[2] / "bin"), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    assert not shutil.which("c++", path=environment["PATH"])
    folder = run("specdec", "user-dir", cwd=tmp_path, **environment).strip()
    assert folder == str(site / "fairseq_specdec")
    options = ("--user-dir", folder, "--task", "translation_specdec", *STOCK[2:])
    said = run("python", "-c", DECODE, data_bin, "--path", verifier, *options, cwd=tmp_path, **environment)
    assert said.splitlines()[-1] == f"ran {site}/fairseq_specdec/__init__.py {native.layers_by()}"
    assert native.layers_by() != "torch", "the compiled layers are missing: make install"
    expected = tiny.fairseq_generate(data_bin, verifier, tmp_path / "stock", *STOCK).read_text("utf-8")
    hypotheses = re.compile(r"^H-\d+\t\S+\t.*$", re.MULTILINE)
    assert tokens(hypotheses.findall(said)) == tokens(hypotheses.findall(expected))


def tokens(lines):
    """Return what was decoded by sentence, scores apart."""
    return {line.split("\t")[0]: line.split("\t")[2] for line in lines}


def test_sources_that_cannot_be_compiled_make_a_wheel_that_says_why(tmp_path):
    wheel = build(tmp_path, CC="/no/compiler", CXX="/no/compiler")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    there = tmp_path / "unpacked" / "fairseq_specdec" / "engine" / "native"
    assert not list(there.glob("*.so"))
    reasons = (there / "_native_build.txt").read_text("utf-8").splitlines()
    assert reasons and all(re.fullmatch(r"\w+: .*No such file or directory: '/no/compiler'", line) for line in reasons)
