"""The tables of the Multi30k model card, made from the results file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from card import counts, origin, table

RESULTS = Path("models/multi30k.en-de/results.json")


def card_tables(results: dict[str, Any]) -> str:
    """Return every table that the results hold, with where they come from."""
    parts = [(name, write) for name, write in (("scores", _scores), ("reduced", _reduced), ("identity", _identity))]
    return "\n\n".join([origin(results, RESULTS), *(write(results[name]) for name, write in parts if name in results)])


def _scores(rows: list[dict[str, Any]]) -> str:
    cells = [[row["system"], f"{row['bleu']:.2f}", _length(row)] for row in rows]
    return "\n".join([
        "test_2016_flickr, 1000 sentences. Relaxed modes are other systems than greedy decoding.",
        "",
        table(["system", "BLEU", "acceptance length"], cells),
        "",
        f"sacrebleu: `{rows[0]['signature']}`",
    ])  # fmt: skip


def _reduced(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            f"`--engine-dtype {row['engine_dtype']}`",
            f"{row['bleu']:.2f}",
            f"{row['identical']} of {row['sentences']}",
            counts(row["certificate"]),
            f"{row['certificate']['largest_gap']:.2f}",
        ]
        for row in rows
    ]
    return "\n".join([
        "Rounded weights are other systems than the checkpoint. Tokens are certified against the stock float32 "
        "modules: a wrong one has another before it in their scores, by at most the gap (nats).",
        "",
        table(["greedy", "BLEU", "identical to float32", "certificate", "largest gap"], cells),
    ])  # fmt: skip


def _identity(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["options"],
            row["system"],
            f"{row['identical']} of {row['sentences']}",
            f"{row['score_difference']:.1e}",
            _length(row),
            counts(row["certificate"]),
        ]
        for row in rows
    ]
    return "\n".join([
        "Against `fairseq-generate --task translation --beam 1` with the same options: sentences with the same tokens, "
        "greatest difference of a sentence score (nats).",
        "",
        table(["options", "system", "identical", "score difference", "acceptance length", "certificate"], cells),
    ])  # fmt: skip


def _length(row: dict[str, Any]) -> str:
    return f"{row['acceptance_length']:.2f}" if row["acceptance_length"] else ""
