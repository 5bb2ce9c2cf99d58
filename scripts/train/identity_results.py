#!/usr/bin/env python3
"""Hold this package's commands against fairseq's own on a test set: drafters and beams, batch sizes, decoding rules.

    identity_results.py DATA_BIN --path V.pt [--drafter-path D.pt] --runs DIR --out RESULTS.json --name NAME
        [--task translation] [--directions en-de,de-en] [--options '--truncate-source ...'] [--drafters none,ngram]
        [--beam 4] [--beam-drafters none,input] [--rules free,cnn_dm] [--batch-sizes 1,8,32] [--metric rouge]
        [--ref FILE ...] [--mixed] [--one-in N] [--page PAGE.md]

Every run is fairseq-generate's own main function with options that a user would type; --options are for all of them. A
run that came to its end is taken as it is when the command runs again; rows are written as they are made. RESULTS.json
keeps what other names have put there; --page gets the tables ``identity-NAME`` and ``quality-NAME``, as far as it has
markers for them. With --mixed the sentences of all directions are decoded once more, from Python, those of each batch
in several directions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from card import counts, origin, table, write_table
from decoding_runs import Run, Runs, differences, environment, text_of
from fairseq import options as fairseq_options

import fairseq_specdec
from fairseq_specdec.evaluation.metrics import METRICS
from fairseq_specdec.files import write_text

COMMAND = "scripts/train/identity_results.py"
SIBLINGS = {"translation": "translation_specdec", "translation_multi_simple_epoch": "translation_multi_specdec"}
RULES = {
    "free": (),
    "cnn_dm": ("--lenpen", "2", "--max-len-b", "140", "--min-len", "55", "--no-repeat-ngram-size", "3"),
    "xsum": ("--lenpen", "1", "--max-len-b", "60", "--min-len", "10", "--no-repeat-ngram-size", "3"),
}
TRAINED = ("nat",)  # drafters that --drafter-path is for


def kinds_of(args: argparse.Namespace) -> Iterator[tuple[str, str, int, list[str]]]:
    """Give direction, rule, beam and the drafters to hold against stock fairseq with these."""
    for direction in args.directions.split(",") if args.directions else [""]:
        for rule in args.rules.split(","):
            yield direction, rule, 1, args.drafters.split(",")
            if args.beam > 1:
                yield direction, rule, args.beam, args.beam_drafters.split(",")


def compare(args: argparse.Namespace, runs: Runs) -> Iterator[dict[str, Any]]:
    """Run everything; give a row for each of our runs, and one for each of fairseq's with what it scores."""
    sizes = [int(size) for size in args.batch_sizes.split(",")]
    for direction, rule, beam, drafters in kinds_of(args):
        pair = ("-s", direction.split("-")[0], "-t", direction.split("-")[1]) if direction else ()
        for size in sizes:
            options = (*pair, *shlex.split(args.options), *RULES[rule], "--beam", str(beam), "--batch-size", str(size))
            if size == 1 and args.one_in > 1:
                options += ("--num-shards", str(args.one_in), "--shard-id", "0")
            label = "/".join(filter(None, [args.name, direction, rule, f"beam{beam}", f"batch{size}"]))
            about = {"direction": direction, "rule": rule, "beam": beam, "batch_size": size}
            stock = runs.run(f"{label}/fairseq", "--task", args.task, *options)
            scored = size == max(sizes)
            yield {
                **about,
                "system": "fairseq",
                "sentences": stock.sentences,
                **_scores(args, direction, stock, scored),
            }
            for drafter in drafters:
                more = ("--drafter-path", args.drafter_path) if drafter in TRAINED else ()
                own = ("--task", SIBLINGS[args.task], "--drafter", drafter, *more)
                # tokens that differ are near ties, or they are wrong: the certificate of the largest batches tells
                ours = runs.run(f"{label}/{drafter}", *own, *options, *(("--certify",) if scored else ()))
                counted = {name: ours.stats[name] for name in ("acceptance_length", "certificate")}
                found = {**differences(stock, ours), **counted, **_scores(args, direction, ours, scored)}
                yield {**about, "system": drafter, **found}


