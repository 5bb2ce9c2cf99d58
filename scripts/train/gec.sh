#!/usr/bin/env bash
# The recipes of error correction and simplification on a CPU: data, training, identity, rounds, scores, speed.
#
#   scripts/train/gec.sh SYSTEM --from DIR [--layers E+D] [--stage NAME]...
#
# SYSTEM is gec.en (English correction), gec.uk (Ukrainian, UA-GEC) or simplification.en (WikiSplit, OneStopEnglish).
# The last two start from the first one's base model, which has learned to copy: train gec.en first. --from is the
# folder with the data sets (see scripts/data/gec.py). --layers 9+3 or 12+2 trains the shallow decoders of Shallow
# Aggressive Decoding instead of 6+6; its checkpoints, results and speeds carry the layers in their names. Without
# --stage all stages run in order, and one whose result is there is skipped. Stages:
#   data      text, SentencePiece, binarised data
#   base      gec.en only: stock Transformer 6+6, 256/1024, on errors made up in clean English and real pairs thrice;
#             it learns to copy first, then to correct
#   verifier  gec.en: the base model trained on with more errors a sentence, which teaches correcting faster; the other
#             systems: the base model trained on, on their real pairs
#   results   identity, rounds by either draft rule, quality -> models/SYSTEM/results.json
#   bench     speed at batch sizes 1, 8 and 32 -> models/SYSTEM/bench.json; CTranslate2 comes with the extra [bench]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
system=${1:-}
case $system in
    gec.en) language=en task=gec ;;
    gec.uk) language=uk task=gec ;;
    simplification.en) language=en task=simplification ;;
    *) echo "gec.sh: SYSTEM must be gec.en, gec.uk or simplification.en, got '$system'" >&2; exit 2 ;;
esac
shift
from="" layers=6+6 stages=()
while [ $# -gt 0 ]; do
    case $1 in
        --from) from=$2 ;;
        --layers) layers=$2 ;;
        --stage) stages+=("$2") ;;
        *) echo "gec.sh: unknown option '$1'. Known: --from DIR, --layers E+D, --stage NAME" >&2; exit 2 ;;
    esac
    shift 2
