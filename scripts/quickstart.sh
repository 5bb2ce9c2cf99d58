#!/usr/bin/env bash
# The main job on an embedded data set, on the CPU: make a corpus, train a verifier with stock fairseq and a drafter
# with this package, decode the test set with both, and compare output and speed in one table. Then the same for error
# correction, whose drafts are the input: errors put into the corpus' German, a corrector, a second table.
#
#   scripts/quickstart.sh [--out DIR] [--tiny]
#
# --out DIR   where everything goes; default runs/quickstart (with --tiny: runs/quickstart-tiny)
# --tiny      a minute instead of twelve, for trying the script itself: the models learn nothing worth looking at
#
# A second run goes on where the first one stopped: a step is skipped when its result is there. A result appears
# under its name only when it is whole; until then it is NAME.part, and a training goes on from its last checkpoint.
# To start over, delete the folder.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

out="" tiny=""
while [ $# -gt 0 ]; do
    case $1 in
        --out) [ $# -ge 2 ] || { echo "quickstart.sh: --out needs a folder, got nothing: pass --out DIR" >&2; exit 2; }
               out=$2; shift ;;
        --tiny) tiny=yes ;;
        *) echo "quickstart.sh: unknown option '$1'. Known: --out DIR, --tiny" >&2; exit 2 ;;
    esac
    shift
done
out=${out:-runs/quickstart${tiny:+-tiny}}

# sizes: sentence pairs, vocabulary, model, updates and batches (tokens)
train_pairs=60000 valid_pairs=300 test_pairs=200 distil_pairs=15000 correct_pairs=40000 vocab=1600
width=192 ffn=768 heads=4 layers=3 draft_layers=1 block=4
verifier_updates=900 verifier_tokens=1800 verifier_lr=2e-3
drafter_updates=900 drafter_tokens=1800 drafter_lr=2e-3
corrector_updates=450 corrector_tokens=1800 corrector_lr=1e-3
if [ "$tiny" ]; then
    train_pairs=300 valid_pairs=40 test_pairs=8 distil_pairs=60 correct_pairs=60 vocab=300
    width=32 ffn=64 heads=2 layers=2 draft_layers=1 block=4
    verifier_updates=12 verifier_tokens=600 drafter_updates=8 drafter_tokens=600
    corrector_updates=6 corrector_tokens=600
fi
minutes=4 # a training that is not done by then, on a slow machine, stops there

for command in fairseq-generate fairseq-preprocess; do
    command -v "$command" > /dev/null ||
        { echo "quickstart.sh: $command is not installed: run 'make quickstart', which installs it first" >&2; exit 1; }
done

mkdir -p "$out/logs" "$out/decode" "$out/correct"
here=scripts/quickstart
number=0 steps=18 title="" log=""

failed() {
    printf 'quickstart.sh: step "%s" failed' "$title" >&2
    if [ -f "$log" ]; then printf '; the end of %s:\n' "$log" >&2 && tail -n 20 "$log" >&2; else echo >&2; fi
}
trap failed ERR

step() { # step TITLE RESULT FUNCTION ARG...: call FUNCTION RESULT.part ARG... unless RESULT is there
    local result=$2 began=$SECONDS
    number=$((number + 1)) title=$1 log=$out/logs/$(basename "$2").log
    if [ -e "$result" ]; then
        printf '[%2d/%d] %s: done before, in %s\n' "$number" "$steps" "$title" "$result" >&2
        return
    fi
    printf '[%2d/%d] %s\n' "$number" "$steps" "$title" >&2
    "$3" "$result.part" "${@:4}"
    mv "$result.part" "$result"
    printf '      done in %d s\n' $((SECONDS - began)) >&2
}

follow() { python "$here/progress.py" "$log"; }

corpus() { python "$here/corpus.py" --out "$1" --train "$train_pairs" --valid "$valid_pairs" --test "$test_pairs" --seed 1; }

pieces() {
    rm -rf "$1"
    mkdir -p "$1"
    python scripts/data/spm.py train --model "$1/spm.model" --vocab-size "$vocab" "$out"/text/train.{en,de}
    python scripts/data/spm.py encode --model "$1/spm.model" --out-dir "$1" "$out"/text/{train,valid,test}.{en,de}
    for lang in en de; do head -n "$distil_pairs" "$1/train.$lang" > "$1/distil.$lang"; done
}

binarise() { # the sentences to distil are the split test1
    rm -rf "$1"
    fairseq-preprocess --source-lang en --target-lang de --joined-dictionary --destdir "$1" \
        --trainpref "$out/pieces/train" --validpref "$out/pieces/valid" \
        --testpref "$out/pieces/test,$out/pieces/distil" 2>&1 | follow
}

size=(--encoder-embed-dim "$width" --decoder-embed-dim "$width" --encoder-ffn-embed-dim "$ffn"
      --decoder-ffn-embed-dim "$ffn" --encoder-attention-heads "$heads" --decoder-attention-heads "$heads"
      --encoder-layers "$layers" --share-all-embeddings --dropout 0.05)

train() { # train DIR DATA UPDATES TOKENS LR OPTION...
    PYTHONUNBUFFERED=1 python scripts/train/cpu_train.py "$2" --user-dir fairseq_specdec "${size[@]}" --save-dir "$1" \
        --max-update "$3" --max-tokens "$4" --lr "$5" --lr-scheduler polynomial_decay --total-num-update "$3" \
        --warmup-updates $(($3 / 6)) --optimizer adam --adam-betas '(0.9, 0.98)' --clip-norm 1.0 \
        --label-smoothing 0.1 --seed 1 --num-workers 0 --log-format simple --log-interval 10 \
        --no-epoch-checkpoints --save-interval-updates 500 --keep-interval-updates 1 \
        --stop-time-hours "$(python -c "print($minutes / 60)")" "${@:6}" 2>&1 | follow
}

