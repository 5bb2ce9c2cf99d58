"""Metadata of the distribution ``fairseq-specdec``.

fairseq is an extra: one that is installed already, from whatever source and under whatever name, must not get another
on top of it. Its release of 2022 does not import on Python 3.11 and later; there ``fairseq-fixed`` provides that import
name.
The install steps that avoid a second torch in build isolation are in the Makefile.
"""

from pathlib import Path

from setuptools import Extension, find_packages, setup

README = Path(__file__).with_name("README.md")
CSRC = Path("fairseq_specdec/engine/native/csrc")
INSTRUCTION_SETS = {"avx512": ["-march=x86-64-v4"], "avx2": ["-march=x86-64-v3"], "portable": []}


def library(name: str, flags: list[str]) -> Extension:
    """Return the engine's compiled layers for an instruction set; what cannot be built here is left out.

    It is compiled with OpenMP and linked without: torch's runtime serves it when it is loaded, and there is one team
    of threads. No header of torch or Python is used, so it fits every version of them.
    """
    return Extension(
        f"fairseq_specdec.engine.native._native_{name}",
        [str(CSRC / f"{name}.cpp")],
        depends=sorted(map(str, CSRC.glob("*.h"))),
        extra_compile_args=["-O3", "-std=c++17", "-fopenmp", "-Wno-psabi", *flags],
        language="c++",
        optional=True,
    )


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
    ext_modules=[library(name, flags) for name, flags in INSTRUCTION_SETS.items()],
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
    entry_points={"console_scripts": ["specdec=fairseq_specdec.cli.main:main"]},
    zip_safe=False,
)
