"""CTranslate2 with the same checkpoint: converted on the fly, then run on the same sentences, batch by batch."""

from __future__ import annotations

import ast
import tempfile
import weakref
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq import utils

from fairseq_specdec.bench.ctranslate2_worker import Translator
from fairseq_specdec.bench.load import Loaded
from fairseq_specdec.bench.measure import Batch
from fairseq_specdec.bench.names import Wanted, check_options
from fairseq_specdec.compat import load_checkpoint
from fairseq_specdec.config import OptionError
from fairseq_specdec.generator import EOS_NOT_MATCHED, source_lengths
from fairseq_specdec.models.checkpoint import model_options, task_options
from fairseq_specdec.options import GenerationOptions

PAD = "<blank>"  # the converter's name for it; fairseq never chooses it
# (generation option, its value when it is off, what CTranslate2 does instead)
_REFUSED = (
    ("prefix_size", 0, "the benchmark gives it no prefixes"),
    ("unkpen", 0, "it has no penalty of unk"),
    ("temperature", 1.0, "it searches without one"),
    ("match_source_len", False, "it bounds lengths of a batch together"),
)


class CTranslate2System:
    """CTranslate2's search, in a process of its own.

    It takes symbols and gives symbols: they are looked up in the dictionaries, which costs microseconds; the model
    appends eos to the source as fairseq's data does.

    Args:
        wanted: its beam, and option ``compute`` (its compute_type: float32, int8 ...).
        loaded: task, models and options; the weights come from the checkpoint.
        threads: of the CPU.

    Raises:
        OptionError: the package is missing, or the model or an option cannot be honoured.
    """

    acceptance_length = None
    is_here = False

    def __init__(self, wanted: Wanted, loaded: Loaded, threads: int) -> None:
        try:
            import ctranslate2
        except ImportError as error:
            raise OptionError([
                f"--systems {wanted.label} needs the package ctranslate2, which is not installed: "
                'pip install "fairseq-specdec[bench]", or leave the system out.'
            ]) from error  # fmt: skip
        self.name, self.loaded, self.beam = wanted.label, loaded, wanted.beam
        options = check_options(wanted, {"compute"})
        default = loaded.dtype if loaded.dtype in ("float16", "bfloat16") else "float32"
        self.dtype = options.get("compute", default)
        try:
            known = ctranslate2.get_supported_compute_types(loaded.device)
        except (RuntimeError, ValueError) as error:  # built without CUDA, or its libraries are missing
            raise _cannot(wanted.label, f"run on {loaded.device}", error) from error
        reasons = list(_unsupported(loaded))
        if self.dtype not in known:
            reasons.append(f"compute must be one of {', '.join(sorted(known))} here, got {self.dtype}: choose one.")
        if reasons:
            raise OptionError([f"--systems {wanted.label}: {reason}" for reason in reasons])
        notes = [f"beam {self.beam}"] * (self.beam > 1) + [f"weights in {self.dtype}"] * (self.dtype != loaded.dtype)
        self.note = ", ".join(notes) or None
        self.options = GenerationOptions.from_args(loaded.cfg.generation)
        with tempfile.TemporaryDirectory() as folder:
            convert(loaded, folder, wanted.label)
            self._translator = Translator(
                folder, device=loaded.device, compute_type=self.dtype, inter_threads=1, intra_threads=threads
            )
        weakref.finalize(self, self._translator.close)
        dictionary = loaded.task.target_dictionary
        self._ids = {symbol: i for i, symbol in enumerate(dictionary.symbols)} | {PAD: dictionary.pad()}

    def start(self, batches: Sequence[Batch]) -> None:
        """Nothing is left behind."""

    def decode(self, batch: Batch) -> list[list[int]]:
        """See `System`."""
        hypotheses = self._translator.translate_batch(
            batch.sources,
            beam_size=self.beam,
            length_penalty=self.options.lenpen if self.options.normalize else 0.0,
            min_decoding_length=self.options.min_len,
            max_decoding_length=self._max_len(batch),
            max_input_length=0,
            suppress_sequences=[[PAD]],
        )
        eos = self.loaded.task.target_dictionary.eos()
        return [[*(self._ids[symbol] for symbol in hypothesis), eos] for hypothesis in hypotheses]

    def _max_len(self, batch: Batch) -> int:
        """Return the step at which fairseq forces eos in this batch; CTranslate2 stops there."""
        net_input = batch.sample["net_input"]
        lengths = source_lengths(net_input, self.loaded.task.source_dictionary.pad()) - EOS_NOT_MATCHED
        model_max = min(model.max_decoder_positions() for model in self.loaded.models)
        return self.options.max_len(net_input["src_tokens"].size(1), int(lengths.max()), model_max)


def _unsupported(loaded: Loaded) -> list[str]:
    """Say which options CTranslate2 cannot honour."""
    reasons = []
    if len(loaded.models) > 1:
        reasons.append("an ensemble cannot be converted: pass one checkpoint as --path, or leave the system out.")
    if loaded.task_name != "translation_specdec":
        reasons.append(f"--task must be translation, got {loaded.task_name}: leave the system out.")
    for name, off, why in _REFUSED:
        value = getattr(loaded.cfg.generation, name)
        if value != off:
            option = f"--{name.replace('_', '-')}"
            reasons.append(f"{option} cannot be honoured ({why}), got {value}: leave it or the system out.")
    return reasons


def convert(loaded: Loaded, folder: str, label: str) -> None:
    """Convert the checkpoint with CTranslate2's own converter for fairseq.

    The converter reads a checkpoint as the fairseq of 2021 wrote it, options in a Namespace and each weight once. So it
    gets a reduced copy in that form, of whatever `load_checkpoint` can read safely.

    Args:
        loaded: its ``cfg`` names the checkpoint.
        folder: where the model goes.
        label: of the system, for messages.

    Raises:
        OptionError: the converter refuses the model.
    """
    from ctranslate2.converters import FairseqConverter

    cfg = loaded.cfg
    (path,) = utils.split_paths(cfg.common_eval.path)
    with tempfile.TemporaryDirectory() as copies:
        copy = Path(copies) / "checkpoint.pt"
        torch.save(_reduced(load_checkpoint(path), ast.literal_eval(cfg.common_eval.model_overrides)), copy)
        converter = FairseqConverter(str(copy), cfg.task.data, cfg.task.source_lang, cfg.task.target_lang)
        try:
            converter.convert(folder, force=True)
        except Exception as error:  # it lists unsupported options in a ValueError, but meets others unprepared
            raise _cannot(label, f"convert --path {path}", error) from error


def _cannot(label: str, what: str, error: Exception) -> OptionError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return OptionError([f"--systems {label}: CTranslate2 cannot {what} ({reason}): leave the system out."])


def _reduced(checkpoint: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return args and weights in the form that the converter reads."""
    args = {**vars(task_options(checkpoint)), **vars(model_options(checkpoint)), **overrides}
    args.pop("_name", None)
    return {"args": Namespace(**args | {"task": "translation"}), "model": checkpoint["model"]}