ar=(--task translation --arch transformer --decoder-layers "$layers" --criterion label_smoothed_cross_entropy)

verifier() { train "$1" "$out/data" "$verifier_updates" "$verifier_tokens" "$verifier_lr" "${ar[@]}"; }

generate() { # generate LOG DATA MODEL OPTION...
    PYTHONUNBUFFERED=1 fairseq-generate "$2" --user-dir fairseq_specdec --cpu --path "$3/checkpoint_last.pt" \
        --max-len-a 1.5 --max-len-b 20 --log-format simple --log-interval 10 "${@:4}" 2>&1 | follow
    mv "$log" "$1"
}

distil() { # what the verifier itself says is easier to guess than the references
    mkdir -p "$1"
    generate "$1/gen.log" "$out/data" "$out/verifier" --gen-subset test1 --task translation_specdec --drafter none --beam 1 --max-tokens 4000
    python -m fairseq_specdec.cli.main distill --gen "$1/gen.log" --out-prefix "$1/train" \
        --source-lang en --target-lang de > "$log" 2>&1
    rm -rf "$1/bin"
    fairseq-preprocess --source-lang en --target-lang de --srcdict "$out/data/dict.en.txt" --joined-dictionary \
        --destdir "$1/bin" --trainpref "$1/train" --validpref "$out/pieces/valid" 2>&1 | follow
}

drafter() {
    train "$1" "$out/distilled/bin" "$drafter_updates" "$drafter_tokens" "$drafter_lr" --task spec_drafter \
        --arch spec_drafter --decoder-layers "$draft_layers" --criterion spec_drafter_loss --block-size "$block" \
        --init-from-verifier "$out/verifier/checkpoint_last.pt"
}

errors() { # the corpus' German with errors, in the pieces and the dictionary that are there
    rm -rf "$1"
    mkdir -p "$1"
    python "$here/errors.py" "$out/text/train.de" --out "$1/train" --seed 1 --limit "$correct_pairs"
    for split in valid test; do python "$here/errors.py" "$out/text/$split.de" --out "$1/$split" --seed 2; done
    python scripts/data/spm.py encode --model "$out/pieces/spm.model" --out-dir "$1/pieces" \
        "$1"/{train,valid,test}.{err,cor}
    fairseq-preprocess --source-lang err --target-lang cor --srcdict "$out/data/dict.en.txt" --joined-dictionary \
        --destdir "$1/bin" --trainpref "$1/pieces/train" --validpref "$1/pieces/valid" --testpref "$1/pieces/test" \
        2>&1 | follow
}

corrector() { # goes on from the translation model, which writes German already
    train "$1" "$out/errors/bin" "$corrector_updates" "$corrector_tokens" "$corrector_lr" "${ar[@]}" \
        --finetune-from-model "$out/verifier/checkpoint_last.pt"
}

one=(--gen-subset test --batch-size 1) # a sentence at a time
spec=(--task translation_specdec --beam 1)

translate() { generate "$1" "$out/data" "$out/verifier" "${one[@]}" "${@:2}"; } # translate LOG.part OPTION...
correct() { generate "$1" "$out/errors/bin" "$out/corrector" "${one[@]}" "${@:2}"; }

step "corpus: $train_pairs English-German sentence pairs from a grammar" "$out/text" corpus
step "SentencePiece: about $vocab pieces" "$out/pieces" pieces
step "fairseq-preprocess" "$out/data" binarise
step "verifier: stock fairseq Transformer, $verifier_updates updates" "$out/verifier" verifier
step "distillation: the verifier translates $distil_pairs training sentences" "$out/distilled" distil
step "drafter: Spec-Drafter with blocks of $block, $drafter_updates updates" "$out/drafter" drafter
nat=(--drafter nat --drafter-path "$out/drafter/checkpoint_last.pt")
d=$out/decode
step "decode: fairseq, beam 5" "$d/fairseq-beam5.log" translate --task translation --beam 5
step "decode: fairseq, greedy" "$d/fairseq-greedy.log" translate --task translation --beam 1
step "decode: this package without a drafter" "$d/none.log" \
    translate "${spec[@]}" --spec-stats "$d/none.json" --drafter none
step "decode: this package with the drafter" "$d/nat.log" \
    translate "${spec[@]}" --spec-stats "$d/nat.json" "${nat[@]}"
step "decode: relaxed acceptance, beta 3, tau 1" "$d/nat-beta3-tau1.log" \
    translate "${spec[@]}" --spec-stats "$d/nat-beta3-tau1.json" "${nat[@]}" --beta 3 --tau 1
c=$out/correct
step "errors: German sentences with learners' errors, $correct_pairs pairs" "$out/errors" errors
step "corrector: stock fairseq Transformer, $corrector_updates updates from the verifier's weights" \
    "$out/corrector" corrector
step "correct: fairseq, greedy" "$c/fairseq-greedy.log" correct --task translation --beam 1
step "correct: this package without a drafter" "$c/none.log" \
    correct "${spec[@]}" --spec-stats "$c/none.json" --drafter none
step "correct: this package, the input as the draft" "$c/input.log" \
    correct "${spec[@]}" --spec-stats "$c/input.json" --drafter input
title=report log=""
printf '[%2d/%d] report: %s, %s\n' "$steps" "$steps" "$out/report.json" "$out/correction.json" >&2
python "$here/report.py" --table translation bleu "$d" "$out/report.json" \
    --table "error correction" gleu "$c" "$out/correction.json"
