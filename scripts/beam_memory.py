#!/usr/bin/env python3
"""Measure what decoding a batch takes of memory on a CPU beside the models, by this engine and by fairseq.

A Transformer-base with random weights, 28 tokens out, and as many in or those of --source. Each figure is of a process
of its own: the most that it held while it decoded (Linux: VmHWM, reset before) less what it held after one sentence,
when the engine has laid out its weights. What the C library keeps of freed memory is given back before.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import re
import subprocess
import sys
from argparse import Namespace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from tqdm import tqdm

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]
sys.path.insert(0, str(Path(__file__).resolve().parent / "train"))
from bench_sentences import MODELS, TOKENS, WORDS, make  # noqa: E402
from card import origin, table, write_table_at  # noqa: E402
from decoding_runs import environment  # noqa: E402

from fairseq_specdec.files import write_text  # noqa: E402
from fairseq_specdec.tasks.translation_specdec import TranslationSpecDecConfig, TranslationSpecDecTask  # noqa: E402

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
WHO = {"fairseq": "fairseq", "ours": "this package"}
BEAMS, SIZES = (1, 5, 10), (1, 8, 64)
LONG_BEAMS, LONG_SIZES = (1,), (8, 32)  # with --source


def held(what: str) -> float:
    """Return MB that this process holds (VmRSS), freed memory given back, or held at most (VmHWM)."""
    if what == "VmRSS":
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    return int(re.search(rf"{what}:\s*(\d+) kB", STATUS.read_text())[1]) / 1024


def first_batch(task: Any, size: int, source: int = TOKENS) -> dict[str, Any]:
    """Return the first so many sentences of the test split; of another length made-up ones."""
    if source != TOKENS:
        dictionary = task.source_dictionary
        tokens = torch.randint(4, len(dictionary), (size, source), generator=torch.Generator().manual_seed(1))
        tokens[:, -1] = dictionary.eos()
        lengths = torch.full((size,), source)
        return {"id": torch.arange(size), "net_input": {"src_tokens": tokens, "src_lengths": lengths}}
    batches = task.get_batch_iterator(task.dataset("test"), max_sentences=size, disable_iterator_cache=True)
    return next(batches.next_epoch_itr(shuffle=False))


def child(who: str, folder: Path, beam: int, size: int, source: int) -> dict[str, float]:
    """Decode one batch; return MB of the weights that the engine laid out, and of the decoding."""
    path, data = folder / "checkpoints" / "checkpoint_last.pt", str(folder / "bin")
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)], {"data": data})
    models[0].eval()
    options = Namespace(beam=beam, max_len_a=0, max_len_b=TOKENS - 1, min_len=TOKENS - 1)
    task.load_dataset("test")
    one, sample = first_batch(task, 1), first_batch(task, size, source)
    loaded = held("VmRSS")
    if who == "ours":
        config = {"data": data, "source_lang": "de", "target_lang": "en", "dataset_impl": None}
        own = TranslationSpecDecTask.setup_task(TranslationSpecDecConfig(**config, required_seq_len_multiple=1))
        generator = own.build_spec_generator(models, options)
    else:
        generator = task.build_generator(models, options)
    with torch.no_grad():
        generator.generate(models, one)
        built = held("VmRSS")
        CLEAR.write_text("5")  # the peak becomes what is held now
        generator.generate(models, sample)
    return {"weights_mb": built - loaded, "decoding_mb": held("VmHWM") - built}


def measure(name: str, folder: Path, source: int = TOKENS) -> list[dict[str, Any]]:
    """Return a row for each system, beam and batch size."""
    make(name, folder)
    rows = []
    for who, beam, size in tqdm([(who, *each) for who in WHO for each in product(*plan(source))], unit="process"):
        command = [sys.executable, __file__, "--child", who, str(folder), str(beam), str(size), str(source)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({"system": who, "beam": beam, "batch_size": size, **json.loads(done.stdout.splitlines()[-1])})
    return rows


def plan(source: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the beams and batch sizes for sources of this length."""
    return (BEAMS, SIZES) if source == TOKENS else (LONG_BEAMS, LONG_SIZES)


def page_of(results: dict[str, Any], path: Path) -> str:
    """Return the table of a results file: MB of decoding, a column for each batch size."""
    by = {(row["system"], row["beam"], row["batch_size"]): row["decoding_mb"] for row in results["rows"]}
    beams, sizes = plan(results.get("source", TOKENS))
    cells = [[WHO[who], str(beam), *(f"{by[who, beam, size]:.0f}" for size in sizes)] for who in WHO for beam in beams]
    weights, length = max(row["weights_mb"] for row in results["rows"]), f"{results['source']:,}"
    return "\n\n".join([
        f"{WORDS[results['model']]}, random weights, {length} tokens in and {TOKENS} out: MB that decoding a batch "
        f"takes at most, beside the weights (of which the engine has {weights:.0f} MB more than the model).",
        table(["system", "beam", *(f"batch {size}" for size in sizes)], cells),
        origin(results, path),
    ])  # fmt: skip


def main() -> None:
    """Measure, write the JSON, then the page."""
    if sys.argv[1:2] == ["--child"]:
        who, folder, beam, size, source = sys.argv[2:]
        print(json.dumps(child(who, Path(folder), int(beam), int(size), int(source))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", choices=MODELS)
    parser.add_argument("--data", type=Path, default=Path("data/random_models"), help="made anew; default: %(default)s")
    parser.add_argument("--source", type=int, default=TOKENS, metavar="N", help="its tokens (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--page", metavar="PAGE:TABLE", help="Markdown page with the markers of the table")
    args = parser.parse_args()
    rows = measure(args.model, args.data / f"{args.model}-memory", args.source)
    about = {"command": "scripts/beam_memory.py", **environment(), "model": args.model, "source": args.source}
    results = {**about, "rows": rows}
    write_text(args.out, json.dumps(results, indent=1) + "\n")
    if args.page:
        write_table_at(args.page, page_of(results, args.out))


if __name__ == "__main__":
    main()
