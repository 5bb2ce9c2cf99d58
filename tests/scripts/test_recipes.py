"""Recipes at their smallest size, data to results, and what they download."""

import gzip
import hashlib
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

from tests.scripts.test_run_recipe import (
    ROOT,
    german_english,
    in_process,  # noqa: F401 (a fixture)
    run_recipe,
    sentences,
    write_sentences,
)

RECIPES = ("tatoeba.de-en", "dialogsum.en", "multi30k.multi", "cnn_dm.en", "xsum.en")


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def make_dialogues(folder):
    """Write dialogues and papers as they are published; the summary of each is its first turn."""
    for seed, (split, count) in enumerate({"train": 60, "dev": 4, "validation": 4}.items()):
        lines = sentences(count, seed)["en"]
        talks = [{"dialogue": f"Ann: {line}\nBob: {line} {line}", "summary": line} for line in lines]
        papers = [{"source": [line, line], "target": [line, "Short.", "A.", "B."]} for line in lines]
        for name, items in (("dialogsum", talks), ("samsum", talks), ("scitldr_abstract", papers)):
            put(folder / name / f"{split}.jsonl.gz", "\n".join(map(json.dumps, items)))


def make_captions(folder):
    """Write sentences of three languages, the third like the second."""
    for seed, (split, count) in enumerate({"train": 60, "val": 4, "test_2016_flickr": 4}.items()):
        text = sentences(count, seed)
        for lang, like in (("en", "en"), ("de", "de"), ("fr", "de")):
            put(folder / "multi30k" / f"{split}.{lang}.gz", "".join(f"{line}\n" for line in text[like]))


def make_articles(folder):
    """Write stories, the list of them, and GPT-2's files with few subwords."""
    for seed, (split, count) in enumerate({"train": 40, "val": 4, "test": 4}.items()):
        addresses = [f"http://{split}/{n}" for n in range(count)]
        put(folder / "url_lists" / f"all_{split}.txt", "\n".join(addresses) + "\n")
        for address, line in zip(addresses, sentences(count, seed)["en"], strict=True):
            name = hashlib.sha1(address.encode()).hexdigest() + ".story"
            put(folder / "cnn" / "stories" / name, f"(CNN) {line}\n\n{line}\n\n@highlight\n\n{line}\n")
    symbols = [*bytes_to_unicode().values(), "th", "Ġth", "Ġthe"]
    put(folder / "gpt2_bpe" / "encoder.json", json.dumps({symbol: i for i, symbol in enumerate(symbols)}))
    put(folder / "gpt2_bpe" / "vocab.bpe", "#version: 0.2\nt h\nĠ th\nĠth e\n")
    put(folder / "gpt2_bpe" / "dict.txt", "".join(f"{i} {1000 - i}\n" for i in range(len(symbols))))


def run(name, source, work):
    """Run a recipe at its smallest size; return the rows of its results, and its page."""
    work.mkdir()
    card = (ROOT / "models" / name / "README.md").read_text("utf-8").splitlines(keepends=True)
    page = work / "page.md"
    page.write_text("".join(line for line in card if line.startswith(("<!-- table", "<!-- end"))))
    options = ["--from", str(source), "--work", str(work), "--scale", "tiny"]
    said = io.StringIO()
    with redirect_stderr(said):
        code = run_recipe.main([str(ROOT / "models" / name), *options])
    assert code == 0, said.getvalue()
    found = json.loads((work / "results.json").read_text())["data"]
    return {name: part["rows"] for name, part in found.items()}, page.read_text()


def assert_all_same(rows):
    ours = [row for row in rows if row["system"] != "fairseq"]
    assert ours and all(row["identical"] == row["sentences"] > 0 for row in ours)


