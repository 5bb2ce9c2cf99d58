"""The tables of the cards of correction and simplification models, made from the results file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from card import counts, origin, table


def card_tables(results: dict[str, Any], path: Path) -> str:
    """Return every table that the results hold, with where they come from."""
    parts = [(name, write) for name, write in (("scores", _scores), ("rounds", _rounds), ("identity", _identity))]
    return "\n\n".join([origin(results, path), *(write(results[name]) for name, write in parts if name in results)])


def _scores(rows: list[dict[str, Any]]) -> str:
    metrics = list(dict.fromkeys(name for row in rows for name in ("gleu", "p", "r", "f0.5", "sari") if name in row))
    cells = [[row["test_set"], row["system"], *(f"{row[m]:.2f}" if m in row else "" for m in metrics)] for row in rows]
    head = "Quality; `source` is doing nothing, and every exact drafter gives what greedy decoding gives."
    return "\n".join([head, "", table(["test set", "system", *(m.upper() for m in metrics)], cells)])


def _rounds(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["test_set"],
            row["system"],
            str(row["sentences"]),
            f"{row['acceptance_length']:.2f}",
            f"{row['rounds_per_sentence']:.2f}",
            f"{row['wasted_per_sentence']:.1f}",
            f"{row['identical_to_batch_64']}",
        ]
        for row in rows
    ]
    head = (
        "Batch size 1, K 32 (`ngram`: 8): tokens a round (acceptance length), rounds a sentence, draft tokens a "
        "sentence that were verified in vain, and how many sentences are those of stock fairseq at batch size 64."
    )
    header = ["test set", "system", "sentences", "acceptance length", "rounds", "wasted", "identical"]
    return "\n".join([head, "", table(header, cells)])


def _identity(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["test_set"],
            str(row["batch_size"]),
            row["system"],
            f"{row['identical']} of {row['sentences']}",
            f"{row['score_difference']:.1e}",
            f"{row['acceptance_length']:.2f}",
            f"{row['wasted_per_sentence']:.1f}",
            counts(row["certificate"]),
        ]
        for row in rows
    ]
    head = (
        "Against `fairseq-generate --task translation --beam 1` at the same batch size: sentences with the same "
        "tokens, greatest difference of a sentence score (nats), tokens a round, draft tokens a sentence that were "
        "verified in vain. At batch size 1 blocks are K wide, at the others as wide as pays."
    )
    header = ["test set", "batch size", "system", "identical", "score difference", "acceptance length", "wasted"]
    header.append("certificate")
    return "\n".join([head, "", table(header, cells)])
