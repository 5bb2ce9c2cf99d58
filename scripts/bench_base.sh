#!/usr/bin/env bash
# Times this engine, fairseq and CTranslate2 on a Transformer-base with a 32k vocabulary and random weights: time does
# not depend on them. Every output has 28 tokens.
#
#   scripts/bench_base.sh [--arch A] [--symbols N] [--limit N] [--batch-sizes LIST] [--systems LIST] [--out DIR]
#       [--page FILE] [--data DIR] [--fp16] [--bf16] [--cpu]
#
# Writes transformer_base.json in --out (docs) and a table into --page (performance.md there); --data is made anew. Run it
# with nothing else running.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arch=transformer symbols=32000 limit=16 sizes=1,8,32 out=docs page= data=data/transformer_base device=()
systems=fairseq,none,none:engine-dtype=bf16,none:engine-dtype=int8,ctranslate2,ctranslate2:compute=int8
while [ $# -gt 0 ]; do
    case $1 in
        --fp16 | --bf16 | --cpu) device+=("$1"); shift; continue ;;
        --arch) arch=$2 ;;
        --symbols) symbols=$2 ;;
        --limit) limit=$2 ;;
        --batch-sizes) sizes=$2 ;;
        --systems) systems=$2 ;;
        --out) out=$2 ;;
        --page) page=$2 ;;
        --data) data=$2 ;;
        *) echo "bench_base.sh: unknown option '$1'. Known: --arch, --symbols, --limit, --batch-sizes, --systems, --out," \
                "--page, --data, --fp16, --bf16, --cpu" >&2; exit 2 ;;
    esac
    shift 2
done
page=${page:-$out/performance.md}
[[ $symbols =~ ^[0-9]+$ && $symbols -ge 40 ]] ||
    { echo "bench_base.sh: --symbols must be at least 40, got '$symbols'" >&2; exit 2; }
rm -rf "$data"
mkdir -p "$data"

python - "$symbols" "$data" <<'PYTHON'
import random
import sys
from pathlib import Path

symbols, folder = int(sys.argv[1]), Path(sys.argv[2])
rng = random.Random(1)
names = [f"s{i}" for i in range(symbols - 4)]  # fairseq adds four of its own
lines = {
    "train": [" ".join(names[i : i + 28]) for i in range(0, len(names), 28)],
    "test": [" ".join(rng.choices(names, k=28)) for _ in range(256)],
}
for split, text in lines.items():
    for side in ("de", "en"):
        (folder / f"{split}.{side}").write_text("\n".join(text) + "\n", "utf-8")
PYTHON
fairseq-preprocess --source-lang de --target-lang en --joined-dictionary --trainpref "$data/train" \
    --testpref "$data/test" --destdir "$data/bin"
fairseq-train "$data/bin" --user-dir fairseq_specdec --task translation --arch "$arch" --share-all-embeddings --cpu \
    --optimizer adam --lr 1e-9 --max-update 1 --max-tokens 56 --disable-validation --seed 1 --num-workers 0 \
    --no-progress-bar --no-epoch-checkpoints --save-dir "$data/checkpoints"
specdec bench "$data/bin" --path "$data/checkpoints/checkpoint_last.pt" --systems "$systems" --batch-sizes "$sizes" \
    --limit "$limit" --repeats 3 ${device[@]+"${device[@]}"} --max-len-a 0 --max-len-b 27 --min-len 27 --json "$out/transformer_base.json"
python "$here/train/bench_card.py" "$out/transformer_base.json" "$page:base" \
    --title "Transformer ($arch) with random weights, $symbols symbols, 28 tokens in and out"
