#!/usr/bin/env bash
# Prepare Multi30k English-German (task 1) for fairseq: text, joint SentencePiece BPE, binarised data.
#
#   scripts/data/multi30k.sh [--from DIR] [--out DIR] [--vocab-size N]
#
# --from DIR   folder with train/val/test_2016_flickr .en/.de, plain or .gz; without it they are downloaded from
#              the multi30k/dataset repository
# --out DIR    default data/multi30k.en-de; gets text/, spm.model, bpe/ and bin/
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
from="" out=data/multi30k.en-de vocab=6000
url=https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw
while [ $# -gt 0 ]; do
    case $1 in
        --from) from=$2 ;;
        --out) out=$2 ;;
        --vocab-size) vocab=$2 ;;
        *) echo "multi30k.sh: unknown option '$1'. Known: --from DIR, --out DIR, --vocab-size N" >&2; exit 2 ;;
    esac
    shift 2
done

mkdir -p "$out/text"
for split in train val test_2016_flickr; do
    for lang in en de; do
        to=$out/text/$split.$lang
        [ -s "$to" ] && continue
        if [ -z "$from" ]; then
            curl -fsSL "$url/$split.$lang.gz" | gunzip > "$to.part"
        elif [ -f "$from/$split.$lang.gz" ]; then
            gunzip -c "$from/$split.$lang.gz" > "$to.part"
        elif [ -f "$from/$split.$lang" ]; then
            cp "$from/$split.$lang" "$to.part"
        else
            echo "multi30k.sh: --from must hold $split.$lang or $split.$lang.gz, but $from has neither" >&2
            exit 1
        fi
        mv "$to.part" "$to"
    done
done

t=$out/text
[ -s "$out/spm.model" ] || python "$here/spm.py" train --model "$out/spm.model" --vocab-size "$vocab" "$t/train.en" "$t/train.de"
python "$here/spm.py" encode --model "$out/spm.model" --out-dir "$out/bpe" "$t"/{train,val,test_2016_flickr}.{en,de}
if [ ! -f "$out/bin/test.en-de.de.idx" ]; then
    fairseq-preprocess --source-lang en --target-lang de --joined-dictionary --workers 2 --destdir "$out/bin" \
        --trainpref "$out/bpe/train" --validpref "$out/bpe/val" --testpref "$out/bpe/test_2016_flickr"
fi
echo "multi30k.sh: $out/bin is ready"
