#!/usr/bin/env bash
# stages are added as they land
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=data/multi30k.en-de/bin out=checkpoints/multi30k.en-de
mkdir -p "$out"
python "$here/cpu_train.py" "$bin" --task translation --arch transformer --share-all-embeddings \
    --encoder-layers 3 --decoder-layers 3 --encoder-embed-dim 256 --decoder-embed-dim 256 \
    --encoder-ffn-embed-dim 1024 --decoder-ffn-embed-dim 1024 --encoder-attention-heads 4 --decoder-attention-heads 4 \
    --dropout 0.3 --criterion label_smoothed_cross_entropy --label-smoothing 0.1 \
    --optimizer adam --adam-betas '(0.9, 0.98)' --clip-norm 1.0 --weight-decay 0.0001 \
    --lr 1.5e-3 --lr-scheduler polynomial_decay --warmup-updates 500 --total-num-update 2900 --max-update 2900 \
    --max-tokens 2560 --num-workers 0 --seed 1 --log-format simple --log-interval 50 \
    --no-epoch-checkpoints --save-dir "$out/teacher" --log-file "$out/teacher.log"