done
[ ${#stages[@]} -gt 0 ] || stages=(data base verifier results bench)
[[ $layers =~ ^[1-9][0-9]*\+[1-9][0-9]*$ ]] ||
    { echo "gec.sh: --layers must be two numbers such as 9+3, got '$layers'" >&2; exit 2; }
kind=; [ "$layers" = 6+6 ] || kind=-$layers  # what is not the usual size has it in its name
data=data/$system out=checkpoints/$system$kind english=data/gec.en
base=checkpoints/gec.en$kind/base/checkpoint_last.pt
mkdir -p "$data" "$out"

train() {  # train NAME DATA UPDATES LR WARMUP OPTION...
    local name=$1 where=$2 updates=$3 lr=$4 warmup=$5
    [ -f "$out/$name/done" ] && return
    python "$here/cpu_train.py" "$where" --user-dir fairseq_specdec --task translation --arch transformer \
        --encoder-embed-dim 256 --decoder-embed-dim 256 --encoder-ffn-embed-dim 1024 --decoder-ffn-embed-dim 1024 \
        --encoder-attention-heads 4 --decoder-attention-heads 4 \
        --encoder-layers "${layers%+*}" --decoder-layers "${layers#*+}" \
        --share-all-embeddings --encoder-normalize-before --decoder-normalize-before --dropout 0.1 \
        --criterion label_smoothed_cross_entropy --label-smoothing 0.1 \
        --optimizer adam --adam-betas '(0.9, 0.98)' --clip-norm 1.0 --lr-scheduler polynomial_decay --lr "$lr" \
        --warmup-updates "$warmup" --total-num-update "$updates" --max-update "$updates" --max-tokens 2600 \
        --num-workers 0 --seed 1 --log-format simple --log-interval 20 --no-epoch-checkpoints \
        --save-interval-updates 500 --keep-interval-updates 1 --validate-interval-updates 500 \
        --save-dir "$out/$name" --log-file "$out/$name.log" "${@:6}"
    touch "$out/$name/done"
}

pieces() { python "$here/../data/spm.py" "$@"; }

binarise() {  # binarise DIR TRAIN OPTION...: with the valid split, one dictionary for both sides
    rm -rf "$1"
    fairseq-preprocess --source-lang src --target-lang tgt --joined-dictionary --workers 2 --destdir "$1" \
        --trainpref "$2" --validpref "$data/bpe/valid" "${@:3}"
}

test_sets() {  # test_sets STEM...: subword files of text/eval/STEM; prints them as fairseq-preprocess takes them
    local stem found=()
    for stem in "$@"; do
        [ -f "$data/text/eval/$stem.tgt" ] || cp "$data/text/eval/$stem.ref0" "$data/text/eval/$stem.tgt"
        pieces encode --model "$data/spm.model" --out-dir "$data/bpe" "$data/text/eval/$stem".{src,tgt} >&2
        found+=("$data/bpe/$stem")
    done
    (IFS=,; echo "${found[*]}")
}

dense_text() {  # dense_text DIR: a quarter of the tokens in error, and the real pairs that were corrected, six times
    python "$here/../data/gec.py" errors --seed 2 --set errors_per_token=0.25 --set clean_share=0.05 --set most=0.5 \
        --out-prefix "$1/dense" "$1/clean.txt"
    local side number=0
    for side in src tgt; do
        number=$((number + 1))
        paste "$1/real.src" "$1/real.tgt" | awk -F '\t' '$1 != $2' | cut -f $number > "$1/edited.$side"
        for _ in 1 2 3 4 5 6; do cat "$1/edited.$side"; done >> "$1/dense.$side"
    done
}

stage_data() {
    [ -f "$data/bin/train.src-tgt.src.idx" ] && return
    [ -n "$from" ] || { echo "gec.sh: --from must name the folder with the data sets, got nothing" >&2; exit 2; }
    python "$here/../data/gec.py" prepare --from "$from" --out "$data/text" --language $language --task $task --seed 1
    local text=$data/text sets
    case $system in
        gec.en)
            pieces train --model "$data/spm.model" --vocab-size 5000 "$text"/{real.tgt,clean.txt,synthetic.src}
            for side in src tgt; do
                cat "$text/synthetic.$side" "$text"/real.$side{,,} > "$text/mixed.$side"
            done
            pieces encode --model "$data/spm.model" --out-dir "$data/bpe" "$text"/{mixed,valid}.{src,tgt}
            for side in src ref0 m2; do cat "$text"/eval/cweb_{g,s}-heldout.$side > "$text/eval/cweb-heldout.$side"; done
            sets=$(test_sets jfleg_dev cweb_dev jfleg-heldout conll14-heldout cweb-heldout)
            binarise "$data/bin" "$data/bpe/mixed" --testpref "$sets"
            dense_text "$text"
            pieces encode --model "$data/spm.model" --out-dir "$data/bpe" "$text"/dense.{src,tgt}
            binarise "$data/dense" "$data/bpe/dense" --srcdict "$data/bin/dict.src.txt" ;;
        gec.uk)  # as many symbols as the English dictionary has, so that the base model's weights fit
            mkdir -p "$text/eval"
            cp "$text/valid.src" "$text/eval/ua_gec_dev.src"
            cp "$text/valid.tgt" "$text/eval/ua_gec_dev.ref0"
            pieces train --model "$data/spm.model" --vocab-size 5000 "$text"/real.{src,tgt}
            pieces encode --model "$data/spm.model" --out-dir "$data/bpe" "$text"/{real,valid}.{src,tgt}
            binarise "$data/real" "$data/bpe/real"
            python "$here/pad_dictionary.py" "$data/real/dict.src.txt" --like "$english/bin/dict.src.txt" \
                --out "$data/dict.txt"
            sets=$(test_sets ua_gec_dev)
            binarise "$data/bin" "$data/bpe/real" --srcdict "$data/dict.txt" --testpref "$sets" ;;
        simplification.en)
            cp "$english/spm.model" "$data/spm.model"
            pieces encode --model "$data/spm.model" --out-dir "$data/bpe" "$text"/{real,valid}.{src,tgt}
            sets=$(test_sets asset)
            binarise "$data/bin" "$data/bpe/real" --srcdict "$english/bin/dict.src.txt" --testpref "$sets" ;;
    esac
}

stage_base() { [ $system != gec.en ] || train base "$data/bin" 1500 1e-3 400 --total-num-update 2400; }

stage_verifier() {
    case $system in
        gec.en) train verifier "$data/dense" 1700 8e-4 60 --finetune-from-model "$base" ;;
        gec.uk) train verifier "$data/bin" 300 1e-3 50 --finetune-from-model "$base" ;;
        simplification.en) train verifier "$data/bin" 150 4e-4 20 --finetune-from-model "$base" ;;
    esac
}

stage_results() { python "$here/gec_results.py" --system "$system" --layers "$layers"; }

stage_bench() {
    local systems=fairseq,fairseq-beam5,ctranslate2,ctranslate2:compute=int8,none,none:engine-dtype=int8
    systems+=,input,input:draft-rule=published,input:engine-dtype=int8,ngram
    specdec bench "$data/bin" --path "$out/verifier/checkpoint_last.pt" --systems $systems --batch-sizes 1,8,32 \
        --limit 50 --repeats 3 --metric bleu --json "models/$system/bench$kind.json"
    python "$here/bench_card.py" "models/$system/bench$kind.json" "models/$system/README.md:bench$kind"
    [ "$system$kind" != gec.en ] || python "$here/bench_card.py" models/gec.en/bench.json README.md:gec \
        --title "English correction (JFLEG dev)" --systems fairseq,fairseq-beam5,ctranslate2,none,input,ngram
}

for stage in "${stages[@]}"; do
    declare -F "stage_$stage" > /dev/null || { echo "gec.sh: unknown stage '$stage'" >&2; exit 2; }
    echo "== $stage" >&2
    "stage_$stage"
done; exit 0  # one line with the loop: an edit of this file during a run is not read
