"""Write the tables of the Multi30k model card from the results file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN, END = "<!-- tables: written by scripts/train/multi30k_results.py -->", "<!-- end of tables -->"


def write_card(path: Path, text: str) -> None:
    """Replace what stands between the two markers of a page.

    Args:
        path: the page.
        text: Markdown.

    Raises:
        ValueError: the page lacks the markers.
    """
    page = path.read_text("utf-8")
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path} must hold the lines '{BEGIN}' and '{END}': put them where the tables belong.")
    head, rest = page.split(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", "utf-8")


def card_tables(results: dict[str, Any]) -> str:
    """Return every table that the results hold, with where they come from."""
    parts = [(name, write) for name, write in (("scores", _scores), ("time", _time), ("identity", _identity))]
    return "\n\n".join([_origin(results), *(write(results[name]) for name, write in parts if name in results)])


def readme_table(results: dict[str, Any]) -> str:
    """Return the table of speed-ups alone, with where it comes from."""
    return f"{_time(results['time'])}\n\n{_origin(results)}"


def _origin(results: dict[str, Any]) -> str:
    versions = results["versions"]
    return (
        f"Measured {results['date']} by `{results['command']}` on {results['processor']}, "
        f"{results['threads']} threads, {results['dtype']}, torch {versions['torch']}, Python {versions['python']}; "
        "from `models/multi30k.en-de/results.json`."
    )


def _scores(rows: list[dict[str, Any]]) -> str:
    lines = ["test_2016_flickr, 1000 sentences. Relaxed modes are other systems than greedy decoding.", ""]
    lines += ["| system | BLEU | acceptance length |", "| --- | ---: | ---: |"]
    for row in rows:
        length = f"{row['acceptance_length']:.2f}" if row["acceptance_length"] else ""
        lines.append(f"| {row['system']} | {row['bleu']:.2f} | {length} |")
    return "\n".join([*lines, "", f"sacrebleu: `{rows[0]['signature']}`"])


def _time(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    lines = [
        f"Batch size 1, {first['sentences']} sentences, decoding alone (fairseq's own count); repeats interleaved, "
        "medians, ratios within a repeat.",
        "",
        "| system | seconds | speed-up over fairseq greedy (lowest to highest) | acceptance length |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        length = f"{row['acceptance_length']:.2f}" if row["acceptance_length"] else ""
        low, high = row["speedup_spread"]
        ratio = f"{row['speedup_vs_fairseq']:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {row['system']} | {row['seconds']:.1f} | {ratio} | {length} |")
    return "\n".join(lines)


def _identity(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Against `fairseq-generate --task translation --beam 1` with the same options: sentences with the same tokens, "
        "greatest difference of a sentence score (nats).",
        "",
        "| options | system | identical | score difference | acceptance length | certificate |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        c = row["certificate"]
        counts = f"{c['exact']} exact, {c['near_tie']} near ties, {c['wrong']} wrong" if c else ""
        lines.append(
            f"| {row['options']} | {row['system']} | {row['identical']} of {row['sentences']} "
            f"| {row['score_difference']:.1e} | {row['acceptance_length']:.2f} | {counts} |"
        )
    return "\n".join(lines)
