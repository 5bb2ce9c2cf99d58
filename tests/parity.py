"""Which options decode as fairseq does, with which drafter and beam: a matrix that is made by trying.

python -m tests.parity [--check]        # or: make parity; writes docs/parity.md, or says whether it is as it should be
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.native import library
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask
from tests import oracle, tiny

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
SHORT = {"max_len_b": 9}
OPTIONS: dict[str, dict[str, Any]] = {
    "(defaults)": {},
    "--max-len-a 0.5 --max-len-b 2": {"max_len_a": 0.5, "max_len_b": 2},
    "--min-len 6": {"min_len": 6},
    "--lenpen 2": {"lenpen": 2.0},
    "--unnormalized": {"unnormalized": True},
    "--unkpen 3": {"unkpen": 3.0},
    "--temperature 0.7": {"temperature": 0.7},
    "--prefix-size 2": {"prefix_size": 2},
    "--match-source-len": {"match_source_len": True},
    "--no-repeat-ngram-size 2": {"no_repeat_ngram_size": 2},
    "--print-alignment hard": {"print_alignment": "hard"},
    "--sampling --sampling-topk 3": {"sampling": True, "sampling_topk": 3},
    "--diversity-rate 0.5": {"diversity_rate": 0.5},
    "--retain-dropout": {"retain_dropout": True},
}
DRAFTERS = ("none", "nat", "self", "ar", "input", "ngram", "file")
SYSTEMS = [*((drafter, 1) for drafter in DRAFTERS), ("none", 2), ("none", 5), ("none", 8), ("input", 5), ("ngram", 5)]
SIZES = (1, 6)
HEAD = """# Options, drafters and beams

Every cell was tried on small random models: sentences one at a time and {n} in a batch, by the compiled layers and by
torch. `=` every hypothesis, its place and its tokens are those of `fairseq-generate --task translation` with the same
options, scores to 1e-4. `stock` fairseq's own generator decodes, with a warning that says why. A number is a refusal,
below. `make parity` makes this page; a test holds it against what is so. What random models do with all of this
together is tried by `make fuzz`.

"""


class Parity:
    """Tries cells.

    Args:
        folder: for data and models.
    """

    def __init__(self, folder: Path) -> None:
        self._data = tiny.make_data_bin(folder / "joined", joined=True)
        verifier = tiny.save_verifier(folder / "v.pt", self._data, share_all_embeddings=True)
        drafter = tiny.save_random(folder / "d.pt", self._data, arch="spec_drafter_tiny", task="spec_drafter")
        guesses = folder / "guesses.txt"
        guesses.write_text((self._data / "test.en").read_text("utf-8"), "utf-8")
        self._setting = oracle.load(verifier, self._data)
        student = tiny.save_verifier(folder / "s.pt", self._data, seed=2, decoder_layers=1)
        files = {
            "nat": {"drafter_path": str(drafter)},
            "ar": {"drafter_path": str(student)},
            "file": {"draft_file": str(guesses)},
        }
        self._tasks = {name: self._task(name, **files.get(name, {})) for name in DRAFTERS}
        self._samples = [list(oracle.batches(self._setting[1], size, max(SIZES))) for size in SIZES]

    def _task(self, drafter: str, **options: Any) -> TranslationSpecDecTask:
        cfg = TranslationSpecDecConfig(
            data=str(self._data), drafter=drafter, dataset_impl=None, required_seq_len_multiple=1, **options
        )
        task = TranslationSpecDecTask.setup_task(cfg)
        task.load_dataset("test")
        return task

    def cell(self, options: dict[str, Any], drafter: str, beam: int) -> str:
        """Return "=", "stock", or the message of the refusal.

        Raises:
            AssertionError: what comes out is not fairseq's.
        """
        options = {**SHORT, "beam": beam, **options}
        models, task = self._setting[0], self._tasks[drafter]
        logging.disable(logging.WARNING)
        try:
            generator = task.build_generator(models, Namespace(**options))
        except OptionError as error:
            return str(error)
        finally:
            logging.disable(logging.NOTSET)
        if not isinstance(generator, SpecGenerator):
            return "stock"
        for samples in self._samples:
            expected = oracle.stock(self._setting, samples, **options)
            for sample, wanted in zip(samples, expected, strict=True):
                found = generator.generate(models, sample, prefix_tokens=oracle.prefix_of(sample, options))
                oracle.assert_same(wanted, found)
                for one, other in zip(sum(wanted, []), sum(found, []), strict=True):
                    assert str(one["alignment"]) == str(other["alignment"])
        return "="

    def page(self) -> str:
        """Try every cell; return the page."""
        refusals: list[str] = []
        heads = [f"`{drafter}`" if beam == 1 else f"`{drafter}`, beam {beam}" for drafter, beam in SYSTEMS]
        lines = ["| option | " + " | ".join(heads) + " |", "| --- |" + " :---: |" * len(heads)]
        for name, options in tqdm(OPTIONS.items(), unit="option", disable=None):
            cells = []
            for drafter, beam in SYSTEMS:
                cell = self.cell(options, drafter, beam)
                if cell not in ("=", "stock"):
                    refusals += [cell] if cell not in refusals else []
                    cell = f"({refusals.index(cell) + 1})"
                cells.append(cell)
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
        told = [f"{i}. {text}" for i, text in enumerate((" ".join(text.split()) for text in refusals), start=1)]
        return HEAD.format(n=max(SIZES)) + "\n".join([*lines, "", *told]) + "\n"


def every_page(folder: Path) -> str:
    """Return the page; the compiled layers and torch have to give the same one."""
    pages = []
    for disabled in ("", "1"):
        os.environ[library.DISABLE] = disabled
        library.library.cache_clear()
        pages.append(Parity(folder / f"layers{disabled}").page())
    os.environ.pop(library.DISABLE)
    library.library.cache_clear()
    assert pages[0] == pages[1]
    return pages[0]


def main() -> int:
    """Write the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        page = every_page(Path(folder))
    if args.check:
        return int(page != PAGE.read_text("utf-8"))
    PAGE.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
