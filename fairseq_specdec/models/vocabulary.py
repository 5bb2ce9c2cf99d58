"""Which symbols a checkpoint's models know, and whether those of a drafter are its verifier's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fairseq.data import Dictionary

from fairseq_specdec.models.checkpoint import task_options

SIDES = {"source": "encoder", "target": "decoder"}


class Vocabulary(NamedTuple):
    """The symbols of one side.

    Args:
        size: how many, or None where a model has no table of them.
        digest: a fingerprint of the symbols in their order, or None where they are not known.
    """

    size: int | None
    digest: str | None

    @classmethod
    def of(cls, dictionary: Dictionary) -> Vocabulary:
        """Return a dictionary's."""
        return cls(len(dictionary), digest(dictionary))


def digest(dictionary: Dictionary) -> str:
    """Return a fingerprint of a dictionary's symbols in their order."""
    return hashlib.sha256("\n".join(dictionary.symbols).encode()).hexdigest()


def vocabularies(checkpoint: Mapping[str, Any], path: str) -> dict[str, Vocabulary]:
    """Return the symbols of both sides of a checkpoint, by side.

    A Spec-Drafter's checkpoint holds fingerprints. fairseq's own do not: there the dictionaries are those that lie in
    the folder of the data that the model was trained on, or beside the checkpoint, if they are of the model's size.

    Args:
        checkpoint: as loaded.
        path: where from.
    """
    stored = (checkpoint.get("task_state") or {}).get("dictionaries", {})
    found = {}
    for side, stack in SIDES.items():
        table = checkpoint["model"].get(f"{stack}.embed_tokens.weight")
        size = None if table is None else table.size(0)
        found[side] = Vocabulary(size, stored.get(side) or _digest_by_file(checkpoint, path, side, size))
    return found


def _digest_by_file(checkpoint: Mapping[str, Any], path: str, side: str, size: int | None) -> str | None:
    task = task_options(checkpoint)
    language, data = getattr(task, f"{side}_lang", None), getattr(task, "data", None)
    folders = [*str(data or "").split(":"), str(Path(path).parent)]
    files = [Path(folder) / f"dict.{language}.txt" for folder in folders if folder and language]
    for file in filter(Path.is_file, files):
        try:
            dictionary = Dictionary.load(str(file))
        except (OSError, ValueError):  # another file of that name
            continue
        if len(dictionary) == size:
            return digest(dictionary)
    return None


def why_other_vocabulary(drafter: Mapping[str, Vocabulary], verifier: Mapping[str, Vocabulary], path: str) -> list[str]:
    """List the sides on which a drafter has other symbols than its verifier.

    Args:
        drafter: by side; a side without a table is not looked at by size.
        verifier: likewise.
        path: of the drafter, for messages.
    """
    reasons = []
    for side in SIDES:
        own, wanted = drafter[side], verifier[side]
        found = None
        if None not in (own.size, wanted.size) and own.size != wanted.size:
            found = f"{own.size} and {wanted.size} types"
        elif None not in (own.digest, wanted.digest) and own.digest != wanted.digest:
            found = f"{wanted.size} types each, but other words"
        if found:
            reasons.append(
                f"--drafter-path needs the verifier's {side} dictionary, got {found} (drafter {path}): train "
                "the drafter on data binarised with the verifier's (fairseq-preprocess --srcdict --tgtdict)."
            )
    return reasons
