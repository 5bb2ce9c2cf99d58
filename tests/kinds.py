"""Every kind of drafter, made for the tiny data."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fairseq_specdec.drafters.autoregressive import ArDrafter, SelfDrafter
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.drafters.corpus import Corpus
from fairseq_specdec.drafters.file import FileDrafter
from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.drafters.nat import NatDrafter
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.drafters.stack import StackedDrafter
from tests import tiny
from tests.oracle import EOS, PAD

STACK = "input, ngram, ar"  # asked in turn
KINDS = ["none", "nat", "nat, causal", "nat, one layer", "ar", "input", "ngram", "file", STACK]
OF_A_VERIFIER = ["self", "self, bf16"]  # kinds whose weights are those of a verifier


def drafter_for(data_bin: Path, kind: str, verifier: nn.Module | None = None) -> Drafter:
    """Return a drafter of a kind; the verifier is for those whose weights it has."""
    if kind in OF_A_VERIFIER:
        return SelfDrafter(verifier, 5, PAD, EOS, "bf16" if kind == "self, bf16" else None)
    if kind == STACK:
        return StackedDrafter([drafter_for(data_bin, part) for part in STACK.split(", ")])
    if kind == "ar":
        model, _ = tiny.build_model(data_bin, seed=5, decoder_layers=1)
        tiny.liven(model, tiny.read_dictionaries(data_bin)[0], seed=1)
        return ArDrafter(model, 5, PAD, EOS)
    symbols = torch.arange(len(tiny.read_dictionaries(data_bin)[0])).roll(-4)  # a table of symbols has to move as well
    if kind == "none":
        return NoDrafter()
    if kind == "input":
        return InputDrafter(symbols, 5)
    if kind == "ngram":
        return NgramDrafter(5, EOS, symbols, Corpus.of(torch.tensor([4, 5, 6, EOS, EOS], dtype=torch.int32), 64, EOS))
    if kind == "file":
        return FileDrafter([torch.arange(4, 4 + i % 9) for i in range(tiny.SPLITS["test"])], "guesses.txt", 5)
    options = {"nat, causal": {"causal_prefix": True}, "nat, one layer": {"decoder_layers": 1}}.get(kind, {})
    model, _ = tiny.build_model(data_bin, arch="spec_drafter_tiny", task="spec_drafter", **options)
    return NatDrafter(model, 5)
