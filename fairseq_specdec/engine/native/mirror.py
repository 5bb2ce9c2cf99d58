"""Speculation in the beam of one sentence by compiled code: the tree of prefixes, what a pass takes, and steps."""

from __future__ import annotations

import ctypes
import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_specdec.blocks import Paths
from fairseq_specdec.engine.native.beam import Candidates, CCandidates
from fairseq_specdec.engine.native.library import address, library
from fairseq_specdec.engine.native.rules import c_rules
from fairseq_specdec.rules.limits import Limits

TIED, UNKNOWN, DECIDED = -1, 0, 1  # as of `Mirror.step`


class _CPositions(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tokens", "slots")),
        ("stride", ctypes.c_int64),
        ("depths", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("most", "n_live")),
    ]


class Positions(NamedTuple):
    """What a pass takes. Their slots are the next ones, in their order.

    Args:
        tokens: [1, N] int64; good until the next ones are asked for, as are the paths.
        paths: of these.
        n_live: how many of them, the first ones, are live beams.
    """

    tokens: Tensor
    paths: Paths
    n_live: int


class Mirror:
    """The tree of a sentence and what sentences have taught. One for each search; sentences come one after the other.

    Args:
        beam: b.
    """

    def __init__(self, beam: int) -> None:
        self._lib, self._beam = library(), beam
        self._self = self._lib.specdec_mirror_make(beam)
        weakref.finalize(self, self._lib.specdec_mirror_free, self._self)

    def begin(self, limits: Limits, first: int, guide: Tensor, most: int) -> None:
        """Begin a sentence.

        Args:
            limits: its options, without a prefix.
            first: the token that outputs start with.
            guide: [G] int64, contiguous, a text that the output resembles; may be empty.
            most: positions of a pass, b at least.
        """
        self._kept = limits, guide  # compiled code looks at their memory
        self._lib.specdec_mirror_begin(self._self, ctypes.byref(c_rules(limits)), first, address(guide), guide.numel())
        self._tokens, self._depths = torch.zeros(2, 1, most, dtype=torch.int64)
        self._slots = torch.zeros(1, most, limits.max_len + 2, dtype=torch.int32)
        positions = (self._tokens, self._slots, self._slots.size(2), self._depths, most, 0)
        self._struct = _CPositions(*(address(part) if isinstance(part, Tensor) else part for part in positions))

    def plan(self, again: bool = False) -> Positions:
        """Return what to verify: the live beams that are not verified and, ahead of them, what the guesses lead to.

        Args:
            again: give all live beams instead, verified or not, as the plain search scores them; nothing is learned.
        """
        n = self._lib.specdec_mirror_plan(self._self, ctypes.byref(self._struct), again)
        paths = Paths(self._slots[:, :n], self._depths[:, :n])
        return Positions(self._tokens[:, :n], paths, self._struct.n_live)

    def learn(self, lprobs: Tensor) -> None:
        """Learn what may follow the positions of the last plan. lprobs: [1, N, V] float32, edited in place."""
        self._lib.specdec_mirror_learn(self._self, lprobs.data_ptr(), lprobs.size(2), torch.get_num_threads())

    def step(self) -> tuple[int, Candidates]:
        """Make the next step of the search if what is known decides it.

        Returns:
            DECIDED, UNKNOWN (a pass has to come first) or TIED (equal scores leave the order open: `follow` is to be
            told); and the candidates, each part [1, 2b], in so far as they matter, of a step that was made.
        """
        scores = torch.empty(1, 2 * self._beam)
        tokens, beams = torch.empty(2, 1, 2 * self._beam, dtype=torch.int64)
        struct = CCandidates(2 * self._beam, *map(address, (scores, tokens, beams)), None)
        return self._lib.specdec_mirror_step(self._self, ctypes.byref(struct)), (scores, tokens, beams)

    def follow(self, candidates: Candidates) -> None:
        """Go on with candidates that were found otherwise."""
        struct = CCandidates(2 * self._beam, *map(address, candidates), None)
        self._lib.specdec_mirror_follow(self._self, ctypes.byref(struct))
