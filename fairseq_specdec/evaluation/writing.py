"""Which script a text is in, and what a metric that was made for English makes of it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

# scripts that put no space between words, by the first word of their letters' names in Unicode
UNSPACED = {
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "KATAKANA-HIRAGANA",
    "BOPOMOFO",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
}
_SHOWN = {"CJK": "Chinese characters", "KATAKANA-HIRAGANA": "Kana"}
_SPLIT_FIRST = (
    "a script without spaces between words; a word is what stands between spaces: separate the words by spaces first"
)


@dataclass(frozen=True)
class Advice:
    """What to tell who scores text that is not in Latin letters with a metric's default words.

    Args:
        unspaced: where words are not separated by spaces.
        other: where they are; None: nothing is lost there.
    """

    unspaced: str
    other: str | None = None


ADVICE = {
    "bleu": Advice(
        "a script without spaces between words; 13a splits at spaces alone: pass --tokenize zh (Chinese), ja-mecab "
        "(Japanese), flores200 or char, or --tokenize 13a if the text is split already",
        "whose punctuation 13a may leave at the words: pass --tokenize intl or flores200, or --tokenize 13a for a "
        "number that is to be compared with others of that kind",
    ),
    "rouge": Advice(*["of which rouge-score's tokenizer keeps no letter: pass --tokenizer unicode"] * 2),
    "ter": Advice(_SPLIT_FIRST),
    "gleu": Advice(_SPLIT_FIRST),
    "sari": Advice(_SPLIT_FIRST),
}


def advise(metric: str, texts: Iterable[str]) -> str | None:
    """Return a hint where a metric's default words do not fit a text, else None.

    Args:
        metric: name of the metric.
        texts: what is scored.
    """
    advice, script = ADVICE.get(metric), main_script(texts)
    if advice is None or script in (None, "LATIN"):
        return None
    told = advice.unspaced if script in UNSPACED else advice.other
    return told and f"most of the text is in {_SHOWN.get(script, script.capitalize())}, {told}."


def main_script(texts: Iterable[str]) -> str | None:
    """Return the script (LATIN, CYRILLIC, CJK ...) of more than half of the letters, or of the most; None without any.

    Scripts without spaces count together, as Japanese mixes several of them.
    """
    letters: Counter[str] = Counter()
    for text in texts:
        letters.update(text)
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        if letter.isalpha():
            scripts[script_of(letter)] += count
    if not scripts:
        return None
    unspaced = {name: count for name, count in scripts.items() if name in UNSPACED}
    (name, count), *_ = scripts.most_common(1)
    return max(unspaced, key=unspaced.__getitem__) if sum(unspaced.values()) > count else name


@cache
def script_of(letter: str) -> str:
    """Return the script of a character, as its name in Unicode begins."""
    first = unicodedata.name(letter, "UNKNOWN").split()[0]
    return {"IDEOGRAPHIC": "CJK", "FULLWIDTH": "LATIN", "HALFWIDTH": "KATAKANA"}.get(first, first)
