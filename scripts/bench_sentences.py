#!/usr/bin/env python3
"""Time whole sentences on models with random weights, by which time does not depend: this engine, fairseq, CTranslate2.

Each model gets made-up sentences and `specdec bench`; every output has 28 tokens, as has every source. Options that are
not listed here are handed to `specdec bench` (--cpu, --fp16, --threads ...). Measure with nothing else running.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "train")]
from card import origin, table, write_table_at  # noqa: E402

from fairseq_specdec.files import write_text  # noqa: E402

TOKENS = 28
FORCED = ["--max-len-a", "0", "--max-len-b", str(TOKENS - 1), "--min-len", str(TOKENS - 1)]
SMALL = [
    "--arch", "transformer", "--encoder-attention-heads", "4", "--decoder-attention-heads", "4",
    "--encoder-embed-dim", "256", "--decoder-embed-dim", "256",
    "--encoder-ffn-embed-dim", "1024", "--decoder-ffn-embed-dim", "1024",
]  # fmt: skip
MODELS = {  # name: its architecture, symbols
    "tiny": (["--arch", "transformer_tiny"], 60),  # for tests
    "3+3": ([*SMALL, "--encoder-layers", "3", "--decoder-layers", "3"], 6000),
    "6+6": ([*SMALL, "--encoder-layers", "6", "--decoder-layers", "6"], 6000),
    "base": (["--arch", "transformer"], 32000),
}
WORDS = {
    "tiny": "transformer_tiny, 60 symbols",
    "3+3": "3+3 layers, 256/1024, 6,000 symbols",
    "6+6": "6+6 layers, 256/1024, 6,000 symbols",
    "base": "Transformer-base (6+6, 512/2048), 32,000 symbols",
}
SYSTEMS = "fairseq,fairseq-beam5,none,none:beam=5,ctranslate2,ctranslate2:beam=5"
HEADER = ["model", "batch", "system", "seconds", "over fairseq", "over CTranslate2", "identical to fairseq"]


def make(name: str, folder: Path) -> Path:
    """Make the data and the checkpoint of a model; returns the checkpoint."""
    arch, symbols = MODELS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(1)
    names = [f"s{i}" for i in range(symbols - 4)]  # fairseq adds four of its own
    lines = {
        "train": [" ".join(names[i : i + TOKENS]) for i in range(0, len(names), TOKENS)],
        "test": [" ".join(rng.choices(names, k=TOKENS)) for _ in range(256)],
    }
    for split, text in lines.items():
        for side in ("de", "en"):
            (folder / f"{split}.{side}").write_text("\n".join(text) + "\n", "utf-8")
    call("fairseq-preprocess", "--source-lang", "de", "--target-lang", "en", "--joined-dictionary",
         "--trainpref", folder / "train", "--testpref", folder / "test", "--destdir", folder / "bin")  # fmt: skip
    call("fairseq-train", folder / "bin", "--user-dir", "fairseq_specdec", "--task", "translation", *arch,
         "--share-all-embeddings", "--cpu", "--optimizer", "adam", "--lr", "1e-9", "--max-update", "1",
         "--max-tokens", "56", "--disable-validation", "--seed", "1", "--num-workers", "0",
         "--no-progress-bar", "--no-epoch-checkpoints", "--save-dir", folder / "checkpoints")  # fmt: skip
    return folder / "checkpoints" / "checkpoint_last.pt"


def call(*command: Any) -> None:
    """Run a command of this environment; what it prints is shown where it fails."""
    words = [str(Path(sys.executable).parent / str(command[0])), *map(str, command[1:])]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"bench_sentences.py: {' '.join(words)} ended with status {done.returncode}:\n{done.stdout}")


def bench(folder: Path, checkpoint: Path, args: argparse.Namespace, others: list[str], size: int) -> dict[str, Any]:
    """Return what `specdec bench` writes for one batch size."""
    out = folder / f"bench{size}.json"
    call("specdec", "bench", folder / "bin", "--path", checkpoint, "--systems", args.systems, "--batch-sizes", size,
         "--limit", max(size, args.limit), "--repeats", args.repeats, "--json", out, *FORCED, *others)  # fmt: skip
    return json.loads(out.read_text("utf-8"))


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the table of a results file: ratios are to fairseq and CTranslate2 float32 with the same beam."""
    cells = []
    for name, rows in results["models"].items():
        by = {(row["system"], row["batch_size"]): row for row in rows}
        for row in rows:
            beam5 = row["system"].endswith("beam5") or "beam=5" in row["system"]
            stock = by.get(("fairseq-beam5" if beam5 else "fairseq", row["batch_size"]))
            other = by.get(("ctranslate2:beam=5" if beam5 else "ctranslate2", row["batch_size"]))
            same = row.get("identical_same_beam", row["identical"]) if beam5 else row["identical"]
            cells.append([
                WORDS[name], str(row["batch_size"]), f"`{row['system']}`", f"{row['seconds']:.2f}", _over(stock, row),
                _over(other, row), "" if same is None else f"{100 * same:.1f}%",
            ])  # fmt: skip
    head = (
        f"Random weights, {TOKENS} tokens in and out, encoding and decoding alone; median of {results['repeats']} "
        "passes in turn; ratios are to the same beam."
    )
    return "\n\n".join([head, table(HEADER, cells), origin(results, path)])


