"""What is missing, too old or broken is told in one message with the command that mends it."""

import ast
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from fairseq_specdec import prerequisites
from fairseq_specdec.prerequisites import MINIMUM, PrerequisiteError, check, explained

ROOT = Path(__file__).parents[1]


@pytest.fixture
def only(monkeypatch):
    """Let nothing be installed but what is given: module -> (version, spec)."""

    def install(**modules):
        for name in ("torch", "numpy", "fairseq"):
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(prerequisites, "find_spec", lambda name: modules[name][1] if name in modules else None)
        monkeypatch.setattr(prerequisites, "_version", lambda name: modules[name][0] if name in modules else None)
        monkeypatch.setattr(prerequisites, "_distributions", lambda: ["fairseq"] if "fairseq" in modules else [])

    return install


def module(name):
    return ModuleSpec(name, None, origin=f"/there/{name}/__init__.py")


def python(monkeypatch, *version):
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))


ENOUGH = {"torch": ("2.13.0+cpu", module("torch")), "numpy": ("2.4.6", module("numpy"))}


def test_all_is_there_where_these_tests_run():
    check()


def test_everything_that_is_missing_is_told_at_once(only):
    only()
    with pytest.raises(PrerequisiteError) as told:
        check()
    torch, numpy, fairseq = str(told.value).splitlines()
    assert torch.endswith(f"needs torch>=2.2, which is not installed: {sys.executable} -m pip install 'torch>=2.2'")
    assert numpy.endswith("pip install 'numpy'")
    assert "needs fairseq, which is not installed" in fairseq


@pytest.mark.parametrize("version", ["1.13.1", "2.1.2+cu118"])
def test_a_torch_that_is_too_old_is_told_with_both_versions(only, version):
    only(**ENOUGH | {"torch": (version, module("torch")), "fairseq": ("0.12.2", module("fairseq"))})
    with pytest.raises(PrerequisiteError, match=r"needs torch>=2\.2, but .* is installed: .* --upgrade") as told:
        check()
    assert version in str(told.value)


@pytest.mark.parametrize("version", ["2.2.0", "2.13.0", "10.0", None])
def test_a_torch_that_will_do_is_not_complained_of(only, version):
    only(**ENOUGH | {"torch": (version, module("torch")), "fairseq": ("0.12.2", module("fairseq"))})
    check()


def test_the_command_to_mend_fits_the_python(only, monkeypatch):
    only(**ENOUGH)
    python(monkeypatch, 3, 10)
    with pytest.raises(PrerequisiteError, match=r'"pip<24\.1" && .* install fairseq==0\.12\.2$'):
        check()
    python(monkeypatch, 3, 12)
    with pytest.raises(PrerequisiteError, match=r"--no-build-isolation fairseq-fixed==0\.12\.3\.1$"):
        check()


def test_a_folder_called_fairseq_is_not_taken_for_the_package(only):
    folder = ModuleSpec("fairseq", None)
    folder.submodule_search_locations = ["/home/me/fairseq"]
    only(**ENOUGH, fairseq=(None, folder))
    with pytest.raises(PrerequisiteError, match="/home/me/fairseq hides it, or is a checkout that is not installed"):
        check()


def test_the_release_of_2022_on_a_later_python_is_named(only, monkeypatch):
    only(**ENOUGH, fairseq=("0.12.2", module("fairseq")))
    python(monkeypatch, 3, 11)
    with pytest.raises(PrerequisiteError) as told, explained():
        raise ValueError("mutable default <class 'CommonConfig'> for field common is not allowed\nmore")
    assert str(told.value).startswith(
        "fairseq (fairseq 0.12.2; /there/fairseq/__init__.py) does not import on Python 3.11 (ValueError: mutable "
        "default <class 'CommonConfig'> for field common is not allowed). Releases up to 0.12.2 end at Python 3.10. "
    )
    assert f"{sys.executable} -m pip uninstall -y fairseq && " in str(told.value)


def test_two_distributions_of_fairseq_are_both_named_and_removed(only, monkeypatch):
    only(**ENOUGH, fairseq=("0.12.2", module("fairseq")))
    monkeypatch.setattr(prerequisites, "_distributions", lambda: ["fairseq", "fairseq-fixed"])
    with pytest.raises(PrerequisiteError, match="on top of each other.* uninstall -y fairseq fairseq-fixed && "):
        with explained():
            raise ImportError("undefined symbol")


def test_a_fairseq_without_what_is_used_is_told_with_its_version(monkeypatch):
    import fairseq

    monkeypatch.setattr(fairseq, "__version__", "0.9.0")
    told = r"0\.12\.2 or later, but fairseq 0\.9\.0 in .* has not all of it \(.*no_such"
    with pytest.raises(PrerequisiteError, match=told), explained():
        from fairseq.modules import no_such_layer  # noqa: F401
    with pytest.raises(PrerequisiteError, match=told), explained():
        import fairseq.no_such_part  # noqa: F401
    with pytest.raises(PrerequisiteError, match=told), explained():
        fairseq.data.no_such_set  # noqa: B018


@pytest.mark.parametrize(
    "error", [ImportError("x", name="torch.x"), ValueError("x"), AttributeError("x", obj=object())]
)
def test_errors_that_are_not_about_fairseq_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, explained():
        raise error
    assert raised.value is error


def test_importing_without_fairseq_ends_in_the_message_and_nothing_deeper():
    script = "import sys; sys.modules['fairseq'] = None; import fairseq_specdec"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    files = {Path(line.split('"')[1]).name for line in done.stderr.splitlines() if line.startswith("  File ")}
    assert files == {"<string>", "__init__.py", "prerequisites.py"}
    assert "PrerequisiteError: fairseq_specdec needs fairseq, which is not installed" in done.stderr


def test_setup_asks_for_the_same_and_leaves_fairseq_to_the_extra():
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text("utf-8"))) if isinstance(node, ast.Call)]
    (setup,) = [call for call in calls if getattr(call.func, "id", "") == "setup"]
    said = {keyword.arg: keyword.value for keyword in setup.keywords}
    required, extras = ast.literal_eval(said["install_requires"]), ast.literal_eval(said["extras_require"])
    assert {f"{name}>={minimum}" if minimum else name for name, minimum in MINIMUM.items()} <= set(required)
    assert not [name for name in required if name.startswith("fairseq")]
    assert [name.partition("=")[0] for name in extras["fairseq"]] == ["fairseq", "fairseq-fixed"]