def compare_mixed(args: argparse.Namespace, runs: Runs) -> Iterator[dict[str, Any]]:
    """Decode all directions together; give a row for each decoding, held against what fairseq made of each alone."""
    size = max(int(size) for size in args.batch_sizes.split(","))
    directions = [direction.split("-") for direction in args.directions.split(",")]
    for rule in args.rules.split(","):
        for beam, drafters in ((1, args.drafters), (args.beam, args.beam_drafters)):
            folders = [f"{args.name}/{'-'.join(pair)}/{rule}/beam{beam}/batch{size}/fairseq" for pair in directions]
            logs = [runs.known(folder) for folder in folders]
            # one sentence of each direction after the other
            asked = [
                (sentence, pair)
                for sentences in zip(*(log.sentences for log in logs), strict=True)
                for sentence, pair in zip(sentences, directions, strict=True)
            ]
            for drafter in drafters.split(","):
                found = _decode_mixed(args, asked, (*RULES[rule], "--beam", str(beam)), drafter, size)
                pairs = [(one, sentence) for one, (sentence, _) in zip(found.best, asked, strict=True)]
                same = [(one, sentence) for one, sentence in pairs if one.text == sentence.hypothesis]
                gaps = [abs(one.score - sentence.score * math.log(2)) for one, sentence in same]
                about = {"direction": "mixed", "rule": rule, "beam": beam, "batch_size": size, "system": drafter}
                counted = {"sentences": len(pairs), "identical": len(same), "score_difference": max(gaps, default=0.0)}
                yield {**about, **counted, "acceptance_length": found.stats["acceptance_length"]}


def _decode_mixed(args: argparse.Namespace, asked: list[Any], options: tuple[str, ...], drafter: str, size: int) -> Any:
    """Decode sentences as fairseq's log has them, each in its own direction."""
    parser = fairseq_options.get_generation_parser(default_task=SIBLINGS[args.task])
    languages = {"source_lang": asked[0][1][0], "target_lang": asked[0][1][1]}
    words = [args.data, *shlex.split(args.options), *options]
    given = vars(fairseq_options.parse_args_and_arch(parser, words))
    named = [word[2:].replace("-", "_") for word in words if word.startswith("--")]
    chosen = {name: given[name] for name in named if name in given}
    weights = {"drafter_path": args.drafter_path} if drafter in TRAINED else {}
    task = {"task": SIBLINGS[args.task], "drafter": drafter, **weights}
    model = fairseq_specdec.load(args.path, args.data, **task, **languages, **chosen)
    # the language's token that begins a source of the log is the task's own
    texts = [" ".join(word for word in sentence.source.split() if not word.startswith("__")) for sentence, _ in asked]
    sources, targets = ([pair[side] for _, pair in asked] for side in (0, 1))
    return model.generate_tokens(texts, batch_size=size, source_lang=sources, target_lang=targets)


def _scores(args: argparse.Namespace, direction: str, run: Run, scored: bool) -> dict[str, Any]:
    """Return what a run scores, of one batch size: outputs at others are held against it."""
    if not scored or not args.ref:
        return {}
    names = [name.replace("TARGET", direction.split("-")[-1]) for name in args.ref]
    references = [Path(name).read_text("utf-8").splitlines()[: run.sentences] for name in names]
    return {"score": METRICS[args.metric].compute(_texts(args, run), references)}


def _texts(args: argparse.Namespace, run: Run) -> list[str]:
    """Return what a run wrote, as its own --bpe made text of it, else without SentencePiece's marks."""
    if "--bpe" in shlex.split(args.options):
        return [sentence.detokenized or "" for sentence in run.log.sentences]
    return text_of(run)


def identity_table(rows: list[dict[str, Any]]) -> str:
    """Return how many sentences are fairseq's own, a column for each batch size."""
    ours = [row for row in rows if row["system"] != "fairseq"]
    sizes = sorted({row["batch_size"] for row in ours})
    groups: dict[tuple[str, ...], dict[int, dict[str, Any]]] = {}
    for row in ours:
        groups.setdefault(_key(row), {})[row["batch_size"]] = row
    cells = []
    for key, found in groups.items():
        same = [f"{found[n]['identical']} of {found[n]['sentences']}" if n in found else "" for n in sizes]
        gap = max(row["score_difference"] for row in found.values())
        certificate = counts(found.get(sizes[-1], {}).get("certificate"))
        cells.append([", ".join(filter(None, key)), *same, f"{gap:.1e}", certificate])
    heads = ["decoding", *(f"batch {n}" for n in sizes), "score difference", f"certificate, batch {sizes[-1]}"]
    return "Sentences with fairseq's own tokens, and the greatest difference of their scores (nats):\n\n" + table(
        heads, cells
    )


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    way = "greedy" if row["beam"] == 1 else f"beam {row['beam']}"
    return row["direction"], way, "" if row["rule"] == "free" else f"rules of {row['rule']}", f"`{row['system']}`"


