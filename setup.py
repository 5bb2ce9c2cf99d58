"""Metadata of the distribution ``fairseq-specdec``.

fairseq's release of 2022 does not import on Python 3.11 and later; there ``fairseq-fixed`` provides that import name.
The install steps that avoid a second torch in build isolation are in the Makefile.
"""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.md")

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
    python_requires=">=3.10,<3.13",
    install_requires=[
        'fairseq==0.12.2; python_version < "3.11"',
        'fairseq-fixed==0.12.3.1; python_version >= "3.11"',
        "torch>=2.2",
        "numpy",
        "sacrebleu>=2.0",
        "sacremoses",
        "sentencepiece",
        "rouge-score",
        "tqdm",
    ],
    extras_require={
        "bench": ["ctranslate2", "matplotlib"],
        "gec": ["errant"],
        "test": ["pytest", "pytest-xdist"],
        "dev": ["ruff", "pre-commit"],
    },
    entry_points={"console_scripts": ["specdec=fairseq_specdec.cli.main:main"]},
    zip_safe=False,
)
