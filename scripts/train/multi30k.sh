#!/usr/bin/env bash
# The Multi30k English-German recipe on a CPU: teacher, distillation, verifier, drafter, decoding, certificate, scores.
#
#   scripts/train/multi30k.sh [--from DIR] [--stage NAME]...
#
# Without --stage all stages run in order; a stage whose result is there is skipped. --from is handed to
# scripts/data/multi30k.sh. Stages:
#   data      text, SentencePiece, binarised data
#   teacher   stock Transformer 3+3, 256/1024, on the references
#   distil    the teacher translates the training set (beam 5)
#   verifier  the teacher trained on for a few passes over its own translations: greedy decoding gains most of what
#             beam search did, and what is left to guess gets easier for a drafter
#   drafter   Spec-Drafter 3+2, 256/1024, started from the verifier, on the same translations
#   drafter25 the same, a little longer with the published block of 25
#   drafts    shorter trainings of cheaper drafters side by side -> models/multi30k.en-de/drafts.json
#   random    an untrained drafter with a block of 25, to show that drafts change speed and nothing else
#   results   identity, certificates and scores on test_2016_flickr -> models/multi30k.en-de/results.json
#   bench     speeds at batch sizes 1, 8 and 32 -> models/multi30k.en-de/bench.json
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=data/multi30k.en-de bin=data/multi30k.en-de/bin out=checkpoints/multi30k.en-de
from=() stages=()
while [ $# -gt 0 ]; do
    case $1 in
        --from) from=(--from "$2") ;;
        --stage) stages+=("$2") ;;
        *) echo "multi30k.sh: unknown option '$1'. Known: --from DIR, --stage NAME" >&2; exit 2 ;;
    esac
    shift 2
