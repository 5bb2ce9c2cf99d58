#!/usr/bin/env bash
# Checks and times everything on a GPU, in under 8 minutes on a bare machine with torch: GPU tests, translation with a
# Spec-Drafter and error correction with trained models, a Transformer-base with random weights.
#
#   scripts/bench_gpu.sh [--stage NAME]... [--out DIR] [--limit N] [--batch-sizes LIST] [--dtype fp16|bf16|fp32] [--cpu]
#
# It needs what scripts/train/multi30k.sh and scripts/train/gec.sh gec.en make (data/ and checkpoints/), carried to the
# machine. Stages:
#   tests      everything marked gpu
#   multi30k   models/multi30k.en-de: none, nat, ngram
#   gec        models/gec.en: none, input, ngram
#   base       Transformer-base, 32,000 symbols: none
#   exact      float32: share of outputs that are fairseq's, and certificates in float32 and, with --dtype fp16, in that
# CTranslate2 is measured beside them where its package is installed (pip install "fairseq-specdec[bench]").
# Results are JSON files in --out (results/gpu), and a table of all of them in gpu.md beside them.
# --cpu runs the same on a CPU, which shows that the script works and nothing else.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=results/gpu limit=128 sizes=1,8,32,128 dtype=fp16 device=() stages=()
while [ $# -gt 0 ]; do
    case $1 in
        --stage) stages+=("$2"); shift ;;
        --out) out=$2; shift ;;
        --limit) limit=$2; shift ;;
        --batch-sizes) sizes=$2; shift ;;
        --dtype) dtype=$2; shift ;;
        --cpu) device=(--cpu) ;;
        *) echo "bench_gpu.sh: unknown option '$1'. Known: --stage, --out, --limit, --batch-sizes, --dtype, --cpu" >&2
           exit 2 ;;
    esac
    shift
done
case $dtype in
    fp16 | bf16) precision=("--$dtype") ;;
    fp32) precision=() ;;
    *) echo "bench_gpu.sh: --dtype must be fp16, bf16 or fp32, got '$dtype'" >&2; exit 2 ;;