def quality_table(rows: list[dict[str, Any]], metric: str) -> str:
    """Return what each system scores, and how many tokens a round of the verifier gives."""
    scored = [row for row in rows if "score" in row]
    types = [name for name in ("rouge1", "rouge2", "rougeL") if metric == "rouge"] or [metric]
    cells = [
        [
            ", ".join(filter(None, _key(row))),
            *(f"{row['score'][name]['f'] if metric == 'rouge' else row['score'][name]:.2f}" for name in types),
            f"{row['acceptance_length']:.2f}" if row.get("acceptance_length") else "",
        ]
        for row in scored
    ]
    heads = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
    return table(["decoding", *(heads.get(name, name.upper()) for name in types), "tokens a round"], cells)


def main() -> int:
    """Compare, write, and return 1 where something differs by more than near ties."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    for name in ("path", "name"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("runs", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--task", default="translation", choices=sorted(SIBLINGS))
    parser.add_argument("--metric", default="rouge", choices=("rouge", "bleu"))
    parser.add_argument("--beam", type=int, default=4, help="beside greedy (default: 4; 1 leaves beams out)")
    defaults = {"drafters": "none,input,ngram,self", "beam-drafters": "none", "rules": "free", "batch-sizes": "1,8,32"}
    for name, value in {
        **defaults,
        "directions": "",
        "options": "",
        "drafter-path": None,
        "gen-subset": "test",
    }.items():
        parser.add_argument(f"--{name}", default=value)
    parser.add_argument("--ref", nargs="+", default=[], metavar="FILE", help="TARGET in it: the target language")
    parser.add_argument("--one-in", type=int, default=1, help="at batch size 1 decode one sentence in so many")
    parser.add_argument("--mixed", action="store_true", help="also all --directions in one batch")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    if any(name in TRAINED for name in args.drafters.split(",")) and not args.drafter_path:
        parser.error("--drafter-path must name a trained drafter with --drafters nat: pass --drafter-path D.pt.")
    if unknown := set(args.rules.split(",")) - RULES.keys():
        parser.error(f"--rules must be of {', '.join(RULES)}, got {', '.join(sorted(unknown))}: choose among these.")
    runs = Runs(args.data, args.path, args.runs, args.gen_subset, resume=True)
    content = {"command": COMMAND, **environment(), "data": {}}
    if args.out.exists():
        content["data"] = json.loads(args.out.read_text("utf-8"))["data"]
    rows: list[dict[str, Any]] = []
    for row in itertools.chain(compare(args, runs), compare_mixed(args, runs) if args.mixed else ()):
        rows.append(row)
        content["data"][args.name] = {"metric": args.metric, "options": args.options, "rows": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(str(args.out), json.dumps(content, indent=1) + "\n")
        if args.page and row["system"] != "fairseq":
            _write_page(args, content, rows)
    return int(any(_is_wrong(row) for row in rows))


def _is_wrong(row: dict[str, Any]) -> bool:
    """Return whether an output differs from fairseq's, and the certificate does not call that a near tie."""
    certificate = row.get("certificate")
    if certificate:
        return certificate["wrong"] > 0
    return row.get("identical", row["sentences"]) != row["sentences"]


def _write_page(args: argparse.Namespace, content: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    texts = {"identity": identity_table(rows), "quality": quality_table(rows, args.metric)}
    for kind, text in texts.items():
        if f"<!-- table {kind}-{args.name}:" in args.page.read_text("utf-8"):
            write_table(args.page, f"{kind}-{args.name}", f"{text}\n\n{origin(content, args.out)}")


if __name__ == "__main__":
    sys.exit(main())