def summary_of(results: dict[str, Any], path: Path) -> str:
    """Return a row for each model and batch size: how many times faster than the others with the same beam."""
    cells = []
    for name, rows in results["models"].items():
        by = {(row["system"], row["batch_size"]): row for row in rows}
        for size in dict.fromkeys(row["batch_size"] for row in rows):
            pairs = (("none:beam=5", "fairseq-beam5"), ("none:beam=5", "ctranslate2:beam=5"), ("none", "fairseq"),
                     ("none", "ctranslate2"))  # fmt: skip
            cells.append([
                WORDS[name], str(size), *(_over(by.get((other, size)), by[ours, size]) for ours, other in pairs)
            ])  # fmt: skip
    header = ["model", "sentences a batch", "beam 5: over fairseq", "over CTranslate2", "greedy: over fairseq",
              "over CTranslate2"]  # fmt: skip
    return f"{table(header, cells)}\n\n{origin(results, path)}"


def _over(reference: dict[str, Any] | None, row: dict[str, Any]) -> str:
    """Return how many times faster than the reference a row is; nothing where one of the two failed."""
    if reference is None or not (reference["seconds"] and row["seconds"]):
        return ""
    return f"{reference['seconds'] / row['seconds']:.2f}"


def main() -> None:
    """Measure model by model, writing after each, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="3+3,6+6,base", help=f"of {', '.join(MODELS)} (default: %(default)s)")
    parser.add_argument("--systems", default=SYSTEMS, help="of specdec bench (default: %(default)s)")
    parser.add_argument("--batch-sizes", default="1,8,32", help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, default=8, help="sentences, at least a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes of each system (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data/random_models"), help="made anew; default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--page", metavar="PAGE:TABLE", help="Markdown page with the markers of the table")
    parser.add_argument("--summary", metavar="PAGE:TABLE", help="page with the markers of a table of ratios alone")
    args, others = parser.parse_known_args()
    names, sizes = args.models.split(","), args.batch_sizes.split(",")
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        parser.error(f"--models must be of {', '.join(MODELS)}, got {', '.join(unknown)}: choose among them.")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        parser.error(f"--batch-sizes must be numbers from 1 with commas between, got {args.batch_sizes}: pass 1,8.")
    results: dict[str, Any] = {"command": "scripts/bench_sentences.py", "models": {}}
    for name in names:
        folder = args.data / name
        checkpoint = make(name, folder)
        for size in map(int, sizes):
            content = bench(folder, checkpoint, args, others, size)
            results["models"].setdefault(name, []).extend(content.pop("rows"))
            kept = ("date", "device", "device_name", "dtype", "threads", "versions", "repeats", "warmup")
            results |= {key: content[key] for key in kept}
            write_text(args.out, json.dumps(results, indent=1) + "\n")
            print(f"{name}, batch size {size}: done", flush=True)
        checkpoint.unlink()
    for where, text in ((args.page, page_of), (args.summary, summary_of)):
        if where:
            write_table_at(where, text(results, args.out))


if __name__ == "__main__":
    main()