done
[ ${#stages[@]} -gt 0 ] || stages=(data teacher distil verifier drafter drafter25 random results bench drafts)
mkdir -p "$out"

size=(--encoder-embed-dim 256 --decoder-embed-dim 256 --encoder-ffn-embed-dim 1024 --decoder-ffn-embed-dim 1024
      --encoder-attention-heads 4 --decoder-attention-heads 4 --encoder-layers 3 --share-all-embeddings)
adam=(--optimizer adam --adam-betas '(0.9, 0.98)' --clip-norm 1.0 --weight-decay 0.0001 --lr-scheduler polynomial_decay)
log=(--num-workers 0 --seed 1 --log-format simple --log-interval 50 --no-epoch-checkpoints)

train() {  # train NAME DATA OPTION...: skipped when NAME is done; an interrupted one goes on from its checkpoint
    local name=$1 where=$2
    shift 2
    [ -f "$out/$name/done" ] && return
    python "$here/cpu_train.py" "$where" --user-dir fairseq_specdec "${log[@]}" \
        --save-dir "$out/$name" --log-file "$out/$name.log" "$@"
    touch "$out/$name/done"
}

translate_train() {  # translate_train NAME OPTION...: the training set by some decoder -> $data/NAME/bin
    local name=$1
    shift
    [ -f "$data/$name/bin/train.en-de.de.idx" ] && return
    mkdir -p "$data/$name"
    fairseq-generate "$bin" --user-dir fairseq_specdec --gen-subset train --max-tokens 6000 --cpu \
        --log-format simple --log-interval 50 "$@" > "$data/$name/gen.log.part"
    mv "$data/$name/gen.log.part" "$data/$name/gen.log"
    specdec distill --gen "$data/$name/gen.log" --out-prefix "$data/$name/train" --source-lang en --target-lang de
    fairseq-preprocess --source-lang en --target-lang de --srcdict "$bin/dict.en.txt" --joined-dictionary \
        --workers 2 --destdir "$data/$name/bin" --trainpref "$data/$name/train" --validpref "$data/bpe/val"
}

stage_data() { "$here/../data/multi30k.sh" "${from[@]}"; }

stage_teacher() {
    train teacher "$bin" --task translation --arch transformer "${size[@]}" --decoder-layers 3 --dropout 0.3 \
        --criterion label_smoothed_cross_entropy --label-smoothing 0.1 "${adam[@]}" \
        --lr 1.5e-3 --warmup-updates 500 --total-num-update 2900 --max-update 2900 --max-tokens 2560
}

stage_distil() { translate_train distil --task translation --path "$out/teacher/checkpoint_last.pt" --beam 5; }

stage_verifier() {
    train verifier "$data/distil/bin" --task translation --arch transformer "${size[@]}" --decoder-layers 3 --dropout 0.1 \
        --finetune-from-model "$out/teacher/checkpoint_last.pt" \
        --criterion label_smoothed_cross_entropy --label-smoothing 0.1 "${adam[@]}" \
        --lr 3e-4 --warmup-updates 50 --total-num-update 450 --max-update 450 --max-tokens 2560
}

drafter=(--task spec_drafter --arch spec_drafter "${size[@]}" --decoder-layers 2 --dropout 0.1 --activation-fn relu
         --criterion spec_drafter_loss --label-smoothing 0.1 --glance-start 0.5 --glance-end 0.3)

stage_drafter() {
    train drafter "$data/distil/bin" "${drafter[@]}" --block-size 8 \
        --init-from-verifier "$out/verifier/checkpoint_last.pt" "${adam[@]}" \
        --lr 1e-3 --warmup-updates 200 --total-num-update 1400 --max-update 1400 --validate-interval 2 --max-tokens 3000
}

stage_drafts() {
    local costs=(--data "$bin" --verifier "$out/verifier/checkpoint_last.pt") name
    mkdir -p "$out/drafts"
    try() {  # try NAME OPTION...
        name=$1
        shift
        train "drafts/$name" "$data/distil/bin" "${drafter[@]}" --block-size 8 \
            --init-from-verifier "$out/verifier/checkpoint_last.pt" "${adam[@]}" \
            --lr 1e-3 --warmup-updates 100 --total-num-update 500 --max-update 500 --validate-interval 99 \
            --max-tokens 3000 "$@"
        costs+=(--drafter "$name=$out/drafts/$name/checkpoint_last.pt")
    }
    try 3+2
    try 3+1 --decoder-layers 1
    try 3+2-causal --causal-prefix
    try shared+2 --share-encoder
    try shared+1 --share-encoder --decoder-layers 1
    python "$here/draft_costs.py" "${costs[@]}" --out models/multi30k.en-de/drafts.json \
        --page models/multi30k.en-de/README.md:drafts
}

stage_random() {
    train random "$bin" --task spec_drafter --arch spec_drafter_tiny --criterion spec_drafter_loss --block-size 25 \
        "${adam[@]}" --lr 1e-9 --total-num-update 1 --max-update 1 --max-tokens 1000 --disable-validation
}

stage_drafter25() {
    train drafter25 "$data/distil/bin" "${drafter[@]}" --block-size 25 --verifier "$out/verifier/checkpoint_last.pt" \
        --finetune-from-model "$out/drafter/checkpoint_last.pt" "${adam[@]}" \
        --lr 2e-4 --warmup-updates 10 --total-num-update 100 --max-update 100 --max-tokens 3000
}

stage_results() {
    python "$here/multi30k_results.py" --data "$bin" --checkpoints "$out" --out models/multi30k.en-de/results.json
}

guesses() {  # guesses NAME TEXT: the text with 15% of its words replaced, in subwords
    mkdir -p "$data/guesses"
    python "$here/../data/perturb.py" --rate 0.15 --seed 1 "$2" "$data/guesses/$1.txt"
    python "$here/../data/spm.py" encode --model "$data/spm.model" --out-dir "$data/guesses/bpe" "$data/guesses/$1.txt"
}

stage_bench() {
    guesses references "$data/text/test_2016_flickr.de"
    fairseq-generate "$bin" --user-dir fairseq_specdec --task translation_specdec --beam 1 --cpu --batch-size 64 \
        --path "$out/verifier/checkpoint_last.pt" --remove-bpe sentencepiece --results-path "$data/guesses"
    python - "$data/guesses/generate-test.txt" > "$data/guesses/greedy.de" <<'EOF'
import sys
from fairseq_specdec.evaluation.generate_log import read_generate_log
print("\n".join(sentence.detokenized for sentence in read_generate_log(sys.argv[1:]).sentences))
EOF
    guesses outputs "$data/guesses/greedy.de"
    local files=$data/guesses/bpe corpus=$data/bpe/train.de json=models/multi30k.en-de/bench.json
    specdec bench "$bin" --path "$out/verifier/checkpoint_last.pt" --drafter-path "$out/drafter/checkpoint_last.pt" \
        --remove-bpe sentencepiece --batch-sizes 1,8,32 --limit 60 --repeats 5 --json $json --systems \
"fairseq,fairseq-beam5,ctranslate2,none,nat:block=5,nat,ngram,ngram:ngram-corpus=$corpus,\
file:draft-file=$files/references.txt,file:draft-file=$files/outputs.txt"
    python "$here/bench_card.py" $json models/multi30k.en-de/README.md:bench
}

for stage in "${stages[@]}"; do
    declare -F "stage_$stage" > /dev/null || { echo "multi30k.sh: unknown stage '$stage'" >&2; exit 2; }
    echo "== $stage" >&2
    "stage_$stage"
done; exit 0  # one line with the loop: an edit of this file during a run is not read
