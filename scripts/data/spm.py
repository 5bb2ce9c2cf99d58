#!/usr/bin/env python3
"""Learn a joint SentencePiece BPE model, or apply one to text files.

    spm.py train --model OUT.model --vocab-size 6000 [--identity] [--coverage SHARE] TEXT [TEXT ...]
    spm.py encode --model IN.model --out-dir DIR TEXT [TEXT ...]

``encode`` writes DIR/<name of TEXT>, one line of space-separated pieces for each line of TEXT. An empty line
stays empty, so that files stay parallel. SentencePiece normalises characters (NFKC) unless --identity says otherwise;
--coverage below 1 leaves the rarest characters out of the model.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import sentencepiece
from tqdm import tqdm


def train(model: Path, vocab_size: int, texts: list[Path], identity: bool = False, coverage: float = 1.0) -> None:
    """Learn a BPE model over all ``texts`` together and write it to ``model``."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.read_text("utf-8").splitlines()),
        model_writer=out,
        model_type="bpe",
        vocab_size=vocab_size,
        character_coverage=coverage,
        normalization_rule_name="identity" if identity else "nmt_nfkc",
        hard_vocab_limit=False,
        # fairseq adds its own specials; these take no part in the text
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=1,
    )
    model.write_bytes(out.getvalue())


def encode(model: Path, out_dir: Path, texts: list[Path]) -> None:
    """Write the pieces of each line of each text to a file of the same name in ``out_dir``."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    out_dir.mkdir(parents=True, exist_ok=True)
    for text in texts:
        lines = text.read_text("utf-8").splitlines()
        with (out_dir / text.name).open("w", encoding="utf-8") as out:
            for line in tqdm(lines, desc=f"encode {text.name}", disable=not sys.stderr.isatty()):
                out.write(" ".join(processor.encode(line, out_type=str)) + "\n")


def main() -> None:
    """Parse the command line and run the chosen step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["train", "encode"])
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--identity", action="store_true", help="train: keep every character as it is")
    parser.add_argument("--coverage", type=float, default=1.0, help="train: share of characters to keep (default: 1)")
    parser.add_argument("--out-dir", type=Path)
    args = parser.parse_args()
    if args.step == "train":
        train(args.model, args.vocab_size, args.texts, args.identity, args.coverage)
    elif args.out_dir is None:
        parser.error("--out-dir is required by 'encode': pass the folder for the encoded text")
    else:
        encode(args.model, args.out_dir, args.texts)


if __name__ == "__main__":
    main()
