"""The commands of the README, as they stand there, on tiny data: decode, train, score, use from Python."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import published, tiny

ROOT = Path(__file__).parents[1]
STOCK = ("--task", "translation", "--beam", "1", "--cpu", "--no-progress-bar")
README = (ROOT / "README.md").read_text("utf-8")
# what stands for the user's own choice, and the two languages, which go the other way in the tests' data
CHOICES = {
    "--source-lang en --target-lang de": f"--source-lang {tiny.SOURCE} --target-lang {tiny.TARGET}",
    "dict.en.txt": f"dict.{tiny.SOURCE}.txt",
    "-s en -t fr": f"-s {tiny.SOURCE} -t {tiny.TARGET}",
    "--arch spec_drafter ": "--arch spec_drafter_tiny ",
    "--num-shards 2": "--num-shards 2 --batch-size 8",  # the tests' data is one batch otherwise
    "--max-update N ...": "--max-update 2 --max-tokens 800 --optimizer adam --lr 0.001 --cpu --num-workers 0",
}


def block(heading, language=""):
    """Return the code blocks of a language below a heading, one after the other."""
    section = re.search(rf"\n## {heading}\n(.*?)(?=\n## |\Z)", README, re.DOTALL)[1]
    return "".join(re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL))


def commands(heading):
    """Return the commands of a section, a line each, with choices filled in."""
    text = block(heading).replace("\\\n", "")
    for written, chosen in CHOICES.items():
        text = text.replace(written, chosen)
    return text.strip().splitlines()


@pytest.fixture(scope="module")
def place(joined_data_bin, joined_verifier, tmp_path_factory):
    """A working folder in which the README's file names exist."""
    folder = tmp_path_factory.mktemp("readme")
    links = {"DATA_BIN": joined_data_bin, "data-bin": joined_data_bin, "fairseq_specdec": ROOT / "fairseq_specdec"}
    links |= {"VERIFIER.pt": joined_verifier, "verifier.pt": joined_verifier}
    links |= {f"VALID.{lang}": joined_data_bin / f"valid.{lang}" for lang in (tiny.SOURCE, tiny.TARGET)}
    for name, path in links.items():
        (folder / name).symlink_to(path)
    return folder


def run(line, folder):
    paths = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_drafter_is_trained_and_decodes_by_the_commands_of_the_readme(place):
    for line in commands("Train a drafter"):
        run(line, place)
    trained = place / "checkpoints" / "checkpoint_last.pt"
    for name in ("DRAFTER.pt", "drafter.pt"):
        (place / name).symlink_to(trained)
    for decode, beam in zip(commands("Decode"), (5, 1), strict=True):
        hypotheses = re.findall(r"^H-\d+\t\S+\t(.*)$", run(decode, place), re.MULTILINE)
        assert len(hypotheses) == beam * tiny.SPLITS["test"]
    sentence = (place / "VALID.de").read_text("utf-8").splitlines()[0]
    python = block("Decode", "python").replace("Two young men are outside .", sentence)
    python = re.sub(r"^(model\.generate\(.*|best\.text.*)$", r"print(\1)", python, flags=re.MULTILINE)
    said = run(f"python - <<'EOF'\n{python}\nEOF", place)
    assert re.search(r"^\['\S.*'\]$", said, re.MULTILINE)
    assert re.search(r"^s\d.* -\d+\.\d+ tensor\(.*\) \['s.*', 's.*'\]$", said, re.MULTILINE | re.DOTALL)


def test_shards_are_put_together_by_the_commands_of_the_readme(place):
    for line in commands("Large corpora"):
        said = run(line, place)
    assert "0 wrong" in said
    log = tiny.fairseq_generate(place / "DATA_BIN", place / "VERIFIER.pt", place / "one", *STOCK).read_text("utf-8")
    expected = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", log, re.MULTILINE))
    assert (place / "outputs.txt").read_text("utf-8").splitlines() == [expected[str(i)] for i in range(len(expected))]


def test_the_input_is_the_draft_by_the_commands_of_the_readme(place):
    decode, score, bench = commands("Correct and simplify")
    run(decode, place)
    log = (place / "corrected" / "generate-test.txt").read_text("utf-8")
    assert len(re.findall(r"^H-", log, re.MULTILINE)) == tiny.SPLITS["test"]
    for name in ("HYP", "REF", "SRC"):
        (place / name).write_text("a b c d e\n")
    assert "gleu 100.00" in run(score, place)
    table = run(bench + " --repeats 1 --warmup 0 --limit 4", place)
    assert re.search(r"^input ", table, re.MULTILINE) and (place / "bench.json").exists()


def test_a_model_of_many_languages_is_decoded_by_the_command_of_the_readme(tmp_path):
    data = tiny.make_data_bin(tmp_path / "data_bin", joined=True, splits={"test": 12})
    model = published.m2m_100(tmp_path, data)
    (tmp_path / "model_dict.128k.txt").symlink_to(tmp_path / "model_dict.txt")
    (tmp_path / "fairseq_specdec").symlink_to(ROOT / "fairseq_specdec")
    (line,) = commands("Many languages")
    found = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", run(line, tmp_path), re.MULTILINE))
    log = tiny.fairseq_generate(data, model.path, tmp_path / "stock", *model.stock, "--beam", "5").read_text("utf-8")
    assert found == dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", log, re.MULTILINE))
    assert len(found) == 12


def test_scores_are_printed_by_the_commands_of_the_readme(place):
    (place / "HYP").write_text("a b c d e\n")
    (place / "REF").write_text("a b c d e\n")
    text, log, interval = commands("Score")
    assert "100.0" in run(text, place)
    assert "rouge1 100.00 [100.00, 100.00]" in run(interval, place)
    run("fairseq-generate DATA_BIN --user-dir fairseq_specdec --path VERIFIER.pt --remove-bpe > gen.log", place)
    assert '"bleu"' in run(log, place)
