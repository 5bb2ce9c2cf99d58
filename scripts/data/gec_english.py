"""Clean English sentences from the data folder, tokenised as JFLEG and CoNLL-2014 are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gec_files import find, read
from sacremoses import MosesTokenizer
from tqdm import tqdm

STRAIGHT = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "´": "'", "`": "'", "\u00a0": " "})
NOT = re.compile(r"(?<=[a-z])(n) ('t)\b", re.IGNORECASE)  # Moses cuts "don 't", learner corpora "do n't"
LOOSE_S = re.compile(r"(?<=\w)' s\b")  # "the Commission' s", all over Europarl
CANNOT = re.compile(r"\b(can)(not)\b", re.IGNORECASE)
NAME = re.compile(r"\b([odl]) '(?=[^\W\d_]{2})", re.IGNORECASE)  # "o 'clock", "O 'Brien"
# Moses leaves an opening quote at its word
OPEN_QUOTE = re.compile(r"(^| )'(?!(?:s|re|ve|ll|d|m|em|til|cause)\b)(?=\w)", re.IGNORECASE)
WIKI_QUOTES = re.compile(r"''|``")
RAW = ("tatoeba_de-en/train.en", "europarl_de-en/train.en")
RAW_FOLDERS = ("wmt_news_en-de", "ted_de-en")
SPLIT_PARTS = ("wikisplit/tune.tsv", "wikisplit/test.tsv")
SEPARATOR = " <::::> "
_moses = MosesTokenizer(lang="en")


def tokenise(line: str) -> str:
    """Tokenise raw English: "I can't." becomes "I ca n't ."; quotes become straight."""
    line = CANNOT.sub(r"\1 \2", LOOSE_S.sub("'s", line.translate(STRAIGHT)))
    line = _moses.tokenize(line, escape=False, return_str=True)
    line = NAME.sub(r"\1'", NOT.sub(r" \1\2", line))
    return " ".join(OPEN_QUOTE.sub(r"\1' ", line).split())


def is_clean(line: str) -> bool:
    """Say whether a tokenised line is an English sentence of 3 to 60 tokens, made mostly of letters."""
    solid = line.replace(" ", "")
    return (
        3 <= line.count(" ") + 1 <= 60
        and sum(map(str.isalpha, solid)) >= 0.7 * len(solid)
        and sum(map(str.isascii, solid)) >= 0.95 * len(solid)
        and not line[0].islower()  # the rest of a sentence that its corpus cut in two
        and "http" not in line
        and " ' s " not in line
    )


def clean_sentences(folder: Path) -> Iterator[str]:
    """Yield tokenised sentences of the corpora that hold no learners' errors, repeats included."""
    names = [*RAW, *_english_of(folder, RAW_FOLDERS)]
    for name in tqdm(names, desc="clean English", disable=not sys.stderr.isatty()):
        yield from map(tokenise, read(find(folder, name)))
    for name in SPLIT_PARTS:
        for line in read(find(folder, name)):
            yield from map(str.strip, WIKI_QUOTES.sub('"', line.split("\t")[-1]).split(SEPARATOR))


def _english_of(folder: Path, names: tuple[str, ...]) -> list[str]:
    """List the English files of some folders in the order of their names."""
    found = []
    for name in names:
        if not (folder / name).is_dir():
            raise ValueError(f"--from must hold the folder {name}, but {folder} has none: add it.")
        found += sorted({f"{name}/{path.name.removesuffix('.gz')}" for path in (folder / name).glob("*.en*")})
    return found
