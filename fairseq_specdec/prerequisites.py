"""What has to be installed beside this package; where it is not, one message says what and how to mend it.

fairseq comes under several names (its release, forks, checkouts), so installing this package does not install it: it
could put a second one on top of one that works. Whether the one that is there will do is seen when it is imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec

MINIMUM = {"torch": "2.2", "numpy": ""}  # modules that decoding needs, as setup.py requires them
LAST_OF_THE_RELEASE = (3, 10)  # fairseq 0.12.2 does not import on later versions of Python


class PrerequisiteError(ImportError):
    """Something that this package needs is missing, too old or broken; the message says how to mend it."""


def check() -> None:
    """Look whether all is there, importing nothing.

    Raises:
        PrerequisiteError: with every reason, one a line.
    """
    reasons = [reason for module, minimum in MINIMUM.items() for reason in _missing(module, minimum)]
    reasons += _missing_fairseq()
    if reasons:
        raise PrerequisiteError("\n".join(reasons))


@contextmanager
def explained() -> Iterator[None]:
    """Around the import of fairseq and of what uses it: say what is wrong with fairseq instead of where it shows.

    Raises:
        PrerequisiteError: fairseq does not import, or is older than this package. Other errors stay what they are.
    """
    try:
        yield
    except Exception as error:
        shown = f"{type(error).__name__}: {error}".partition("\n")[0]
        if "fairseq" not in sys.modules:
            raise PrerequisiteError(_does_not_import(shown)) from None
        if _is_of_fairseq(error):
            raise PrerequisiteError(_lacks(shown)) from None
        raise


def install_fairseq() -> str:
    """Return the command that installs a fairseq that imports on this Python.

    The older one's metadata needs an older pip. The newer one is built against the torch that is here: pip would
    build it against another, which it downloads for that.
    """
    if sys.version_info[:2] <= LAST_OF_THE_RELEASE:
        return f'{_pip()} install "pip<24.1" && {_pip()} install fairseq==0.12.2'
    first = f"{_pip()} install cython numpy setuptools wheel torch"
    return f"{first} && {_pip()} install --no-build-isolation fairseq-fixed==0.12.3.1"


def _pip() -> str:
    return f"{sys.executable} -m pip"


def _missing(module: str, minimum: str) -> list[str]:
    """Return why a module will not do; nothing if it will."""
    wanted = f"{module}>={minimum}" if minimum else module
    if not sys.modules.get(module) and find_spec(module) is None:
        return [f"fairseq_specdec needs {wanted}, which is not installed: {_pip()} install {wanted!r}"]
    found = _version(module)
    if minimum and found and _numbers(found) < _numbers(minimum):
        return [f"fairseq_specdec needs {wanted}, but {found} is installed: {_pip()} install --upgrade {wanted!r}"]
    return []


def _missing_fairseq() -> list[str]:
    if sys.modules.get("fairseq"):
        return []
    spec = find_spec("fairseq")
    if spec is None:
        return [f"fairseq_specdec needs fairseq, which is not installed: {install_fairseq()}"]
    if spec.origin is None:
        folder = next(iter(spec.submodule_search_locations or ["?"]))
        return [
            f"fairseq_specdec needs fairseq, but {folder} hides it, or is a checkout that is not installed: run from "
            f"another folder, or install the checkout with {_pip()} install --no-build-isolation -e {folder}"
        ]
    return []


def _does_not_import(shown: str) -> str:
    """Say that ``import fairseq`` fails, and why that may be."""
    names = _distributions()
    which = ", ".join(f"{name} {_version(name)}" for name in names) or "a checkout"
    spec, python = find_spec("fairseq"), ".".join(map(str, sys.version_info[:2]))
    told = f"fairseq ({which}; {spec and spec.origin}) does not import on Python {python} ({shown})."
    if sys.version_info[:2] > LAST_OF_THE_RELEASE and "mutable default" in shown:
        told += f" Releases up to 0.12.2 end at Python {'.'.join(map(str, LAST_OF_THE_RELEASE))}."
    if len(names) > 1:
        told += " They were installed on top of each other."
    remove = f"{_pip()} uninstall -y {' '.join(names)} && " if names else ""
    return f"{told} Install one that imports: {remove}{install_fairseq()}"


def _lacks(shown: str) -> str:
    """Say that fairseq imports and has not all that is used here."""
    fairseq = sys.modules["fairseq"]
    version = getattr(fairseq, "__version__", "of unknown version")
    return (
        f"fairseq_specdec needs fairseq 0.12.2 or later, but fairseq {version} in {next(iter(fairseq.__path__))} has "
        f"not all of it ({shown}): update it, or install one that has: {install_fairseq()}"
    )


def _is_of_fairseq(error: Exception) -> bool:
    """Tell whether an error is about a name that fairseq should have."""
    about = getattr(error, "name", None) if isinstance(error, ImportError) else None
    if isinstance(error, AttributeError):
        about = getattr(error.obj, "__module__", None) or getattr(error.obj, "__name__", None)
    return str(about).split(".")[0] in ("fairseq", "fairseq_cli")


def _distributions() -> list[str]:
    """Return the names of what is installed as ``fairseq``."""
    return sorted(set(metadata.packages_distributions().get("fairseq", [])))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