esac
[ ${#device[@]} -eq 0 ] || precision=()  # a CPU has no half precision
[ ${#stages[@]} -gt 0 ] || stages=(tests multi30k gec base exact)
if [ ${#device[@]} -eq 0 ]; then
    python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
        { echo "bench_gpu.sh: torch sees no GPU here; --cpu tries the script on a CPU" >&2; exit 2; }
fi
mkdir -p "$out"

need() {  # need FILE RECIPE
    [ -e "$1" ] || { echo "bench_gpu.sh: $1 is missing; it is made by $2" >&2; exit 2; }
}

others=,ctranslate2
python -c 'import ctranslate2' 2> /dev/null ||
    { others=; echo "bench_gpu.sh: the package ctranslate2 is not installed: its rows are left out" >&2; }

heading() {  # heading NAME TITLE: a place for the table in gpu.md, if it is not there
    grep -q "<!-- table $1:" "$out/gpu.md" 2> /dev/null ||
        printf '## %s\n\n<!-- table %s: written by a script -->\n<!-- end %s -->\n\n' "$2" "$1" "$1" >> "$out/gpu.md"
}

bench() {  # bench NAME TITLE SYSTEMS DATA VERIFIER OPTION...: specdec bench -> $out/NAME.json
    local name=$1 title=$2 systems=$3 data=$4 verifier=$5
    shift 5
    specdec bench "$data" --path "$verifier" --systems "$systems" --batch-sizes "$sizes" --limit "$limit" --repeats 3 \
        ${precision[@]+"${precision[@]}"} ${device[@]+"${device[@]}"} --json "$out/$name.json" "$@"
    heading "$name" "$title"
    python "$here/train/bench_card.py" "$out/$name.json" "$out/gpu.md:$name" --title "$title"
}

multi30k=checkpoints/multi30k.en-de gec=checkpoints/gec.en

stage_tests() {
    [ ${#device[@]} -eq 0 ] || { echo "tests marked gpu need a GPU: left out" >&2; return; }
    python -m pytest -q -m gpu "$here/../tests"
}

stage_multi30k() {
    need "$multi30k/drafter/checkpoint_last.pt" scripts/train/multi30k.sh
    bench multi30k "Multi30k English-German" fairseq,fairseq-beam5,none,nat,nat:block=5,ngram,none:cuda-graphs=true,nat:cuda-graphs=true$others \
        data/multi30k.en-de/bin "$multi30k/verifier/checkpoint_last.pt" \
        --drafter-path "$multi30k/drafter/checkpoint_last.pt" --remove-bpe sentencepiece
}

stage_gec() {
    need "$gec/verifier/checkpoint_last.pt" "scripts/train/gec.sh gec.en"
    bench gec "English correction (JFLEG dev)" fairseq,none,input,ngram,input:cuda-graphs=true$others \
        data/gec.en/bin "$gec/verifier/checkpoint_last.pt" --gen-subset test --remove-bpe sentencepiece
}

stage_base() {
    heading base "Transformer-base with random weights"
    python "$here/bench_sentences.py" --models base --systems fairseq,none,none:cuda-graphs=true$others \
        --limit "$((limit < 32 ? limit : 32))" --repeats 3 --batch-sizes "$sizes" --data "$out/base" \
        --out "$out/base.json" --page "$out/gpu.md:base" ${precision[@]+"${precision[@]}"} ${device[@]+"${device[@]}"}
}

stage_exact() {
    need "$multi30k/drafter/checkpoint_last.pt" scripts/train/multi30k.sh
    local kind number=0
    # fairseq-generate takes --bf16 and computes in float32 all the same
    [ "$dtype" != bf16 ] || echo "bench_gpu.sh: fairseq-generate has no bf16: certified in float32 alone" >&2
    for kind in "" ${precision[@]+"${precision[@]/--bf16/}"}; do
        [ -n "$kind" ] || [ $number -eq 0 ] || continue
        number=$((number + 1))
        specdec_generate "$out/exact$number" $kind --drafter nat --drafter-path "$multi30k/drafter/checkpoint_last.pt" \
            --certify 2> "$out/exact$number.log" || echo "the certificate found a wrong token: see $out/exact$number.log" >&2
        grep -h "certificate:" "$out/exact$number.log" | tail -1
    done
    fairseq-generate data/multi30k.en-de/bin --user-dir fairseq_specdec --task translation --beam 1 --batch-size 32 \
        --path "$multi30k/verifier/checkpoint_last.pt" ${device[@]+"${device[@]}"} --results-path "$out/stock" > /dev/null 2>&1
    python - "$out" <<'PYTHON'
import json
import sys
from pathlib import Path

from fairseq_specdec.evaluation.generate_log import read_generate_log

out = Path(sys.argv[1])
stock, ours = (
    {s.id: s.hypothesis for s in read_generate_log([str(out / name / "generate-test.txt")]).sentences}
    for name in ("stock", "exact1")
)
same = sum(ours[i] == sentence for i, sentence in stock.items())
(out / "exact.json").write_text(json.dumps({"dtype": "float32", "sentences": len(stock), "identical": same}) + "\n")
print(f"float32: {same} of {len(stock)} sentences identical to fairseq-generate --beam 1")
PYTHON
}

specdec_generate() {  # specdec_generate FOLDER OPTION...
    local folder=$1
    shift
    fairseq-generate data/multi30k.en-de/bin --user-dir fairseq_specdec --task translation_specdec --beam 1 \
        --batch-size 32 --path "$multi30k/verifier/checkpoint_last.pt" --results-path "$folder" \
        ${device[@]+"${device[@]}"} "$@" > /dev/null
}

for stage in "${stages[@]}"; do
    declare -F "stage_$stage" > /dev/null || { echo "bench_gpu.sh: unknown stage '$stage'" >&2; exit 2; }
    echo "== $stage" >&2
    "stage_$stage"
done
