"""The files that six data sets of summaries are published in, each read to (text, summaries).

dialogsum             [dialogsum.]{train,dev,test}.jsonl with dialogue, and summary or summary1, summary2, ...
samsum                {train,val,test}.json, a list, or {train,validation,test}.jsonl, with dialogue and summary
scitldr               {train,dev,test}.jsonl with source, a list of sentences, and target, a list of summaries
sentence_compression  sent-comp.trainNN.json and comp-data.eval.json, objects with an empty line between; or
                      valid.orig and valid.comp
cnn_dm                cnn/stories and dailymail/stories with *.story; url_lists/all_{train,val,test}.txt
xsum                  bbc-summary-data/*.summary and XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json

All but the stories of cnn_dm and xsum may be plain or .gz.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gec_files import read, read_parallel
from tqdm import tqdm

SPLITS = ("train", "valid", "test")
Record = tuple[str, list[str]]
Reader = Callable[[Path, str], "list[Record] | None"]


def _first(folder: Path, names: list[str]) -> Path | None:
    """Return the first of these files that a folder has, plain or .gz."""
    found = (folder / (name + end) for name in names for end in ("", ".gz"))
    return next((path for path in found if path.is_file()), None)


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file: a list of them, one a line, or several lines each."""
    text, at, decoder = _text(path), 0, json.JSONDecoder()
    try:
        if text.lstrip().startswith("["):
            yield from json.loads(text)
            return
        blank = re.compile(r"\s*")
        while (at := blank.match(text, at).end()) < len(text):
            found, at = decoder.raw_decode(text, at)
            yield found
    except json.JSONDecodeError as error:
        line = text.count("\n", 0, error.pos) + 1
        raise ValueError(f"{path} must hold JSON objects, line {line} does not: {error.msg}. Get it again.") from error


def _from_json(path: Path | None, convert: Callable[[dict[str, Any]], Record]) -> list[Record] | None:
    if path is None:
        return None
    records = []
    for number, item in enumerate(_objects(path), start=1):
        try:
            records.append(convert(item))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}, object {number}, must have {error}: take the data set's own file.") from error
    return records


def read_dialogsum(folder: Path, split: str) -> list[Record] | None:
    """Read DialogSum; its test part has three summaries."""
    name = {"valid": "dev"}.get(split, split)

    def convert(item: dict[str, Any]) -> Record:
        several = [item[f"summary{n}"] for n in (1, 2, 3) if f"summary{n}" in item]
        return item["dialogue"], several or [item["summary"]]

    return _from_json(_first(folder, [f"dialogsum.{name}.jsonl", f"{name}.jsonl"]), convert)


def read_samsum(folder: Path, split: str) -> list[Record] | None:
    """Read SAMSum."""
    names = {"valid": ["val", "validation"]}.get(split, [split])
    path = _first(folder, [f"{name}.{end}" for name in names for end in ("json", "jsonl")])
    return _from_json(path, lambda item: (item["dialogue"], [item["summary"]]))


def read_scitldr(folder: Path, split: str) -> list[Record] | None:
    """Read SciTLDR, whichever part of the papers it is made from; a text is its sentences."""
    path = _first(folder, [f"{ ({'valid': 'dev'}.get(split, split)) }.jsonl"])
    return _from_json(path, lambda item: (" ".join(item["source"]), list(item["target"])))


def read_sentence_compression(folder: Path, split: str) -> list[Record] | None:
    """Read Google's sentence compression; its one evaluation file is valid."""

    def convert(item: dict[str, Any]) -> Record:
        return item["graph"]["sentence"], [item["compression"]["text"]]

    if split == "valid" and _first(folder, ["valid.orig"]):
        return [(source, [target]) for source, target in read_parallel(folder, ["valid.orig", "valid.comp"])]
    if split == "valid":
        return _from_json(_first(folder, ["comp-data.eval.json"]), convert)
    paths = sorted(folder.glob("sent-comp.train*.json*")) if split == "train" else []
    return [record for path in paths for record in _from_json(path, convert)] or None


def read_cnn_dm(folder: Path, split: str) -> list[Record] | None:
    """Read CNN and Daily Mail: the stories of a list of addresses, each named by its address's SHA-1."""
    addresses = _first(folder / "url_lists", [f"all_{ ({'valid': 'val'}.get(split, split)) }.txt"])
    if addresses is None:
        return None
    places = [folder / name / "stories" for name in ("cnn", "dailymail")]
    records, missing = [], []
    for address in tqdm(read(addresses), desc=f"cnn_dm {split}", disable=not sys.stderr.isatty()):
        name = hashlib.sha1(address.encode()).hexdigest() + ".story"  # noqa: S324 (a name, not a secret)
        path = next((place / name for place in places if (place / name).is_file()), None)
        if path is None:
            missing.append(address)
        else:
            records.append(story(path.read_text("utf-8")))
    _all_there(missing, addresses, f"{folder}/{{cnn,dailymail}}/stories")
    return records


def story(text: str) -> Record:
    """Split a story of CNN or Daily Mail: the article's paragraphs, without its place and agency; the highlights."""
    article, *highlights = re.split(r"^@highlight\s*$", text, flags=re.MULTILINE)
    article = re.sub(r"^.{0,60}?\(CNN\)\s*(?:--)?\s*", "", article.lstrip(), count=1)
    return " ".join(article.split()), [" ".join(" ".join(line.split()) for line in highlights if line.strip())]


def read_xsum(folder: Path, split: str) -> list[Record] | None:
    """Read XSum: articles of the BBC whose summary is their first sentence."""
    path = _first(folder, ["XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json"])
    if path is None:
        return None
    names = json.loads(_text(path))[{"valid": "validation"}.get(split, split)]
    place, records, missing = folder / "bbc-summary-data", [], []
    for name in tqdm(names, desc=f"xsum {split}", disable=not sys.stderr.isatty()):
        if (place / f"{name}.summary").is_file():
            parts = re.split(r"\[SN\](.+?)\[SN\]", (place / f"{name}.summary").read_text("utf-8"))
            named = dict(zip(parts[1::2], parts[2::2], strict=True))
            if lacking := {"FIRST-SENTENCE", "RESTBODY"} - named.keys():
                raise ValueError(f"{place / name}.summary must have {sorted(lacking)}: take the original data set.")
            records.append((" ".join(named["RESTBODY"].split()), [named["FIRST-SENTENCE"]]))
        else:
            missing.append(name)
    _all_there(missing, path, str(place))
    return records


def _all_there(missing: list[str], listed: Path, place: str) -> None:
    if missing:
        raise ValueError(
            f"{place} must hold what {listed} lists, but {len(missing)} are not there, as {missing[0]}: "
            f"unpack the whole archive."
        )


READERS: dict[str, Reader] = {
    "dialogsum": read_dialogsum,
    "samsum": read_samsum,
    "scitldr": read_scitldr,
    "sentence_compression": read_sentence_compression,
    "cnn_dm": read_cnn_dm,
    "xsum": read_xsum,
}
