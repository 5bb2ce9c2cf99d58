"""Runs of fairseq-generate in one process, and how two of them are compared; shared by the recipes' result scripts."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import os
import platform
import re
import time
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from fairseq import options as fairseq_options
from fairseq.data.data_utils import post_process
from fairseq_cli import generate as fairseq_generate

import fairseq_specdec
from fairseq_specdec.bench.device import name_of
from fairseq_specdec.engine.native.library import layers_by
from fairseq_specdec.evaluation.generate_log import GenerateLog, read_generate_log

STOCK = ("--task", "translation", "--beam", "1")


@dataclass
class Run:
    """One run of fairseq-generate: its log file, what fairseq counts, and our statistics, if it was ours."""

    path: Path
    sentences: int
    seconds: float
    stats: dict[str, Any] | None
    is_part: bool = False  # one shard of the data

    @cached_property
    def log(self) -> GenerateLog:
        """The sentences, in the order of the data."""
        return read_generate_log([self.path], gaps=self.is_part)


class Runs:
    """Runs fairseq-generate on a split of some data.

    Args:
        data: data-bin folder.
        verifier: --path of the model.
        folder: what each run printed stays under it.
        split: of the data.
        resume: take what a run with the same options, weights and, where it is ours, code has left in the folder, if it
            came to its end.
    """

    def __init__(self, data: str, verifier: str, folder: Path, split: str = "test", resume: bool = False) -> None:
        self.data, self.verifier, self.folder, self.split, self.resume = data, verifier, folder, split, resume
        self._summary = _SummaryHandler()
        logging.getLogger("fairseq_cli.generate").addHandler(self._summary)

    def run(self, name: str, *extra: str, path: str | None = None) -> Run:
        """Decode the split with these options."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        stats = folder / "stats.json"
        is_part = "--num-shards" in extra
        ours = any(word.endswith("_specdec") for word in extra)
        argv = [self.data, "--user-dir", "fairseq_specdec", "--path", path or self.verifier, "--cpu"]
        argv += ["--gen-subset", self.split, "--results-path", str(folder), "--no-progress-bar", *extra]
        argv += ["--spec-stats", str(stats)] if ours else []
        log, record = folder / f"generate-{self.split}.txt", folder / "run.json"
        asked = {"options": argv, "weights": [os.stat(file).st_mtime for file in (path or self.verifier).split(":")]}
        if ours:
            asked["code"] = code_digest()
        known = json.loads(record.read_text()) if self.resume and record.exists() else {}
        if known.get("asked") == asked:
            return Run(log, *known["counted"], json.loads(stats.read_text()) if ours else None, is_part)
        record.unlink(missing_ok=True)
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        parser = fairseq_options.get_generation_parser()
        parser.add_argument("--arch", default="transformer")  # fairseq-generate asks for one, too
        # many loaders in one process: their workers end late
        fairseq_generate.main(fairseq_options.parse_args_and_arch(parser, [*argv, "--num-workers", "0"]))
        gc.collect()  # a cycle through errors of omegaconf may hold the generator, which writes statistics at its end
        counted = self._summary.last
        record.write_text(json.dumps({"asked": asked, "counted": counted}))
        return Run(log, *counted, json.loads(stats.read_text()) if ours else None, is_part)

    def known(self, name: str) -> GenerateLog:
        """Return what a run of this name has printed."""
        return read_generate_log([self.folder / name / f"generate-{self.split}.txt"])


@cache
def code_digest() -> str:
    """Return a digest of this package's sources: a run of other code is another run."""
    folder = Path(fairseq_specdec.__file__).parent
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".h", ".cpp"})
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


class _SummaryHandler(logging.Handler):
    """Takes sentences and seconds from fairseq's closing line."""

    last = (0, 0.0)

    def emit(self, record: logging.LogRecord) -> None:
        found = re.search(r"Translated ([\d,]+) sentences .* tokens\) in (-?[\d.]+)s", record.getMessage())
        if found:
            self.last = (int(found[1].replace(",", "")), float(found[2]))


def differences(stock: Run, ours: Run) -> dict[str, Any]:
    """Compare H and P lines.

    Returns:
        sentences, how many have the same tokens, and the greatest difference of a sentence score and of a positional
        score among these (in nats; fairseq prints positional scores with four digits in base 2).
    """
    same, score, positional = 0, 0.0, 0.0
    pairs = list(zip(stock.log.sentences, ours.log.sentences, strict=True))
    for a, b in pairs:
        if a.id == b.id and a.hypothesis == b.hypothesis:
            same += 1
            score = max(score, abs(a.score - b.score))
            gaps = [abs(x - y) for x, y in zip(a.positional_scores, b.positional_scores, strict=True)]
            positional = max([positional, *gaps])
    nats = math.log(2)
    return {
        "sentences": len(pairs),
        "identical": same,
        "score_difference": score * nats,
        "positional_difference": positional * nats,
    }


def text_of(run: Run) -> list[str]:
    """Return the hypotheses as plain text."""
    return [post_process(sentence.hypothesis, "sentencepiece") for sentence in run.log.sentences]


def environment() -> dict[str, Any]:
    """Describe where the numbers were made."""
    return {
        "date": date.today().isoformat(),
        "device_name": name_of("cpu"),
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "dtype": "float32",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sacrebleu": sacrebleu.__version__,
            "fairseq_specdec": fairseq_specdec.__version__,
            "layers": layers_by(),
        },
    }
