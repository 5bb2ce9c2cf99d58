"""Data of summaries: what each data set's published files become, and text with words taken out."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "data"))

import infill  # noqa: E402
import summaries  # noqa: E402
from summary_files import READERS  # noqa: E402

TALK = "Ann: Hi,  Bob!\r\n\nBob: Hello."


def put(path, content):
    """Write text, or JSON for anything else; .gz is compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def prepare(folder, name, *options):
    """Run the command; return the files that it wrote, by name."""
    out = folder / "out"
    argv = [name, "--from", str(folder), "--out", str(out), *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["summaries.py", *argv])
        summaries.main()
    return {path.name: path.read_text("utf-8") for path in out.iterdir()}


def test_line_breaks_of_a_dialogue_become_bars_and_runs_of_blanks_one(tmp_path, capsys):
    put(tmp_path / "train.jsonl.gz", json.dumps({"dialogue": TALK, "summary": "They\tmeet."}) + "\n")
    assert prepare(tmp_path, "dialogsum") == {
        "train.source": "Ann: Hi, Bob! | Bob: Hello.\n",
        "train.target": "They meet.\n",
    }
    assert capsys.readouterr().err == "dialogsum train: 1 of 1 records\n"


def test_another_line_break_can_be_chosen_and_records_without_a_summary_are_left_out(tmp_path):
    put(tmp_path / "val.json", [{"dialogue": TALK, "summary": "A"}, {"dialogue": "B", "summary": " "}])
    found = prepare(tmp_path, "samsum", "--line-break", " <n> ")
    assert found == {"valid.source": "Ann: Hi, Bob! <n> Bob: Hello.\n", "valid.target": "A\n"}


def test_the_three_summaries_of_dialogsum_test_become_three_files(tmp_path):
    item = {"dialogue": "Hi", "summary1": "a", "summary2": "b", "summary3": "c"}
    put(tmp_path / "dialogsum.test.jsonl", json.dumps(item))
    found = prepare(tmp_path, "dialogsum")
    assert [found[f"test.target{end}"] for end in ("", "1", "2")] == ["a\n", "b\n", "c\n"]


def test_summaries_of_a_paper_are_pairs_to_learn_from_and_else_files_filled_with_the_first(tmp_path):
    papers = [{"source": ["One.", "Two."], "target": ["a", "b"]}, {"source": ["Three."], "target": ["c"]}]
    for name in ("train", "dev"):
        put(tmp_path / f"{name}.jsonl", "\n".join(map(json.dumps, papers)))
    assert prepare(tmp_path, "scitldr") == {
        "train.source": "One. Two.\nOne. Two.\nThree.\n",
        "train.target": "a\nb\nc\n",
        "valid.source": "One. Two.\nThree.\n",
        "valid.target": "a\nc\n",
        "valid.target1": "b\nc\n",
    }


def test_sentence_compression_is_read_from_objects_of_several_lines_or_from_two_texts(tmp_path):
    items = [{"graph": {"sentence": f"Long {n}"}, "compression": {"text": f"short {n}"}} for n in range(3)]
    text = "\n\n".join(json.dumps(item, indent=2) for item in items)
    put(tmp_path / "sent-comp.train01.json.gz", text)
    put(tmp_path / "sent-comp.train02.json", text)
    put(tmp_path / "comp-data.eval.json", text)
    found = prepare(tmp_path, "sentence_compression", "--limit", "5")
    assert found["train.source"] == "Long 0\nLong 1\nLong 2\nLong 0\nLong 1\n"
    assert found["valid.target"] == "short 0\nshort 1\nshort 2\n"
    put(tmp_path / "valid.orig.gz", "Other\n")
    put(tmp_path / "valid.comp", "other\n")
    assert prepare(tmp_path, "sentence_compression", "--split", "valid")["valid.source"] == "Other\n"


def test_stories_are_found_by_the_list_of_their_addresses_and_split_at_highlights(tmp_path):
    story = "Paris, France (CNN) -- It  rained.\n\nPeople stayed in.\n\n@highlight\n\nRain\n\n@highlight\n\nAll in\n"
    for place, address in (("cnn", "http://a"), ("dailymail", "http://b")):
        put(tmp_path / place / "stories" / (hashlib.sha1(address.encode()).hexdigest() + ".story"), story)
    put(tmp_path / "url_lists" / "all_val.txt", "http://b\nhttp://a\n")
    assert prepare(tmp_path, "cnn_dm") == {
        "valid.source": "It rained. People stayed in.\n" * 2,
        "valid.target": "Rain All in\n" * 2,
    }
    put(tmp_path / "url_lists" / "all_test.txt", "http://c\n")
    with pytest.raises(SystemExit, match=r"1 are not there, as http://c: unpack the whole archive"):
        prepare(tmp_path, "cnn_dm")


def test_an_article_of_xsum_loses_its_first_sentence_to_the_summary(tmp_path):
    parts = {"URL": "http://x", "TITLE": "T", "FIRST-SENTENCE": "It rained.", "RESTBODY": "One.\nTwo."}
    text = "".join(f"[SN]{name}[SN]\n{value}\n\n" for name, value in parts.items())
    put(tmp_path / "bbc-summary-data" / "12.summary", text)
    put(tmp_path / "XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json", {"train": [], "validation": ["12"], "test": []})
    found = prepare(tmp_path, "xsum", "--split", "valid")
    assert found == {"valid.source": "One. Two.\n", "valid.target": "It rained.\n"}
    put(tmp_path / "bbc-summary-data" / "12.summary", "[SN]URL[SN]\nhttp://x\n")
    with pytest.raises(SystemExit, match=r"12\.summary must have \['FIRST-SENTENCE', 'RESTBODY'\]"):
        prepare(tmp_path, "xsum")


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_folder_without_the_files_is_refused(tmp_path, name):
    with pytest.raises(SystemExit, match=rf"--from must hold files of {name}, but .* has none of them"):
        prepare(tmp_path, name)


def test_a_split_that_is_not_there_and_broken_files_are_refused(tmp_path):
    put(tmp_path / "train.jsonl", '{"dialogue": "a", "summary": "b"}\n{"dialogue": ')
    with pytest.raises(SystemExit, match=r"train\.jsonl must hold JSON objects, line 2 does not"):
        prepare(tmp_path, "samsum")
    put(tmp_path / "train.jsonl", '{"dialogue": "a"}')
    with pytest.raises(SystemExit, match=r"train\.jsonl, object 1, must have 'summary'"):
        prepare(tmp_path, "samsum")
    with pytest.raises(SystemExit, match=r"--split must be a part that --from has, got test"):
        prepare(tmp_path, "samsum", "--split", "test")


@pytest.mark.parametrize("count", [4, 9, 40])
def test_words_that_are_taken_out_are_whole_and_leave_one_mask_a_run(count):
    words = [[f"▁w{n}", "x"] if n % 3 else [f"▁w{n}"] for n in range(count)]
    pieces = [piece for word in words for piece in word]
    assert infill.words_of(pieces) == words
    for seed in range(20):
        noised = infill.infill(words, 0.3, "<mask>", numpy.random.default_rng(seed))
        left = [piece for piece in noised if piece != "<mask>"]
        assert infill.words_of(left) == [word for word in words if word[0] in left]
        assert len(infill.words_of(left)) == count - round(0.3 * count) and "<mask>" in noised
        assert all(pair != ("<mask>", "<mask>") for pair in zip(noised, noised[1:], strict=False))