def test_a_model_of_dialogues_is_made_and_measured(in_process, tmp_path):  # noqa: F811
    make_dialogues(tmp_path / "data")
    rows, page = run("dialogsum.en", tmp_path / "data", tmp_path / "work")
    assert set(rows) == {"dialogsum", "samsum", "scitldr"}
    for part in rows.values():
        assert_all_same(part)
        assert {(row["system"], row["beam"]) for row in part} == {
            ("fairseq", 1), ("ngram", 1), ("nat", 1), ("fairseq", 4), ("none", 4), ("input", 4)
        } - (set() if part is rows["dialogsum"] else {("input", 4)})  # fmt: skip
    assert page.count("| greedy, `nat` |") == 6 and "| `none:beam=4` | 1 |" in page


def test_a_model_of_three_languages_is_made_and_measured(in_process, tmp_path):  # noqa: F811
    make_captions(tmp_path / "data")
    rows, page = run("multi30k.multi", tmp_path / "data", tmp_path / "work")
    assert_all_same(rows["directions"])
    assert {row["direction"] for row in rows["directions"]} == {"en-de", "de-fr", "mixed"}
    assert "| de-fr, greedy, `ngram` |" in page


def test_summaries_of_articles_are_learned_as_published(in_process, tmp_path):  # noqa: F811
    make_articles(tmp_path / "data")
    rows, page = run("cnn_dm.en", tmp_path / "data", tmp_path / "work")
    assert_all_same(rows["cnn_dm"])
    assert {(row["rule"], row["beam"]) for row in rows["cnn_dm"]} == {("cnn_dm", 1), ("cnn_dm", 4)}
    assert "rouge1" in (tmp_path / "work" / "rouge.log").read_text()


def test_a_transformer_base_and_its_drafters_are_made_and_measured(in_process, tmp_path):  # noqa: F811
    (tmp_path / "data").mkdir()
    for seed, (folder, name) in enumerate([*german_english.TRAIN, *german_english.HELD_OUT.values()]):
        write_sentences(tmp_path / "data" / folder, name, 6, seed)
    work = tmp_path / "work"
    rows, page = run("tatoeba.de-en", tmp_path / "data", work)
    layers = {}
    for name in ("verifier", "drafter", "student"):
        weights = torch.load(work / name / "checkpoint_last.pt", weights_only=False)["model"]
        layers[name] = len({key.split(".")[2] for key in weights if key.startswith("decoder.layers.")})
    assert layers == {"verifier": 4, "drafter": 1, "student": 1}
    assert_all_same(rows["tatoeba"] + rows["multi30k"])
    drafts = json.loads((work / "drafts.json").read_text())["rows"]
    assert {row["batch_size"] for row in drafts} == {1, 4}
    assert all(row["identical"] == row["sentences"] > 0 for row in drafts)
    assert "| `self` | 2 |" in page and "| `ar:drafter-path=checkpoint_last.pt` | 2 |" in page


@pytest.mark.parametrize("name", [*RECIPES, "cnn_dm.en/data", "xsum.en/data"])
def test_a_recipe_names_scripts_that_are_there_and_tables_of_its_card(name, tmp_path):
    said = io.StringIO()
    options = ["--from", str(tmp_path), "--work", str(tmp_path / "work"), "--dry-run"]
    with redirect_stdout(said), redirect_stderr(said):
        assert run_recipe.main([str(ROOT / "models" / name), *options]) == 0
    words = said.getvalue().split()
    assert all((ROOT / word).is_file() for word in words if word.startswith("scripts/"))
    card = (ROOT / "models" / name.removesuffix("/data") / "README.md").read_text("utf-8")
    for option, kind in (("--name", "identity-"), ("--name", "quality-")):
        for table in (words[i + 1] for i, word in enumerate(words) if word == option):
            assert f"<!-- table {kind}{table}:" in card


def test_the_settings_of_xsum_are_those_of_its_page():
    recipe = run_recipe.Recipe(ROOT / "models" / "xsum.en", source=Path("data"))
    words = {step.name: " ".join(word for command in recipe.commands(step, "out") for word in command)
             for step in recipe.steps}  # fmt: skip
    assert "--total-num-update 15000" in words["verifier"] and "--update-freq 2 " in words["verifier"]
    assert "--beam 6 --lenpen 1 --max-len-b 60 --min-len 10 --no-repeat-ngram-size 3" in words["rouge"]
