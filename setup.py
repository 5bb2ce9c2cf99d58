"""Metadata of the distribution ``fairseq-specdec``.

fairseq is an extra: one that is installed already, from whatever source and under whatever name, must not get another
on top of it. Its release of 2022 does not import on Python 3.11 and later; there ``fairseq-fixed`` provides that import
name.
The install steps that avoid a second torch in build isolation are in the Makefile.
"""

import platform
import re
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

README = Path(__file__).with_name("README.md")
NATIVE = Path("fairseq_specdec/engine/native")
CSRC = NATIVE / "csrc"
NOTE = "_native_build.txt"  # read by engine/native/missing.py
COMMON = ["-O3", "-std=c++17", "-ffp-contract=off"]  # sums are fused where the source says so and nowhere else
# GCC 12 warns of its own header for AVX-512; clang of warnings that it does not know.
QUIET = ["-Wno-psabi", "-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-unknown-warning-option"]
AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt", "-mmovbe", "-mpopcnt"]  # older compilers know these
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl"]
X86 = {"avx512": AVX512, "avx2": AVX2, "portable": []}
ARM = {"neon": ["-march=armv8-a"]}


def instruction_sets(machine: str) -> dict[str, list[str]]:
    """Return the libraries to build for a machine, and the compiler's flags for each."""
    families = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}
    return families.get(machine.lower(), {"portable": []})


def library(name: str, flags: list[str]) -> Extension:
    """Return the engine's compiled layers for an instruction set; what cannot be built here is left out.

    It calls OpenMP by the names of GCC's entry points and is linked without: torch's runtime serves it when it is
    loaded, and there is one team of threads. No header of torch or Python is used, so it fits every version of them.
    """
    return Extension(
        f"fairseq_specdec.engine.native._native_{name}",
        [str(CSRC / f"{name}.cpp")],
        depends=sorted(map(str, CSRC.glob("*.h"))),
        extra_compile_args=[*COMMON, *QUIET, *flags],
        language="c++",
        optional=True,
    )


class BuildLibraries(build_ext):
    """Compile without Python's tag in the file names, and leave a note of what could not be compiled and why."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return where a library goes: ``package/_native_avx2.so``, whichever Python builds it."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def run(self) -> None:
        """Compile; setuptools goes on where a library is optional and fails."""
        self.failures: list[str] = []
        super().run()
        note = (NATIVE if self.inplace else Path(self.build_lib) / NATIVE) / NOTE
        note.unlink(missing_ok=True)
        if self.failures:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text("\n".join(self.failures) + "\n", encoding="utf-8")

    def build_extension(self, ext: Extension) -> None:
        """Compile a library, or note why not."""
        try:
            super().build_extension(ext)
        except Exception as error:
            reason = " ".join(str(error).split())
            self.failures.append(f"{ext.name.rpartition('_native_')[2]}: {reason}")
            raise


class PlatformWheel(bdist_wheel):
    """A wheel for every Python 3 of a platform: the libraries use no header of Python's or torch's.

    Its platform is manylinux_2_28, torch's own, if the symbols of the system that the libraries want are as old.
    """

    OLD_ENOUGH = {b"GLIBC": (2, 28), b"GLIBCXX": (3, 4, 25), b"CXXABI": (1, 3, 11)}  # what PEP 600 allows it

    def get_tag(self) -> tuple[str, str, str]:
        """Return the wheel's tag: Python, ABI and platform."""
        platform = super().get_tag()[2]
        built = [path for path in map(Path, self.get_finalized_command("build_ext").get_outputs()) if path.exists()]
        if platform.startswith("linux_") and built and all(map(self._is_portable, built)):
            platform = platform.replace("linux", "manylinux_2_28", 1)
        return "py3", "none", platform

    def _is_portable(self, library: Path) -> bool:
        """Tell whether every version of a symbol that a library names is old enough."""
        found = re.findall(rb"\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)\0", library.read_bytes())
        return all(tuple(map(int, version.split(b"."))) <= self.OLD_ENOUGH[name] for name, version in found)


setup(
    name="fairseq-specdec",
    version="0.1.0",
    description="Lossless speculative decoding for fairseq encoder-decoder models, in batches, as a fairseq user-dir",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    author="the fairseq_specdec authors",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["speculative decoding", "fairseq", "machine translation", "sequence to sequence"],
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["fairseq_specdec", "fairseq_specdec.*"]),
    py_modules=["fairseq_specdec_command"],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": PlatformWheel},
    ext_modules=[library(*one) for one in instruction_sets(platform.machine()).items()],
    python_requires=">=3.10,<3.13",
    install_requires=[
        "torch>=2.2",
        "numpy",
        "sacrebleu>=2.0",
        "sacremoses",
        "sentencepiece",
        "rouge-score",
        "tqdm",
    ],
    extras_require={
        "fairseq": [
            'fairseq==0.12.2; python_version < "3.11"',
            'fairseq-fixed==0.12.3.1; python_version >= "3.11"',
        ],
        "bench": ["ctranslate2", "matplotlib"],
        "gec": ["errant"],
        "test": ["pytest", "pytest-xdist"],
        "dev": ["ruff", "pre-commit"],
    },
    entry_points={"console_scripts": ["specdec=fairseq_specdec_command:main"]},
    zip_safe=False,
)
